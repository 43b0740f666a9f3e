//! Schedules what goes wrong on purpose, for tests of whatever receives the stream.

use std::time::Duration;

use serde::Deserialize;
use service::config;

/// The `[test-source.faults]` section; an interval of `"0"`, the default, never happens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often the connection is cut without a word.
    pub drop_every: config::Duration,
    /// How long it stays away then.
    pub drop_for: config::Duration,
    /// How often the publisher's clock jumps.
    pub jump_every: config::Duration,
    /// By how many milliseconds; may be negative.
    pub jump_by_ms: i64,
    /// How often nothing is sent while the connection stays open.
    pub stall_every: config::Duration,
    /// For how long; what was held back follows at once.
    pub stall_for: config::Duration,
    /// How often no audio is sent, as when a microphone is muted in an encoder that then sends
    /// none.
    pub mute_every: config::Duration,
    /// For how long; what was said meanwhile is lost.
    pub mute_for: config::Duration,
    /// How often the picture's size changes, to half and back, at a keyframe.
    pub resize_every: config::Duration,
    /// How often sixteen bytes of a picture are overwritten.
    pub damage_every: config::Duration,
    /// The first time stamp of each connection, in milliseconds: near 2^31 or 2^32 it wraps soon.
    pub first_timestamp_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        let never = config::Duration::default();
        Self {
            drop_every: never,
            drop_for: config::Duration::from_secs(3),
            jump_every: never,
            jump_by_ms: 3_600_000,
            stall_every: never,
            stall_for: config::Duration::from_secs(2),
            mute_every: never,
            mute_for: config::Duration::from_secs(10),
            resize_every: never,
            damage_every: never,
            first_timestamp_ms: 0,
        }
    }
}

/// One thing that goes wrong on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Cut the connection; come back after this time.
    Drop(Duration),
    /// Shift the clock by this many milliseconds.
    Jump(i64),
    /// Send nothing for this time.
    Stall(Duration),
    /// Send no audio for this time.
    Mute(Duration),
    /// Overwrite part of the next picture.
    Damage,
}

/// When the faults of one publisher are due; it outlives reconnects.
#[derive(Clone, Debug)]
pub struct Schedule {
    timers: Vec<(Duration, Duration, Fault)>,
}

impl Schedule {
    /// Intervals counted from `now`.
    pub fn new(config: &Config, now: Duration) -> Self {
        let timers = [
            (config.drop_every, Fault::Drop(config.drop_for.get())),
            (config.jump_every, Fault::Jump(config.jump_by_ms)),
            (config.stall_every, Fault::Stall(config.stall_for.get())),
            (config.mute_every, Fault::Mute(config.mute_for.get())),
            (config.damage_every, Fault::Damage),
        ];
        let timers = timers
            .into_iter()
            .map(|(every, fault)| (every.get(), fault));
        let wanted = timers.filter(|(every, _)| !every.is_zero());
        Self {
            timers: wanted
                .map(|(every, fault)| (now + every, every, fault))
                .collect(),
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.timers.iter().map(|(due, ..)| *due).min()
    }

    /// One that is due; each is due again its interval after `now`.
    pub fn due(&mut self, now: Duration) -> Option<Fault> {
        let (due, every, fault) = self.timers.iter_mut().find(|(due, ..)| *due <= now)?;
        *due = now + *every;
        Some(*fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_at_their_intervals_and_the_default_has_none() {
        let second = Duration::from_secs(1);
        assert_eq!(Schedule::new(&Config::default(), second).next(), None);
        let config = Config {
            drop_every: config::Duration::from_secs(5),
            jump_every: config::Duration::from_secs(3),
            ..Config::default()
        };
        let mut schedule = Schedule::new(&config, second);
        assert_eq!(schedule.next(), Some(4 * second));
        assert_eq!(schedule.due(3 * second), None);
        assert_eq!(schedule.due(4 * second), Some(Fault::Jump(3_600_000)));
        assert_eq!(schedule.due(4 * second), None);
        assert_eq!(schedule.due(6 * second), Some(Fault::Drop(3 * second)));
    }
}
