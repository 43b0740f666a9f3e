//! One track of a file: what it holds, and how its packets become access units.

use bytes::Bytes;
use ffmpeg_next::{self as ffmpeg, Packet, codec, codec::packet::side_data::Type, ffi};
use media::{
    AccessUnit, AudioConfig, Immersive, MediaKind, RandomAccess, Timescale, Track, VIDEO_TIMESCALE,
    VideoConfig, aac, avc,
};

use super::{Access, CodedPacket, Stream, side_data, to_ticks};
use crate::{Rotation, nal};

/// FFmpeg's flag of a packet that an edit list leaves out of the presentation.
const DISCARD: i32 = ffi::AV_PKT_FLAG_DISCARD;

/// Bytes of an ADTS header without a checksum.
const ADTS_HEADER_BYTES: usize = 7;

/// The picture rate of a track that declares none.
const FRAME_RATE_UNKNOWN: (u32, u32) = (30, 1);

/// A video track.
#[derive(Clone, Debug)]
pub struct VideoStream {
    pub(crate) index: usize,
    pub(crate) id: codec::Id,
    pub(crate) time_base: (i64, i64),
    pub(crate) sample_aspect: (i32, i32),
    pub(crate) rotation: Rotation,
    pub(crate) immersive: Option<Immersive>,
    pub(crate) track: Option<Track>,
    /// Start codes instead of lengths.
    is_annex_b: bool,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Coded pixels.
    pub size: (u32, u32),
    /// Pictures per second as the file declares them.
    pub frame_rate: (u32, u32),
    /// Its pictures consist of fields.
    pub is_interlaced: bool,
}

/// An audio track.
#[derive(Clone, Debug)]
pub struct AudioStream {
    pub(crate) index: usize,
    pub(super) time_base: (i64, i64),
    track: Option<Track>,
    is_adts: bool,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// ISO 639 as the container has it.
    pub language: Option<String>,
    /// The track's name.
    pub title: Option<String>,
    /// The track to play unless somebody chooses.
    pub is_default: bool,
}

impl VideoStream {
    pub(super) fn of(stream: &ffmpeg::Stream<'_>) -> Result<Self, String> {
        let parameters = stream.parameters();
        let id = parameters.id();
        codec::decoder::find(id).ok_or("this FFmpeg has no decoder for it")?;
        // SAFETY: plain fields of the parameters of an open file, which `stream` borrows.
        let (size, field_order) = unsafe {
            let parameters = parameters.as_ptr();
            let size = ((*parameters).width, (*parameters).height);
            (size, (*parameters).field_order as i32)
        };
        let size = (size.0.max(0).unsigned_abs(), size.1.max(0).unsigned_abs());
        if size.0 == 0 || size.1 == 0 {
            return Err("its picture size is unknown".to_owned());
        }
        let rate = |rate: ffmpeg::Rational| match (rate.numerator(), rate.denominator()) {
            (n, d) if n > 0 && d > 0 => Some((n.unsigned_abs(), d.unsigned_abs())),
            _ => None,
        };
        let header = extradata(stream);
        let is_avc = id == codec::Id::H264;
        let config = is_avc.then(|| {
            let record = nal::record(header).map_err(str::to_owned)?;
            avc::Config::parse(record).map_err(|e| e.to_string())
        });
        Ok(Self {
            index: stream.index(),
            id,
            time_base: time_base(stream),
            sample_aspect: sample_aspect(stream),
            rotation: side_data::rotation(stream)?,
            immersive: side_data::immersive(stream),
            track: config.and_then(Result::ok).map(Track::video),
            is_annex_b: header.first() != Some(&1),
            codec: format!("{id:?}"),
            size,
            frame_rate: rate(stream.avg_frame_rate())
                .or(rate(stream.rate()))
                .unwrap_or(FRAME_RATE_UNKNOWN),
            is_interlaced: field_order >= ffi::AVFieldOrder::AV_FIELD_TT as i32,
        })
    }

    /// Upright pixels of a picture of coded size `coded`, once its pixels are square.
    pub fn shown_size(&self, coded: (u32, u32)) -> (u32, u32) {
        let (num, den) = self.sample_aspect;
        let width = match (num, den) {
            (num, den) if num > 0 && den > 0 && num != den => {
                let wide = f64::from(coded.0) * f64::from(num) / f64::from(den);
                (wide / 2.0).round() as u32 * 2
            }
            _ => coded.0,
        };
        self.rotation.size((width.max(2), coded.1))
    }

    /// How long a picture lasts at the declared rate, in ticks; at least 1.
    pub fn frame_ticks(&self) -> i64 {
        let (pictures, seconds) = self.frame_rate;
        let second = i64::from(VIDEO_TIMESCALE.rate()) * i64::from(seconds);
        (second / i64::from(pictures.max(1))).max(1)
    }

    /// Its pixels are square and its pictures stored upright.
    pub fn is_plain(&self) -> bool {
        let (num, den) = self.sample_aspect;
        self.rotation.is_none() && (num <= 0 || den <= 0 || num == den)
    }

    /// The track, where players can take it as it is.
    pub fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    fn avc(&self) -> Option<&avc::Config> {
        let VideoConfig::Avc(config) = &self.track.as_ref()?.as_video()?.config;
        Some(config)
    }

    /// The coded size that begins with this packet, where its parameter sets are not the track's.
    pub fn new_size(&self, packet: &CodedPacket) -> Option<(u32, u32)> {
        let config = self.avc()?;
        let changed = packet
            .packet
            .side_data()
            .find(|d| d.kind() == Type::NewExtraData);
        if let Some(changed) = changed {
            let record = nal::record(changed.data()).ok()?;
            let other = avc::Config::parse(record).ok()?;
            return (other.sps() != config.sps()).then(|| (other.width(), other.height()));
        }
        let data = packet.packet.data()?;
        let (mut sps, mut pps) = (None, None);
        let mut look = |unit: &[u8]| match unit.first().map(|byte| byte & 0x1f) {
            Some(7) => sps = sps.take().or(Some(unit.to_vec())),
            Some(8) => pps = pps.take().or(Some(unit.to_vec())),
            _ => {}
        };
        if self.is_annex_b {
            nal::annex_b(data).for_each(&mut look);
        } else {
            config.nal_units(data).for_each(&mut look);
        }
        let (sps, pps) = (sps?, pps.unwrap_or_else(|| config.pps().to_vec()));
        if sps == config.sps() {
            return None;
        }
        let stream = [&[0, 0, 1][..], &sps, &[0, 0, 1], &pps].concat();
        let other = avc::Config::parse(nal::record(&stream).ok()?).ok()?;
        Some((other.width(), other.height()))
    }

    pub(super) fn coded(&self, packet: Packet) -> Option<CodedPacket> {
        let data = packet.data().filter(|data| !data.is_empty())?;
        let ticks = |value| to_ticks(value, VIDEO_TIMESCALE, self.time_base);
        let pts = packet.pts().or(packet.dts())?;
        let access = match self.id {
            _ if !packet.is_key() => Access::None,
            codec::Id::H264 if !self.has_idr(data) => Access::Recovery,
            codec::Id::HEVC => Access::Recovery,
            _ => Access::Clean,
        };
        Some(CodedPacket {
            stream: Stream::Video,
            pts: ticks(pts),
            dts: packet.dts().map(ticks),
            // Both ends are rounded, not the length: so rounding never adds up.
            duration: ticks(pts + packet.duration().max(0)) - ticks(pts),
            access,
            is_discarded: packet.flags().bits() & DISCARD != 0,
            packet,
        })
    }

    fn has_idr(&self, data: &[u8]) -> bool {
        let is_idr = |unit: &[u8]| unit.first().is_some_and(|byte| byte & 0x1f == 5);
        match self.avc() {
            Some(config) if !self.is_annex_b => config.nal_units(data).any(is_idr),
            _ => nal::annex_b(data).any(is_idr),
        }
    }

    /// `None` where the picture's NAL units do not fill it: the last one of a file cut short.
    pub(super) fn access_unit(&self, packet: &CodedPacket) -> Option<AccessUnit> {
        let config = self.avc()?;
        let data = packet.packet.data()?;
        let (payload, is_idr) = if self.is_annex_b {
            nal::sample(data)
        } else {
            (Bytes::copy_from_slice(data), packet.access == Access::Clean)
        };
        let mut units = config.nal_units(&payload);
        if units.by_ref().count() == 0 || !units.rest().is_empty() {
            return None;
        }
        let lasts = match packet.duration {
            known if known > 0 => known,
            _ => self.frame_ticks(),
        };
        Some(AccessUnit {
            kind: MediaKind::Video,
            dts: packet.dts.unwrap_or(packet.pts),
            pts: packet.pts,
            duration: u32::try_from(lasts).unwrap_or(u32::MAX).max(1),
            random_access: RandomAccess::idr_if(is_idr),
            payload,
        })
    }
}

impl AudioStream {
    pub(super) fn of(stream: &ffmpeg::Stream<'_>) -> Result<Self, String> {
        let parameters = stream.parameters();
        let id = parameters.id();
        codec::decoder::find(id).ok_or("this FFmpeg has no decoder for it")?;
        let context = codec::Context::from_parameters(stream.parameters());
        let context = context.and_then(|context| context.decoder().audio());
        let context = context.map_err(|error| error.to_string())?;
        let (sample_rate, channels) = (context.rate(), context.channels());
        let Some(timescale) = Timescale::new(sample_rate) else {
            return Err("its sample rate is unknown".to_owned());
        };
        let header = extradata(stream);
        // SAFETY: a plain field of the parameters of an open file, which `stream` borrows.
        let profile = unsafe { (*parameters.as_ptr()).profile };
        let channels = u8::try_from(channels).unwrap_or(u8::MAX);
        let is_aac = id == codec::Id::AAC;
        let is_adts = is_aac && header.is_empty();
        let config = match (is_aac, is_adts) {
            (false, _) => None,
            (true, false) => aac::Config::parse(Bytes::copy_from_slice(header)).ok(),
            // Only plain AAC says all of itself in ADTS headers.
            (true, true) if profile == ffi::FF_PROFILE_AAC_LOW => {
                aac::Config::lc(sample_rate, if channels == 8 { 7 } else { channels })
            }
            (true, true) => None,
        };
        // What browsers do not decode is decoded here and encoded anew.
        let config = config.filter(|config| config.unplayable().is_none());
        let track = config.map(Track::audio);
        let word = |key: &str| stream.metadata().get(key).map(str::to_owned);
        let language = word("language").filter(|code| code != "und" && !code.is_empty());
        Ok(Self {
            index: stream.index(),
            time_base: time_base(stream),
            track: track.filter(|track| track.timescale() == timescale),
            is_adts,
            codec: format!("{id:?}"),
            sample_rate,
            channels: channels.max(1),
            language,
            title: word("title").or_else(|| word("handler_name").filter(|name| is_a_name(name))),
            is_default: stream
                .disposition()
                .contains(ffmpeg::format::stream::Disposition::DEFAULT),
        })
    }

    /// Ticks per second of its packets' times.
    pub fn timescale(&self) -> Timescale {
        Timescale::new(self.sample_rate).unwrap_or(VIDEO_TIMESCALE)
    }

    /// The track, where players can take it as it is.
    pub fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    pub(super) fn coded(&self, packet: Packet, track: usize) -> Option<CodedPacket> {
        packet.data().filter(|data| !data.is_empty())?;
        let timescale = self.timescale();
        let ticks = |value| to_ticks(value, timescale, self.time_base);
        let pts = packet.pts().or(packet.dts())?;
        Some(CodedPacket {
            stream: Stream::Audio(track),
            pts: ticks(pts),
            dts: packet.dts().map(ticks),
            duration: ticks(pts + packet.duration().max(0)) - ticks(pts),
            access: Access::Clean,
            is_discarded: packet.flags().bits() & DISCARD != 0,
            packet,
        })
    }

    /// `None` for a packet whose ADTS header does not say what the track says.
    pub(super) fn access_unit(&self, packet: &CodedPacket) -> Option<AccessUnit> {
        let AudioConfig::Aac(config) = &self.track.as_ref()?.as_audio()?.config;
        let data = packet.packet.data()?;
        let payload = if self.is_adts {
            adts_payload(data, config)?
        } else {
            data
        };
        Some(AccessUnit {
            kind: MediaKind::Audio,
            dts: packet.pts,
            pts: packet.pts,
            duration: config.frame_samples(),
            random_access: RandomAccess::Idr,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

/// Handler names that every muxer writes say nothing of the track.
fn is_a_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.trim().is_empty() && !lower.contains("handler") && !lower.contains("sound media")
}

/// The raw AAC frame behind an ADTS header (ISO/IEC 13818-7 §6.2) that says what `config` says.
fn adts_payload<'a>(data: &'a [u8], config: &aac::Config) -> Option<&'a [u8]> {
    let [0xff, second, third, fourth, ..] = *data else {
        return None;
    };
    if second & 0xf6 != 0xf0 {
        return None;
    }
    let profile = (third >> 6) + 1;
    let rate_index = (third >> 2) & 0xf;
    let channels = ((third & 1) << 2) | (fourth >> 6);
    let said = config.bytes();
    let (first, next) = (*said.first()?, *said.get(1)?);
    let own = (
        first >> 3,
        ((first & 7) << 1) | (next >> 7),
        (next >> 3) & 0xf,
    );
    if own != (profile, rate_index, channels) {
        return None;
    }
    let header = if second & 1 == 1 {
        ADTS_HEADER_BYTES
    } else {
        ADTS_HEADER_BYTES + 2
    };
    data.get(header..).filter(|payload| !payload.is_empty())
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

fn sample_aspect(stream: &ffmpeg::Stream<'_>) -> (i32, i32) {
    // SAFETY: plain fields of a stream of an open file, which `stream` borrows.
    unsafe {
        let own = (*stream.as_ptr()).sample_aspect_ratio;
        let coded = (*(*stream.as_ptr()).codecpar).sample_aspect_ratio;
        let said = if own.num > 0 && own.den > 0 {
            own
        } else {
            coded
        };
        (said.num, said.den)
    }
}

fn time_base(stream: &ffmpeg::Stream<'_>) -> (i64, i64) {
    let base = stream.time_base();
    (
        i64::from(base.numerator().max(1)),
        i64::from(base.denominator().max(1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adts_header_is_left_out_and_one_that_says_something_else_is_refused() {
        let config = aac::Config::lc(48_000, 2).unwrap();
        let header = |third: u8, fourth: u8| vec![0xff, 0xf1, third, fourth, 0, 0, 0, 9, 8];
        let stereo = header(0x4c, 0x80);
        assert_eq!(adts_payload(&stereo, &config), Some(&[9, 8][..]));
        assert_eq!(adts_payload(&header(0x4c, 0x40), &config), None, "mono");
        assert_eq!(adts_payload(&header(0x50, 0x80), &config), None, "44.1 kHz");
        assert_eq!(adts_payload(&stereo[..7], &config), None, "no frame");
        assert_eq!(adts_payload(&[0xff], &config), None);
    }

    #[test]
    fn names_that_muxers_write_by_themselves_are_none() {
        assert!(!is_a_name("SoundHandler") && !is_a_name("Core Media Sound Media Handler"));
        assert!(is_a_name("Commentary"));
    }
}
