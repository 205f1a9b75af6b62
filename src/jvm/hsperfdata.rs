//! hsperfdata: the JVM's counters in a file that is readable without an attach. No I/O (JDK: `perfMemory.hpp`,
//! `PerfDataPrologue` and `PerfDataEntry`; written in the byte order of the machine).

use std::collections::BTreeMap;

const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const PROLOGUE: usize = 32;
const ENTRY_HEADER: usize = 20;

/// Reasons why the bytes are not hsperfdata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PerfDataError {
    #[error("the magic number is missing")]
    Magic,
    #[error("version {0}, not 2")]
    Version(u8),
    #[error("cut at {0} bytes")]
    Short(usize),
}

/// The value of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Long(i64),
    Text(String),
}

/// The prologue and the counters of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerfData {
    /// True once the VM is up and its counters are complete.
    pub accessible: bool,
    counters: BTreeMap<String, Value>,
}

impl PerfData {
    /// Parses the bytes of the file. An entry that does not fit ends the list, because the JVM may be writing it.
    ///
    /// # Errors
    /// When the bytes are not hsperfdata of version 2. All JVMs from 5 on write version 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, PerfDataError> {
        let prologue = bytes.get(..PROLOGUE).ok_or(PerfDataError::Short(bytes.len()))?;
        if prologue[..4] != MAGIC {
            return Err(PerfDataError::Magic);
        }
        if prologue[5] != 2 {
            return Err(PerfDataError::Version(prologue[5]));
        }
        let order = Order { big: prologue[4] == 0 };
        let mut data = Self { accessible: prologue[7] == 1, counters: BTreeMap::new() };
        let mut at = order.size(prologue, 24).unwrap_or(usize::MAX);
        let entries = order.size(prologue, 28).unwrap_or(0);
        for _ in 0..entries {
            let Some(rest) = bytes.get(at..) else { break };
            let Some((length, counter)) = entry(rest, order) else { break };
            data.counters.extend(counter);
            at = at.saturating_add(length);
        }
        Ok(data)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.counters.get(name)? {
            Value::Text(text) => Some(text),
            Value::Long(_) => None,
        }
    }

    pub fn long(&self, name: &str) -> Option<i64> {
        match self.counters.get(name)? {
            Value::Long(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// Returns whether the JVM allows attaching: the first character of its capabilities (JDK: `MonitoredVmUtil`).
    pub fn is_attachable(&self) -> Option<bool> {
        Some(self.text("sun.rt.jvmCapabilities")?.starts_with('1'))
    }

    /// Returns the main class or jar. Without its arguments, because they may be secrets.
    pub fn main_class(&self) -> Option<&str> {
        self.text("sun.rt.javaCommand")?.split(' ').next().filter(|word| !word.is_empty())
    }

    pub fn vm_version(&self) -> Option<&str> {
        self.text("java.property.java.vm.version")
    }
}

#[derive(Debug, Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn size(self, bytes: &[u8], at: usize) -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.big { i32::from_be_bytes(four) } else { i32::from_le_bytes(four) };
        usize::try_from(number).ok()
    }

    fn long(self, bytes: &[u8], at: usize) -> Option<i64> {
        let eight: [u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.big { i64::from_be_bytes(eight) } else { i64::from_le_bytes(eight) })
    }
}

/// Parses one entry. Returns its length and, if its type is known, its counter.
fn entry(bytes: &[u8], order: Order) -> Option<(usize, Option<(String, Value)>)> {
    let length = order.size(bytes, 0).filter(|length| *length > ENTRY_HEADER)?;
    let bytes = bytes.get(..length)?;
    let (name_at, vector, data_at) = (order.size(bytes, 4)?, order.size(bytes, 8)?, order.size(bytes, 16)?);
    let name = until_nul(bytes.get(name_at..)?);
    let value = match (bytes[12], vector) {
        (b'J', 0) => order.long(bytes, data_at).map(Value::Long),
        (b'B', 1..) => bytes.get(data_at..data_at.checked_add(vector)?).map(|text| Value::Text(until_nul(text))),
        _ => None,
    };
    Some((length, value.map(|value| (name, value))))
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
impl PerfData {
    /// Returns the counters with these names and values.
    pub fn of(counters: &[(&str, Value)]) -> Self {
        let counters = counters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { accessible: true, counters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(entries: &[(&str, Value)]) -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), &[1, 2, 0, 1], &[0; 16]].concat();
        bytes.extend(32i32.to_le_bytes());
        bytes.extend((entries.len() as i32).to_le_bytes());
        for (name, value) in entries {
            let (vector, kind, data) = match value {
                Value::Long(n) => (0, b'J', n.to_le_bytes().to_vec()),
                Value::Text(t) => (t.len() + 1, b'B', [t.as_bytes(), &[0]].concat()),
            };
            let name = [name.as_bytes(), &[0]].concat();
            let (data_at, length) = (20 + name.len(), 20 + name.len() + data.len());
            for number in [length, 20, vector] {
                bytes.extend((number as i32).to_le_bytes());
            }
            bytes.extend([kind, 1, 5, 1]);
            bytes.extend((data_at as i32).to_le_bytes());
            bytes.extend(name);
            bytes.extend(data);
        }
        bytes
    }

    #[test]
    fn counters_are_read_and_the_command_loses_its_arguments() {
        let data = PerfData::parse(&file(&[
            ("sun.rt.javaCommand", Value::Text("com.shop.Main --password=x".into())),
            ("sun.rt.jvmCapabilities", Value::Text("1000".into())),
            ("sun.rt.createVmBeginTime", Value::Long(5)),
        ]))
        .unwrap();
        assert!(data.accessible);
        assert_eq!(data.main_class(), Some("com.shop.Main"));
        assert_eq!(data.is_attachable(), Some(true));
        assert_eq!(data.long("sun.rt.createVmBeginTime"), Some(5));
    }

    #[test]
    fn a_file_that_is_cut_gives_the_counters_before_the_cut() {
        let whole = file(&[("a", Value::Long(1)), ("b", Value::Long(2))]);
        let data = PerfData::parse(&whole[..whole.len() - 1]).unwrap();
        assert_eq!((data.long("a"), data.long("b")), (Some(1), None));
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(PerfData::parse(&[0; 64]), Err(PerfDataError::Magic));
        assert_eq!(PerfData::parse(b"x"), Err(PerfDataError::Short(1)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..400), at in 4usize..120) {
            let mut bytes = file(&[("sun.rt.javaCommand", Value::Text("x".into())), ("n", Value::Long(1))]);
            let end = (at + noise.len()).min(bytes.len());
            let at = at.min(end);
            bytes.splice(at..end, noise);
            let _ = PerfData::parse(&bytes);
        }
    }
}
