//! Tags of one publish to configurations and access units.
//!
//! A configuration is announced when its *value* changes: encoders repeat sequence headers, some
//! before every keyframe, and a repeated header must not become a discontinuity. GStreamer repeats
//! its metadata likewise. A real change is announced at once and applies to the access units that
//! follow it.

use media::{IngestUnit, MediaKind, aac, avc};

use crate::{
    Error, Metadata, Tag, TagKind,
    header::{self, Packet},
};

/// What a tag means.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The video configuration is new or has changed.
    VideoConfig(avc::Config),
    /// The audio configuration is new or has changed.
    AudioConfig(aac::Config),
    /// One access unit with the encoder's clock.
    AccessUnit(IngestUnit),
    /// The encoder describes its stream, for the first time or otherwise than before.
    Metadata(Metadata),
    /// The encoder says that this track ends here.
    EndOfSequence(MediaKind),
}

/// Turns the tags of one publish into events. Start a new one for a new publish.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Option<avc::Config>,
    audio: Option<aac::Config>,
    metadata: Option<Metadata>,
    other_track_tags: u64,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tags of tracks other than track 0, which are not served (multitrack of Enhanced RTMP).
    pub fn other_track_tags(&self) -> u64 {
        self.other_track_tags
    }

    /// Reads one tag. `None` means that it has nothing to say; an error says whether it
    /// [`Error::is_fatal`].
    pub fn push(&mut self, tag: Tag) -> Result<Option<Event>, Error> {
        let (kind, packet) = match tag.kind {
            TagKind::Video => (MediaKind::Video, header::video(tag.body)?),
            TagKind::Audio => (MediaKind::Audio, header::audio(tag.body)?),
            TagKind::Script => return self.metadata(&tag.body),
        };
        match packet {
            Packet::Config(record) if record.is_empty() => {
                let what = "configuration";
                Err(Error::Truncated { what, bytes: 0 })
            }
            Packet::Config(record) => match kind {
                MediaKind::Video => Ok(self.video_config(avc::Config::parse(record)?)),
                MediaKind::Audio => Ok(self.audio_config(aac::Config::parse(record)?)),
            },
            Packet::AccessUnit {
                composition_ms,
                is_key,
                payload,
            } => {
                let mut unit = IngestUnit {
                    kind,
                    timestamp_ms: tag.timestamp_ms,
                    composition_ms,
                    is_sync: is_key,
                    payload,
                };
                match kind {
                    MediaKind::Video => unit.is_sync &= self.has_idr(&unit.payload)?,
                    MediaKind::Audio if self.audio.is_none() => return Err(Error::NoConfig(kind)),
                    MediaKind::Audio => {}
                }
                Ok(Some(Event::AccessUnit(unit)))
            }
            Packet::EndOfSequence => Ok(Some(Event::EndOfSequence(kind))),
            Packet::OtherTrack => {
                self.other_track_tags += 1;
                Ok(None)
            }
            Packet::Nothing => Ok(None),
        }
    }

    fn video_config(&mut self, config: avc::Config) -> Option<Event> {
        if self.video.as_ref() == Some(&config) {
            return None;
        }
        self.video = Some(config.clone());
        Some(Event::VideoConfig(config))
    }

    fn audio_config(&mut self, config: aac::Config) -> Option<Event> {
        if self.audio.as_ref() == Some(&config) {
            return None;
        }
        self.audio = Some(config.clone());
        Some(Event::AudioConfig(config))
    }

    fn metadata(&mut self, body: &[u8]) -> Result<Option<Event>, Error> {
        let metadata = Metadata::parse(body)?;
        if metadata.is_none() || metadata == self.metadata {
            return Ok(None);
        }
        self.metadata.clone_from(&metadata);
        Ok(metadata.map(Event::Metadata))
    }

    /// Walks the NAL units: whether there is an IDR slice (type 5), or an error where the lengths
    /// do not add up.
    fn has_idr(&self, payload: &[u8]) -> Result<bool, Error> {
        let config = self
            .video
            .as_ref()
            .ok_or(Error::NoConfig(MediaKind::Video))?;
        let mut units = config.nal_units(payload);
        let mut has_idr = false;
        for unit in units.by_ref() {
            has_idr |= unit.first().is_some_and(|header| header & 0x1f == 5);
        }
        match units.rest().len() {
            0 => Ok(has_idr),
            rest => Err(Error::NalLength {
                bytes: payload.len(),
                rest,
                start_code: payload.starts_with(&[0, 0, 0, 1]) || payload.starts_with(&[0, 0, 1]),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
