//! Which texts are keys: names that mean the same in S3, in a file system and in a URL path.

use crate::Error;

/// S3's limit.
pub const KEY_BYTES_MAX: usize = 1024;

/// Most file systems' limit for one name, less the room a temporary name needs.
const NAME_BYTES_MAX: usize = 200;

/// Accepts `/`-separated, non-empty names that do not begin with a dot and hold no control
/// character or backslash.
///
/// A leading dot covers `.`, `..` and our own bookkeeping folder at once: no key can leave a folder
/// or touch it.
pub fn check(key: &str) -> Result<(), Error> {
    let bad = |reason: &str| Err(Error::invalid(key, format!("a key {reason}")));
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return bad(&format!("has 1 to {KEY_BYTES_MAX} bytes"));
    }
    for name in key.split('/') {
        if name.is_empty() {
            return bad("has no empty names: no leading, trailing or double slash");
        }
        if name.starts_with('.') {
            return bad("has no name that begins with a dot");
        }
        if name.len() > NAME_BYTES_MAX {
            return bad(&format!("has names of at most {NAME_BYTES_MAX} bytes"));
        }
        if name.chars().any(|c| c.is_control() || c == '\\') {
            return bad("has no control characters and no backslash");
        }
    }
    Ok(())
}

/// Accepts the beginning of a key: a key, optionally followed by a slash, or nothing.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let body = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        Ok(())
    } else {
        check(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_recordings_and_vod_are_called() {
        for key in [
            "a",
            "recordings/stage left/17+5.mp4",
            "vod/é/1080p/0.m4s",
            &"x".repeat(200),
        ] {
            check(key).unwrap();
        }
    }

    #[test]
    fn refuses_what_could_leave_a_folder_or_means_two_things() {
        let long = "x/".repeat(600);
        for key in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.b", "a\\b", "a\0", "a\nb",
            &long,
        ] {
            let error = check(key).unwrap_err();
            assert!(!error.is_retryable());
            assert_eq!(error.fault(), crate::Fault::Caller);
        }
        check(&"x".repeat(201)).unwrap_err();
        check_prefix("a/").unwrap();
        check_prefix("").unwrap();
        check_prefix("../").unwrap_err();
    }
}
