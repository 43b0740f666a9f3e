//! Reads stored files (MP4 and MOV, fragmented or not, FLV, MPEG-TS, Matroska, WebM): their tracks
//! and coded packets.
//!
//! The file is any `Read + Seek`, so an object store's ranges do as well as a disk. Times come in
//! [`VIDEO_TIMESCALE`] for video and in the sample rate for audio, as the container has them after
//! its edit lists; nothing is repaired. Packets can be had as access units where a player could
//! take them as they are (H.264 and AAC), or be given to [`VideoDecoder`] and [`AudioDecoder`].

use std::io::{Read, Seek};

use ffmpeg_next::{
    self as ffmpeg, Dictionary, Packet, ffi,
    format::{
        self,
        context::{Input, StreamIo},
    },
    media::Type as Medium,
};
use media::{AccessUnit, Immersive, Timescale, Track, VIDEO_TIMESCALE};

use crate::{AudioDecoder, AudioOutput, Error, Rotation, VideoDecoder, error::Attempt};

mod side_data;
mod streams;

pub use streams::{AudioStream, VideoStream};

/// Bytes read ahead at a time: one range request each where the file lies in an object store.
const READ_BYTES: usize = 256 << 10;

/// Bytes looked at to find out what a file is: parameter sets and the first audio come far earlier.
const PROBE_BYTES: usize = 8 << 20;

/// Packets without any use in a row before reading gives up.
const USELESS_PACKETS_MAX: usize = 100_000;

/// No decoder's reordering takes longer than this.
const EARLY_TICKS: i64 = 10 * VIDEO_TIMESCALE.rate() as i64;

/// Audio tracks taken at most: more languages than a menu shows.
pub const AUDIO_STREAMS_MAX: usize = 8;

/// Which of a file's tracks a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The video track.
    Video,
    /// An audio track, counted from 0.
    Audio(usize),
}

/// What a decoder can do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It needs packets before it.
    None,
    /// Decoding can begin here, and nothing after it needs anything before it.
    Clean,
    /// Decoding can begin here, but pictures shown before this one, or some after it, need what is
    /// before: open groups, recovery points.
    Recovery,
}

/// One coded packet.
pub struct CodedPacket {
    /// Its track.
    pub stream: Stream,
    /// Presentation time in the track's ticks.
    pub pts: i64,
    /// Decode time in the track's ticks, where the container says it.
    pub dts: Option<i64>,
    /// How long it lasts in the track's ticks; 0 where nobody says.
    pub duration: i64,
    /// Whether decoding can begin here.
    pub access: Access,
    /// An edit list leaves it out of the presentation: it is only decoded.
    pub is_discarded: bool,
    packet: Packet,
}

impl CodedPacket {
    pub(crate) fn packet(&self) -> &Packet {
        &self.packet
    }

    /// Coded bytes.
    pub fn size(&self) -> usize {
        self.packet.size()
    }
}

/// An open file.
pub struct FileDemuxer {
    input: Input,
    video: Option<VideoStream>,
    audio: Vec<AudioStream>,
    left_out: Vec<String>,
    damaged_packets: u64,
}

impl std::fmt::Debug for FileDemuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDemuxer")
            .field("video", &self.video)
            .field("audio", &self.audio)
            .finish_non_exhaustive()
    }
}

impl FileDemuxer {
    /// Opens a file and finds its first video track and its audio tracks.
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
            audio: Vec::new(),
            left_out: Vec::new(),
            input,
            damaged_packets: 0,
        };
        demuxer.find_streams()?;
        Ok(demuxer)
    }

    fn find_streams(&mut self) -> Result<(), Error> {
        let mut unusable = Vec::new();
        let Self {
            input,
            video,
            audio,
            left_out,
            ..
        } = self;
        for stream in input.streams() {
            let parameters = stream.parameters();
            let name = format!("{:?}", parameters.id());
            let still = stream
                .disposition()
                .contains(format::stream::Disposition::ATTACHED_PIC);
            match parameters.medium() {
                Medium::Video if still => {}
                Medium::Video if video.is_some() => {
                    left_out.push(format!("a further video track ({name}) is left out"));
                }
                Medium::Video => match VideoStream::of(&stream) {
                    Ok(found) => *video = Some(found),
                    Err(reason) => unusable.push(format!("{name} ({reason})")),
                },
                Medium::Audio if audio.len() >= AUDIO_STREAMS_MAX => {
                    left_out.push(format!(
                        "an audio track ({name}) beyond the {AUDIO_STREAMS_MAX} that are taken is \
                         left out"
                    ));
                }
                Medium::Audio => match AudioStream::of(&stream) {
                    Ok(found) => audio.push(found),
                    Err(reason) => unusable.push(format!("{name} ({reason})")),
                },
                Medium::Subtitle => left_out.push(format!("a subtitle track ({name}) is left out")),
                _ => {}
            }
        }
        if video.is_none() && audio.is_empty() {
            let found = match unusable.join(", ") {
                none if none.is_empty() => "nothing".to_owned(),
                some => some,
            };
            let reason = format!("it has no video and no audio that can be decoded, but {found}");
            return Err(Error::Recording(reason));
        }
        for track in unusable {
            left_out.push(format!("a track is left out: {track}"));
        }
        Ok(())
    }

    /// The video track.
    pub fn video(&self) -> Option<&VideoStream> {
        self.video.as_ref()
    }

    /// The audio tracks in file order.
    pub fn audio(&self) -> &[AudioStream] {
        &self.audio
    }

    /// What is in the file and not read, a sentence each.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What the pictures need to be upright.
    pub fn rotation(&self) -> Rotation {
        self.video
            .as_ref()
            .map_or(Rotation::NONE, |video| video.rotation)
    }

    /// How the pictures lie on the sphere, where the container says so.
    pub fn immersive(&self) -> Option<Immersive> {
        self.video.as_ref()?.immersive
    }

    /// The length that the file announces, in seconds, where it does.
    ///
    /// MPEG-TS announces none: FFmpeg looks at the end of the file for it.
    pub fn announced_seconds(&self) -> Option<f64> {
        let duration = self.input.duration();
        let announces = self.input.format().name() != "mpegts";
        (duration > 0 && announces).then(|| duration as f64 / f64::from(ffi::AV_TIME_BASE))
    }

    /// Packets left out so far because they were damaged.
    pub fn damaged_packets(&self) -> u64 {
        self.damaged_packets
    }

    /// Opens a decoder for the video track; pictures come out in `size`.
    pub fn video_decoder(&self, size: (u32, u32), threads: u8) -> Result<VideoDecoder, Error> {
        let none = || Error::Recording("it has no video".to_owned());
        let video = self.video.as_ref().ok_or_else(none)?;
        let stream = self.input.stream(video.index).ok_or_else(none)?;
        VideoDecoder::open(&stream, video, size, threads)
    }

    /// Opens a decoder for an audio track.
    pub fn audio_decoder(&self, track: usize, output: AudioOutput) -> Result<AudioDecoder, Error> {
        let none = || Error::Recording(format!("it has no audio track {track}"));
        let index = self.audio.get(track).ok_or_else(none)?.index;
        AudioDecoder::of_stream(&self.input.stream(index).ok_or_else(none)?, output)
    }

    /// Goes to `dts` of the video track (in [`VIDEO_TIMESCALE`]) or somewhat before it, or to the
    /// start where there is nothing before. Where exactly that is depends on the container.
    pub fn seek(&mut self, dts: i64) -> Result<(), Error> {
        let of = |index, time_base| (index, time_base);
        let video = self.video.as_ref().map(|s| of(s.index, s.time_base));
        let audio = self.audio.first().map(|s| of(s.index, s.time_base));
        let Some((index, time_base)) = video.or(audio) else {
            return Ok(());
        };
        let start = self
            .input
            .stream(index)
            .map_or(0, |stream| stream.start_time());
        let start = if start == ffi::AV_NOPTS_VALUE {
            0
        } else {
            start
        };
        // What is decoded first may be decoded well before anything is shown. But before the first
        // packet there is nothing to go to, and some demuxers say so with an error.
        let early = from_ticks(-EARLY_TICKS, VIDEO_TIMESCALE, time_base).saturating_add(start);
        let ticks = from_ticks(dts, VIDEO_TIMESCALE, time_base).max(early);
        let mut code = self.seek_stream(index, ticks);
        if code.is_err() && ticks < start {
            code = self.seek_stream(index, start);
        }
        code.attempt(|| format!("seek a recording to {dts}"))?;
        Ok(())
    }

    fn seek_stream(&mut self, index: usize, ticks: i64) -> Result<i32, ffmpeg::Error> {
        let index = i32::try_from(index).unwrap_or(-1);
        let backward = ffi::AVSEEK_FLAG_BACKWARD;
        // SAFETY: the context is open and used by nobody else; the index is one of its streams.
        let code = unsafe { ffi::av_seek_frame(self.input.as_mut_ptr(), index, ticks, backward) };
        crate::error::check(code)
    }

    /// The next packet of a track that is read, as stored: each track in decoding order. `None` at
    /// the end.
    pub fn next_packet(&mut self) -> Result<Option<CodedPacket>, Error> {
        for _ in 0..USELESS_PACKETS_MAX {
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(ffmpeg::Error::InvalidData) => {
                    self.damaged_packets += 1;
                    continue;
                }
                Err(error) => return Err(error).attempt(|| "read a recording".to_owned()),
            }
            if side_data::is_encrypted(&packet) {
                return Err(Error::Recording("it is encrypted".to_owned()));
            }
            let index = packet.stream();
            let video = self.video.as_ref().filter(|video| video.index == index);
            let audio = self.audio.iter().position(|audio| audio.index == index);
            let coded = match (video, audio) {
                (Some(video), _) => video.coded(packet),
                (None, Some(track)) => match self.audio.get(track) {
                    Some(stream) => stream.coded(packet, track),
                    None => None,
                },
                (None, None) => continue,
            };
            match coded {
                Some(coded) => return Ok(Some(coded)),
                None => self.damaged_packets += 1,
            }
        }
        Err(Error::Recording(format!(
            "{USELESS_PACKETS_MAX} packets in a row are of no use"
        )))
    }

    /// The packet as an access unit, where its track can be sent as it is and the packet is whole.
    pub fn access_unit(&self, packet: &CodedPacket) -> Option<AccessUnit> {
        match packet.stream {
            Stream::Video => self.video.as_ref()?.access_unit(packet),
            Stream::Audio(track) => self.audio.get(track)?.access_unit(packet),
        }
    }

    /// The next access unit of H.264 video or of the first AAC track. `None` at the end.
    pub fn read(&mut self) -> Result<Option<AccessUnit>, Error> {
        while let Some(packet) = self.next_packet()? {
            if matches!(packet.stream, Stream::Audio(track) if track > 0) {
                continue;
            }
            match self.access_unit(&packet) {
                Some(unit) => return Ok(Some(unit)),
                None => self.damaged_packets += 1,
            }
        }
        Ok(None)
    }

    /// The video track, where it can be sent as it is.
    pub fn video_track(&self) -> Option<&Track> {
        self.video.as_ref()?.track.as_ref()
    }
}

/// `value` of `timescale` in a stream's time base, rounded down.
fn from_ticks(value: i64, timescale: Timescale, time_base: (i64, i64)) -> i64 {
    let (num, den) = time_base;
    let ticks = i128::from(value) * i128::from(den);
    let per = i128::from(timescale.rate()) * i128::from(num.max(1));
    i64::try_from(ticks.div_euclid(per)).unwrap_or(i64::MIN / 2)
}

pub(crate) fn to_ticks(value: i64, timescale: Timescale, time_base: (i64, i64)) -> i64 {
    let (num, den) = time_base;
    let ticks = i128::from(value) * i128::from(num) * i128::from(timescale.rate());
    let den = i128::from(den.max(1));
    i64::try_from((ticks + den / 2).div_euclid(den)).unwrap_or(i64::MAX / 4)
}
