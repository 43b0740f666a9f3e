//! The name of a run inside media URLs: short, and never the same twice.
//!
//! Milliseconds since 1970 in base 36 order runs by time for whoever reads a log; two random
//! characters keep apart origins that start in the same millisecond, replaced machines included.

use std::time::SystemTime;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A new name.
pub fn generate(wall: SystemTime) -> String {
    let millis = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let salt = rand::random_range(0..36 * 36);
    base36(millis * 36 * 36 + salt)
}

fn base36(mut value: u128) -> String {
    let mut digits = Vec::new();
    while value > 0 || digits.is_empty() {
        digits.push(char::from(DIGITS[(value % 36) as usize]));
        value /= 36;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_are_short_and_ordered_by_time() {
        let at = |seconds| generate(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let (earlier, later) = (at(1_793_620_799), at(1_793_620_800));
        assert!(earlier < later && later.len() == 10, "{earlier} {later}");
        assert!(urls::is_name(&later));
    }
}
