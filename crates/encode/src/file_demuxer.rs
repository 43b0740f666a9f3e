//! A stored file (MP4, fragmented or not, FLV, MPEG-TS) -> tracks, keyframes and access units.
//!
//! The file is any `Read + Seek`, so an object store's ranges do as well as a disk. Video comes
//! with length-prefixed NAL units and [`VIDEO_TIMESCALE`], sound in its sample rate, whatever the
//! container had. Damaged packets are left out and counted. What this does not do: repair times; a
//! file's own decode times are taken as they are.

use std::io::{Read, Seek};

use bytes::Bytes;
use ffmpeg_next::{
    self as ffmpeg, Dictionary, Packet, codec, ffi,
    format::{
        self,
        context::{Input, StreamIo},
    },
};
use media::{AccessUnit, Immersive, MediaKind, Timescale, Track, VIDEO_TIMESCALE, aac, avc};

use crate::{Error, Rotation, error::Attempt, nal};

mod side_data;

/// Bytes read ahead at a time: one range request each where the file lies in an object store.
const READ_BYTES: usize = 256 << 10;

/// Bytes looked at to find out what a file is: parameter sets and the first sound come far earlier.
const PROBE_BYTES: usize = 8 << 20;

/// Keyframes listed at most: a day of half-second groups.
pub const KEYFRAMES_MAX: usize = 200_000;

/// Packets without any use in a row before reading gives up.
const USELESS_PACKETS_MAX: usize = 100_000;

/// Where decoding can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyframe {
    /// Decode time in [`VIDEO_TIMESCALE`].
    pub dts: i64,
    /// Presentation time in [`VIDEO_TIMESCALE`].
    pub pts: i64,
}

/// One track of a recording, with what its packets need to become access units.
struct Stream {
    index: usize,
    track: Track,
    time_base: (i64, i64),
    /// Start codes instead of lengths.
    is_annex_b: bool,
    frame_ticks: u32,
}

/// An open recording.
pub struct FileDemuxer {
    input: Input,
    video: Option<Stream>,
    audio: Option<Stream>,
    rotation: Rotation,
    immersive: Option<Immersive>,
    damaged_packets: u64,
}

impl std::fmt::Debug for FileDemuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDemuxer")
            .field("video", &self.video())
            .field("audio", &self.audio())
            .finish_non_exhaustive()
    }
}

impl FileDemuxer {
    /// Opens a file and finds its first H.264 and its first AAC track.
    pub fn open(file: impl Read + Seek + Send + 'static) -> Result<Self, Error> {
        crate::init();
        let io = StreamIo::from_read_seek_with_capacity(file, READ_BYTES);
        let io = io.attempt(|| "read a recording".to_owned())?;
        let mut options = Dictionary::new();
        options.set("probesize", &PROBE_BYTES.to_string());
        // Only what a recording may be: others of FFmpeg's formats can name further files to open.
        options.set(
            "format_whitelist",
            "mov,mp4,m4a,3gp,3g2,mj2,flv,mpegts,matroska,webm",
        );
        options.set("protocol_whitelist", "");
        let input = format::input_from_stream(io, None, Some(options));
        let input = input.attempt(|| "open a recording".to_owned())?;
        let mut demuxer = Self {
            video: None,
            audio: None,
            rotation: Rotation::NONE,
            immersive: None,
            input,
            damaged_packets: 0,
        };
        demuxer.find_tracks()?;
        Ok(demuxer)
    }

    fn find_tracks(&mut self) -> Result<(), Error> {
        let mut others = Vec::new();
        for stream in self.input.streams() {
            let id = stream.parameters().id();
            let found = match id {
                codec::Id::H264 if self.video.is_none() => {
                    self.rotation = side_data::rotation(&stream).map_err(Error::Recording)?;
                    self.immersive = side_data::immersive(&stream);
                    video_stream(&stream)
                }
                codec::Id::AAC if self.audio.is_none() => audio_stream(&stream),
                other => {
                    others.push(format!("{other:?}"));
                    continue;
                }
            };
            match (found, id) {
                (Ok(found), codec::Id::H264) => self.video = Some(found),
                (Ok(found), _) => self.audio = Some(found),
                (Err(reason), _) => others.push(format!("{id:?} ({reason})")),
            }
        }
        if self.video.is_none() && self.audio.is_none() {
            let found = match others.join(", ") {
                none if none.is_empty() => "nothing".to_owned(),
                some => some,
            };
            let reason = format!("it has neither H.264 nor AAC, but {found}");
            return Err(Error::Recording(reason));
        }
        Ok(())
    }

    /// The video track.
    pub fn video(&self) -> Option<&Track> {
        self.video.as_ref().map(|stream| &stream.track)
    }

    /// The audio track.
    pub fn audio(&self) -> Option<&Track> {
        self.audio.as_ref().map(|stream| &stream.track)
    }

    /// What the pictures need to be upright.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// How the pictures lie on the sphere, where the container says so.
    pub fn immersive(&self) -> Option<Immersive> {
        self.immersive
    }

    /// The container's duration in [`VIDEO_TIMESCALE`], where it says.
    pub fn duration(&self) -> Option<i64> {
        let ticks = Timescale::new(ffi::AV_TIME_BASE as u32)?;
        let duration = self.input.duration();
        (duration > 0).then(|| ticks.rescale(duration, VIDEO_TIMESCALE))
    }

    /// Packets left out so far because they were damaged.
    pub fn damaged_packets(&self) -> u64 {
        self.damaged_packets
    }

    /// Goes to the video keyframe at or before `dts` (in [`VIDEO_TIMESCALE`]), or to the start
    /// where there is none.
    pub fn seek(&mut self, dts: i64) -> Result<(), Error> {
        let stream = self.video.as_ref().or(self.audio.as_ref());
        let Some((index, time_base)) = stream.map(|s| (s.index, s.time_base)) else {
            return Ok(());
        };
        // Before the first packet there is nothing to go to, and some demuxers say so with an
        // error.
        let start = self
            .input
            .stream(index)
            .map_or(0, |stream| stream.start_time());
        let start = if start == ffi::AV_NOPTS_VALUE {
            0
        } else {
            start
        };
        let ticks = from_ticks(dts, VIDEO_TIMESCALE, time_base).max(start);
        let index = i32::try_from(index).unwrap_or(-1);
        let backward = ffi::AVSEEK_FLAG_BACKWARD;
        // SAFETY: the context is open and used by nobody else; the index is one of its streams.
        let code = unsafe { ffi::av_seek_frame(self.input.as_mut_ptr(), index, ticks, backward) };
        crate::error::check(code).attempt(|| format!("seek a recording to {dts}"))?;
        Ok(())
    }

    /// The next access unit of either track, as stored: each track in decoding order. `None` at the
    /// end.
    pub fn read(&mut self) -> Result<Option<AccessUnit>, Error> {
        let mut packet = Packet::empty();
        for _ in 0..USELESS_PACKETS_MAX {
            match packet.read(&mut self.input) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(ffmpeg::Error::InvalidData) => {
                    self.damaged_packets += 1;
                    continue;
                }
                Err(error) => return Err(error).attempt(|| "read a recording".to_owned()),
            }
            let of = |stream: &&Stream| stream.index == packet.stream();
            if side_data::is_encrypted(&packet) {
                return Err(Error::Recording("it is encrypted".to_owned()));
            }
            let Some(stream) = self.video.iter().chain(&self.audio).find(of) else {
                continue;
            };
            match access_unit(stream, &packet) {
                Some(unit) => return Ok(Some(unit)),
                None => self.damaged_packets += 1,
            }
        }
        Err(Error::Recording(format!(
            "{USELESS_PACKETS_MAX} packets in a row are of no use"
        )))
    }

    /// All video keyframes in order, and the end of the video: decode time and duration of its last
    /// access unit.
    ///
    /// Reads the whole file once, whatever index it has: an index may call pictures keyframes that
    /// others after them reach back over. The position is at the start afterwards.
    pub fn keyframes(&mut self) -> Result<(Vec<Keyframe>, i64), Error> {
        if self.video.is_none() {
            return Err(Error::Recording("it has no H.264 video".to_owned()));
        }
        self.seek(i64::MIN / 4)?;
        let mut keyframes = Vec::new();
        let mut end = 0;
        while let Some(unit) = self.read()? {
            if unit.kind != MediaKind::Video {
                continue;
            }
            end = unit.dts + i64::from(unit.duration);
            if unit.is_sync && keyframes.len() < KEYFRAMES_MAX {
                keyframes.push(Keyframe {
                    dts: unit.dts,
                    pts: unit.pts,
                });
            }
        }
        self.seek(i64::MIN / 4)?;
        Ok((keyframes, end))
    }
}

/// `value` of `timescale` in a stream's time base, rounded down.
fn from_ticks(value: i64, timescale: Timescale, time_base: (i64, i64)) -> i64 {
    let (num, den) = time_base;
    let ticks = i128::from(value) * i128::from(den);
    let per = i128::from(timescale.rate()) * i128::from(num.max(1));
    i64::try_from(ticks.div_euclid(per)).unwrap_or(i64::MIN / 2)
}

fn to_ticks(value: i64, timescale: Timescale, time_base: (i64, i64)) -> i64 {
    let (num, den) = time_base;
    let ticks = i128::from(value) * i128::from(num) * i128::from(timescale.rate());
    let den = i128::from(den.max(1));
    i64::try_from((ticks + den / 2).div_euclid(den)).unwrap_or(i64::MAX / 4)
}

fn extradata<'a>(stream: &'a ffmpeg::Stream<'_>) -> &'a [u8] {
    // SAFETY: a stream's parameters live as long as the file is open, which `stream` borrows;
    // `extradata` holds `extradata_size` bytes.
    unsafe {
        let parameters = (*stream.as_ptr()).codecpar;
        match (
            (*parameters).extradata,
            usize::try_from((*parameters).extradata_size),
        ) {
            (data, Ok(size)) if !data.is_null() => std::slice::from_raw_parts(data, size),
            _ => &[],
        }
    }
}

fn time_base(stream: &ffmpeg::Stream<'_>) -> (i64, i64) {
    let base = stream.time_base();
    (
        i64::from(base.numerator().max(1)),
        i64::from(base.denominator().max(1)),
    )
}

fn video_stream(stream: &ffmpeg::Stream<'_>) -> Result<Stream, String> {
    let header = extradata(stream);
    let record = nal::record(header)?;
    let config = avc::Config::parse(record).map_err(|e| e.to_string())?;
    let rate = stream.avg_frame_rate();
    let (pictures, seconds) = match (rate.numerator(), rate.denominator()) {
        (n, d) if n > 0 && d > 0 => (i64::from(n), i64::from(d)),
        _ => (30, 1),
    };
    let ticks = i64::from(VIDEO_TIMESCALE.rate()) * seconds / pictures;
    Ok(Stream {
        index: stream.index(),
        track: Track::video(config),
        time_base: time_base(stream),
        is_annex_b: header.first() != Some(&1),
        frame_ticks: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
    })
}

fn audio_stream(stream: &ffmpeg::Stream<'_>) -> Result<Stream, String> {
    let header = Bytes::copy_from_slice(extradata(stream));
    let config = aac::Config::parse(header).map_err(|e| e.to_string())?;
    Ok(Stream {
        index: stream.index(),
        frame_ticks: config.frame_samples(),
        track: Track::audio(config),
        time_base: time_base(stream),
        is_annex_b: false,
    })
}

fn access_unit(stream: &Stream, packet: &Packet) -> Option<AccessUnit> {
    let data = packet.data().filter(|data| !data.is_empty())?;
    let timescale = stream.track.timescale;
    let ticks = |value| to_ticks(value, timescale, stream.time_base);
    let dts = packet.dts().or(packet.pts())?;
    let pts = packet.pts().unwrap_or(dts);
    let (payload, is_sync) = match &stream.track.codec {
        media::Codec::Avc(_) if stream.is_annex_b => nal::sample(data),
        media::Codec::Avc(config) => {
            let is_idr = |nal: &[u8]| nal.first().is_some_and(|byte| byte & 0x1f == 5);
            let is_sync = packet.is_key() && config.nal_units(data).any(is_idr);
            (Bytes::copy_from_slice(data), is_sync)
        }
        media::Codec::Aac(_) => (Bytes::copy_from_slice(data), true),
    };
    // Both ends are rounded, not the length: so rounding never adds up.
    let duration = match packet.duration() {
        known if known > 0 => u32::try_from(ticks(dts + known) - ticks(dts)).unwrap_or(u32::MAX),
        _ => stream.frame_ticks,
    };
    Some(AccessUnit {
        kind: stream.track.kind(),
        dts: ticks(dts),
        pts: ticks(pts),
        duration: duration.max(1),
        is_sync,
        payload,
    })
}
