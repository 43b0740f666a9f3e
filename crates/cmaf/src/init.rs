//! Tracks to an init segment: `ftyp` and a `moov` that promises fragments and knows no duration.

use bytes::Bytes;
use media::{AudioConfig, Immersive, MediaKind, Track, VideoConfig, aac, avc};
use mp4_atom::{
    Audio, Dinf, Dref, FourCC, Ftyp, Hdlr, Matrix, Mdhd, Mvhd, Smhd, Stco, Stsc, Stsz, Stts, Tkhd,
    Trex, Url, Visual, Vmhd,
};

use crate::{
    Error, FIRST_TRACK_ID,
    boxes::{container, leaf},
    chunk::{NON_SYNC_FLAGS, SYNC_FLAGS},
    immersive,
};

/// Most tracks in one file: a stream has one of each kind, the rest is room for renditions.
pub const TRACKS_MAX: usize = 16;

/// Ticks per second of `mvhd`; nothing is measured in it, since durations are 0.
const MOVIE_TIMESCALE: u32 = 1000;

/// The init segment of one track, whose id is [`FIRST_TRACK_ID`].
pub fn init_segment(track: &Track, immersive: &Immersive) -> Result<Bytes, Error> {
    init_segment_multi(std::slice::from_ref(track), immersive)
}

/// The head of a file of several tracks; ids count up from [`FIRST_TRACK_ID`] in the order given.
pub fn init_segment_multi(tracks: &[Track], immersive: &Immersive) -> Result<Bytes, Error> {
    if tracks.is_empty() {
        return Err(Error::Empty("an init segment"));
    }
    if tracks.len() > TRACKS_MAX {
        return Err(Error::TooMany {
            what: "tracks",
            count: tracks.len(),
            limit: TRACKS_MAX,
        });
    }
    let mut out = Vec::with_capacity(1024 * tracks.len());
    let brands: [&[u8; 4]; 4] = [b"iso6", b"cmfc", b"cmf2", b"mp41"];
    leaf(
        &mut out,
        &Ftyp {
            major_brand: FourCC::new(b"iso6"),
            minor_version: 0,
            compatible_brands: brands.map(FourCC::new).to_vec(),
        },
    )?;
    let ids = || (FIRST_TRACK_ID..).zip(tracks);
    container(&mut out, b"moov", |out| {
        leaf(out, &mvhd(FIRST_TRACK_ID + tracks.len() as u32))?;
        for (id, track) in ids() {
            container(out, b"trak", |out| trak(out, id, track, immersive))?;
        }
        container(out, b"mvex", |out| {
            ids().try_for_each(|(id, track)| leaf(out, &trex(id, track.kind())))
        })
    })?;
    Ok(Bytes::from(out))
}

fn mvhd(next_track_id: u32) -> Mvhd {
    Mvhd {
        creation_time: 0,
        modification_time: 0,
        timescale: MOVIE_TIMESCALE,
        duration: 0,
        rate: 1.into(),
        volume: 1.into(),
        matrix: Matrix::default(),
        next_track_id,
    }
}

fn trex(track_id: u32, kind: MediaKind) -> Trex {
    Trex {
        track_id,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: match kind {
            MediaKind::Video => NON_SYNC_FLAGS,
            MediaKind::Audio => SYNC_FLAGS,
        },
    }
}

fn trak(out: &mut Vec<u8>, id: u32, track: &Track, immersive: &Immersive) -> Result<(), Error> {
    leaf(out, &tkhd(id, track)?)?;
    container(out, b"mdia", |out| {
        leaf(
            out,
            &Mdhd {
                creation_time: 0,
                modification_time: 0,
                timescale: track.timescale().rate(),
                duration: 0,
                language: "und".into(),
            },
        )?;
        let (handler, name) = match track.kind() {
            MediaKind::Video => (b"vide", "video"),
            MediaKind::Audio => (b"soun", "audio"),
        };
        leaf(
            out,
            &Hdlr {
                handler: FourCC::new(handler),
                name: name.into(),
            },
        )?;
        container(out, b"minf", |out| {
            match track.kind() {
                MediaKind::Video => leaf(out, &Vmhd::default())?,
                MediaKind::Audio => leaf(out, &Smhd::default())?,
            }
            let dref = Dref {
                entries: vec![Url::default().into()],
            };
            leaf(out, &Dinf { dref })?;
            container(out, b"stbl", |out| stbl(out, track, immersive))
        })
    })
}

fn tkhd(track_id: u32, track: &Track) -> Result<Tkhd, Error> {
    let (width, height) = match track {
        Track::Video(track) => {
            let (width, height) = track.config.dimensions();
            (side(width)?, side(height)?)
        }
        Track::Audio(_) => (0, 0),
    };
    Ok(Tkhd {
        track_id,
        enabled: true,
        in_movie: true,
        volume: u8::from(track.kind() == MediaKind::Audio).into(),
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    })
}

fn stbl(out: &mut Vec<u8>, track: &Track, immersive: &Immersive) -> Result<(), Error> {
    container(out, b"stsd", |out| {
        out.extend_from_slice(&0u32.to_be_bytes()); // version and flags
        out.extend_from_slice(&1u32.to_be_bytes()); // entries
        match track {
            Track::Video(track) => match &track.config {
                VideoConfig::Avc(config) => {
                    container(out, b"avc1", |out| avc1(out, config, immersive))
                }
            },
            Track::Audio(track) => match &track.config {
                AudioConfig::Aac(config) => container(out, b"mp4a", |out| mp4a(out, config)),
            },
        }
    })?;
    leaf(out, &Stts::default())?;
    leaf(out, &Stsc::default())?;
    leaf(out, &Stsz::default())?;
    leaf(out, &Stco::default())
}

fn avc1(out: &mut Vec<u8>, config: &avc::Config, immersive: &Immersive) -> Result<(), Error> {
    leaf(
        out,
        &Visual {
            data_reference_index: 1,
            width: side(config.width())?,
            height: side(config.height())?,
            ..Visual::default()
        },
    )?;
    container(out, b"avcC", |out| {
        out.extend_from_slice(config.record());
        Ok(())
    })?;
    immersive::write(out, immersive)
}

fn mp4a(out: &mut Vec<u8>, config: &aac::Config) -> Result<(), Error> {
    leaf(
        out,
        &Audio {
            data_reference_index: 1,
            channel_count: u16::from(config.channels()),
            sample_size: 16,
            // 16.16 ends at 65,535 Hz; above it the field is 0 and the configuration alone speaks.
            sample_rate: u16::try_from(config.sample_rate()).unwrap_or(0).into(),
        },
    )?;
    container(out, b"esds", |out| {
        out.extend_from_slice(&0u32.to_be_bytes()); // version and flags
        out.extend_from_slice(&es_descriptor(config.bytes()));
        Ok(())
    })
}

/// ES_Descriptor around an AudioSpecificConfig (ISO/IEC 14496-1 §7.2.6.5). Every length stays below
/// 128, the most one length byte holds, because a configuration has at most
/// [`aac::CONFIG_BYTES_MAX`] bytes.
fn es_descriptor(config: &[u8]) -> Vec<u8> {
    const AAC: u8 = 0x40;
    const AUDIO_STREAM: u8 = 0x15;
    let specific = descriptor(0x05, &[config]);
    let decoder = descriptor(
        0x04,
        &[
            &[AAC, AUDIO_STREAM],
            // Buffer size, peak and average bitrate: unknown while live.
            &[0; 11],
            &specific,
        ],
    );
    // ES_ID 0 and no flags; SLConfigDescriptor predefined for MP4 files.
    descriptor(0x03, &[&[0, 0, 0], &decoder, &descriptor(0x06, &[&[2]])])
}

fn descriptor(tag: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut out = Vec::with_capacity(body.len() + 2);
    out.extend_from_slice(&[tag, body.len() as u8]);
    out.extend_from_slice(&body);
    out
}

fn side(pixels: u32) -> Result<u16, Error> {
    u16::try_from(pixels).map_err(|_| Error::Range {
        what: "a picture side",
        value: i64::from(pixels),
    })
}
