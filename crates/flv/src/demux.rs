//! Turns the tags of one publish into ingest events.
//!
//! A configuration is announced when its *value* changes: encoders repeat sequence headers, some
//! before every keyframe, and a repeated header must not become a discontinuity. GStreamer repeats
//! its metadata likewise. No tag ends a publish: what cannot be used is told as
//! [`IngestEvent::Skipped`], and whoever listens decides how much of it is too much.

use std::collections::VecDeque;

use bytes::Bytes;
use media::{
    AudioPacket, ForeignAudio, IngestEvent, MILLISECONDS, MediaKind, SkipReason, Skipped,
    SourceMetadata, VideoPacket, aac, avc,
};

use crate::{
    Error, Tag, TagKind,
    header::{self, Foreign, Packet},
    metadata,
};

/// Turns the tags of one publish into events. Start a new one for a new publish.
#[derive(Debug)]
pub struct Demuxer {
    video: avc::Assembler,
    audio: aac::Assembler,
    /// Header of the audio codec that is not carried, where one came.
    foreign_header: Option<Bytes>,
    metadata: Option<SourceMetadata>,
    events: VecDeque<IngestEvent>,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self {
            video: avc::Assembler::new(),
            audio: aac::Assembler::new(),
            foreign_header: None,
            metadata: None,
            events: VecDeque::new(),
        }
    }

    /// Takes one tag. Take its events with [`Demuxer::next_event`] before the next: nothing bounds
    /// them but the tag.
    pub fn push(&mut self, tag: Tag) {
        let dts = i64::from(tag.timestamp_ms);
        let (kind, taken) = match tag.kind {
            TagKind::Video => (
                Some(MediaKind::Video),
                header::video(tag.body).map(|packet| self.video(packet, dts)),
            ),
            TagKind::Audio => (
                Some(MediaKind::Audio),
                header::audio(tag.body).map(|packet| self.audio(packet, dts)),
            ),
            TagKind::Script => (None, self.script(&tag.body)),
        };
        if let Err(error) = taken {
            self.skip(kind, error.reason(), error.to_string());
        }
    }

    /// The next event, if any.
    pub fn next_event(&mut self) -> Option<IngestEvent> {
        self.events.pop_front()
    }

    fn video(&mut self, packet: Packet, dts: i64) {
        let events = &mut self.events;
        match packet {
            Packet::Config(record) => self.video.header(record, events),
            Packet::AccessUnit {
                composition_ms,
                is_key,
                payload,
            } => self.video.push(
                VideoPacket {
                    timescale: MILLISECONDS,
                    dts,
                    composition: composition_ms,
                    is_key,
                    payload,
                },
                events,
            ),
            other => self.beside(MediaKind::Video, other, dts),
        }
    }

    fn audio(&mut self, packet: Packet, dts: i64) {
        let events = &mut self.events;
        match packet {
            Packet::Config(record) => self.audio.header(record, events),
            Packet::AccessUnit { payload, .. } => self.audio.push(
                AudioPacket {
                    timescale: MILLISECONDS,
                    dts,
                    payload,
                },
                events,
            ),
            other => self.beside(MediaKind::Audio, other, dts),
        }
    }

    /// What is neither a configuration nor an access unit of a codec that is carried.
    fn beside(&mut self, kind: MediaKind, packet: Packet, dts: i64) {
        match packet {
            Packet::EndOfSequence => self.events.push_back(IngestEvent::EndOfTrack(kind)),
            Packet::Foreign(foreign) => self.foreign(foreign, dts),
            Packet::OtherTrack => {
                let detail = format!("a further {kind} track is not served");
                self.skip(Some(kind), SkipReason::OtherTrack, detail);
            }
            Packet::Nothing | Packet::Config(_) | Packet::AccessUnit { .. } => {}
        }
    }

    fn foreign(&mut self, foreign: Foreign, dts: i64) {
        if foreign.is_header {
            self.foreign_header = Some(foreign.payload);
            return;
        }
        if self.audio.is_playable() {
            let detail = format!("{} audio amid AAC", foreign.codec);
            return self.skip(Some(MediaKind::Audio), SkipReason::Codec, detail);
        }
        self.events
            .push_back(IngestEvent::ForeignAudio(ForeignAudio {
                codec: foreign.codec,
                sample_rate: foreign.sample_rate,
                channels: foreign.channels,
                header: self.foreign_header.clone(),
                timescale: MILLISECONDS,
                dts,
                payload: foreign.payload,
            }));
    }

    fn script(&mut self, body: &[u8]) -> Result<(), Error> {
        let metadata = metadata::parse(body)?;
        if let Some(metadata) = metadata
            && self.metadata.as_ref() != Some(&metadata)
        {
            self.metadata = Some(metadata.clone());
            self.events.push_back(IngestEvent::Metadata(metadata));
        }
        Ok(())
    }

    fn skip(&mut self, kind: Option<MediaKind>, reason: SkipReason, detail: String) {
        self.events.push_back(IngestEvent::Skipped(Skipped {
            kind,
            reason,
            detail,
        }));
    }
}

#[cfg(test)]
mod tests;
