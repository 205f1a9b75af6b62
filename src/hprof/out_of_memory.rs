//! Notices a dump that the JVM has written by itself on OutOfMemoryError, and the stack of the thread that threw it. Above
//! the frames of that thread, HotSpot writes one more frame: the constructor of that error (JDK: `heapDumper.cpp`,
//! `_oome_constructor`). No other cause of a dump adds it.

use std::collections::BTreeMap;

use super::records::{be32, identifier};

const CLASS: &[u8] = b"java/lang/OutOfMemoryError";
const METHOD: &[u8] = b"<init>";

/// Most frames of the stack that are kept, from the top.
const FRAMES_MAX: usize = 20;

/// Most classes whose names are remembered, so that no dump can exhaust the memory: they take 1 MiB.
const CLASSES_MAX: usize = 1 << 17;

/// Most characters of a name of a class or method.
const NAME_MAX: usize = 200;

/// A frame, still without names. Symbols come before frames, so a walk cannot know which of them to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Identifier of the name of the class. 0 if its record was not seen.
    class: u64,
    method: u64,
    /// 0 if the JVM tells none.
    line: u32,
}

impl Frame {
    /// Returns the identifiers of the names that have to be read from the dump.
    pub fn name_ids(&self) -> [u64; 2] {
        [self.class, self.method]
    }

    /// Returns the frame as text, without the value of anything: `com.acme.Cart.add:12`.
    pub fn named(&self, names: &BTreeMap<u64, String>) -> String {
        let name = |id| names.get(&id).map_or("?".to_owned(), |name| name.chars().take(NAME_MAX).collect());
        let line = if self.line > 0 { format!(":{}", self.line) } else { String::new() };
        format!("{}.{}{line}", name(self.class), name(self.method))
    }
}

/// The identifiers of the frame to find, and the frames below it. Symbols come before classes, and classes before frames.
#[derive(Debug, Default)]
pub struct OutOfMemoryStack {
    class_name: Option<u64>,
    method_name: Option<u64>,
    class_serial: Option<u32>,
    /// Names of the classes in the order of their serial numbers, which begin with `first_serial`. A JVM goes on counting
    /// from one dump to the next (JDK: `heapDumper.cpp`, `class_serial_num`).
    names: Vec<u64>,
    first_serial: u32,
    pub seen: bool,
    /// True between the frame that was found and the end of the stack.
    is_inside: bool,
    pub frames: Vec<Frame>,
}

impl OutOfMemoryStack {
    pub fn symbol(&mut self, id: u64, text: &[u8]) {
        match text {
            CLASS => self.class_name = Some(id),
            METHOD => self.method_name = Some(id),
            _ => {}
        }
    }

    pub fn load_class(&mut self, serial: u32, name: u64) {
        if self.class_name == Some(name) {
            self.class_serial = Some(serial);
        }
        if self.names.is_empty() {
            self.first_serial = serial;
        }
        let is_next = serial.checked_sub(self.first_serial).is_some_and(|place| place as usize == self.names.len());
        if is_next && self.names.len() < CLASSES_MAX {
            self.names.push(name);
        }
    }

    /// Takes the body of a FRAME record: identifiers of the frame, its method, signature and source, the serial number of
    /// its class (u4), its line (i4).
    pub fn frame(&mut self, b: &[u8], id: usize) {
        let (method, serial, line) = (identifier(b, id, id), be32(b, 4 * id), be32(b, 4 * id + 4));
        if self.is_inside && self.frames.len() < FRAMES_MAX {
            let class = serial.checked_sub(self.first_serial).and_then(|place| self.names.get(place as usize)).copied();
            // A line below 0 says that the frame is compiled, native, or of an unknown line.
            let line = if line.cast_signed() > 0 { line } else { 0 };
            self.frames.push(Frame { class: class.unwrap_or(0), method, line });
        }
        if !self.seen && self.class_serial == Some(serial) && self.method_name == Some(method) {
            (self.seen, self.is_inside) = (true, true);
        }
    }

    /// Takes the TRACE record, which HotSpot writes behind the frames of its thread.
    pub fn trace(&mut self) {
        self.is_inside = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(method: u64, serial: u32, line: i32) -> Vec<u8> {
        let ids = [1, method, 2, 3].map(u64::to_be_bytes).concat();
        [&ids[..], &serial.to_be_bytes(), &line.to_be_bytes()].concat()
    }

    #[test]
    fn stack_is_that_of_the_thread_with_the_constructor() {
        let mut stack = OutOfMemoryStack::default();
        stack.symbol(10, CLASS);
        stack.symbol(11, METHOD);
        // The first class of a second dump of one JVM.
        for (serial, name) in [(501, 20), (502, 10), (503, 21), (7, 22)] {
            stack.load_class(serial, name);
        }
        for (method, serial, line) in [(30, 501, 1), (11, 502, -1), (31, 501, 12), (32, 503, -3), (33, 7, 5)] {
            stack.frame(&frame(method, serial, line), 8);
        }
        stack.trace();
        stack.frame(&frame(34, 501, 1), 8);
        let names: BTreeMap<u64, String> =
            [(20, "a.Cart"), (31, "add"), (32, "run"), (33, "x")].map(|(id, name)| (id, name.to_owned())).into();
        let told: Vec<_> = stack.frames.iter().map(|frame| frame.named(&names)).collect();
        assert!(stack.seen);
        assert_eq!(told, ["a.Cart.add:12", "?.run", "?.x:5"]);
    }

    #[test]
    fn stack_is_bounded_and_empty_without_the_constructor() {
        let mut stack = OutOfMemoryStack::default();
        stack.frame(&frame(31, 1, 1), 8);
        assert!(!stack.seen && stack.frames.is_empty());
        stack.symbol(10, CLASS);
        stack.symbol(11, METHOD);
        stack.load_class(1, 10);
        (0..100).for_each(|_| stack.frame(&frame(11, 1, 1), 8));
        assert_eq!(stack.frames.len(), FRAMES_MAX);
        let long = BTreeMap::from([(10, "x".repeat(9000)), (11, "y".repeat(9000))]);
        assert!(stack.frames[0].named(&long).len() < 500);
    }
}
