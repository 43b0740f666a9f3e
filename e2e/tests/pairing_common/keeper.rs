//! A viewer who follows a rendition and keeps all of it: what was kept is one broadcast without a
//! seam, or it tells where the seam is.

use std::{
    collections::BTreeMap,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use hls::check::{Media, Unit, parse_media};
use http::StatusCode;
use media::AccessUnit;
use tokio::{sync::watch, task::JoinHandle};

use super::encoder;

/// A segment that was kept.
pub struct Segment {
    /// Media Sequence Number.
    pub msn: u64,
    /// Discontinuities of the stream before it or at its start.
    pub discontinuities: u64,
    /// The run in its URL.
    pub run_id: String,
    init: String,
    bytes: Bytes,
}

/// All that a viewer got.
#[derive(Default)]
pub struct Kept {
    /// What should not have happened, in words.
    pub failures: Vec<String>,
    /// In order.
    pub segments: Vec<Segment>,
    /// Numbers of segments that were lost.
    pub gaps: Vec<u64>,
    inits: BTreeMap<String, Bytes>,
    /// First and next number and discontinuity sequence of the newest playlist.
    reached: (u64, u64, u64),
}

/// A viewer at work.
pub struct Keeper {
    task: JoinHandle<Kept>,
    leave: watch::Sender<bool>,
}

impl Keeper {
    /// Starts with the oldest segment of the media playlist at `playlist`, a whole URL.
    pub fn start(playlist: String) -> Self {
        let (leave, mut told) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut kept = Kept::default();
            while !*told.borrow() {
                let wait = kept.round(&playlist).await;
                // Whoever started it is gone, or says so.
                let _ = tokio::time::timeout(wait, told.changed()).await;
            }
            kept
        });
        Self { task, leave }
    }

    /// Ends it.
    pub async fn end(self) -> Kept {
        self.leave.send_replace(true);
        self.task.await.expect("a viewer does not panic")
    }
}

impl Kept {
    /// One reload and what is new in it; how long to wait for the next.
    async fn round(&mut self, playlist: &str) -> Duration {
        let second = Duration::from_secs(1);
        let Some(text) = self.get(playlist).await else {
            return second;
        };
        let media = match parse_media(&String::from_utf8_lossy(&text)) {
            Ok(media) => media,
            Err(error) => {
                self.failures.push(error.to_string());
                return second;
            }
        };
        self.check(&media);
        let (folder, _) = playlist.rsplit_once('/').expect("a whole URL");
        let mut discontinuities = media.discontinuity_sequence.unwrap_or(0);
        for unit in &media.segments {
            discontinuities += u64::from(unit.discontinuity);
            let last = self.segments.last().map_or(0, |segment| segment.msn);
            let last = self.gaps.last().map_or(last, |gap| last.max(*gap));
            if unit.msn > last && unit.gap {
                self.gaps.push(unit.msn);
            } else if unit.msn > last {
                self.keep(folder, unit, discontinuities).await;
            }
        }
        // Half a target duration: sooner than any player.
        second * media.target_duration.unwrap_or(2) as u32 / 2
    }

    /// Numbers never go back.
    fn check(&mut self, media: &Media) {
        let first = media.media_sequence;
        let next = first + media.segments.len() as u64;
        let place = (first, next, media.discontinuity_sequence.unwrap_or(0));
        let before = std::mem::replace(&mut self.reached, place);
        if place.0 < before.0 || place.1 < before.1 || place.2 < before.2 {
            self.failures
                .push(format!("numbers went from {before:?} to {place:?}"));
        }
    }

    async fn keep(&mut self, folder: &str, unit: &Unit, discontinuities: u64) {
        let init = unit.map.clone().expect("fragmented media has maps");
        if !self.inits.contains_key(&init) {
            let Some(bytes) = self.get(&format!("{folder}/{init}")).await else {
                return;
            };
            self.inits.insert(init.clone(), bytes);
        }
        let Some(bytes) = self.get(&format!("{folder}/{}", unit.uri)).await else {
            return;
        };
        let (run_id, _) = unit.uri.split_once('/').expect("run_id and number");
        self.segments.push(Segment {
            msn: unit.msn,
            discontinuities,
            run_id: run_id.to_owned(),
            init,
            bytes,
        });
    }

    async fn get(&mut self, url: &str) -> Option<Bytes> {
        match e2e::get(url).await {
            Some(answer) if answer.status == StatusCode::OK => Some(answer.body),
            Some(answer) => {
                self.failures.push(format!("{url}: {}", answer.status));
                None
            }
            None => {
                self.failures.push(format!("{url}: no answer"));
                None
            }
        }
    }

    /// Fails unless every answer was good, and every segment came, one after the other.
    pub fn assert_whole(&self) {
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        assert!(self.gaps.is_empty(), "gaps: {:?}", self.gaps);
        let numbers: Vec<u64> = self.segments.iter().map(|segment| segment.msn).collect();
        assert!(!numbers.is_empty(), "something was kept");
        assert!(
            numbers.windows(2).all(|two| two[1] == two[0] + 1),
            "{numbers:?}"
        );
    }

    /// Fails unless decode times tile from the first unit to the last.
    pub fn assert_tiles(&self) {
        let mut end = None;
        for segment in &self.segments {
            for unit in self.units(segment) {
                let expected = end.unwrap_or(unit.dts);
                assert_eq!(unit.dts, expected, "in segment {}", segment.msn);
                end = Some(unit.dts + i64::from(unit.duration));
            }
        }
    }

    fn units(&self, segment: &Segment) -> Vec<AccessUnit> {
        let init = cmaf::read_init(&self.inits[&segment.init]).expect("an init segment");
        let samples = cmaf::read_segment(&init, &segment.bytes).expect("a segment");
        samples.into_iter().map(|sample| sample.unit).collect()
    }

    /// Decodes what was kept and reads the number of every picture.
    pub fn numbers(&self, folder: &Path) -> Vec<u16> {
        let mut file = Vec::new();
        let mut init = None;
        for segment in &self.segments {
            if init.replace(&segment.init) != Some(&segment.init) {
                file.extend_from_slice(&self.inits[&segment.init]);
            }
            file.extend_from_slice(&segment.bytes);
        }
        let path = folder.join("kept.mp4");
        std::fs::write(&path, file).expect("the disk has room");
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(path)
            .args([
                "-fps_mode",
                "passthrough",
                "-pix_fmt",
                "gray",
                "-f",
                "rawvideo",
                "-",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg starts");
        let mut pictures = ffmpeg.stdout.take().expect("a pipe");
        let (width, height) = encoder::STAMPED;
        let mut picture = vec![0; width * height];
        let mut numbers = Vec::new();
        while pictures.read_exact(&mut picture).is_ok() {
            numbers.push(encoder::number(&picture).expect("every picture has its number"));
        }
        assert!(ffmpeg.wait().expect("ffmpeg ends").success(), "it decodes");
        numbers
    }
}

/// Fails unless each picture follows the one before.
pub fn assert_consecutive(numbers: &[u16]) {
    for (place, two) in numbers.windows(2).enumerate() {
        let expected = (two[0] + 1) % 4096;
        assert_eq!(
            two[1],
            expected,
            "after {place} of {} pictures",
            numbers.len()
        );
    }
}
