//! Draws, sounds and encodes in step with the wall clock, on a thread of its own.
//!
//! Each picture is drawn when it is due and carries that moment. When the machine cannot keep up,
//! pictures are left out rather than late: the clock is the product. Encoded units go to a
//! broadcast channel; a publisher that lags behind its capacity loses units, never the source.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use encode::{Picture, audio, video};
use media::{
    AccessUnit, AudioConfig, MediaKind, SourceMetadata, Track, VIDEO_TIMESCALE, VideoConfig,
};
use service::Clock;
use tokio::sync::broadcast;

use crate::{Config, Error, console::Reading, picture::Painter, scene::Words, tone::Tone};

/// A picture later than this is left out, with all that would be later still.
const LATE_MAX: Duration = Duration::from_millis(250);
/// The calendar is followed again once it is this far from where it was when we started.
const CALENDAR_SLACK: Duration = Duration::from_millis(500);
/// Pictures in turn: one being drawn while the encoder may hold others.
const PICTURES_MAX: usize = 8;

/// What the encoders make, with what a publisher must announce first.
#[derive(Clone, Debug)]
pub struct Item {
    /// The configurations the unit was made with; the same `Arc` until they change.
    pub tracks: Arc<Tracks>,
    /// The unit; its times go on across changes of configuration.
    pub unit: AccessUnit,
    /// Its decode time in milliseconds since the source started.
    pub ms: i64,
}

/// The configurations of one stretch.
#[derive(Clone, Debug)]
pub struct Tracks {
    /// Of the pictures.
    pub video: VideoConfig,
    /// Of the audio track, if there is one.
    pub audio: Option<AudioConfig>,
    /// What `onMetaData` says.
    pub metadata: SourceMetadata,
}

/// Runs until `stop`; see the module.
pub fn run(
    config: &Config,
    clock: &Clock,
    stop: &AtomicBool,
    items: &broadcast::Sender<Arc<Item>>,
) -> Result<(), Error> {
    let mut source = Source::new(config, clock)?;
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now().saturating_sub(source.started);
        let due = Duration::from_nanos(config.frame_rate.nanos(source.number));
        if due > now {
            // Short naps, so that an end is noticed.
            std::thread::sleep((due - now).min(Duration::from_millis(50)));
            continue;
        }
        if now - due > LATE_MAX {
            source.skip_to(config.frame_rate.number(now.as_nanos() as u64));
            continue;
        }
        source.audio(due, items)?;
        source.picture(due, clock, items)?;
    }
    Ok(())
}

struct Source<'a> {
    config: &'a Config,
    started: Duration,
    /// Unix time of the start.
    epoch: Duration,
    number: u64,
    last_key: Option<u64>,
    pipeline: VideoPipeline,
    tone: Option<(Tone, audio::Encoder)>,
    tracks: Arc<Tracks>,
    note: String,
}

/// All that depends on the picture's size.
struct VideoPipeline {
    half: bool,
    since: Duration,
    painter: Painter,
    encoder: video::Encoder,
    pictures: Vec<Picture>,
    /// Number of the picture that the encoder counts as its first.
    first: u64,
}

impl<'a> Source<'a> {
    fn new(config: &'a Config, clock: &Clock) -> Result<Self, Error> {
        let pipeline = VideoPipeline::new(config, false, 0, Duration::ZERO)?;
        let settings = audio::Config {
            sample_rate: config.sample_rate,
            channels: 2,
            bitrate: u32::try_from(config.audio_bitrate.get()).unwrap_or(u32::MAX),
        };
        let encoder = config
            .sound
            .then(|| audio::Encoder::new(settings, 0))
            .transpose()?;
        let track = encoder.as_ref().map(audio::Encoder::track);
        let audio = track.and_then(Track::as_audio);
        let audio = audio.map(|track| track.config.clone());
        let epoch = unix(clock.wall());
        Ok(Self {
            tracks: Arc::new(pipeline.tracks(config, audio)?),
            tone: encoder.map(|encoder| (Tone::new(config.sample_rate, epoch), encoder)),
            pipeline,
            note: format!("{} FPS", config.frame_rate),
            config,
            started: clock.now(),
            epoch,
            number: 0,
            last_key: None,
        })
    }

    fn skip_to(&mut self, number: u64) {
        let missed = number.saturating_sub(self.number);
        tracing::warn!(
            missed,
            "pictures left out: encoding is slower than real time"
        );
        self.number = number;
        self.pipeline.first += missed;
    }

    fn audio(&mut self, due: Duration, items: &broadcast::Sender<Arc<Item>>) -> Result<(), Error> {
        let Some((tone, encoder)) = &mut self.tone else {
            return Ok(());
        };
        let rate = u64::from(self.config.sample_rate);
        let end = due.as_nanos() * u128::from(rate) / 1_000_000_000;
        // A second at a time bounds memory when much was missed.
        while tone.position() < end as u64 {
            let [left, right] = tone.until((tone.position() + rate).min(end as u64));
            for unit in encoder.encode(&[&left, &right])? {
                let ms = unit.dts * 1000 / rate as i64;
                let tracks = Arc::clone(&self.tracks);
                let _ = items.send(Arc::new(Item { tracks, unit, ms }));
            }
        }
        Ok(())
    }

    fn picture(
        &mut self,
        due: Duration,
        clock: &Clock,
        items: &broadcast::Sender<Arc<Item>>,
    ) -> Result<(), Error> {
        let number = self.number;
        self.number += 1;
        let gop = self.config.gop_pictures();
        let keyframe = self.last_key.is_none_or(|last| number - last >= gop);
        if keyframe {
            self.last_key = Some(number);
            self.follow_calendar(due, clock);
            self.resize(number, due)?;
        }
        let reading = Reading {
            unix: self.epoch + due,
            frame: number,
            note: &self.note,
        };
        let picture = self.pipeline.draw(&reading, self.config.grain)?;
        let units = self.pipeline.encoder.encode(&picture, keyframe)?;
        self.pipeline.keep(picture);
        let Rate { first, .. } = self.rate();
        for mut unit in units {
            unit.dts += first;
            unit.pts += first;
            let ms = unit.dts * 1000 / i64::from(VIDEO_TIMESCALE.rate());
            let tracks = Arc::clone(&self.tracks);
            // Nobody listening is no error: publishers come and go.
            let _ = items.send(Arc::new(Item { tracks, unit, ms }));
        }
        Ok(())
    }

    /// Ticks of the picture that the encoder counts as its first.
    fn rate(&self) -> Rate {
        let nanos = self.config.frame_rate.nanos(self.pipeline.first);
        let ticks = u128::from(nanos) * u128::from(VIDEO_TIMESCALE.rate()) + 500_000_000;
        Rate {
            first: i64::try_from(ticks / 1_000_000_000).unwrap_or(i64::MAX),
        }
    }

    /// After a correction of the machine's calendar the burnt-in time follows; media time does not.
    fn follow_calendar(&mut self, due: Duration, clock: &Clock) {
        let elapsed = clock.now().saturating_sub(self.started);
        let epoch = unix(clock.wall()).saturating_sub(elapsed);
        if epoch.abs_diff(self.epoch) > CALENDAR_SLACK {
            tracing::warn!(?due, "the calendar was corrected; the timecode follows");
            self.epoch = epoch;
        }
    }

    fn resize(&mut self, number: u64, due: Duration) -> Result<(), Error> {
        let every = self.config.faults.resize_every.get();
        if every.is_zero() || due.saturating_sub(self.pipeline.since) < every {
            return Ok(());
        }
        self.pipeline = VideoPipeline::new(self.config, !self.pipeline.half, number, due)?;
        let audio = self.tracks.audio.clone();
        self.tracks = Arc::new(self.pipeline.tracks(self.config, audio)?);
        Ok(())
    }
}

struct Rate {
    first: i64,
}

impl VideoPipeline {
    fn new(config: &Config, half: bool, first: u64, since: Duration) -> Result<Self, Error> {
        let divide = |pixels: u32| if half { pixels / 4 * 2 } else { pixels };
        let (width, height) = (divide(config.width), divide(config.height()));
        let rate = (config.frame_rate.0, config.frame_rate.1);
        let bitrate = u32::try_from(config.bitrate.get()).unwrap_or(u32::MAX);
        let words = Words {
            title: config.title.clone(),
            subtitle: format!("{} | {width}X{height}", config.projection),
        };
        let encoder = video::Encoder::new(video::Config {
            encoder: config.encoder.clone(),
            preset: config.preset.clone(),
            b_pictures: config.b_pictures,
            threads: config.threads,
            ..video::Config::new(width, height, rate, bitrate)
        })?;
        Ok(Self {
            half,
            since,
            painter: Painter::new(width, height, &config.immersive(), &words),
            encoder,
            pictures: Vec::new(),
            first,
        })
    }

    fn tracks(&self, config: &Config, audio: Option<AudioConfig>) -> Result<Tracks, Error> {
        let video = self.encoder.track().as_video().ok_or(Error::NotVideo)?;
        let video = video.config.clone();
        let (width, height) = video.dimensions();
        let kbps = |rate: u64| u32::try_from(rate / 1000).ok();
        let metadata = SourceMetadata {
            width: Some(width),
            height: Some(height),
            frame_rate: Some(f64::from(config.frame_rate.0) / f64::from(config.frame_rate.1)),
            video_bitrate_kbps: kbps(config.bitrate.get()),
            audio_bitrate_kbps: audio.as_ref().and(kbps(config.audio_bitrate.get())),
            audio_sample_rate: audio.as_ref().map(AudioConfig::sample_rate),
            audio_channels: audio.as_ref().map(|audio| audio.channels().into()),
            encoder: Some(concat!("panocast-test-source ", env!("CARGO_PKG_VERSION")).to_owned()),
            projection: Some(config.projection),
            stereo: Some(config.stereo),
        };
        Ok(Tracks {
            video,
            audio,
            metadata,
        })
    }

    /// A picture nobody else holds, with this reading on it.
    fn draw(&mut self, reading: &Reading<'_>, grain: bool) -> Result<Picture, Error> {
        for index in 0..self.pictures.len() {
            if self.painter.show(&mut self.pictures[index], reading) {
                let mut picture = self.pictures.swap_remove(index);
                if grain {
                    self.painter.grain(&mut picture, reading.frame);
                }
                return Ok(picture);
            }
        }
        let mut picture = self.painter.picture()?;
        self.painter.show(&mut picture, reading);
        Ok(picture)
    }

    fn keep(&mut self, picture: Picture) {
        if self.pictures.len() < PICTURES_MAX {
            self.pictures.push(picture);
        }
    }
}

fn unix(wall: SystemTime) -> Duration {
    wall.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Whether a publisher may begin with this unit.
pub fn opens(item: &Item) -> bool {
    item.unit.kind == MediaKind::Video && item.unit.is_sync()
}
