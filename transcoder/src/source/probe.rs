//! Finds out what a plan needs to know of a recording or an upload.

use encode::{
    AudioOutput,
    file_demuxer::{Access, AudioStream, FileDemuxer, Stream},
    stills::Stills,
};

use super::{
    ffmpeg::Upload,
    language::bcp47,
    recording::RecordingReader,
    survey::{AccessPoint, AudioSurvey, Survey, VideoSurvey},
    *,
};

/// Video units looked at to find out a rate that the stream does not declare.
const RATE_UNITS: usize = 120;

/// Baseline, Main and High. What lies beyond (10 bits, 4:2:2, 4:4:4) few players decode.
const COMMON_PROFILES: [&str; 3] = ["avc1.42", "avc1.4d", "avc1.64"];

/// Places to begin decoding that are tried before pictures count as beyond decoding.
const ACCESS_TRIED_MAX: usize = 3;

/// Only whether they decode matters.
const STILL_PIXELS: u32 = 16;

/// Sample rates that every AAC decoder in a browser takes; others are resampled.
const SAMPLE_RATES: [u32; 6] = [16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// The rate that others are resampled to.
const SAMPLE_RATE_USUAL: u32 = 48_000;

/// Rates outside these are a container's nonsense: the middle distance of pictures is taken then.
const FRAME_RATES: std::ops::RangeInclusive<f64> = 0.02..=240.0;

/// What a plan needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The video track, where there is one.
    pub video: Option<Video>,
    /// The audio tracks.
    pub audio: Vec<AudioTrack>,
    /// Everything ends here, in [`VIDEO_TIMESCALE`].
    pub end: i64,
    /// Bytes in all.
    pub bytes: u64,
    /// How pictures lie on the sphere.
    pub immersive: Immersive,
    /// The stream it is of, where it says.
    pub stream: Option<String>,
    /// When it began, in seconds since 1970, where it says.
    pub started_at: Option<f64>,
    /// What its owner should know, a sentence each.
    pub warnings: Vec<String>,
    /// What is known of an upload beside that.
    pub upload: Option<UploadProbe>,
}

/// The video of a recording or an upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Pixels, held upright, square.
    pub width: u32,
    /// Pixels, held upright, square.
    pub height: u32,
    /// Pictures per second, as numerator and denominator.
    pub rate: (u32, u32),
    /// Where groups could begin if it were sent as it is: decode times of a recording's keyframes,
    /// presentation times of an upload's.
    pub keyframes: Vec<i64>,
    /// It can be sent as it is: upright, and in a profile that players of all kinds decode.
    pub is_common: bool,
    /// Where media does not go on: the end of what is before it.
    pub breaks: Vec<i64>,
}

/// An audio track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Which of the file's audio tracks, from 0.
    pub track: usize,
    /// Samples per second of the rendition.
    pub sample_rate: u32,
    /// Channels of the rendition.
    pub channels: u8,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Played unless somebody chooses.
    #[serde(default)]
    pub is_default: bool,
    /// Its access units are sent as they are; otherwise it is encoded anew.
    pub is_copied: bool,
    /// Samples per access unit.
    pub frame_samples: u32,
    /// Where its media begins, in samples of the rendition.
    pub start: i64,
    /// Where its media ends, in samples of the rendition.
    pub end: i64,
}

/// What is known of an upload's pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UploadProbe {
    /// Presentation times of all pictures, rising; empty without video.
    pub pictures: Vec<i64>,
    /// Where the last one ends.
    pub end: i64,
    /// Coded bytes of the pictures.
    pub bytes: u64,
    /// Where decoding can begin, rising.
    pub access: Vec<AccessPoint>,
}

/// Probes a recording of ours. The position is anywhere afterwards.
pub(super) fn recording(reader: &mut RecordingReader, sidecar: &Sidecar) -> Result<Probe> {
    let end = reader.end();
    if end <= 0 {
        return Err(Error::recording(reader.key(), "its duration is zero"));
    }
    let keyframes = sidecar.keyframes.dts.clone();
    let mut video = None;
    if let Some(track) = reader.track(MediaKind::Video).cloned() {
        check_decodes(reader, &track)?;
        let Some(media::VideoTrack { config, .. }) = track.as_video() else {
            return Err(Error::recording(reader.key(), "its video track is none"));
        };
        if keyframes.is_empty() {
            return Err(Error::recording(reader.key(), "its video has no keyframe"));
        }
        let profile = config.rfc6381();
        let (width, height) = config.dimensions();
        video = Some(Video {
            width,
            height,
            rate: rate_of(reader, config.frame_rate())?,
            keyframes,
            is_common: COMMON_PROFILES.iter().any(|p| profile.starts_with(p)),
            breaks: sidecar.breaks(),
        });
    }
    let audio = reader.track(MediaKind::Audio).and_then(Track::as_audio);
    let audio = audio.map(|media::AudioTrack { config, .. }| AudioTrack {
        track: 0,
        sample_rate: config.sample_rate(),
        channels: config.channels(),
        language: None,
        title: None,
        is_default: true,
        is_copied: true,
        frame_samples: config.frame_samples(),
        start: 0,
        end: VIDEO_TIMESCALE.rescale(end, config.timescale()),
    });
    Ok(Probe {
        video,
        audio: audio.into_iter().collect(),
        end,
        bytes: 0,
        immersive: sidecar.immersive(),
        stream: None,
        started_at: None,
        warnings: Vec::new(),
        upload: None,
    })
}

/// Refuses pictures that nobody can decode.
fn check_decodes(reader: &mut RecordingReader, track: &Track) -> Result<()> {
    let refuse = |key: &str, error: encode::Error| Error::recording(key, error);
    let mut stills = Stills::open(track, STILL_PIXELS, STILL_PIXELS)
        .map_err(|error| refuse(reader.key(), error))?;
    let mut tried = 0;
    reader.seek(None)?;
    while tried < ACCESS_TRIED_MAX {
        let Some(unit) = reader.read()? else { break };
        if unit.kind == MediaKind::Video && unit.is_sync() {
            tried += 1;
            let taken = stills.take(&unit);
            if taken
                .map_err(|error| refuse(reader.key(), error))?
                .is_some()
            {
                return Ok(());
            }
        }
    }
    let verdict = format!("none of its first {tried} keyframes can be decoded: it is damaged");
    Err(Error::recording(reader.key(), verdict))
}

/// Pictures per second: declared, or the commonest distance of the first pictures.
fn rate_of(reader: &mut RecordingReader, declared: Option<(u32, u32)>) -> Result<(u32, u32)> {
    if let Some(declared) = declared {
        return Ok(declared);
    }
    let mut durations = Vec::new();
    reader.seek(None)?;
    while let Some(unit) = reader.read()? {
        if unit.kind == MediaKind::Video {
            durations.push(i64::from(unit.duration));
        }
        if durations.len() == RATE_UNITS {
            break;
        }
    }
    Ok(middle_rate(&mut durations).unwrap_or((30, 1)))
}

fn middle_rate(durations: &mut [i64]) -> Option<(u32, u32)> {
    durations.sort_unstable();
    let middle = durations.get(durations.len() / 2).copied();
    let middle = middle.and_then(|ticks| u32::try_from(ticks).ok());
    let middle = middle.filter(|ticks| *ticks > 0);
    middle.map(|ticks| (VIDEO_TIMESCALE.rate(), ticks))
}

/// Probes an upload.
pub(super) fn upload(upload: &mut Upload, key: &str) -> Result<Probe> {
    let mut survey = upload.survey()?;
    check_pictures(upload, key, &survey)?;
    let demuxer = upload.demuxer();
    let audio = audio_tracks(demuxer, &mut survey);
    let ends = audio.iter().map(|track| {
        let ticks = media::Timescale::new(track.sample_rate).unwrap_or(VIDEO_TIMESCALE);
        ticks.rescale(track.end, VIDEO_TIMESCALE)
    });
    let end = survey.video.as_ref().map(|video| video.end);
    let end = ends.chain(end).max().unwrap_or(0);
    if end <= 0 {
        return Err(Error::recording(key, "its duration is zero"));
    }
    let video = survey.video.as_ref();
    let video = video.and_then(|found| Some((found, demuxer.video()?)));
    let video = video.map(|(found, stream)| {
        let (width, height) = stream.shown_size(found.size);
        Video {
            width,
            height,
            rate: upload_rate(found, stream.frame_rate),
            keyframes: clean_times(found),
            is_common: found.is_common,
            breaks: Vec::new(),
        }
    });
    let upload = survey
        .video
        .take()
        .map_or_else(UploadProbe::default, |found| UploadProbe {
            pictures: found.pictures,
            end: found.end,
            bytes: found.bytes,
            access: found.access,
        });
    Ok(Probe {
        video,
        audio,
        end,
        bytes: 0,
        immersive: demuxer.immersive().unwrap_or_default(),
        stream: None,
        started_at: None,
        warnings: survey.warnings,
        upload: Some(upload),
    })
}

fn clean_times(video: &VideoSurvey) -> Vec<i64> {
    let clean = video.access.iter().filter(|point| point.is_clean);
    clean.map(|point| point.pts).collect()
}

/// Pictures per second: declared, where that is near what the pictures themselves say.
fn upload_rate(video: &VideoSurvey, declared: (u32, u32)) -> (u32, u32) {
    let count = video.pictures.len() as f64;
    let first = video.pictures.first().copied().unwrap_or(0);
    let measured = count / VIDEO_TIMESCALE.seconds(video.end - first).max(0.001);
    let said = f64::from(declared.0) / f64::from(declared.1.max(1));
    if FRAME_RATES.contains(&said) && said / measured < 4.0 && measured / said < 1.5 {
        return declared;
    }
    let mut distances: Vec<i64> = video
        .pictures
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    middle_rate(&mut distances).unwrap_or((30, 1))
}

/// Refuses pictures that nobody can decode.
fn check_pictures(upload: &mut Upload, key: &str, survey: &Survey) -> Result<()> {
    if survey.video.is_none() {
        return Ok(());
    }
    let refuse = |error: encode::Error| Error::recording(key, error);
    let size = (STILL_PIXELS, STILL_PIXELS);
    let mut decoder = upload.demuxer().video_decoder(size, 1).map_err(refuse)?;
    let mut tried = 0;
    upload.seek(None)?;
    while let Some(packet) = upload.next_packet()? {
        if packet.stream != Stream::Video || (tried == 0 && packet.access == Access::None) {
            continue;
        }
        tried += usize::from(packet.access != Access::None);
        if tried > ACCESS_TRIED_MAX {
            break;
        }
        decoder.push(&packet).map_err(refuse)?;
        if decoder.next().is_some() {
            return Ok(());
        }
    }
    decoder.finish().map_err(refuse)?;
    if decoder.next().is_some() {
        return Ok(());
    }
    let verdict = format!(
        "none of the pictures of its first {} keyframes can be decoded: it is damaged",
        tried.min(ACCESS_TRIED_MAX)
    );
    Err(Error::recording(key, verdict))
}

/// The audio tracks that have anything in them.
fn audio_tracks(demuxer: &FileDemuxer, survey: &mut Survey) -> Vec<AudioTrack> {
    let mut tracks = Vec::new();
    for (track, (stream, found)) in demuxer.audio().iter().zip(&survey.audio).enumerate() {
        let Some(found) = found else {
            let warning = format!("its audio track {} ({}) is empty", track + 1, stream.codec);
            survey.warnings.push(warning);
            continue;
        };
        tracks.push(audio_track(track, stream, found));
    }
    if tracks.iter().filter(|track| track.is_default).count() != 1 {
        let first = tracks
            .iter()
            .position(|track| track.is_default)
            .unwrap_or(0);
        for (index, track) in tracks.iter_mut().enumerate() {
            track.is_default = index == first;
        }
    }
    tracks
}

fn audio_track(track: usize, stream: &AudioStream, found: &AudioSurvey) -> AudioTrack {
    let own = stream.track().and_then(Track::as_audio);
    // Access units that begin before 0 have no place in a segment: only their end is encoded.
    let copied = own.filter(|_| found.is_contiguous && found.start >= 0);
    let (output, frame_samples) = match copied {
        Some(media::AudioTrack { config, .. }) => {
            let output = AudioOutput {
                sample_rate: config.sample_rate(),
                channels: config.channels(),
            };
            (output, config.frame_samples())
        }
        None => (encoded(stream), encode::audio::FRAME_SAMPLES),
    };
    let ticks = media::Timescale::new(output.sample_rate).unwrap_or(VIDEO_TIMESCALE);
    AudioTrack {
        track,
        sample_rate: output.sample_rate,
        channels: output.channels,
        language: stream.language.as_deref().and_then(bcp47),
        title: stream.title.clone(),
        is_default: stream.is_default,
        is_copied: copied.is_some(),
        frame_samples,
        start: found.timescale.rescale(found.start, ticks).max(0),
        end: found.timescale.rescale(found.end, ticks),
    }
}

/// What a track is encoded as: its own rate where browsers take it, and mono, stereo or 5.1.
fn encoded(stream: &AudioStream) -> AudioOutput {
    let is_usual = SAMPLE_RATES.contains(&stream.sample_rate);
    AudioOutput {
        sample_rate: if is_usual {
            stream.sample_rate
        } else {
            SAMPLE_RATE_USUAL
        },
        channels: match stream.channels {
            1 => 1,
            6.. => 6,
            _ => 2,
        },
    }
}
