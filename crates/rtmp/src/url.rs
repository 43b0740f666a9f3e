//! `rtmp://host[:port]/app/stream[?key=secret]`: where to publish, and where keys hide on the way
//! in.
//!
//! The key is never part of `Debug`, `Display` or an error.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::Secret;

/// The port of RTMP.
pub const PORT: u16 = 1935;

/// The longest URL read. The query of a real one is a key of under 200 bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// The longest stream name.
pub const STREAM_CHARS_MAX: usize = 64;

/// The query parameter that carries the publish key.
const KEY_PARAMETER: &str = "key";

/// Why a URL is none to publish to. The URL itself is left out: it may hold a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Beyond [`URL_BYTES_MAX`].
    #[error("cannot use a publish URL of {0} bytes: the limit is {URL_BYTES_MAX}")]
    TooLong(usize),
    /// Not `rtmp:`.
    #[error("cannot use publish URL: it must start with rtmp://")]
    Scheme,
    /// No host, or a port that is no number.
    #[error("cannot use publish URL: host or port is missing or malformed")]
    Host,
    /// No application or no stream.
    #[error("cannot use publish URL: it must end with /app/stream")]
    Path,
}

/// Why a stream name is refused. The name itself is left out: a key may have slipped into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing.
    #[error("stream name is empty: publish to rtmp://host/live/<stream>")]
    Empty,
    /// Beyond [`STREAM_CHARS_MAX`].
    #[error("stream name has {0} bytes: the limit is {STREAM_CHARS_MAX}")]
    TooLong(usize),
    /// A character that has a meaning in paths or URLs, or is not ASCII.
    #[error("stream name has {0:?} in it: use letters, digits, - and _")]
    Character(char),
}

/// Checks a stream name: 1 to 64 of `A-Z a-z 0-9 _ -`, because it becomes part of URLs and file
/// names.
pub fn check_stream_name(name: &str) -> Result<(), NameError> {
    let is_good = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match name.chars().find(|c| !is_good(c)) {
        _ if name.is_empty() => Err(NameError::Empty),
        _ if name.len() > STREAM_CHARS_MAX => Err(NameError::TooLong(name.len())),
        Some(wrong) => Err(NameError::Character(wrong)),
        None => Ok(()),
    }
}

/// Where to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishUrl {
    host: String,
    port: u16,
    app: String,
    stream: String,
    key: Option<Secret>,
}

impl PublishUrl {
    /// From parts, as a test source has them. IPv6 hosts come without brackets.
    pub fn new(host: &str, port: u16, app: &str, stream: &str, key: Option<Secret>) -> Self {
        let (host, app, stream) = (host.to_owned(), app.to_owned(), stream.to_owned());
        Self {
            host,
            port,
            app,
            stream,
            key,
        }
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, 1935 where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The application: the path up to the last segment.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The last segment of the path.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The key, percent-decoded.
    pub fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// What `connect` calls tcUrl: everything but the stream and the key.
    pub fn tc_url(&self) -> String {
        format!("rtmp://{}:{}/{}", self.bracketed(), self.port, self.app)
    }

    /// The host as URLs have it.
    fn bracketed(&self) -> Cow<'_, str> {
        match self.host.contains(':') {
            true => format!("[{}]", self.host).into(),
            false => self.host.as_str().into(),
        }
    }

    /// The name that `publish` sends: the stream with the key as its query.
    pub(crate) fn publish_name(&self) -> String {
        match &self.key {
            Some(key) => format!("{}?{KEY_PARAMETER}={}", self.stream, encode(key.expose())),
            None => self.stream.clone(),
        }
    }
}

impl fmt::Display for PublishUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtmp://{}", self.bracketed())?;
        // Said only where it must be: what is printed is no longer than what was read.
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}/{}", self.app, self.stream)
    }
}

impl FromStr for PublishUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        if url.len() > URL_BYTES_MAX {
            return Err(Error::TooLong(url.len()));
        }
        let rest = url.strip_prefix("rtmp://").ok_or(Error::Scheme)?;
        let (rest, query) = split_query(rest);
        let (authority, path) = rest.split_once('/').ok_or(Error::Path)?;
        let (host, port) = host_and_port(authority).ok_or(Error::Host)?;
        let (app, stream) = path.trim_matches('/').rsplit_once('/').ok_or(Error::Path)?;
        if app.is_empty() || stream.is_empty() {
            return Err(Error::Path);
        }
        Ok(Self::new(
            host,
            port,
            app.trim_end_matches('/'),
            stream,
            query.and_then(key_in_query),
        ))
    }
}

fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port = match port? {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    let plain = !host.is_empty() && !host.contains(['[', ']']);
    plain.then_some((host, port))
}

/// What stands before and after the first `?`.
pub(crate) fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    }
}

/// The `key` parameter of a query, percent-decoded; `None` where there is none or it is empty.
pub(crate) fn key_in_query(query: &str) -> Option<Secret> {
    // A second `?` happens where an encoder appends a query of its own.
    let mut parameters = query
        .split(['&', '?'])
        .filter_map(|pair| pair.split_once('='));
    let (_, value) =
        parameters.find(|(name, value)| *name == KEY_PARAMETER && !value.is_empty())?;
    Some(Secret::new(decode(value)))
}

/// Percent-decodes; a `%` without two hex digits stays, bytes that are no UTF-8 are replaced. `+`
/// stays a plus.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = hex.and_then(|[high, low]| {
            let digit = |c: u8| char::from(c).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        });
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
