//! Builds dumps in memory for tests, with identifiers of 8 bytes.

use super::records::{sub, tag};

/// The stack trace of all objects.
const TRACE: [u8; 4] = [0, 0, 0, 1];

/// A dump that is being built.
#[derive(Debug, Clone)]
pub struct Sample {
    head: Vec<u8>,
    segments: Vec<u8>,
    heap: Vec<u8>,
    loader: u64,
}

impl Sample {
    pub fn new() -> Self {
        let mut head = b"JAVA PROFILE 1.0.2\0".to_vec();
        head.extend(8u32.to_be_bytes());
        head.extend(0u64.to_be_bytes());
        Self { head, segments: Vec::new(), heap: Vec::new(), loader: 0 }
    }

    pub fn symbol(mut self, id: u64, text: &str) -> Self {
        top(&mut self.head, tag::UTF8, &[&id.to_be_bytes()[..], text.as_bytes()].concat());
        self
    }

    /// Adds a class: its declaration, and its description with one static `int` and fields, as (name, basic type).
    pub fn class(mut self, class: u64, name: u64, parent: u64, fields: &[(u64, u8)]) -> Self {
        let [class_id, name, parent] = [class, name, parent].map(u64::to_be_bytes);
        top(&mut self.head, tag::LOAD_CLASS, &[&[0, 0, 0, 7], &class_id[..], &[0, 0, 0, 1], &name].concat());
        self.heap.push(sub::CLASS_DUMP);
        let loader = self.loader.to_be_bytes();
        self.heap.extend([&class_id[..], &[0; 4], &parent, &loader, &[0; 4 * 8 + 4], &[0, 0]].concat());
        self.heap.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 10, 0xDE, 0xAD, 0xBE, 0xEF]);
        self.heap.extend((fields.len() as u16).to_be_bytes());
        for (name, basic_type) in fields {
            self.heap.extend(name.to_be_bytes());
            self.heap.push(*basic_type);
        }
        self
    }

    /// Sets the loader of the classes that follow. The first classes have the boot loader.
    pub fn loaded_by(mut self, loader: u64) -> Self {
        self.loader = loader;
        self
    }

    pub fn instance(mut self, id: u64, class: u64, values: &[u8]) -> Self {
        self.heap.push(sub::INSTANCE_DUMP);
        self.heap.extend([&id.to_be_bytes()[..], &TRACE, &class.to_be_bytes()].concat());
        self.heap.extend((values.len() as u32).to_be_bytes());
        self.heap.extend(values);
        self
    }

    /// Adds an array of `bytes` as they stand in the dump. `width` bytes are one element.
    pub fn array(mut self, id: u64, basic_type: u8, width: usize, bytes: &[u8]) -> Self {
        self.heap.push(sub::PRIM_ARRAY_DUMP);
        self.heap.extend([&id.to_be_bytes()[..], &TRACE, &((bytes.len() / width) as u32).to_be_bytes()].concat());
        self.heap.push(basic_type);
        self.heap.extend(bytes);
        self
    }

    /// Adds an array of references.
    pub fn references(mut self, id: u64, class: u64, ids: &[u64]) -> Self {
        self.heap.push(sub::OBJ_ARRAY_DUMP);
        self.heap.extend([&id.to_be_bytes()[..], &TRACE, &(ids.len() as u32).to_be_bytes()].concat());
        self.heap.extend([class].iter().chain(ids).flat_map(|id| id.to_be_bytes()));
        self
    }

    pub fn thread_root(mut self, id: u64) -> Self {
        self.heap.push(sub::ROOT_THREAD_OBJ);
        self.heap.extend([&id.to_be_bytes()[..], &[0; 8]].concat());
        self
    }

    /// Ends the segment, and writes the stack of a thread behind it. A JVM may do so between two segments
    /// (openjdk/jdk#32733).
    pub fn stack(self, serial: u8) -> Self {
        let mut sample = self.next_segment();
        let (frame, serial) = ([[0; 7], [serial; 7]].concat(), [0, 0, 0, serial]);
        top(&mut sample.segments, tag::UTF8, &[&frame[..8], b"SECRET-like method"].concat());
        top(&mut sample.segments, tag::FRAME, &[&[0; 8][..], &frame[..8], &[0; 16], &[0; 8]].concat());
        top(&mut sample.segments, tag::TRACE, &[&serial[..], &[0, 0, 0, 9], &[0, 0, 0, 1], &[0; 8]].concat());
        sample
    }

    /// Ends the segment. The records that follow are in the next one.
    pub fn next_segment(mut self) -> Self {
        top(&mut self.segments, tag::HEAP_DUMP_SEGMENT, &std::mem::take(&mut self.heap));
        self
    }

    /// Returns the records of the open segment.
    pub fn records(self) -> Vec<u8> {
        self.heap
    }

    pub fn build(self) -> Vec<u8> {
        let mut dump = [self.head, self.segments].concat();
        top(&mut dump, tag::HEAP_DUMP_SEGMENT, &self.heap);
        top(&mut dump, tag::HEAP_DUMP_END, &[]);
        dump
    }
}

fn top(dump: &mut Vec<u8>, record: u8, body: &[u8]) {
    dump.push(record);
    dump.extend([0; 4]);
    dump.extend((body.len() as u32).to_be_bytes());
    dump.extend(body);
}
