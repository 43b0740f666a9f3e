//! Commands: a name, a transaction number, a command object and arguments in AMF0 (RTMP 1.0 §7.2).
//!
//! Arguments are looked up by place and may all be missing: encoders leave trailing ones out.

use flv::amf0::{self, Value};

use crate::{
    Error,
    message::{Message, kind},
};

/// Chunk stream of commands about the connection.
pub const COMMAND_CHUNK_STREAM: u8 = 3;

/// One command.
#[derive(Clone, PartialEq)]
pub struct Command {
    /// `connect`, `publish`, `_result`, …
    pub name: String,
    /// 0 where no answer is expected.
    pub transaction: f64,
    /// The command object and what follows it.
    pub arguments: Vec<Value>,
}

impl std::fmt::Debug for Command {
    /// Without the arguments: they may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Command({} #{})",
            self.name.escape_debug(),
            self.transaction
        )
    }
}

impl Command {
    /// Reads a command message of type 20 or 17; `None` where it does not start with a name.
    pub fn parse(message: &Message) -> Result<Option<Self>, Error> {
        let mut values = amf0::read_all(amf0_body(message))?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Ok(None);
        };
        let transaction = values
            .next()
            .and_then(|value| value.as_number())
            .unwrap_or(0.0);
        Ok(Some(Self {
            name,
            transaction,
            arguments: values.collect(),
        }))
    }

    /// A command of ours.
    pub fn new(name: &str, transaction: f64, arguments: impl Into<Vec<Value>>) -> Self {
        Self {
            name: name.to_owned(),
            transaction,
            arguments: arguments.into(),
        }
    }

    /// `onStatus` with a level, a code and words for people.
    pub fn on_status(level: &str, code: &str, description: &str) -> Self {
        Self::new(
            "onStatus",
            0.0,
            [Value::Null, status(level, code, description)],
        )
    }

    /// Argument `index`, 0 being the command object.
    pub fn argument(&self, index: usize) -> Option<&Value> {
        self.arguments.get(index)
    }

    /// Argument `index` as a string.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.argument(index)?.as_str()
    }

    /// The first object among the arguments that has a string of this name: `code` of a status,
    /// wherever it stands.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.arguments
            .iter()
            .find_map(|argument| argument.get(name)?.as_str())
    }

    /// The message of type 20 on a message stream.
    pub fn to_message(&self, stream_id: u32) -> Message {
        let head = [
            Value::from(self.name.as_str()),
            Value::Number(self.transaction),
        ];
        let payload = amf0::write_all(head.iter().chain(&self.arguments));
        Message {
            stream_id,
            ..Message::control(kind::COMMAND, payload)
        }
    }
}

/// The information object of `onStatus`, `_result` and `_error`.
pub fn status(level: &str, code: &str, description: &str) -> Value {
    object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}

/// An object from names and values.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The AMF0 part of a message: the AMF3 types (15, 17) put a format byte 0 before it.
pub fn amf0_body(message: &Message) -> &[u8] {
    match message.kind {
        kind::COMMAND_AMF3 | kind::DATA_AMF3 => message
            .payload
            .strip_prefix(&[0])
            .unwrap_or(&message.payload),
        _ => &message.payload,
    }
}
