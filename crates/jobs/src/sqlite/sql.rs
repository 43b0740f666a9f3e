//! The statements, each within the caller's transaction. Times are milliseconds since 1970.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::{DEAD_LETTERS_LISTED_MAX, DeadLetter, Delivery, Depth, Receipt};

/// A message is held while `visible_at` lies ahead; a receipt is its id and its receive count.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body TEXT NOT NULL,
        sent_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        receive_count INTEGER NOT NULL DEFAULT 0,
        note TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS message_by_visible_at ON message (visible_at);
    CREATE TABLE IF NOT EXISTS dead_letter (
        id INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        reason TEXT NOT NULL,
        sent_at INTEGER NOT NULL,
        dead_at INTEGER NOT NULL
    ) STRICT;
";

pub(super) fn prepare(connection: &Connection, busy: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLES)
}

pub(super) fn send(t: &Transaction<'_>, now: i64, bodies: &[String]) -> rusqlite::Result<()> {
    let mut insert =
        t.prepare_cached("INSERT INTO message (body, sent_at, visible_at) VALUES (?1, ?2, ?2)")?;
    for body in bodies {
        insert.execute(params![body, now])?;
    }
    Ok(())
}

pub(super) fn receive(
    t: &Transaction<'_>,
    now: i64,
    max: usize,
    hide: i64,
    max_receives: u32,
) -> rusqlite::Result<Vec<Delivery>> {
    bury_exhausted(t, now, max_receives)?;
    let mut select = t.prepare_cached(
        "SELECT id, body, receive_count + 1 FROM message WHERE visible_at <= ?1
         ORDER BY visible_at, id LIMIT ?2",
    )?;
    let found = select
        .query_map(params![now, max as i64], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, u32>(2)?,
            ))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut update = t.prepare_cached(
        "UPDATE message SET receive_count = receive_count + 1, visible_at = ?2 WHERE id = ?1",
    )?;
    let mut deliveries = Vec::with_capacity(found.len());
    for (id, body, receive_count) in found {
        update.execute(params![id, now.saturating_add(hide)])?;
        let receipt = Receipt(format!("{id}.{receive_count}"));
        deliveries.push(Delivery {
            id: id.to_string(),
            receipt,
            body,
            receive_count,
        });
    }
    Ok(deliveries)
}

/// Messages that are visible again after their last allowed delivery.
fn bury_exhausted(t: &Transaction<'_>, now: i64, max_receives: u32) -> rusqlite::Result<()> {
    let condition = "visible_at <= ?1 AND receive_count >= ?2";
    let copied = t
        .prepare_cached(&format!(
            "INSERT INTO dead_letter SELECT id, body,
             'received ' || receive_count || ' times without success; ' ||
             COALESCE('last: ' || note, 'each worker vanished'),
             sent_at, ?1 FROM message WHERE {condition}"
        ))?
        .execute(params![now, max_receives])?;
    if copied > 0 {
        t.prepare_cached(&format!("DELETE FROM message WHERE {condition}"))?
            .execute(params![now, max_receives])?;
    }
    Ok(())
}

/// Milliseconds until the next hidden message shows up.
pub(super) fn next_due(t: &Transaction<'_>, now: i64) -> rusqlite::Result<Option<i64>> {
    let next: Option<i64> = t
        .prepare_cached("SELECT min(visible_at) FROM message WHERE visible_at > ?1")?
        .query_row(params![now], |row| row.get(0))?;
    Ok(next.map(|at| at.saturating_sub(now)))
}

fn parse(receipt: &Receipt) -> Option<(i64, u32)> {
    let (id, count) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, count.parse().ok()?))
}

/// Whether the receipt names the message's newest delivery and its visibility has not run out.
fn is_held(t: &Transaction<'_>, now: i64, id: i64, count: u32) -> rusqlite::Result<bool> {
    let found = t
        .prepare_cached(
            "SELECT 1 FROM message WHERE id = ?1 AND receive_count = ?2 AND visible_at > ?3",
        )?
        .query_row(params![id, count, now], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

pub(super) fn hide(
    t: &Transaction<'_>,
    now: i64,
    receipt: &Receipt,
    hide: i64,
    note: Option<&str>,
) -> rusqlite::Result<bool> {
    let Some((id, count)) = parse(receipt) else {
        return Ok(false);
    };
    if !is_held(t, now, id, count)? {
        return Ok(false);
    }
    t.prepare_cached(
        "UPDATE message SET visible_at = ?2, note = COALESCE(?3, note) WHERE id = ?1",
    )?
    .execute(params![id, now.saturating_add(hide), note])?;
    Ok(true)
}

/// False only where another delivery of the message is the newest: that one's work is not ours to
/// delete.
pub(super) fn delete(t: &Transaction<'_>, receipt: &Receipt) -> rusqlite::Result<bool> {
    let Some((id, count)) = parse(receipt) else {
        return Ok(false);
    };
    let deleted = t
        .prepare_cached("DELETE FROM message WHERE id = ?1 AND receive_count = ?2")?
        .execute(params![id, count])?;
    if deleted > 0 {
        return Ok(true);
    }
    let there = t
        .prepare_cached("SELECT 1 FROM message WHERE id = ?1")?
        .query_row(params![id], |_| Ok(()))
        .optional()?;
    Ok(there.is_none())
}

pub(super) fn bury(
    t: &Transaction<'_>,
    now: i64,
    receipt: &Receipt,
    reason: &str,
) -> rusqlite::Result<bool> {
    let Some((id, count)) = parse(receipt) else {
        return Ok(false);
    };
    let copied = t
        .prepare_cached(
            "INSERT INTO dead_letter SELECT id, body, ?3, sent_at, ?4 FROM message
             WHERE id = ?1 AND receive_count = ?2",
        )?
        .execute(params![id, count, reason, now])?;
    if copied > 0 {
        t.prepare_cached("DELETE FROM message WHERE id = ?1")?
            .execute(params![id])?;
    }
    Ok(copied > 0)
}

pub(super) fn dead_letters(t: &Transaction<'_>) -> rusqlite::Result<Vec<DeadLetter>> {
    t.prepare_cached(
        "SELECT body, reason FROM dead_letter ORDER BY dead_at DESC, id DESC LIMIT ?1",
    )?
    .query_map(params![DEAD_LETTERS_LISTED_MAX as i64], |row| {
        Ok(DeadLetter {
            body: row.get(0)?,
            reason: row.get(1)?,
        })
    })?
    .collect()
}

pub(super) fn depth(t: &Transaction<'_>, now: i64) -> rusqlite::Result<Depth> {
    t.prepare_cached(
        "SELECT (SELECT count(*) FROM message WHERE visible_at <= ?1),
                (SELECT count(*) FROM message WHERE visible_at > ?1),
                (SELECT count(*) FROM dead_letter)",
    )?
    .query_row(params![now], |row| {
        let count = |index| {
            row.get::<_, i64>(index)
                .map(|n| u64::try_from(n).unwrap_or(0))
        };
        Ok(Depth {
            waiting: count(0)?,
            held: count(1)?,
            dead: count(2)?,
        })
    })
}
