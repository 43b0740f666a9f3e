//! Turns what publishers send as AAC into configurations and raw frames.
//!
//! ADTS headers are taken off, and are the configuration where the sequence header is missing or
//! says otherwise. Frames of a configuration that browsers do not decode leave as
//! [`ForeignAudio`]. Nothing here ends a publish. What it does not do: look into frames, or split
//! ADTS frames of several raw blocks.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Config, Error,
    adts::{self, Header},
};
use crate::{
    AudioPacket, ForeignAudio, ForeignCodec, IngestEvent, IngestUnit, MediaKind, RandomAccess,
    Repair, SkipReason, Skipped, Timescale,
};

/// ADTS frames in one packet: more than a second of the shortest ones.
const ADTS_FRAMES_MAX: usize = 128;

/// Bytes behind the last ADTS frame that are left out: padding to four bytes.
const STRAY_BYTES_MAX: usize = 3;

/// The machine; see the module's text.
#[derive(Debug, Default)]
pub struct Assembler {
    config: Option<Config>,
    /// The last sequence header, as sent: encoders repeat it.
    header: Option<Bytes>,
}

impl Assembler {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether audio comes that players decode.
    pub fn is_playable(&self) -> bool {
        self.config
            .as_ref()
            .is_some_and(|config| config.unplayable().is_none())
    }

    /// Takes a sequence header. A header repeated is no event, also where ADTS headers have
    /// overruled it.
    pub fn header(&mut self, header: Bytes, events: &mut VecDeque<IngestEvent>) {
        if self.header.as_ref() == Some(&header) {
            return;
        }
        let parsed = match Header::parse(&header) {
            Some(adts) => {
                events.push_back(IngestEvent::Repaired(Repair::Adts));
                adts.config().map(|config| (config, false))
            }
            None => Config::parse_mending(header.clone()),
        };
        match parsed {
            Ok((config, is_mended)) => {
                self.header = Some(header);
                events.extend(is_mended.then_some(IngestEvent::Repaired(Repair::ProgramConfig)));
                self.announce(config, events);
            }
            Err(error) => events.push_back(refused(error)),
        }
    }

    /// Takes one packet.
    pub fn push(&mut self, packet: AudioPacket, events: &mut VecDeque<IngestEvent>) {
        if adts::begins(&packet.payload) {
            return self.push_adts(packet, events);
        }
        // Without a byte it is silence in its place, which only a known configuration has.
        if !packet.payload.is_empty() || self.is_playable() {
            self.send(packet, events);
        }
    }

    fn push_adts(&mut self, mut packet: AudioPacket, events: &mut VecDeque<IngestEvent>) {
        let first = packet.dts;
        events.push_back(IngestEvent::Repaired(Repair::Adts));
        for index in 0..ADTS_FRAMES_MAX {
            let header = Header::parse(&packet.payload)
                .filter(|header| header.frame_bytes <= packet.payload.len());
            let Some(header) = header else {
                return match packet.payload.len() {
                    0 => {}
                    1..=STRAY_BYTES_MAX if index > 0 => {
                        events.push_back(IngestEvent::Repaired(Repair::StrayBytes));
                    }
                    bytes => {
                        let detail = format!("{bytes} bytes of audio are no whole ADTS frame");
                        events.push_back(skipped(SkipReason::Damaged, detail));
                    }
                };
            };
            let rest = packet.payload.split_off(header.frame_bytes);
            let frame = AudioPacket {
                timescale: packet.timescale,
                dts: first + offset(index, &header, packet.timescale),
                payload: packet.payload.slice(header.header_bytes..),
            };
            packet.payload = rest;
            let is_new = self
                .config
                .as_ref()
                .is_none_or(|known| !header.agrees(known));
            match header.config() {
                Ok(config) if is_new => self.announce(config, events),
                Ok(_) => {}
                Err(error) => {
                    events.push_back(refused(error));
                    continue;
                }
            }
            self.send(frame, events);
        }
    }

    fn announce(&mut self, config: Config, events: &mut VecDeque<IngestEvent>) {
        if self.config.as_ref() == Some(&config) {
            return;
        }
        self.config = Some(config.clone());
        if config.unplayable().is_none() {
            events.push_back(IngestEvent::AudioConfig(config.into()));
        }
    }

    fn send(&self, packet: AudioPacket, events: &mut VecDeque<IngestEvent>) {
        let Some(config) = &self.config else {
            let detail = "audio access unit before its configuration".to_owned();
            events.push_back(skipped(SkipReason::NoConfig, detail));
            return;
        };
        events.push_back(match config.unplayable() {
            None => IngestEvent::Unit(IngestUnit {
                kind: MediaKind::Audio,
                timescale: packet.timescale,
                dts: packet.dts,
                composition: 0,
                random_access: RandomAccess::Idr,
                payload: packet.payload,
            }),
            Some(reason) => IngestEvent::ForeignAudio(ForeignAudio {
                codec: ForeignCodec::Aac(reason),
                sample_rate: Some(config.sample_rate()),
                channels: Some(config.channels()),
                header: Some(config.bytes().clone()),
                timescale: packet.timescale,
                dts: packet.dts,
                payload: packet.payload,
            }),
        });
    }
}

/// Ticks from the first frame of a packet to its `index`th.
fn offset(index: usize, header: &Header, timescale: Timescale) -> i64 {
    /// Of the core; SBR doubles both this and the rate.
    const FRAME_SAMPLES: i64 = 1024;
    let samples = i64::try_from(index).unwrap_or(0) * FRAME_SAMPLES;
    Timescale::new(header.sample_rate).map_or(0, |rate| rate.rescale(samples, timescale))
}

fn refused(error: Error) -> IngestEvent {
    let detail = format!("cannot take the audio configuration: {error}");
    skipped(SkipReason::Config, detail)
}

fn skipped(reason: SkipReason, detail: String) -> IngestEvent {
    IngestEvent::Skipped(Skipped {
        kind: Some(MediaKind::Audio),
        reason,
        detail,
    })
}
