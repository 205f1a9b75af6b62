//! The values of primitive fields, and what arrays of bytes hold, by the crate jvm-hprof.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jvm_hprof::heap_dump::{FieldDescriptor, FieldValue, Instance, SubRecord};
use jvm_hprof::{Hprof, Id, IdSize, parse_hprof};

use super::hprof_check::read;

/// By object, and by `java/lang/String.coder`; static fields by their class. References are left out.
pub type Fields = BTreeMap<u64, BTreeMap<String, String>>;

/// The class of each object, and of all classes the superclass and the fields.
struct Classes {
    names: HashMap<Id, String>,
    symbols: HashMap<Id, String>,
    described: HashMap<Id, (Option<Id>, Vec<FieldDescriptor>)>,
}

/// Reads all primitive fields of a plain or gzipped dump.
#[track_caller]
pub fn fields(path: impl AsRef<Path>) -> Fields {
    let raw = read(path.as_ref()).expect("the dump can be read");
    let hprof = parse_hprof(&raw).unwrap_or_else(|_| panic!("no HPROF header"));
    let (classes, id_size) = (Classes::of(&hprof), hprof.header().id_size());
    let mut fields = Fields::new();
    each(&hprof, |object| match object {
        SubRecord::Instance(instance) => {
            fields.insert(instance.obj_id().id(), classes.values(&instance, id_size));
        }
        SubRecord::Class(class) => {
            let name = &classes.names[&class.obj_id()];
            let values = class.static_fields().map(|field| field.expect("a static field"));
            let values = values.filter_map(|field| Some((field.name_id(), number(field.value())?)));
            let named = values.map(|(id, value)| (format!("{name}.{}", classes.symbols[&id]), value));
            fields.insert(class.obj_id().id(), named.collect());
        }
        _ => {}
    });
    fields
}

/// For each String of UTF-16, the bytes of its text.
#[track_caller]
pub fn utf16_texts(path: impl AsRef<Path>) -> Vec<Vec<u8>> {
    let raw = read(path.as_ref()).expect("the dump can be read");
    let hprof = parse_hprof(&raw).unwrap_or_else(|_| panic!("no HPROF header"));
    let (classes, id_size) = (Classes::of(&hprof), hprof.header().id_size());
    let (mut values, mut arrays) = (Vec::new(), HashMap::new());
    each(&hprof, |object| match object {
        SubRecord::Instance(instance) if classes.names[&instance.class_obj_id()] == "java/lang/String" => {
            let is_utf16 =
                classes.values(&instance, id_size).get("java/lang/String.coder").is_some_and(|one| one == "1");
            values.extend(classes.references(&instance, id_size).into_iter().filter(|_| is_utf16));
        }
        SubRecord::PrimitiveArray(array) => {
            let bytes =
                array.bytes().map(|bytes| bytes.map(|byte| byte.expect("an element") as u8).collect::<Vec<_>>());
            bytes.map(|bytes| arrays.insert(array.obj_id().id(), bytes));
        }
        _ => {}
    });
    values.iter().map(|id| arrays[id].clone()).collect()
}

fn each<'a>(hprof: &Hprof<'a>, mut look: impl FnMut(SubRecord<'a>)) {
    for record in hprof.records_iter().map(|record| record.unwrap_or_else(|_| panic!("a record is cut"))) {
        if let Some(Ok(segment)) = record.as_heap_dump_segment() {
            segment.sub_records().for_each(|object| look(object.unwrap_or_else(|_| panic!("a sub-record is cut"))));
        }
    }
}

impl Classes {
    fn of(hprof: &Hprof<'_>) -> Self {
        let (mut symbols, mut name_ids) = (HashMap::new(), HashMap::new());
        for record in hprof.records_iter().map(|record| record.unwrap_or_else(|_| panic!("a record is cut"))) {
            if let Some(Ok(utf8)) = record.as_utf_8() {
                symbols.insert(utf8.name_id(), String::from_utf8_lossy(utf8.text()).into_owned());
            } else if let Some(Ok(class)) = record.as_load_class() {
                name_ids.insert(class.class_obj_id(), class.class_name_id());
            }
        }
        let names = name_ids.into_iter().map(|(class, name)| (class, symbols[&name].clone())).collect();
        let mut described = HashMap::new();
        each(hprof, |object| {
            if let SubRecord::Class(class) = object {
                let fields = class.instance_field_descriptors().map(|field| field.expect("a field")).collect();
                described.insert(class.obj_id(), (class.super_class_obj_id(), fields));
            }
        });
        Self { names, symbols, described }
    }

    fn each_value(&self, instance: &Instance<'_>, id_size: IdSize, mut take: impl FnMut(String, FieldValue)) {
        let (mut rest, mut next) = (*instance.fields(), Some(instance.class_obj_id()));
        while let Some(class) = next {
            let (parent, fields) = &self.described[&class];
            for field in fields {
                let (behind, value) =
                    field.field_type().parse_value(rest, id_size).unwrap_or_else(|_| panic!("a field is cut"));
                rest = behind;
                take(format!("{}.{}", self.names[&class], self.symbols[&field.name_id()]), value);
            }
            next = *parent;
        }
    }

    fn values(&self, instance: &Instance<'_>, id_size: IdSize) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        self.each_value(instance, id_size, |name, value| {
            number(value).map(|number| values.insert(name, number));
        });
        values
    }

    fn references(&self, instance: &Instance<'_>, id_size: IdSize) -> Vec<u64> {
        let mut references = Vec::new();
        self.each_value(instance, id_size, |_, value| {
            if let FieldValue::ObjectId(Some(id)) = value {
                references.push(id.id());
            }
        });
        references
    }
}

fn number(value: FieldValue) -> Option<String> {
    Some(match value {
        FieldValue::ObjectId(_) => return None,
        FieldValue::Boolean(value) => u8::from(value).to_string(),
        FieldValue::Char(value) => value.to_string(),
        FieldValue::Float(value) => value.to_string(),
        FieldValue::Double(value) => value.to_string(),
        FieldValue::Byte(value) => value.to_string(),
        FieldValue::Short(value) => value.to_string(),
        FieldValue::Int(value) => value.to_string(),
        FieldValue::Long(value) => value.to_string(),
    })
}
