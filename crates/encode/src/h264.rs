//! Encodes pictures as H.264 samples with any of FFmpeg's encoders, keyframes exactly where asked.
//!
//! Time is none of an encoder's business here: pictures are numbered, the encoder sees a constant
//! rate, and whoever numbered them knows their times. That keeps rate control and parameter sets
//! free of a publisher's jitter, so two origins write equal configuration records.
//!
//! Encoders keep to a capped variable bitrate: `bitrate` on average, `bitrate_max` over
//! `buffer_ms`.

use bytes::Bytes;
use ffmpeg_next::{
    self as ffmpeg, Codec, Dictionary, Packet, Rational, codec, encoder, ffi, format::Pixel,
    picture,
};
use media::avc;

use crate::{
    Error, Picture,
    color::ColorInfo,
    error::{Attempt, is_again},
    nal,
    picture::{SIDE_PIXELS_MAX, SIDE_PIXELS_MIN},
};

/// The encoder used when none is named.
pub const ENCODER_DEFAULT: &str = "libx264";

/// The H.264 encoders known by name; which of them exist depends on the FFmpeg at hand.
pub const ENCODERS: &[&str] = &[
    "libx264",
    "h264_nvenc",
    "h264_qsv",
    "h264_vaapi",
    "h264_videotoolbox",
    "libopenh264",
];

/// A preset of ours for libx264: veryfast, in large pictures with one B-picture less in a row,
/// which costs no quality and saves a little time (docs/design/ladder.md). Beyond full HD, where
/// time is dearest and bits are many, it is ultrafast with the entropy coding, deblocking and
/// B-pictures of superfast: half of the time for 0.4 dB.
pub const PRESET_LIVE: &str = "live";

/// Pixels from which on [`PRESET_LIVE`] takes a picture for large.
const LARGE_PIXELS: u32 = 1 << 20;

/// Pixels from which on it takes a picture for one beyond full HD.
const HUGE_PIXELS: u32 = 3 << 20;

/// The presets of libx264 itself, quickest first. Other encoders judge theirs themselves.
pub const X264_PRESETS: &[&str] = &[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// Keyframe distance given to encoders that know no "never": the largest all of them accept.
const GOP_PICTURES_MAX: u32 = 32_767;

/// The highest bitrate accepted, in bits per second: level 6.2 ends at 800 Mb/s (High).
pub const BITRATE_MAX: u32 = 800_000_000;

/// Names of the H.264 encoders this FFmpeg has.
pub fn available() -> Vec<&'static str> {
    crate::init();
    let known = ENCODERS.iter().copied();
    known
        .filter(|name| encoder::find_by_name(name).is_some())
        .collect()
}

/// `Ok` where this FFmpeg has the encoder.
pub fn check_available(name: &str) -> Result<(), Error> {
    find(name).map(|_| ())
}

fn find(name: &str) -> Result<Codec, Error> {
    crate::init();
    // A name with a zero byte cannot be passed on; it is none of the known ones either.
    let known = ENCODERS.contains(&name);
    let found = known.then(|| encoder::find_by_name(name)).flatten();
    found.ok_or_else(|| Error::NoEncoder {
        name: name.to_owned(),
        available: match available() {
            none if none.is_empty() => "no H.264 encoder".to_owned(),
            some => some.join(", "),
        },
    })
}

/// Settings of an [`H264Encoder`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub encoder: String,
    pub preset: String,
    pub width: u32,
    pub height: u32,
    /// Pictures per second as a fraction.
    pub frame_rate: (u32, u32),
    /// Bits per second, on average and at most.
    pub bitrate: u32,
    pub bitrate_max: u32,
    /// The time over which `bitrate_max` holds.
    pub buffer_ms: u32,
    /// Consecutive B-pictures; `None` leaves it to the preset.
    pub b_pictures: Option<u8>,
    /// Pictures of lookahead; `None` leaves it to the preset.
    pub lookahead: Option<u8>,
    /// Encoder threads, 0 for the encoder's own choice.
    pub threads: u8,
    pub color: ColorInfo,
}

/// One coded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodedPicture {
    /// The number given to [`H264Encoder::send`].
    pub number: i64,
    pub is_sync: bool,
    pub payload: Bytes,
}

/// An open encoder.
pub(crate) struct H264Encoder {
    encoder: encoder::video::Encoder,
    config: avc::Config,
    name: String,
    format: Pixel,
    convert: Option<crate::scale::Converter>,
    packet: Packet,
}

impl H264Encoder {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Error> {
        check_settings(settings)?;
        let codec = find(&settings.encoder)?;
        let format = input_format(&settings.encoder);
        let video = configure(codec, settings, format)?;
        let opened = video.open_as_with(codec, options(settings)).attempt(|| {
            format!(
                "open encoder {} with preset \"{}\" for {}x{}",
                settings.encoder, settings.preset, settings.width, settings.height
            )
        })?;
        let configuration = |reason: String| Error::Configuration {
            encoder: settings.encoder.clone(),
            reason,
        };
        let record = nal::record(global_header(&opened)).map_err(|r| configuration(r.into()))?;
        let config = avc::Config::parse(record).map_err(|e| configuration(e.to_string()))?;
        Ok(Self {
            encoder: opened,
            config,
            name: settings.encoder.clone(),
            format,
            convert: None,
            packet: Packet::empty(),
        })
    }

    pub(crate) fn config(&self) -> &avc::Config {
        &self.config
    }

    /// Pictures by which decoding order may lag behind presentation order.
    pub(crate) fn reorder_depth(&self) -> u32 {
        // SAFETY: a plain field of an open context.
        unsafe { u32::try_from((*self.encoder.as_ptr()).has_b_frames).unwrap_or(0) }
    }

    /// Takes a picture of the settings' size. `number` must be above all earlier ones.
    pub(crate) fn send(
        &mut self,
        picture: &Picture,
        number: i64,
        keyframe: bool,
    ) -> Result<(), Error> {
        let mut own = if picture.frame().format() == self.format {
            picture.share()?
        } else {
            let convert = match &mut self.convert {
                Some(convert) => convert,
                none => none.insert(crate::scale::Converter::new(self.format)),
            };
            convert.run(picture)?
        };
        let frame = own.frame_mut();
        frame.set_pts(Some(number));
        frame.set_kind(if keyframe {
            picture::Type::I
        } else {
            picture::Type::None
        });
        let sent = self.encoder.send_frame(frame);
        sent.attempt(|| format!("encode picture {number} with {}", self.name))
    }

    /// The next coded picture in decoding order; `None` until more pictures are sent, or at the
    /// end.
    pub(crate) fn receive(&mut self) -> Result<Option<CodedPicture>, Error> {
        match self.encoder.receive_packet(&mut self.packet) {
            Ok(()) => {}
            Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(None),
            Err(e) => return Err(e).attempt(|| format!("take a picture from {}", self.name)),
        }
        let (payload, is_sync) = nal::sample(self.packet.data().unwrap_or_default());
        Ok(Some(CodedPicture {
            number: self.packet.pts().unwrap_or(0),
            is_sync,
            payload,
        }))
    }

    /// No more pictures will come; those still inside can be received.
    pub(crate) fn send_end(&mut self) -> Result<(), Error> {
        let sent = self.encoder.send_eof();
        sent.attempt(|| format!("flush {}", self.name))
    }
}

fn check_settings(settings: &Settings) -> Result<(), Error> {
    for (what, side) in [("width", settings.width), ("height", settings.height)] {
        if !(SIDE_PIXELS_MIN..=SIDE_PIXELS_MAX).contains(&side) || side % 2 != 0 {
            let reason =
                format!("4:2:0 pictures have an even {SIDE_PIXELS_MIN} to {SIDE_PIXELS_MAX}");
            return Err(Error::setting(what, side, reason));
        }
    }
    let (pictures, seconds) = settings.frame_rate;
    if seconds == 0 || pictures == 0 || pictures / seconds > 1000 || seconds / pictures > 60 {
        let value = format!("{pictures}/{seconds}");
        let reason = "rates are 1 per minute to 1000 per second";
        return Err(Error::setting("frame_rate", value, reason));
    }
    let peak = settings.bitrate_max;
    if settings.bitrate == 0 || peak < settings.bitrate || peak > BITRATE_MAX {
        let reason = format!("make it 1 to {BITRATE_MAX} bits per second, peak included");
        return Err(Error::setting("bitrate", settings.bitrate, reason));
    }
    check_preset(&settings.encoder, &settings.preset)
}

/// `Ok` where `preset` is one of libx264's, or may be one of another encoder's.
pub(crate) fn check_preset(encoder: &str, preset: &str) -> Result<(), Error> {
    let is_known = preset == PRESET_LIVE || X264_PRESETS.contains(&preset);
    if encoder == ENCODER_DEFAULT && !is_known {
        let reason = format!("libx264 has {PRESET_LIVE}, {}", X264_PRESETS.join(", "));
        return Err(Error::setting("preset", preset, reason));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if preset.len() > 32 || !preset.chars().all(word) {
        let reason = "presets are single words such as veryfast";
        return Err(Error::setting("preset", preset, reason));
    }
    Ok(())
}

/// Hardware encoders want interleaved chroma.
fn input_format(encoder: &str) -> Pixel {
    match encoder {
        "h264_qsv" => Pixel::NV12,
        _ => Pixel::YUV420P,
    }
}

fn configure(
    codec: Codec,
    settings: &Settings,
    format: Pixel,
) -> Result<encoder::video::Video, Error> {
    let context = codec::Context::new_with_codec(codec);
    // SAFETY: only compares the pointer with null.
    if unsafe { context.as_ptr().is_null() } {
        let error = ffmpeg::Error::Other {
            errno: libc::ENOMEM,
        };
        return Err(error).attempt(|| "allocate an encoder".to_owned());
    }
    let mut video = context
        .encoder()
        .video()
        .attempt(|| format!("use {} for pictures", settings.encoder))?;
    let rate = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let (pictures, seconds) = (rate(settings.frame_rate.0), rate(settings.frame_rate.1));
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(format);
    video.set_time_base(Rational(seconds, pictures));
    video.set_frame_rate(Some(Rational(pictures, seconds)));
    video.set_bit_rate(settings.bitrate as usize);
    video.set_max_bit_rate(settings.bitrate_max as usize);
    video.set_gop(GOP_PICTURES_MAX);
    video.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
    if let Some(count) = settings.b_pictures {
        video.set_max_b_frames(usize::from(count));
    }
    let info = &settings.color;
    video.set_aspect_ratio(Rational(info.sample_aspect.0, info.sample_aspect.1));
    video.set_color_range(info.range);
    video.set_colorspace(info.space);
    video.set_color_primaries(info.primaries);
    video.set_color_transfer_characteristic(info.transfer);
    let buffer_bits = u64::from(settings.bitrate_max) * u64::from(settings.buffer_ms) / 1000;
    // SAFETY: plain fields of a context that is not open yet.
    unsafe {
        let context = video.as_mut_ptr();
        (*context).rc_buffer_size = i32::try_from(buffer_bits).unwrap_or(i32::MAX);
        (*context).thread_count = i32::from(settings.threads);
    }
    Ok(video)
}

fn options(settings: &Settings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    let mut set = |key: &str, value: &str| options.set(key, value);
    match settings.encoder.as_str() {
        "libx264" => {
            let preset = match settings.preset.as_str() {
                PRESET_LIVE if pixels(settings) >= HUGE_PIXELS => "ultrafast",
                PRESET_LIVE => "veryfast",
                named => named,
            };
            set("preset", preset);
            set("profile", "high");
            set("forced-idr", "1");
            set("sc_threshold", "0");
            set("x264-params", &x264_params(settings));
        }
        "h264_nvenc" => {
            set("preset", &settings.preset);
            set("profile", "high");
            set("rc", "vbr");
            set("forced-idr", "1");
            set("no-scenecut", "1");
            set("strict_gop", "1");
        }
        "h264_qsv" => {
            set("preset", &settings.preset);
            set("profile", "high");
            set("forced_idr", "1");
        }
        "h264_videotoolbox" => {
            set("profile", "high");
            set("realtime", "1");
        }
        "libopenh264" => set("rc_mode", "bitrate"),
        _ => set("profile", "high"),
    }
    options
}

fn pixels(settings: &Settings) -> u32 {
    settings.width.saturating_mul(settings.height)
}

/// x264 makes keyframes where told and nowhere else. Its own threads for a single-threaded encode
/// stay off.
fn x264_params(settings: &Settings) -> String {
    let mut params = "keyint=infinite:scenecut=0:open-gop=0:aud=0:annexb=1".to_owned();
    let is_live = settings.preset == PRESET_LIVE;
    if is_live && pixels(settings) >= HUGE_PIXELS {
        params.push_str(":cabac=1:no-deblock=0:b-adapt=0");
        if settings.b_pictures.is_none() {
            params.push_str(":bframes=3");
        }
    } else if is_live && pixels(settings) >= LARGE_PIXELS && settings.b_pictures.is_none() {
        params.push_str(":bframes=2");
    }
    if let Some(pictures) = settings.lookahead {
        params.push_str(&format!(":rc-lookahead={pictures}"));
    }
    params
}

/// The encoder's parameter sets.
fn global_header(encoder: &encoder::video::Encoder) -> &[u8] {
    // SAFETY: the context is open; FFmpeg keeps `extradata_size` bytes at `extradata` until it is
    // freed, which needs the encoder mutably.
    unsafe {
        let context: *const ffi::AVCodecContext = encoder.as_ptr();
        match (
            (*context).extradata,
            usize::try_from((*context).extradata_size),
        ) {
            (data, Ok(size)) if !data.is_null() => std::slice::from_raw_parts(data, size),
            _ => &[],
        }
    }
}
