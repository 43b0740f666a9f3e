//! Turns a parser's complaint into one an operator can act on: the dotted key, and the nearest
//! name.

use toml::de::{DeTable, DeValue};

/// The dotted path of the key or value that holds the byte at `offset`.
pub(super) fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name: &str = key.get_ref();
        if key.span().contains(&offset) {
            return Some(name.to_owned());
        }
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, offset),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
                let inside = item.get_ref().as_table().and_then(|t| key_at(t, offset));
                match inside {
                    Some(inside) => Some(format!("[{index}].{inside}")),
                    None => item.span().contains(&offset).then(|| format!("[{index}]")),
                }
            }),
            _ => None,
        };
        match inner {
            Some(inner) if inner.starts_with('[') => Some(format!("{name}{inner}")),
            Some(inner) => Some(format!("{name}.{inner}")),
            None => value.span().contains(&offset).then(|| name.to_owned()),
        }
    })
}

/// The byte where the value at a dotted key starts.
pub(super) fn offset_of(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (head, rest) = match key.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (key, None),
    };
    let (found, value) = table.iter().find(|(name, _)| {
        let name: &str = name.get_ref();
        name == head
    })?;
    match rest {
        None => Some(found.span().start),
        // A key that is not written has its default: point at the section instead.
        Some(rest) => value
            .get_ref()
            .as_table()
            .and_then(|inner| offset_of(inner, rest))
            .or(Some(found.span().start)),
    }
}

/// What to say: serde's words, with the key in front and the nearest known name behind.
pub(super) fn message(key: Option<&str>, reason: &str) -> String {
    let reason = reason.trim();
    if let Some((unknown, known)) = unknown_field(reason) {
        let path = key.unwrap_or(unknown);
        let hint = nearest_hint(unknown, &known);
        let list = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        return format!("key {path} is unknown{hint}; the keys here are {list}");
    }
    match key {
        Some(key) => format!("{key}: {reason}"),
        None => format!("cannot parse: {reason}"),
    }
}

/// Serde words it "unknown field `x`, expected `a`", "…, expected one of `a`, `b`" or the same with
/// "variant" (which stays as it is: the value is wrong, not the key).
fn unknown_field(reason: &str) -> Option<(&str, Vec<&str>)> {
    let rest = reason.strip_prefix("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    Some((unknown, rest.split('`').skip(1).step_by(2).collect()))
}

/// `, did you mean x?` when one of `known` is close enough to `name`.
pub(super) fn nearest_hint(name: &str, known: &[&str]) -> String {
    let limit = name.chars().count().div_ceil(3).min(4);
    known
        .iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || candidate.contains(name) || name.contains(**candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, candidate)| {
            format!(", did you mean {candidate}?")
        })
}

/// Edit distance (insert, delete, replace), one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
