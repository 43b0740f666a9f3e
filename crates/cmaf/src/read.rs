//! Our own init segments, chunks and recordings back to tracks and access units.
//!
//! Bounded and total: every length is checked before it is used, every count has a limit, and
//! damage is an error that names the box. It reads what this crate writes; a foreign file is
//! refused, not guessed at.

use bytes::Bytes;
use media::{
    AccessUnit, AudioTrack, Immersive, MediaKind, Projection, RandomAccess, Timescale, Track,
    VideoTrack, aac, avc,
};
use mp4_atom::{Mdhd, Tfdt, Tfhd, Tkhd, Trun};

use crate::{
    Error,
    boxes::{Child, children},
    chunk::sample_count_max,
    immersive,
    init::TRACKS_MAX,
};

/// Bytes of a VisualSampleEntry before its child boxes.
const VISUAL_ENTRY_BYTES: usize = 78;
/// Bytes of an AudioSampleEntry before its child boxes.
const AUDIO_ENTRY_BYTES: usize = 28;
/// `sample_is_non_sync_sample`.
const NON_SYNC_BIT: u32 = 0x0001_0000;

/// One track of an init segment.
#[derive(Clone, Debug, PartialEq)]
pub struct InitTrack {
    /// The id its fragments carry.
    pub id: u32,
    /// The track.
    pub track: Track,
}

/// A parsed init segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Init {
    /// Tracks in file order.
    pub tracks: Vec<InitTrack>,
    /// What the first video track says of its projection; flat mono where it says nothing.
    pub immersive: Immersive,
}

impl Init {
    /// The track with `id`.
    pub fn track(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|t| t.id == id).map(|t| &t.track)
    }
}

/// An access unit and the track it was found in.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The id of its track.
    pub track_id: u32,
    /// The unit.
    pub unit: AccessUnit,
}

/// Parses an init segment, or the head of a recording: everything up to and including `moov`.
pub fn read_init(bytes: &[u8]) -> Result<Init, Error> {
    let moov = children(bytes).require("file", "moov")?;
    let mut init = Init {
        tracks: Vec::new(),
        immersive: Immersive {
            projection: Projection::Rectilinear,
            ..Immersive::default()
        },
    };
    let mut has_video = false;
    for trak in children(moov.body).filter(|child| child.kind == *b"trak") {
        if init.tracks.len() == TRACKS_MAX {
            return Err(Error::TooMany {
                what: "tracks",
                count: TRACKS_MAX + 1,
                limit: TRACKS_MAX,
            });
        }
        let (track, immersive) = read_trak(trak.body)?;
        if let (Some(immersive), false) = (immersive, has_video) {
            init.immersive = immersive;
            has_video = true;
        }
        init.tracks.push(track);
    }
    if init.tracks.is_empty() {
        return Err(Error::Missing {
            parent: "moov",
            missing: "trak",
        });
    }
    Ok(init)
}

fn read_trak(body: &[u8]) -> Result<(InitTrack, Option<Immersive>), Error> {
    let id = children(body)
        .require("trak", "tkhd")?
        .decode::<Tkhd>()?
        .track_id;
    let mdia = children(body).require("trak", "mdia")?.body;
    let mdhd = children(mdia).require("mdia", "mdhd")?;
    let rate = mdhd.decode::<Mdhd>()?.timescale;
    let timescale =
        Timescale::new(rate).ok_or_else(|| Error::damaged(&mdhd.kind, "timescale is 0"))?;
    let minf = children(mdia).require("mdia", "minf")?.body;
    let stbl = children(minf).require("minf", "stbl")?.body;
    let stsd = children(stbl).require("stbl", "stsd")?;
    let entries = stsd
        .body
        .get(8..)
        .ok_or_else(|| Error::damaged(&stsd.kind, "truncated"))?;
    let entry = children(entries)
        .next()
        .ok_or_else(|| Error::damaged(&stsd.kind, "no sample entry"))?;
    let (track, immersive) = match &entry.kind {
        b"avc1" => {
            let boxes = entry_children(&entry, VISUAL_ENTRY_BYTES)?;
            let record = children(boxes).require("avc1", "avcC")?.body;
            let config = avc::Config::parse(Bytes::copy_from_slice(record))?.into();
            let track = Track::Video(VideoTrack { timescale, config });
            (track, Some(immersive::read(children(boxes))?))
        }
        b"mp4a" => {
            let boxes = entry_children(&entry, AUDIO_ENTRY_BYTES)?;
            let esds = children(boxes).require("mp4a", "esds")?;
            let config = aac::Config::parse(specific_config(&esds)?)?.into();
            (Track::Audio(AudioTrack { timescale, config }), None)
        }
        _ => {
            return Err(Error::Foreign {
                what: "a sample entry other than avc1 and mp4a",
            });
        }
    };
    Ok((InitTrack { id, track }, immersive))
}

fn entry_children<'a>(entry: &Child<'a>, fixed: usize) -> Result<&'a [u8], Error> {
    let truncated = || Error::damaged(&entry.kind, "truncated");
    entry.body.get(fixed..).ok_or_else(truncated)
}

/// The AudioSpecificConfig in an `esds` box.
fn specific_config(esds: &Child<'_>) -> Result<Bytes, Error> {
    let damaged = || Error::damaged(&esds.kind, "no AudioSpecificConfig where we write it");
    let es = esds.body.get(4..).and_then(|body| descriptor(0x03, body));
    let decoder = es
        .and_then(|es| es.get(3..))
        .and_then(|body| descriptor(0x04, body));
    let config = decoder
        .and_then(|decoder| decoder.get(13..))
        .and_then(|body| descriptor(0x05, body));
    config.map(Bytes::copy_from_slice).ok_or_else(damaged)
}

/// The body of the descriptor with `tag` at the start of `bytes` (length in up to four 7-bit
/// groups).
fn descriptor(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (&first, mut rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    let mut length = 0usize;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length = (length << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..length)
}

/// The access units of one chunk (`moof` + `mdat`), without copying their payloads.
pub fn read_chunk(init: &Init, bytes: &Bytes) -> Result<Vec<Sample>, Error> {
    let moof = children(bytes).require("chunk", "moof")?;
    let traf = children(moof.body).require("moof", "traf")?;
    let tfhd = children(traf.body)
        .require("traf", "tfhd")?
        .decode::<Tfhd>()?;
    let tfdt = children(traf.body)
        .require("traf", "tfdt")?
        .decode::<Tfdt>()?;
    let trun = children(traf.body).require("traf", "trun")?;
    let run = trun.decode::<Trun>()?;
    let track = init.track(tfhd.track_id).ok_or(Error::Foreign {
        what: "a fragment of a track that the init segment lacks",
    })?;
    if run.samples.len() > sample_count_max() {
        return Err(Error::TooMany {
            what: "samples in a chunk",
            count: run.samples.len(),
            limit: sample_count_max(),
        });
    }
    // Relative to the first byte of `moof` (default-base-is-moof), which need not be the first byte
    // given.
    let base = offset_in(bytes, moof.whole);
    let out_of_range = || Error::damaged(&trun.kind, "samples reach outside the chunk");
    let mut at = run
        .data_offset
        .and_then(|offset| base.checked_add_signed(offset as isize))
        .ok_or_else(out_of_range)?;
    let mut dts = i64::try_from(tfdt.base_media_decode_time)
        .map_err(|_| Error::damaged(b"tfdt", "decode time beyond 2^63"))?;
    let usual = tfhd.default_sample_flags.unwrap_or(match track.kind() {
        MediaKind::Video => NON_SYNC_BIT,
        MediaKind::Audio => 0,
    });
    let mut samples = Vec::with_capacity(run.samples.len());
    for entry in run.samples.iter() {
        let size = entry.size.or(tfhd.default_sample_size).unwrap_or(0) as usize;
        let duration = entry.duration.or(tfhd.default_sample_duration).unwrap_or(0);
        let flags = entry.flags.unwrap_or(usual);
        let end = at.checked_add(size).ok_or_else(out_of_range)?;
        if bytes.get(at..end).is_none() {
            return Err(out_of_range());
        }
        samples.push(Sample {
            track_id: tfhd.track_id,
            unit: AccessUnit {
                kind: track.kind(),
                dts,
                pts: dts.saturating_add(entry.cts.unwrap_or(0)),
                duration,
                random_access: RandomAccess::idr_if(flags & NON_SYNC_BIT == 0),
                payload: bytes.slice(at..end),
            },
        });
        at = end;
        dts = dts.saturating_add(i64::from(duration));
    }
    Ok(samples)
}

/// The access units of a segment: chunk after chunk, boxes of other kinds between them skipped.
pub fn read_segment(init: &Init, bytes: &Bytes) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    let mut moof_at = None;
    for child in children(bytes) {
        let start = offset_in(bytes, child.whole);
        match &child.kind {
            b"moof" => moof_at = Some(start),
            b"mdat" => {
                if let Some(moof_at) = moof_at.take() {
                    let chunk = bytes.slice(moof_at..start + child.whole.len());
                    samples.extend(read_chunk(init, &chunk)?);
                }
            }
            _ => {}
        }
    }
    Ok(samples)
}

/// Where `part` starts in `whole`; `part` is a piece of it.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}
