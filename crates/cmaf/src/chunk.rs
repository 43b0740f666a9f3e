//! Access units to one CMAF chunk: `moof` and `mdat`, addressed relative to the `moof`.

use bytes::{BufMut, Bytes, BytesMut};
use media::{AccessUnit, MediaKind, Track};
use mp4_atom::{Mfhd, Tfdt, Tfhd, Trun, TrunEntry, TrunSamples};

use crate::{
    Error, FIRST_TRACK_ID,
    boxes::{HEADER_BYTES, container, leaf},
};

/// `sample_depends_on` = 2: depends on nothing.
pub(crate) const SYNC_FLAGS: u32 = 0x0200_0000;
/// `sample_depends_on` = 1 and `sample_is_non_sync_sample`.
pub(crate) const NON_SYNC_FLAGS: u32 = 0x0101_0000;

/// The most samples one chunk may hold: 10 s of 240 fps video or of short audio frames is below
/// 4,000.
pub const fn sample_count_max() -> usize {
    1 << 14
}

/// One chunk of a single-track file. See [`chunk_of`].
pub fn chunk(track: &Track, sequence: u32, units: &[AccessUnit]) -> Result<Bytes, Error> {
    chunk_of(FIRST_TRACK_ID, track, sequence, units)
}

/// `moof` + `mdat` with `units` of the track `track_id`; `sequence` is `mfhd`'s.
///
/// Decode times are exact: a unit lasts until the next one's decode time, the last one as long as
/// it says.
pub fn chunk_of(
    track_id: u32,
    track: &Track,
    sequence: u32,
    units: &[AccessUnit],
) -> Result<Bytes, Error> {
    let head = chunk_head_of(track_id, track, sequence, units)?;
    let payload: usize = units.iter().map(|unit| unit.payload.len()).sum();
    let mut out = BytesMut::with_capacity(head.len() + payload);
    out.put_slice(&head);
    for unit in units {
        out.put_slice(&unit.payload);
    }
    Ok(out.freeze())
}

/// All of [`chunk_of`] that comes before the units' payloads, for writers that do not want those
/// copied into one piece.
pub fn chunk_head_of(
    track_id: u32,
    track: &Track,
    sequence: u32,
    units: &[AccessUnit],
) -> Result<Bytes, Error> {
    let first = check(track, units)?;
    let base_media_decode_time = u64::try_from(first.dts).map_err(|_| Error::Range {
        what: "a decode time",
        value: first.dts,
    })?;
    let payload: usize = units.iter().map(|unit| unit.payload.len()).sum();
    let mdat_size = u32::try_from(payload + HEADER_BYTES).map_err(|_| Error::Range {
        what: "mdat",
        value: payload as i64,
    })?;

    let mut head = Vec::with_capacity(160 + 16 * units.len());
    let mut trun_at = 0;
    container(&mut head, b"moof", |out| {
        leaf(
            out,
            &Mfhd {
                sequence_number: sequence,
            },
        )?;
        container(out, b"traf", |out| {
            let (tfhd, trun) = describe(track_id, units)?;
            leaf(out, &tfhd)?;
            leaf(
                out,
                &Tfdt {
                    base_media_decode_time,
                },
            )?;
            trun_at = out.len();
            leaf(out, &trun)
        })
    })?;
    let offset = i32::try_from(head.len() + HEADER_BYTES).map_err(|_| Error::Range {
        what: "a data offset",
        value: head.len() as i64,
    })?;
    // Only now is the size of `moof` known: the field follows the box header, version and flags,
    // and sample count.
    let field = trun_at + HEADER_BYTES + 8;
    if let Some(field) = head.get_mut(field..field + 4) {
        field.copy_from_slice(&offset.to_be_bytes());
    }
    head.put_u32(mdat_size);
    head.put_slice(b"mdat");
    Ok(head.into())
}

/// The first of the units, if they can share a chunk of `track`.
fn check<'a>(track: &Track, units: &'a [AccessUnit]) -> Result<&'a AccessUnit, Error> {
    if units.len() > sample_count_max() {
        return Err(Error::TooMany {
            what: "samples in a chunk",
            count: units.len(),
            limit: sample_count_max(),
        });
    }
    if let Some(unit) = units.iter().find(|unit| unit.kind != track.kind()) {
        return Err(Error::MediaKind {
            unit: unit.kind,
            track: track.kind(),
        });
    }
    units.first().ok_or(Error::Empty("a chunk"))
}

/// `tfhd` and `trun` of a run; what all samples share is said once.
fn describe(track_id: u32, units: &[AccessUnit]) -> Result<(Tfhd, Trun), Error> {
    let kind = units.first().map_or(MediaKind::Audio, |unit| unit.kind);
    let usual = match kind {
        MediaKind::Video => NON_SYNC_FLAGS,
        MediaKind::Audio => SYNC_FLAGS,
    };
    let next = units.iter().skip(1).map(Some).chain([None]);
    let mut entries = units
        .iter()
        .zip(next)
        .map(|(unit, next)| entry(unit, next))
        .collect::<Result<Vec<_>, _>>()?;
    let duration = entries.first().and_then(|entry| entry.duration);
    if entries.iter().all(|entry| entry.duration == duration) {
        entries.iter_mut().for_each(|entry| entry.duration = None);
    }
    if entries.iter().all(|entry| entry.cts == Some(0)) {
        entries.iter_mut().for_each(|entry| entry.cts = None);
    }
    // All but the first usual: only `first_sample_flags` is written, and not even that where the
    // first is too.
    if entries.iter().skip(1).all(|e| e.flags == Some(usual)) {
        for (index, entry) in entries.iter_mut().enumerate() {
            if index > 0 || entry.flags == Some(usual) {
                entry.flags = None;
            }
        }
    }
    let tfhd = Tfhd {
        track_id,
        default_sample_duration: duration,
        default_sample_flags: Some(usual),
        default_base_is_moof: true,
        ..Tfhd::default()
    };
    let trun = Trun {
        data_offset: Some(0),
        samples: TrunSamples::Explicit(entries),
    };
    Ok((tfhd, trun))
}

fn entry(unit: &AccessUnit, next: Option<&AccessUnit>) -> Result<TrunEntry, Error> {
    let lasts = next.map_or(i64::from(unit.duration), |next| {
        next.dts.saturating_sub(unit.dts)
    });
    let duration = u32::try_from(lasts).ok().filter(|duration| *duration > 0);
    let duration = duration.ok_or(Error::Range {
        what: "a sample duration",
        value: lasts,
    })?;
    let offset = unit.pts.saturating_sub(unit.dts);
    // Version 1 of `trun` holds i32; anything larger is a broken clock, not a reordering delay.
    i32::try_from(offset).map_err(|_| Error::Range {
        what: "a composition offset",
        value: offset,
    })?;
    let size = u32::try_from(unit.payload.len()).map_err(|_| Error::Range {
        what: "a sample size",
        value: unit.payload.len() as i64,
    })?;
    Ok(TrunEntry {
        duration: Some(duration),
        size: Some(size),
        flags: Some(if unit.is_sync() {
            SYNC_FLAGS
        } else {
            NON_SYNC_FLAGS
        }),
        cts: Some(offset),
    })
}
