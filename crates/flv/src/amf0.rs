//! AMF0 values, read with bounds and written in order.
//!
//! Own code rather than `rml_amf0`, for three reasons: that reader recurses without a limit, so a
//! 40 KB message ends the whole process by stack overflow; it knows no long strings, dates or the
//! avmplus marker, which real encoders send; and its writer keeps properties in a hash map, so
//! equal metadata would give different bytes on every run, and it has no ECMA arrays, which servers
//! expect of `onMetaData`. Tests hold both against each other.
//!
//! Spec: Action Message Format AMF 0 (Adobe, 2007). What this does not do: AMF3. A value behind the
//! avmplus marker is read as [`Value::Undefined`] and ends the message.

/// Objects and arrays inside each other. Metadata nests 3 deep in practice (per-track maps of
/// Enhanced RTMP).
pub const DEPTH_MAX: usize = 16;

/// Values in one message. Metadata holds about 30; a key index written by some encoders holds a few
/// hundred.
pub const VALUES_MAX: usize = 4096;

/// Why a message is not AMF0 that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ends inside a value.
    #[error("AMF0 ends inside a value at byte {0}")]
    Truncated(usize),
    /// Nested beyond [`DEPTH_MAX`].
    #[error("AMF0 nests deeper than {DEPTH_MAX} at byte {0}")]
    TooDeep(usize),
    /// More than [`VALUES_MAX`].
    #[error("AMF0 message has more than {VALUES_MAX} values")]
    TooMany,
    /// A marker that no encoder may send (movie clip, record set, unknown).
    #[error("AMF0 marker {marker:#04x} at byte {at} is not known")]
    Marker {
        /// The marker byte.
        marker: u8,
        /// Its place in the message.
        at: usize,
    },
}

/// One AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A double; AMF0 has no integers.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A string or long string; bytes that are not UTF-8 are replaced.
    String(String),
    /// An anonymous or typed object, in the order sent.
    Object(Vec<(String, Value)>),
    /// An array with names; the count it announces is not trusted.
    EcmaArray(Vec<(String, Value)>),
    /// An array without names.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    /// No object.
    Null,
    /// No value; also what stands for references, `unsupported` and AMF3.
    Undefined,
}

impl Value {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(string) => Some(string),
            _ => None,
        }
    }

    /// The named values of an object or ECMA array.
    pub fn properties(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(properties) | Value::EcmaArray(properties) => Some(properties),
            _ => None,
        }
    }

    /// The value of that name in an object or ECMA array; the first, where one name occurs twice.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties()?
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::Boolean(boolean)
    }
}

impl From<&str> for Value {
    fn from(string: &str) -> Self {
        Value::String(string.to_owned())
    }
}

mod marker {
    pub const NUMBER: u8 = 0;
    pub const BOOLEAN: u8 = 1;
    pub const STRING: u8 = 2;
    pub const OBJECT: u8 = 3;
    pub const NULL: u8 = 5;
    pub const UNDEFINED: u8 = 6;
    pub const REFERENCE: u8 = 7;
    pub const ECMA_ARRAY: u8 = 8;
    pub const OBJECT_END: u8 = 9;
    pub const STRICT_ARRAY: u8 = 10;
    pub const DATE: u8 = 11;
    pub const LONG_STRING: u8 = 12;
    pub const UNSUPPORTED: u8 = 13;
    pub const XML_DOCUMENT: u8 = 15;
    pub const TYPED_OBJECT: u8 = 16;
    pub const AVMPLUS: u8 = 17;
}

// === reading ===

/// Reads the values of one message, one after the other, within [`DEPTH_MAX`] and [`VALUES_MAX`].
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

/// Every value of a message.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while let Some(value) = reader.next()? {
        values.push(value);
    }
    Ok(values)
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            values: 0,
        }
    }

    /// The next value; `None` at the end of the message.
    #[expect(
        clippy::should_implement_trait,
        reason = "a Result of an Option reads better with `?`"
    )]
    pub fn next(&mut self) -> Result<Option<Value>, Error> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep(self.at));
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Error::TooMany);
        }
        let at = self.at;
        let [marker] = self.take()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.take()?)),
            marker::BOOLEAN => Value::Boolean(self.take::<1>()? != [0]),
            marker::STRING => Value::String(self.string()?),
            marker::OBJECT => Value::Object(self.pairs(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => {
                self.take::<2>()?;
                Value::Undefined
            }
            marker::ECMA_ARRAY => {
                self.take::<4>()?;
                Value::EcmaArray(self.pairs(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.items(depth)?),
            marker::DATE => {
                let millis = f64::from_be_bytes(self.take()?);
                self.take::<2>()?;
                Value::Date(millis)
            }
            marker::LONG_STRING | marker::XML_DOCUMENT => Value::String(self.long_string()?),
            marker::TYPED_OBJECT => {
                self.string()?;
                Value::Object(self.pairs(depth)?)
            }
            marker::AVMPLUS => {
                self.at = self.bytes.len();
                Value::Undefined
            }
            marker => return Err(Error::Marker { marker, at }),
        })
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let count = u32::from_be_bytes(self.take()?);
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut pairs = Vec::new();
        loop {
            // Some encoders leave the end marker of the last object out.
            if self.at >= self.bytes.len() && !pairs.is_empty() {
                return Ok(pairs);
            }
            let name = self.string()?;
            if name.is_empty() && self.bytes.get(self.at) == Some(&marker::OBJECT_END) {
                self.at += 1;
                return Ok(pairs);
            }
            pairs.push((name, self.value(depth + 1)?));
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.take()?);
        self.text(usize::from(length))
    }

    fn long_string(&mut self) -> Result<String, Error> {
        let length = u32::from_be_bytes(self.take()?);
        self.text(usize::try_from(length).map_err(|_| Error::Truncated(self.at))?)
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let text = rest.get(..length).ok_or(Error::Truncated(self.at))?;
        self.at += length;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk::<N>().ok_or(Error::Truncated(self.at))?;
        self.at += N;
        Ok(*taken)
    }
}

// === writing ===

/// Appends one value. Properties keep their order, so equal values give equal bytes.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend(number.to_be_bytes());
        }
        Value::Boolean(boolean) => out.extend([marker::BOOLEAN, u8::from(*boolean)]),
        Value::String(string) => write_string(out, string),
        Value::Object(properties) => {
            out.push(marker::OBJECT);
            write_pairs(out, properties);
        }
        Value::EcmaArray(properties) => {
            out.push(marker::ECMA_ARRAY);
            out.extend(count(properties.len()));
            write_pairs(out, properties);
        }
        Value::StrictArray(items) => {
            out.push(marker::STRICT_ARRAY);
            out.extend(count(items.len()));
            items.iter().for_each(|item| write(out, item));
        }
        Value::Date(millis) => {
            out.push(marker::DATE);
            out.extend(millis.to_be_bytes());
            out.extend([0, 0]);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
    }
}

/// The bytes of several values.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::new();
    values.into_iter().for_each(|value| write(&mut out, value));
    out
}

fn write_string(out: &mut Vec<u8>, string: &str) {
    match u16::try_from(string.len()) {
        Ok(length) => {
            out.push(marker::STRING);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(marker::LONG_STRING);
            out.extend(count(string.len()));
        }
    }
    out.extend(string.as_bytes());
}

/// Names beyond 65,535 bytes cannot be written and are left out; nothing of ours has one.
fn write_pairs(out: &mut Vec<u8>, pairs: &[(String, Value)]) {
    for (name, value) in pairs {
        if let Ok(length) = u16::try_from(name.len()) {
            out.extend(length.to_be_bytes());
            out.extend(name.as_bytes());
            write(out, value);
        }
    }
    out.extend([0, 0, marker::OBJECT_END]);
}

fn count(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
