//! The names of classes as Java source has them.

/// The basic type of a reference.
pub const OBJECT: u8 = 2;
pub const BOOLEAN: u8 = 4;
pub const CHAR: u8 = 5;
pub const FLOAT: u8 = 6;
pub const BYTE: u8 = 8;
pub const INT: u8 = 10;
pub const LONG: u8 = 11;

/// Basic types by their HPROF number (JDK: `heapDumper.cpp`, "HPROF binary format", BASIC TYPE) and their letter in a
/// descriptor (JVM specification, table 4.3-A).
const BASIC_TYPES: [(u8, u8, &str); 8] = [
    (BOOLEAN, b'Z', "boolean"),
    (CHAR, b'C', "char"),
    (FLOAT, b'F', "float"),
    (7, b'D', "double"),
    (BYTE, b'B', "byte"),
    (9, b'S', "short"),
    (INT, b'I', "int"),
    (LONG, b'J', "long"),
];

/// Most dimensions of an array (JVM specification, 4.4.1).
const DIMENSIONS_MAX: usize = 255;

/// Returns the basic type of an array such as `int[]`; `None` for any other name.
pub fn element_of(array: &str) -> Option<u8> {
    let element = array.strip_suffix("[]")?;
    BASIC_TYPES.iter().find(|(.., name)| *name == element).map(|(number, ..)| *number)
}

/// Returns the name of an array of a basic type, such as `byte[]`.
pub fn array_of(basic_type: u8) -> String {
    let named = BASIC_TYPES.iter().find(|(number, ..)| *number == basic_type);
    named.map_or_else(|| format!("type {basic_type}[]"), |(.., name)| format!("{name}[]"))
}

/// Converts an internal name: `java/lang/String` to `java.lang.String`, `[[I` to `int[][]`. Any other text stays as it
/// is. Control characters are replaced, because no terminal should see them.
pub fn java_name(internal: &str) -> String {
    let element = internal.trim_start_matches('[');
    let dimensions = internal.len() - element.len();
    let element = match dimensions {
        0 => Some(internal),
        1..=DIMENSIONS_MAX => element_name(element),
        _ => None,
    };
    let name = element.map_or_else(|| internal.to_owned(), |name| name.replace('/', ".") + &"[]".repeat(dimensions));
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Returns the name of the element behind the brackets, from `Ljava/lang/String;` or `I`.
fn element_name(descriptor: &str) -> Option<&str> {
    if let Some(class) = descriptor.strip_prefix('L') {
        return class.strip_suffix(';');
    }
    let basic = BASIC_TYPES.iter().find(|(_, letter, _)| descriptor.as_bytes() == [*letter]);
    basic.map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_java_source() {
        for (internal, name) in [
            ("java/lang/String", "java.lang.String"),
            ("Marker", "Marker"),
            ("I", "I"),
            ("[B", "byte[]"),
            ("[[J", "long[][]"),
            ("[Ljava/lang/Object;", "java.lang.Object[]"),
            ("[[Ljava/util/HashMap$Node;", "java.util.HashMap$Node[][]"),
            ("a/Lambda$14+0x00007f0001", "a.Lambda$14+0x00007f0001"),
            ("", ""),
            ("[", "["),
            ("[x", "[x"),
            ("[La/b", "[La/b"),
            ("a\x1b[31m", "a\u{fffd}[31m"),
        ] {
            assert_eq!(java_name(internal), name);
        }
        let deep = "[".repeat(256) + "I";
        assert_eq!(java_name(&deep), deep);
    }

    #[test]
    fn array_of_each_basic_type_has_its_name() {
        for (number, letter, name) in BASIC_TYPES {
            assert_eq!(array_of(number), format!("{name}[]"));
            assert_eq!(element_of(&array_of(number)), Some(number));
            assert_eq!(java_name(&format!("[{}", char::from(letter))), format!("{name}[]"));
        }
        assert_eq!(array_of(3), "type 3[]");
    }
}
