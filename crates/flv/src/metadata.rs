//! What an encoder says of itself in `onMetaData`.
//!
//! Encoders send it bare or behind `@setDataFrame`, as an object or an ECMA array. Nothing here is
//! trusted for packaging: codecs, size and rate come from the configuration records. It serves
//! operators and, where a publisher sends them, the projection fields that RTMP itself lacks.

use bytes::Bytes;
use media::{Projection, SourceMetadata, StereoLayout};

use crate::{Error, amf0, amf0::Value};

/// A script tag beyond this is not metadata; OBS sends under 1 KiB, a key index of an hour about
/// 100 KiB.
pub const SCRIPT_BYTES_MAX: usize = 256 << 10;

/// The longest encoder name kept: it goes into logs and the streams API.
const ENCODER_CHARS_MAX: usize = 128;

/// Reads script data; `None` where it is none of metadata (cue points, time codes, unknown names).
pub fn parse(body: &[u8]) -> Result<Option<SourceMetadata>, Error> {
    if body.len() > SCRIPT_BYTES_MAX {
        return Err(Error::ScriptTooLong(body.len()));
    }
    // Not a name: FFmpeg's data streams send bare bytes, for example time codes.
    if !matches!(body.first(), Some(2 | 12)) {
        return Ok(None);
    }
    let mut reader = amf0::Reader::new(body);
    let mut name = reader.next()?;
    if name.as_ref().and_then(Value::as_str) == Some("@setDataFrame") {
        name = reader.next()?;
    }
    if name.as_ref().and_then(Value::as_str) != Some("onMetaData") {
        return Ok(None);
    }
    Ok(reader.next()?.map(|value| from_value(&value)))
}

fn from_value(value: &Value) -> SourceMetadata {
    let number = |name: &str| {
        let number = value.get(name)?.as_number()?;
        (number.is_finite() && number > 0.0).then_some(number)
    };
    let whole = |name: &str| number(name).map(|number| number.round() as u32);
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let stereo_flag = || match value.get("stereo")?.as_bool()? {
        true => Some(2),
        false => Some(1),
    };
    SourceMetadata {
        width: whole("width"),
        height: whole("height"),
        frame_rate: number("framerate").or_else(|| number("videoframerate")),
        video_bitrate_kbps: whole("videodatarate"),
        audio_bitrate_kbps: whole("audiodatarate"),
        audio_sample_rate: whole("audiosamplerate"),
        audio_channels: whole("audiochannels").or_else(stereo_flag),
        encoder: text("encoder").map(|name| name.chars().take(ENCODER_CHARS_MAX).collect()),
        projection: text("projection").and_then(|name| name.parse().ok()),
        stereo: text("stereo_layout").and_then(|name| name.parse().ok()),
    }
}

/// The bytes of a script tag: `@setDataFrame`, `onMetaData`, an ECMA array.
pub fn to_body(metadata: &SourceMetadata) -> Bytes {
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut add = |name: &str, value: Option<Value>| {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    };
    let whole = |number: Option<u32>| number.map(|number| Value::Number(number.into()));
    let text = |text: Option<&str>| text.map(Value::from);
    add("duration", Some(Value::Number(0.0)));
    add("width", whole(metadata.width));
    add("height", whole(metadata.height));
    add("framerate", metadata.frame_rate.map(Value::Number));
    add("videocodecid", metadata.width.map(|_| Value::Number(7.0)));
    add("videodatarate", whole(metadata.video_bitrate_kbps));
    add(
        "audiocodecid",
        metadata.audio_channels.map(|_| Value::Number(10.0)),
    );
    add("audiodatarate", whole(metadata.audio_bitrate_kbps));
    add("audiosamplerate", whole(metadata.audio_sample_rate));
    add("audiochannels", whole(metadata.audio_channels));
    add(
        "stereo",
        metadata
            .audio_channels
            .map(|channels| Value::Boolean(channels == 2)),
    );
    add("encoder", text(metadata.encoder.as_deref()));
    add(
        "projection",
        text(metadata.projection.map(Projection::name)),
    );
    add(
        "stereo_layout",
        text(metadata.stereo.map(StereoLayout::name)),
    );
    let values = [
        "@setDataFrame".into(),
        "onMetaData".into(),
        Value::EcmaArray(fields),
    ];
    Bytes::from(amf0::write_all(&values))
}
