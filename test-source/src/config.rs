//! Reads and checks the `[test-source]` section of the configuration.

use std::{fmt, str::FromStr};

use media::{Projection, StereoLayout};
use rtmp::url::PublishUrl;
use serde::{Deserialize, Deserializer, de};
use service::config::{Bitrate, Duration};

use crate::faults;

/// Sides are at most this long: what H.264 and the encoder can hold.
pub const SIDE_PIXELS_MAX: u32 = encode::SIDE_PIXELS_MAX;
/// More targets than this is a load test for another tool.
pub const TARGETS_MAX: usize = 64;

/// What to publish, and where to.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to publish: `rtmp://host[:port]/app/stream[?key=secret]`. All get the same encoded
    /// bytes.
    pub targets: Vec<Target>,
    /// Picture width in pixels, even.
    pub width: u32,
    /// Picture height in pixels, even; by default what the projection and stereo layout ask for.
    pub height: Option<u32>,
    /// Pictures per second: `30`, `29.97` or `"30000/1001"`.
    pub frame_rate: Rate,
    /// Video bits per second on average. The scene is still and stays below it; see `grain`.
    pub bitrate: Bitrate,
    /// From one keyframe to the next. Long ones delay joining viewers.
    pub gop: Duration,
    /// Consecutive B-pictures. 0 costs bits, more cost delay.
    pub b_pictures: u8,
    /// H.264 encoder, as FFmpeg names it.
    pub encoder: String,
    /// The encoder's preset; slower ones cost CPU.
    pub preset: String,
    /// Encoder threads; 0 is the encoder's own choice.
    pub threads: u8,
    /// Sends sound: a soft tone, and a beep with the flash at each full second.
    pub sound: bool,
    /// Samples per second, one of AAC's rates.
    pub sample_rate: u32,
    /// Audio bits per second.
    pub audio_bitrate: Bitrate,
    /// How the picture lies on the sphere.
    pub projection: Projection,
    /// How the eyes' pictures share the frame; each carries its own mark.
    pub stereo: StereoLayout,
    /// Large words straight ahead.
    pub title: String,
    /// Moving grain in the lowest eighth, so that the bit rate is really used. For load tests; not
    /// pretty.
    pub grain: bool,
    /// What goes wrong on purpose.
    pub faults: faults::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![Target(PublishUrl::new(
                "127.0.0.1",
                rtmp::url::PORT,
                "live",
                "test",
                None,
            ))],
            width: 1920,
            height: None,
            frame_rate: Rate(30, 1),
            bitrate: Bitrate::from_kbps(6_000),
            gop: Duration::from_secs(2),
            b_pictures: 0,
            encoder: encode::ENCODER_DEFAULT.to_owned(),
            preset: "superfast".to_owned(),
            threads: 0,
            sound: true,
            sample_rate: 48_000,
            audio_bitrate: Bitrate::from_kbps(128),
            projection: Projection::default(),
            stereo: StereoLayout::default(),
            title: "PANOCAST".to_owned(),
            grain: false,
            faults: faults::Config::default(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("test-source.{key} {reason}")]
pub struct Problem {
    /// Its key within the section.
    pub key: &'static str,
    /// Value, limit and remedy.
    pub reason: String,
}

impl Config {
    /// Finds the first setting that cannot be used.
    pub fn check(&self) -> Result<(), Problem> {
        let problem = |key, reason: String| Err(Problem { key, reason });
        let side =
            |pixels: u32| (64..=SIDE_PIXELS_MAX).contains(&pixels) && pixels.is_multiple_of(2);
        if self.targets.is_empty() || self.targets.len() > TARGETS_MAX {
            let count = self.targets.len();
            return problem(
                "targets",
                format!("has {count} URLs; give 1 to {TARGETS_MAX}"),
            );
        }
        for (key, pixels) in [("width", self.width), ("height", self.height())] {
            if !side(pixels) {
                let reason = format!("is {pixels}; make it even and 64 to {SIDE_PIXELS_MAX}");
                return problem(key, reason);
            }
        }
        if self.gop_pictures() == 0 {
            return problem("gop", format!("of {} is below one picture", self.gop));
        }
        if media::aac::Config::lc(self.sample_rate, 2).is_none() {
            let reason = format!("{} is none of AAC's; use 48000 or 44100", self.sample_rate);
            return problem("sample_rate", reason);
        }
        for (key, rate) in [
            ("bitrate", self.bitrate),
            ("audio_bitrate", self.audio_bitrate),
        ] {
            if !(8_000..=800_000_000).contains(&rate.get()) {
                return problem(key, format!("of {rate} is outside 8k to 800M"));
            }
        }
        Ok(())
    }

    /// The picture's height, given or fitting.
    pub fn height(&self) -> u32 {
        let fitting = || {
            let eye = match self.stereo {
                StereoLayout::SideBySide | StereoLayout::RightLeft => self.width / 2,
                _ => self.width,
            };
            let height = match self.projection {
                Projection::Equirectangular | Projection::DualFisheye => eye / 2,
                Projection::HalfEquirectangular | Projection::Rectilinear => eye,
                Projection::Cubemap | Projection::EquiAngularCubemap => eye * 2 / 3,
            };
            let eyes = if self.stereo == StereoLayout::TopBottom {
                2
            } else {
                1
            };
            height * eyes / 2 * 2
        };
        self.height.unwrap_or_else(fitting)
    }

    /// Pictures from one keyframe to the next.
    pub fn gop_pictures(&self) -> u64 {
        let Rate(pictures, seconds) = self.frame_rate;
        let millis = u64::try_from(self.gop.get().as_millis()).unwrap_or(u64::MAX / 240_000);
        (millis * u64::from(pictures) + 500 * u64::from(seconds)) / (1000 * u64::from(seconds))
    }

    /// How a player must show it.
    pub fn immersive(&self) -> media::Immersive {
        media::Immersive {
            projection: self.projection,
            stereo: self.stereo,
            ..media::Immersive::default()
        }
    }
}

/// A publish URL. Its key is never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub PublishUrl);

impl FromStr for Target {
    type Err = rtmp::url::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Pictures per seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u32, pub u32);

/// A text that is no frame rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {0:?} as a frame rate of 1 to 240: write 30, 29.97 or \"30000/1001\"")]
pub struct RateError(String);

impl Rate {
    /// When the picture with this number is due, in nanoseconds since the first.
    pub fn nanos(self, number: u64) -> u64 {
        let nanos = u128::from(number) * 1_000_000_000 * u128::from(self.1) / u128::from(self.0);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The number of the last picture due after this many nanoseconds.
    pub fn number(self, nanos: u64) -> u64 {
        let number = u128::from(nanos) * u128::from(self.0) / u128::from(self.1);
        u64::try_from(number / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let refuse = || RateError(text.to_owned());
        let rate = match text.split_once('/') {
            Some((pictures, seconds)) => {
                let part = |text: &str| text.trim().parse().map_err(|_| refuse());
                Rate(part(pictures)?, part(seconds)?)
            }
            None => {
                let value: f64 = text.trim().parse().map_err(|_| refuse())?;
                // 23.976, 29.97, 59.94: a thousandth below a whole number.
                let whole = value.ceil();
                let ntsc = (value - whole * 1000.0 / 1001.0).abs() < 0.006 && value < whole;
                match ntsc {
                    true => Rate(whole as u32 * 1000, 1001),
                    false => Rate((value * 1000.0).round() as u32, 1000),
                }
            }
        };
        let in_range = rate.1 > 0 && (1..=240).contains(&(rate.0 / rate.1.max(1)));
        if in_range {
            Ok(rate.reduced())
        } else {
            Err(refuse())
        }
    }
}

impl Rate {
    fn reduced(self) -> Self {
        let (mut a, mut b) = (self.0, self.1);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Rate(self.0 / a.max(1), self.1 / a.max(1))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == 1 {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:.2}", f64::from(self.0) / f64::from(self.1))
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(u32),
            Decimal(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Whole(rate) => rate.to_string(),
            Written::Decimal(rate) => rate.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use service::config::File;

    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("30", Rate(30, 1)),
            ("29.97", Rate(30_000, 1001)),
            ("23.976", Rate(24_000, 1001)),
            ("59.94", Rate(60_000, 1001)),
            ("12.5", Rate(25, 2)),
            ("60000/1001", Rate(60_000, 1001)),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
        }
        for text in ["", "0", "1/0", "fast", "-3", "500", "NaN", "inf"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_section_is_read_and_a_wrong_key_is_named() {
        let text = "[test-source]\ntargets = [\"rtmp://a/live/x?key=s\", \"rtmp://b/live/x\"]\n\
                    frame_rate = 29.97\nprojection = \"eac\"\n[test-source.faults]\n\
                    drop_every = \"30s\"\njump_by_ms = -3600000\n";
        let file = File::parse("test.toml", text).unwrap();
        let config: Config = file.section("test-source").unwrap();
        assert_eq!(config.targets.len(), 2);
        assert_eq!(config.frame_rate, Rate(30_000, 1001));
        assert_eq!((config.width, config.height()), (1920, 1280));
        assert!(!format!("{config:?}").contains("key=s"));
        let file = File::parse("test.toml", "[test-source]\nwidht = 3\n").unwrap();
        let error = file.section::<Config>("test-source").unwrap_err();
        assert!(error.to_string().contains("widht"), "{error}");
    }

    #[test]
    fn a_flat_picture_is_square_because_it_shows_as_much_upwards_as_sideways() {
        let config = Config {
            projection: Projection::Rectilinear,
            ..Config::default()
        };
        assert_eq!(config.height(), config.width);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!((config.height(), config.gop_pictures()), (960, 60));
        let wrong = [
            Config {
                width: 1921,
                ..config.clone()
            },
            Config {
                height: Some(0),
                ..config.clone()
            },
            Config {
                targets: Vec::new(),
                ..config.clone()
            },
            Config {
                gop: Duration::from_millis(1),
                ..config.clone()
            },
            Config {
                sample_rate: 47_999,
                ..config.clone()
            },
        ];
        for config in wrong {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
