//! Makes VOD playlists of what the slices made: pure functions, rendered by `hls`.
//!
//! RFC 8216 and draft-pantos-hls-rfc8216bis-22 (called *bis*). A VOD playlist never changes, so
//! every figure in it is measured, not promised.

use std::{fmt::Write as _, sync::Arc};

use hls::{
    AudioRendition, Flavour, Multivariant, Variant, bandwidth,
    playlist::vod::{self, VodPlaylist, VodSegment},
};
use media::{Immersive, Projection, Timescale, VIDEO_TIMESCALE};

use crate::layout::{RenditionSlice, SegmentInfo, Sheet};

/// One rendition of the whole asset.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendition {
    /// Its folder.
    pub name: String,
    /// RFC 6381.
    pub codec: String,
    /// Pixels.
    pub resolution: Option<(u32, u32)>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// Channels of audio.
    pub channels: Option<u8>,
    /// What a menu shows for audio.
    pub label: String,
    /// The language of audio, BCP 47.
    pub language: Option<String>,
    /// The audio to play unless somebody chooses.
    pub is_default: bool,
    /// How its pictures lie on the sphere, where that is not as in the recording.
    pub projection: Option<Projection>,
    /// Ticks per second.
    pub timescale: Timescale,
    /// Each segment with the init segment it needs.
    pub segments: Vec<(SegmentInfo, Arc<str>)>,
}

impl Rendition {
    /// A rendition that begins with `slice`.
    pub fn new(slice: &RenditionSlice) -> Self {
        Self {
            name: slice.name.clone(),
            codec: slice.codec.clone(),
            resolution: slice.resolution,
            frame_rate: slice.frame_rate,
            channels: slice.channels,
            label: "Audio".to_owned(),
            language: None,
            is_default: true,
            projection: None,
            timescale: Timescale::new(slice.timescale).unwrap_or(VIDEO_TIMESCALE),
            segments: Vec::new(),
        }
    }

    /// Adds a slice's segments.
    pub fn push(&mut self, slice: &RenditionSlice) {
        let init: Arc<str> = slice.init.as_str().into();
        self.segments
            .extend(slice.segments.iter().map(|made| (*made, init.clone())));
    }

    /// Leaves out what is missing at the end: the rendition is shorter then, rather than full of
    /// gaps.
    pub fn trim(&mut self) {
        while self
            .segments
            .last()
            .is_some_and(|(made, _)| made.bytes == 0)
        {
            self.segments.pop();
        }
    }

    fn seconds(&self, made: &SegmentInfo) -> f64 {
        self.timescale.seconds(made.ticks)
    }

    /// The longest segment, rounded as a target duration is.
    pub fn target_duration(&self) -> u64 {
        let longest = self
            .segments
            .iter()
            .map(|(made, _)| self.seconds(made))
            .fold(0.0, f64::max);
        (longest.round() as u64).max(1)
    }

    /// Seconds in all.
    pub fn duration(&self) -> f64 {
        self.segments
            .iter()
            .map(|(made, _)| self.seconds(made))
            .sum()
    }

    /// Peak and average bits per second (bis §4.4.6.2).
    fn bandwidth(&self, target: u64) -> (u64, u64) {
        let mut meter = bandwidth::Meter::new();
        meter.fix(target);
        for (made, _) in &self.segments {
            match made.bytes {
                0 => meter.gap(),
                bytes => {
                    meter.push(bytes, self.timescale.rescale(made.ticks, VIDEO_TIMESCALE));
                }
            }
        }
        let bytes: u64 = self.segments.iter().map(|(made, _)| made.bytes).sum();
        let average = (bytes as f64 * 8.0 / self.duration().max(0.001)).ceil() as u64;
        (meter.peak().max(average), average)
    }
}

/// What a media playlist needs beside its rendition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlaylistParams {
    /// The same in all renditions, so that players can compare them.
    pub target_duration: u64,
    /// Numbers of segments that do not follow from the one before.
    pub discontinuities: Vec<u32>,
    /// Microseconds since 1970 of each segment's beginning; empty where unknown.
    pub dates: Vec<i64>,
}

/// The playlist of one rendition.
pub fn render_media(rendition: &Rendition, params: &PlaylistParams) -> String {
    let segment = |(index, (made, init)): (usize, &(SegmentInfo, Arc<str>))| {
        let discontinuity = index > 0 && params.discontinuities.contains(&made.number);
        let is_dated = index == 0 || discontinuity;
        VodSegment {
            uri: format!("{}.m4s", made.number),
            seconds: rendition.seconds(made),
            map: (!init.is_empty()).then(|| init.clone()),
            is_gap: made.bytes == 0,
            discontinuity,
            program_date_time: params.dates.get(index).copied().filter(|_| is_dated),
        }
    };
    vod::render(&VodPlaylist {
        target_duration: params.target_duration,
        segments: rendition.segments.iter().enumerate().map(segment).collect(),
    })
}

/// The multivariant playlist: all rungs with audio, then audio alone.
pub fn render_multivariant(
    renditions: &[Rendition],
    target: u64,
    immersive: Immersive,
    flavour: Flavour,
) -> String {
    let audio: Vec<&Rendition> = renditions
        .iter()
        .filter(|rendition| rendition.channels.is_some())
        .collect();
    // A player adds one of them; the largest is what a variant may need at most.
    let rates = audio.iter().map(|audio| audio.bandwidth(target));
    let (audio_peak, audio_average) = rates
        .reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
        .unwrap_or((0, 0));
    let mut audio_codecs: Vec<&str> = Vec::new();
    for rendition in &audio {
        if !audio_codecs.contains(&rendition.codec.as_str()) {
            audio_codecs.push(&rendition.codec);
        }
    }
    let variant = |rendition: &Rendition, (peak, average), codecs: String| Variant {
        rendition: rendition.name.as_str().into(),
        bandwidth: peak,
        average_bandwidth: average,
        codecs,
        resolution: rendition.resolution,
        frame_rate: rendition.frame_rate,
        projection: rendition.projection,
    };
    let video = renditions
        .iter()
        .filter(|rendition| rendition.resolution.is_some());
    let mut variants: Vec<Variant> = video
        .map(|rendition| {
            let (peak, average) = rendition.bandwidth(target);
            let codecs = [&[rendition.codec.as_str()][..], &audio_codecs].concat();
            let rates = (peak + audio_peak, average + audio_average);
            variant(rendition, rates, codecs.join(","))
        })
        .collect();
    let default = audio
        .iter()
        .find(|audio| audio.is_default)
        .or(audio.first());
    variants.extend(default.map(|audio| {
        let rates = audio.bandwidth(target);
        variant(audio, rates, audio.codec.clone())
    }));
    let group = audio.iter().filter(|_| variants.len() > 1);
    let group = group.filter_map(|audio| {
        Some(AudioRendition {
            name: audio.label.clone(),
            language: audio.language.clone(),
            is_default: Some(&audio.name) == default.map(|default| &default.name),
            ..AudioRendition::only(audio.name.as_str().into(), audio.channels?)
        })
    });
    let multivariant = Multivariant {
        captions: None,
        audio: group.collect(),
        variants,
        immersive,
        independent_segments: true,
    };
    hls::render_multivariant(&multivariant, None, flavour)
}

/// Thumbnails for seeking, as WebVTT whose cues name a place in a sheet.
pub fn render_thumbnails(sheets: &[Sheet], duration: f64) -> String {
    let mut out = String::from("WEBVTT\n");
    let starts = sheets.iter().flat_map(|sheet| sheet.at.iter().copied());
    let ends = starts.skip(1).chain([duration]);
    let places = sheets
        .iter()
        .flat_map(|sheet| (0..sheet.at.len()).map(move |n| (sheet, n)));
    for ((sheet, n), end) in places.zip(ends) {
        let (width, height) = sheet.size;
        let column = n as u32 % sheet.columns.max(1);
        let row = n as u32 / sheet.columns.max(1);
        let start = sheet.at.get(n).copied().unwrap_or(0.0);
        let _ = write!(
            out,
            "\n{} --> {}\n{}#xywh={},{},{width},{height}\n",
            clock(start),
            clock(end.max(start)),
            sheet.name,
            column * width,
            row * height
        );
    }
    out
}

fn clock(seconds: f64) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (s, ms) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests;
