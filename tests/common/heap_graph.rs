//! Every object of a dump, how large it is, and what it refers to, by the crate jvm-hprof.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jvm_hprof::heap_dump::{FieldType, FieldValue, Instance, SubRecord};
use jvm_hprof::{Hprof, Id, IdSize, parse_hprof};

use super::heap_shares::numbers;
use super::hprof_check::read;

/// Of one object: its class, or the type of its elements; the bytes of its values; its references in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub class: String,
    pub bytes: usize,
    pub references: Vec<u64>,
}

/// By identifier. A class has its static references.
pub type Graph = BTreeMap<u64, Node>;

/// Reads the whole graph of a plain or gzipped dump.
#[track_caller]
pub fn graph(path: impl AsRef<Path>) -> Graph {
    let raw = read(path.as_ref()).expect("the dump can be read");
    let hprof = parse_hprof(&raw).unwrap_or_else(|_| panic!("no HPROF header"));
    let classes = classes(&hprof);
    let mut graph = Graph::new();
    each(&hprof, |object| {
        if let Some((id, node)) = node(&object, hprof.header().id_size(), &classes) {
            assert!(graph.insert(id, node).is_none(), "object {id:x} is there twice");
        }
    });
    graph
}

/// Its superclass, and the types of its fields.
type Classes = HashMap<Id, (Option<Id>, Vec<FieldType>)>;

fn classes(hprof: &Hprof<'_>) -> Classes {
    let mut classes = Classes::new();
    each(hprof, |object| {
        if let SubRecord::Class(class) = object {
            let fields = class.instance_field_descriptors().map(|field| field.expect("a field").field_type());
            classes.insert(class.obj_id(), (class.super_class_obj_id(), fields.collect()));
        }
    });
    classes
}

fn each<'a>(hprof: &Hprof<'a>, mut look: impl FnMut(SubRecord<'a>)) {
    for record in hprof.records_iter().map(|record| record.unwrap_or_else(|_| panic!("a record is cut"))) {
        if let Some(Ok(segment)) = record.as_heap_dump_segment() {
            segment.sub_records().for_each(|object| look(object.unwrap_or_else(|_| panic!("a sub-record is cut"))));
        }
    }
}

fn node(object: &SubRecord<'_>, id_size: IdSize, classes: &Classes) -> Option<(u64, Node)> {
    let node = |class: String, bytes, references| Node { class, bytes, references };
    Some(match object {
        SubRecord::Instance(instance) => {
            let references = references(instance, id_size, classes);
            let class = instance.class_obj_id().to_string();
            (instance.obj_id().id(), node(class, instance.fields().len(), references))
        }
        SubRecord::ObjectArray(array) => {
            let elements = array.elements(id_size).map(|id| id.expect("an element").map_or(0, |id| id.id()));
            let elements: Vec<u64> = elements.collect();
            (array.obj_id().id(), node(array.array_class_obj_id().to_string(), elements.len(), elements))
        }
        SubRecord::PrimitiveArray(array) => {
            let class = array.primitive_type().java_type_name().to_owned();
            (array.obj_id().id(), node(class, numbers(array), Vec::new()))
        }
        SubRecord::Class(class) => {
            let values = class.static_fields().map(|field| field.expect("a static field").value());
            let references = values.filter_map(reference).collect();
            (class.obj_id().id(), node("class".into(), class.instance_size_bytes() as usize, references))
        }
        _ => return None,
    })
}

fn references(instance: &Instance<'_>, id_size: IdSize, classes: &Classes) -> Vec<u64> {
    let (mut rest, mut references, mut next) = (*instance.fields(), Vec::new(), Some(instance.class_obj_id()));
    while let Some((parent, fields)) = next.map(|class| &classes[&class]) {
        for field in fields {
            let (behind, value) = field.parse_value(rest, id_size).unwrap_or_else(|_| panic!("a field is cut"));
            rest = behind;
            references.extend(reference(value));
        }
        next = *parent;
    }
    assert!(rest.is_empty(), "an instance is longer than its fields");
    references
}

fn reference(value: FieldValue) -> Option<u64> {
    match value {
        FieldValue::ObjectId(id) => Some(id.map_or(0, |id| id.id())),
        _ => None,
    }
}
