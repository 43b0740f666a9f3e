//! Tags of the multivariant playlist (bis §4.4.6).

use std::fmt::Write as _;

use media::{Immersive, Projection, StereoLayout};
use urls::Reference;

use crate::{AudioRendition, Variant};

/// The one audio group's id.
const AUDIO_GROUP: &str = "audio";

/// The one closed captions group's id.
const CAPTIONS_GROUP: &str = "captions";

/// Which groups a variant belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    pub audio: bool,
    pub captions: Captions,
}

/// CLOSED-CAPTIONS of a variant (bis §4.4.6.2): without it, players of Apple offer captions that
/// are not there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Captions {
    /// No variant has any: NONE must then stand on all.
    None,
    /// They are in this one's video.
    Group,
    /// They are in another one's: NONE may not stand then.
    Unsaid,
}

/// REQ-VIDEO-LAYOUT for pictures that need more than a flat screen; `None` where the draft has no
/// word for them.
pub(crate) fn video_layout(immersive: &Immersive) -> Option<String> {
    let channels = match immersive.stereo {
        StereoLayout::Mono => "CH-MONO",
        _ => "CH-STEREO",
    };
    let projection = match immersive.projection {
        Projection::Equirectangular => "PROJ-EQUI",
        Projection::HalfEquirectangular => "PROJ-HEQU",
        Projection::Rectilinear if immersive.stereo != StereoLayout::Mono => "PROJ-RECT",
        _ => return None,
    };
    Some(format!("{channels}/{projection}"))
}

/// EXT-X-SESSION-DATA: what a player that does not parse boxes needs to put the picture around the
/// viewer. Quoted strings cannot hold JSON, so each value has its own tag; `info.json` has them
/// all.
pub(crate) fn session_data(out: &mut String, immersive: &Immersive) {
    let values = [
        ("projection", immersive.projection.name().to_owned()),
        ("stereo", immersive.stereo.name().to_owned()),
        ("yaw", immersive.orientation.yaw.to_string()),
    ];
    for (name, value) in values {
        let _ = writeln!(
            out,
            "#EXT-X-SESSION-DATA:DATA-ID=\"org.panocast.{name}\",VALUE=\"{value}\""
        );
    }
}

/// EXT-X-MEDIA of one rendition of the audio group.
pub(crate) fn audio(out: &mut String, audio: &AudioRendition, stream: Option<&str>) {
    let rendition = &audio.rendition;
    let uri = Reference::Rendition { stream, rendition };
    let _ = write!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"{}\"",
        quotable(&audio.name)
    );
    if let Some(language) = &audio.language {
        let _ = write!(out, ",LANGUAGE=\"{}\"", quotable(language));
    }
    let _ = writeln!(
        out,
        ",DEFAULT={},AUTOSELECT=YES,CHANNELS=\"{}\",URI=\"{uri}\"",
        if audio.is_default { "YES" } else { "NO" },
        audio.channels
    );
}

/// EXT-X-MEDIA of the closed captions in the video.
pub(crate) fn captions(out: &mut String, instream_id: &str) {
    let _ = writeln!(
        out,
        "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"{CAPTIONS_GROUP}\",NAME=\"Captions\",\
         DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=\"{}\"",
        quotable(instream_id)
    );
}

/// What a quoted string can hold (RFC 8216 §4.2): neither quotes nor line ends.
fn quotable(text: &str) -> String {
    let fits = |c: &char| !c.is_control() && *c != '"';
    text.chars().filter(fits).collect()
}

/// EXT-X-STREAM-INF and the URI.
pub(crate) fn stream_inf(
    out: &mut String,
    variant: &Variant,
    groups: Groups,
    layout: Option<&str>,
    stream: Option<&str>,
) {
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        variant.bandwidth, variant.average_bandwidth, variant.codecs
    );
    if let Some((width, height)) = variant.resolution {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
    }
    if let Some(rate) = variant.frame_rate {
        let _ = write!(out, ",FRAME-RATE={rate:.3}");
    }
    if groups.audio {
        let _ = write!(out, ",AUDIO=\"{AUDIO_GROUP}\"");
    }
    match groups.captions {
        Captions::None => out.push_str(",CLOSED-CAPTIONS=NONE"),
        Captions::Group => {
            let _ = write!(out, ",CLOSED-CAPTIONS=\"{CAPTIONS_GROUP}\"");
        }
        Captions::Unsaid => {}
    }
    if let Some(layout) = layout {
        let _ = write!(out, ",REQ-VIDEO-LAYOUT=\"{layout}\"");
    }
    let rendition = &variant.rendition;
    let uri = Reference::Rendition { stream, rendition };
    let _ = writeln!(out, "\n{uri}");
}
