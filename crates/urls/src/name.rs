//! Names and numbers as they stand in paths.

/// Characters of a stream, rendition or run name at most.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether `name` may name a stream, a rendition or a run: `[A-Za-z0-9_-]{1,64}`. Such a name is
/// also safe as a file name.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// A decimal number in its only spelling: no sign, no leading zero.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

/// Whether `piece` is a path piece without escapes and without a special meaning.
pub(crate) fn is_plain(piece: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    !piece.is_empty() && !piece.starts_with('.') && piece.bytes().all(plain)
}
