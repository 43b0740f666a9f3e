//! The `[transcoder]` section of the config file: text to typed, checked values.

use std::net::SocketAddr;

use serde::Deserialize;
use service::{
    config::{Bitrate, Duration, Error, File, Secret},
    interruption::Metadata,
};

use crate::plan::{self, LadderRung, Settings};

/// Slices at once beyond this only make each slower.
pub const SLOTS_MAX: usize = 64;

/// Cores that one slice keeps busy: decoding, scaling and the largest rungs run side by side.
const CORES_PER_SLOT: usize = 4;

/// `[transcoder]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where operators and probes look.
    pub admin_listen: SocketAddr,
    /// Bearer token of the admin listener; demanded beyond loopback.
    pub admin_token: Option<Secret>,
    /// Slices at once; 0 takes one per four cores.
    pub slots: usize,
    /// Length of a slice: what an interruption costs, and what each slice pays two seconds extra
    /// for.
    pub slice_target: Duration,
    /// Length of a segment.
    pub segment_target: Duration,
    /// Rungs; those above the source are left out.
    pub ladder: Vec<Rung>,
    /// Leaving.
    pub drain: Drain,
}

/// `[transcoder.drain]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Where the cloud's notices are, or `off`.
    pub metadata: Metadata,
    /// How long slices under way may take when nobody names a deadline.
    pub deadline: Duration,
    /// The group whose lifecycle hook waits for this machine.
    pub auto_scaling_group: Option<String>,
    /// That hook.
    pub lifecycle_hook: Option<String>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            metadata: Metadata::off(),
            deadline: Duration::from_secs(100),
            auto_scaling_group: None,
            lifecycle_hook: None,
        }
    }
}

/// One `[[transcoder.ladder]]` entry.
pub type Rung = contract::RungConfig<Bitrate>;

impl Default for Config {
    fn default() -> Self {
        let in_text = |rung: LadderRung| rung.map_bitrate(|bits| Bitrate(u64::from(bits)));
        Self {
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            admin_token: None,
            slots: 0,
            slice_target: Duration::from_secs(30),
            segment_target: Duration::from_secs(6),
            ladder: contract::vod_ladder().into_iter().map(in_text).collect(),
            drain: Drain::default(),
        }
    }
}

impl Config {
    /// Reads and checks the section.
    pub fn load(file: &File) -> Result<Self, Error> {
        let config: Self = file.section("transcoder")?;
        let reject = |key: &str, reason: String| file.reject(&format!("transcoder.{key}"), reason);
        if config.slots > SLOTS_MAX {
            return Err(reject(
                "slots",
                format!("= {} exceeds {SLOTS_MAX}", config.slots),
            ));
        }
        let segment = config.segment_target.get().as_secs_f64();
        if !(1.0..=20.0).contains(&segment) {
            return Err(reject("segment_target", "is outside 1s to 20s".into()));
        }
        let slice = config.slice_target.get().as_secs_f64();
        if slice < segment || slice > 600.0 {
            return Err(reject(
                "slice_target",
                "is outside segment_target to 10m".into(),
            ));
        }
        file.check_admin(
            "transcoder",
            config.admin_listen,
            config.admin_token.as_ref(),
        )?;
        let drain = &config.drain;
        let (group, hook) = (&drain.auto_scaling_group, &drain.lifecycle_hook);
        file.check_lifecycle("transcoder", group.as_deref(), hook.as_deref())?;
        if config.ladder.len() > encode::ladder::RUNGS_MAX {
            let reason = format!("has more than {} rungs", encode::ladder::RUNGS_MAX);
            return Err(reject("ladder", reason));
        }
        // What the encoder would refuse for every recording is refused here, for a source that is
        // larger than any rung.
        let (width, height) = (encode::SIDE_PIXELS_MAX, encode::SIDE_PIXELS_MAX / 2);
        let rungs = config.settings().ladder;
        let sphere = media::Immersive::default();
        let configs = rungs.iter().map(|rung| plan::encoder_rung(rung, &sphere));
        let configs = configs.collect::<Vec<_>>();
        encode::ladder::plan(width, height, None, &configs)
            .map_err(|error| reject("ladder", format!("cannot be used: {error}")))?;
        Ok(config)
    }

    /// What shapes a plan.
    pub fn settings(&self) -> Settings {
        let number = |bits: Bitrate| u32::try_from(bits.get()).unwrap_or(u32::MAX);
        let rung = |rung: &Rung| rung.clone().map_bitrate(number);
        Settings {
            ladder: self.ladder.iter().map(rung).collect(),
            slice_seconds: self.slice_target.get().as_secs_f64(),
            segment_seconds: self.segment_target.get().as_secs_f64(),
        }
    }

    /// Slices at once.
    pub fn slots(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.slots > 0 {
            self.slots
        } else {
            (cores / CORES_PER_SLOT).clamp(1, SLOTS_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = File::parse("t.toml", text).unwrap();
        Config::load(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_a_working_transcoder() {
        let config = load("").unwrap();
        assert_eq!(config.settings().ladder, contract::vod_ladder());
        assert!(config.slots() >= 1);
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (text, said) in [
            ("[transcoder]\nslice_target = \"1s\"", "t.toml:2"),
            ("[transcoder]\nsegment_target = \"60s\"", "1s to 20s"),
            ("[transcoder]\nslots = 65", "exceeds 64"),
            (
                "[[transcoder.ladder]]\nwidth = 3\nbitrate = \"1M\"",
                "width",
            ),
            ("[transcoder]\nslot = 1", "slot"),
            (
                "[transcoder]\nadmin_listen = \"10.0.0.1:9092\"",
                "is not loopback; set admin_token",
            ),
            (
                "[transcoder.drain]\nlifecycle_hook = \"drain\"",
                "auto_scaling_group",
            ),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
