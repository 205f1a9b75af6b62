//! Finds where a record begins in the middle of a segment. HPROF has no mark for that. But a row of records of known
//! classes, all of the right size, is no accident. The result is a guess that only tells where to read.

use super::ids::IdMap;
use super::layouts::Layouts;
use super::records::{be32, identifier, instance_head, object_array_head, primitive_array_head, sub, value_width};

/// HotSpot gives all objects the same stack trace (JDK: `heapDumper.cpp`, `STACK_TRACE_ID`).
const TRACE: u32 = 1;

/// Records that have to follow each other, and how many of them have to be of a known class. Each of the latter matches
/// an identifier of 8 bytes.
const RECORDS: usize = 32;
const OF_CLASSES: usize = 8;

/// Recognizes records by the classes and lengths that the dump has described.
#[derive(Debug)]
pub struct RecordStarts {
    id: usize,
    /// Bytes of an instance, by class.
    lengths: IdMap<u64>,
}

impl RecordStarts {
    /// Creates a finder for identifiers of `id` bytes.
    pub fn new(id: usize, layouts: &Layouts) -> Self {
        Self { id, lengths: layouts.lengths() }
    }

    /// Returns where the first record in `bytes` begins, as far as these bytes alone show it.
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|at| self.is_start(&bytes[*at..]))
    }

    fn is_start(&self, mut bytes: &[u8]) -> bool {
        let mut of_classes = 0;
        for _ in 0..RECORDS {
            let Some(record) = self.record(bytes) else { return false };
            of_classes += usize::from(record.has_class);
            bytes = usize::try_from(record.size).ok().and_then(|size| bytes.get(size..)).unwrap_or_default();
        }
        of_classes >= OF_CLASSES
    }

    fn record(&self, b: &[u8]) -> Option<Record> {
        let id = self.id;
        let count_of = |head: usize| (b.len() >= head && be32(b, 1 + id) == TRACE).then(|| u64::from(be32(b, 5 + id)));
        match *b.first()? {
            sub::INSTANCE_DUMP => {
                let head = instance_head(id);
                count_of(head)?;
                let bytes = u64::from(be32(b, head - 4));
                let known = self.lengths.get(&identifier(b, 5 + id, id)) == Some(&bytes);
                known.then_some(Record { size: head as u64 + bytes, has_class: true })
            }
            sub::OBJ_ARRAY_DUMP => {
                let head = object_array_head(id);
                let count = count_of(head)?;
                let known = self.lengths.contains_key(&identifier(b, head - id, id));
                known.then_some(Record { size: head as u64 + count * id as u64, has_class: true })
            }
            sub::PRIM_ARRAY_DUMP => {
                let head = primitive_array_head(id);
                let count = count_of(head)?;
                let width = value_width(b[head - 1], id).filter(|_| b[head - 1] >= 4)? as u64;
                Some(Record { size: head as u64 + count * width, has_class: false })
            }
            _ => None,
        }
    }
}

struct Record {
    size: u64,
    has_class: bool,
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Tally};
    use super::*;
    use crate::hprof::sample::Sample;
    use crate::hprof::types::{BYTE, OBJECT};
    use crate::hprof::walker::Walker;

    #[derive(Default)]
    struct Learner {
        layouts: Layouts,
        objects: Vec<u64>,
    }

    impl Tally for Learner {
        fn class(&mut self, class_id: u64, super_id: u64, loader_id: u64) {
            self.layouts.class(class_id, super_id, loader_id);
        }

        fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
            self.layouts.field(name_id, basic_type, bytes);
        }

        fn instance(&mut self, _class_id: u64, body: Body) {
            self.objects.push(body.at - instance_head(8) as u64);
        }

        fn primitive_array(&mut self, _basic_type: u8, body: Body) {
            self.objects.push(body.at - primitive_array_head(8) as u64);
        }
    }

    /// Builds a dump of instances and arrays in turn. In its middle is an array that looks like records of an unknown
    /// class.
    fn dump() -> Vec<u8> {
        let mut sample = Sample::new().symbol(1, "a").class(0x10, 1, 0, &[(1, OBJECT), (1, 10)]);
        let planted = Sample::new().instance(7, 0xBAD, &[0; 12]).records().repeat(100);
        for number in 0..200u64 {
            sample = sample.instance(0x1000 + number, 0x10, &[0x21; 12]).array(0x9000 + number, BYTE, 1, b"text");
            if number == 100 {
                sample = sample.array(0x8000, BYTE, 1, &planted);
            }
        }
        sample.build()
    }

    #[test]
    fn next_record_is_found_from_any_offset() {
        let (dump, mut learner) = (dump(), Learner::default());
        Walker::new().push_to(&dump, &mut learner).unwrap();
        let starts = RecordStarts::new(8, &learner.layouts);
        // Too few records follow the last ones to recognize them.
        let told = learner.objects.len() - RECORDS;
        let first = learner.objects[0] as usize;
        for at in first..learner.objects[told] as usize {
            let next = learner.objects.iter().find(|start| **start >= at as u64).map(|start| *start as usize);
            assert_eq!(starts.find(&dump[at..]).map(|found| at + found), next, "from {at}");
        }
        assert_eq!(starts.find(&dump[learner.objects[told + 1] as usize..]), None);
        assert_eq!(starts.find(&[0x21; 4096]), None);
        assert_eq!(starts.find(&[]), None);
    }
}
