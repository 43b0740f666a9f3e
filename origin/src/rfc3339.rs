//! Wall time as text for people and JSON (RFC 3339, UTC, whole seconds).

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// `2026-11-02T12:00:00Z`.
pub fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
}
