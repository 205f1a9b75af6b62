//! Finds the frame that a HotSpot JVM adds to the thread whose OutOfMemoryError made it write the dump: the constructor
//! of that error (JDK: `heapDumper.cpp`, `_oome_constructor`). No other cause of a dump adds it.

use super::records::{be32, identifier};

const CLASS: &[u8] = b"java/lang/OutOfMemoryError";
const METHOD: &[u8] = b"<init>";

/// The identifiers of the frame to find. Symbols come before classes, and classes before frames.
#[derive(Debug, Default)]
pub struct OutOfMemoryFrame {
    class_name: Option<u64>,
    method_name: Option<u64>,
    class_serial: Option<u32>,
    pub seen: bool,
}

impl OutOfMemoryFrame {
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
    }

    /// Takes the body of a FRAME record.
    pub fn frame(&mut self, b: &[u8], id: usize) {
        self.seen |= self.class_serial == Some(be32(b, 4 * id)) && self.method_name == Some(identifier(b, id, id));
    }
}
