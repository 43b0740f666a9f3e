//! Plans the rungs to encode from a source's size and rate and what the operator asked for.
//!
//! Pure but for the question whether this FFmpeg has the encoder.

use crate::{
    Error,
    color::ColorInfo,
    h264,
    picture::{SIDE_PIXELS_MAX, SIDE_PIXELS_MIN},
    reproject::Reprojection,
};

/// Rungs a ladder has at most: more than twice the default, and players choose no better among
/// more.
pub const RUNGS_MAX: usize = 8;

/// The preset used when none is named. On two cores it keeps a 3840x1920 source at 30 pictures per
/// second in real time with the default rungs, with room for the rest of an origin.
pub const PRESET_DEFAULT: &str = h264::PRESET_LIVE;

/// The peak bitrate in percent of the average. Low enough for players' bandwidth estimates to hold,
/// and high enough for a keyframe after a cut.
pub const BITRATE_MAX_PERCENT: u32 = 120;

/// The time over which the peak holds.
pub const BUFFER_MS: u32 = 1200;

/// Source rate assumed where none is known.
const FRAME_RATE_UNKNOWN: (u32, u32) = (30, 1);

/// What the operator asks of one rung.
#[derive(Clone, Debug, PartialEq)]
pub struct RungConfig {
    /// Width in pixels; rungs that are not narrower than the source are left out.
    pub width: u32,
    /// Bits per second on average.
    pub bitrate: u32,
    /// At most this many pictures per second; met by keeping every n-th picture.
    pub max_fps: Option<f64>,
    /// The encoder's preset, [`PRESET_DEFAULT`] for libx264 and the encoder's own otherwise.
    pub preset: Option<String>,
    /// The encoder's name, libx264 where there is none.
    pub encoder: Option<String>,
    /// Puts the sphere into the picture in another way before scaling.
    pub reprojection: Option<Reprojection>,
}

impl RungConfig {
    /// A rung with everything else left to the defaults.
    pub fn new(width: u32, bitrate: u32) -> Self {
        Self {
            width,
            bitrate,
            max_fps: None,
            preset: None,
            encoder: None,
            reprojection: None,
        }
    }
}

/// One rung of a ladder, with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// `<height>p`, unique within the ladder.
    pub name: String,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Bits per second on average.
    pub bitrate: u32,
    /// Bits per second at most, over [`BUFFER_MS`].
    pub bitrate_max: u32,
    /// Keeps every n-th picture of the source; 1 keeps all.
    pub keep_every: u32,
    /// Pictures per second after that, as numerator and denominator.
    pub frame_rate: (u32, u32),
    /// The encoder's name.
    pub encoder: String,
    /// The encoder's preset.
    pub preset: String,
    /// Another projection before scaling.
    pub reprojection: Option<Reprojection>,
}

impl Rung {
    /// Pixels per second: what a rung costs, by and large.
    pub fn pixel_rate(&self) -> u64 {
        let (pictures, seconds) = self.frame_rate;
        u64::from(self.width) * u64::from(self.height) * u64::from(pictures)
            / u64::from(seconds.max(1))
    }

    pub(crate) fn settings(&self, color: ColorInfo, threads: u8) -> h264::Settings {
        h264::Settings {
            encoder: self.encoder.clone(),
            preset: self.preset.clone(),
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            bitrate: self.bitrate,
            bitrate_max: self.bitrate_max,
            buffer_ms: BUFFER_MS,
            b_pictures: None,
            lookahead: None,
            threads,
            color,
        }
    }
}

/// The rungs for a source, the largest first. Rungs not narrower than the source are left out:
/// never upscaled.
///
/// `source_rate` is pictures per second as numerator and denominator, declared or measured; `None`
/// assumes 30.
pub fn plan(
    source_width: u32,
    source_height: u32,
    source_rate: Option<(u32, u32)>,
    configs: &[RungConfig],
) -> Result<Vec<Rung>, Error> {
    check_count(configs)?;
    configs.iter().try_for_each(check)?;
    let narrower = configs.iter().filter(|config| config.width < source_width);
    let narrower = narrower.cloned().collect::<Vec<_>>();
    plan_all((source_width, source_height), source_rate, &narrower)
}

/// A rung for each of `configs`, the largest first, whatever the source's width.
pub fn plan_all(
    source: (u32, u32),
    source_rate: Option<(u32, u32)>,
    configs: &[RungConfig],
) -> Result<Vec<Rung>, Error> {
    check_count(configs)?;
    let rate = source_rate.filter(|(n, d)| *n > 0 && *d > 0);
    let mut rungs = Vec::new();
    for config in configs {
        check(config)?;
        rungs.push(rung(config, source, rate.unwrap_or(FRAME_RATE_UNKNOWN))?);
    }
    rungs.sort_by_key(|r| std::cmp::Reverse((r.width, r.height, r.frame_rate.0, r.bitrate)));
    name(&mut rungs);
    Ok(rungs)
}

/// What a core decodes, and what it encodes with the default preset, in pixels per second.
const DECODED_PER_CORE: u64 = 150_000_000;
const ENCODED_PER_CORE: u64 = 80_000_000;

/// Percent of the cores that a rung nobody asked for may take: the rest is for everything else.
const UNASKED_CORES_PERCENT: u64 = 75;

/// Bits per pixel of such a rung where the source's own rate is not known: enough for camera
/// pictures with the default preset.
const UNASKED_BITS_PER_PIXEL: f64 = 0.1;

/// One rung of the source's own size, for a source that players cannot start in (its keyframes are
/// not IDR pictures) where no ladder is configured. `None` where `cores` cannot carry it.
///
/// `bitrate` is the source's, where it is known.
pub fn source_size(
    source: (u32, u32),
    source_rate: Option<(u32, u32)>,
    bitrate: Option<u32>,
    cores: usize,
) -> Result<Option<Rung>, Error> {
    let (pictures, seconds) = source_rate
        .filter(|(n, d)| *n > 0 && *d > 0)
        .unwrap_or(FRAME_RATE_UNKNOWN);
    let pixels = u64::from(source.0) * u64::from(source.1);
    let rate = pixels * u64::from(pictures) / u64::from(seconds);
    let hundredths = rate * 100 / DECODED_PER_CORE + rate * 100 / ENCODED_PER_CORE;
    if hundredths > cores as u64 * UNASKED_CORES_PERCENT {
        return Ok(None);
    }
    let guessed = (rate as f64 * UNASKED_BITS_PER_PIXEL) as u32;
    let most = h264::BITRATE_MAX / BITRATE_MAX_PERCENT * 100;
    let bitrate = bitrate.filter(|bits| *bits > 0).unwrap_or(guessed);
    let config = RungConfig::new(source.0, bitrate.clamp(1000, most));
    Ok(plan_all(source, source_rate, &[config])?.pop())
}

fn check_count(configs: &[RungConfig]) -> Result<(), Error> {
    if configs.len() > RUNGS_MAX {
        let reason = format!("a ladder has at most {RUNGS_MAX} rungs; leave some out");
        return Err(Error::setting("ladder", configs.len(), reason));
    }
    Ok(())
}

fn check(config: &RungConfig) -> Result<(), Error> {
    if !(SIDE_PIXELS_MIN..=SIDE_PIXELS_MAX).contains(&config.width) {
        let reason = format!("make it {SIDE_PIXELS_MIN} to {SIDE_PIXELS_MAX}");
        return Err(Error::setting("width", config.width, reason));
    }
    if config.bitrate == 0 || peak(config.bitrate) > h264::BITRATE_MAX {
        let most = h264::BITRATE_MAX / BITRATE_MAX_PERCENT * 100;
        let reason = format!("make it 1 to {most} bits per second");
        return Err(Error::setting("bitrate", config.bitrate, reason));
    }
    if let Some(reprojection) = &config.reprojection {
        reprojection.check()?;
    }
    if let Some(fps) = config.max_fps
        && !(1.0..=1000.0).contains(&fps)
    {
        return Err(Error::setting("max_fps", fps, "make it 1 to 1000"));
    }
    Ok(())
}

fn peak(bitrate: u32) -> u32 {
    bitrate.saturating_add(bitrate / 100 * (BITRATE_MAX_PERCENT - 100))
}

fn rung(config: &RungConfig, source: (u32, u32), rate: (u32, u32)) -> Result<Rung, Error> {
    let encoder = config.encoder.as_deref().unwrap_or(h264::ENCODER_DEFAULT);
    h264::check_available(encoder)?;
    let preset = match &config.preset {
        Some(preset) => preset.clone(),
        None if encoder == h264::ENCODER_DEFAULT => PRESET_DEFAULT.to_owned(),
        None => String::new(),
    };
    h264::check_preset(encoder, &preset)?;
    let width = config.width & !1;
    let height = config.reprojection.map_or_else(
        || even_height(width, source),
        |reprojection| even_height(width, reprojection.aspect(source)),
    );
    if height > SIDE_PIXELS_MAX {
        let reason = format!("the source's shape makes it over {SIDE_PIXELS_MAX} pixels high");
        return Err(Error::setting("width", config.width, reason));
    }
    let keep_every = keep_every(rate, config.max_fps);
    Ok(Rung {
        name: String::new(),
        width,
        height,
        bitrate: config.bitrate,
        bitrate_max: peak(config.bitrate),
        keep_every,
        frame_rate: (rate.0, rate.1.saturating_mul(keep_every)),
        encoder: encoder.to_owned(),
        preset,
        reprojection: config.reprojection,
    })
}

/// The even height that keeps the shape of `source` best.
fn even_height(width: u32, source: (u32, u32)) -> u32 {
    let (wide, high) = (u64::from(source.0.max(1)), u64::from(source.1));
    let pairs = (u64::from(width) * high + wide) / (2 * wide);
    u32::try_from(pairs * 2)
        .unwrap_or(u32::MAX)
        .max(SIDE_PIXELS_MIN)
}

/// The smallest n for which every n-th picture is at most `max_fps`.
fn keep_every(rate: (u32, u32), max_fps: Option<f64>) -> u32 {
    let Some(most) = max_fps else { return 1 };
    let fps = f64::from(rate.0) / f64::from(rate.1);
    // 30000/1001 is "30" to those who write configs, 60000/1001 "60".
    (1..=240)
        .find(|n| fps / f64::from(*n) <= most * 1.001)
        .unwrap_or(240)
}

fn name(rungs: &mut [Rung]) {
    for index in 0..rungs.len() {
        let (before, rest) = rungs.split_at_mut(index);
        let Some(rung) = rest.first_mut() else { return };
        let plain = format!("{}p", rung.height);
        let taken = |name: &str| before.iter().any(|other| other.name == name);
        rung.name = std::iter::once(plain.clone())
            .chain(std::iter::once(format!("{plain}-{}k", rung.bitrate / 1000)))
            .chain((2..).map(|n| format!("{plain}-{}k-{n}", rung.bitrate / 1000)))
            .find(|name| !taken(name))
            .unwrap_or(plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn three_rungs() -> Vec<RungConfig> {
        [(1920, 5_800_000), (960, 2_300_000), (480, 500_000)]
            .map(|(width, bitrate)| RungConfig::new(width, bitrate))
            .to_vec()
    }

    fn names(width: u32, height: u32) -> Vec<String> {
        let rungs = plan(width, height, Some((30, 1)), &three_rungs()).unwrap();
        rungs.into_iter().map(|rung| rung.name).collect()
    }

    #[test]
    fn defaults_are_those_below_the_source() {
        assert_eq!(names(3840, 1920), ["960p", "480p", "240p"]);
        assert_eq!(names(1920, 960), ["480p", "240p"]);
        assert_eq!(names(1280, 720), ["540p", "270p"]);
        assert!(names(480, 240).is_empty());
    }

    #[test]
    fn max_fps_keeps_every_nth() {
        for (rate, most, every) in [
            ((60, 1), 30.0, 2),
            ((60_000, 1001), 30.0, 2),
            ((60, 1), 25.0, 3),
            ((30, 1), 30.0, 1),
            ((25, 1), 30.0, 1),
            ((50, 1), 12.5, 4),
        ] {
            assert_eq!(keep_every(rate, Some(most)), every, "{rate:?} {most}");
        }
    }

    #[test]
    fn a_rung_of_the_sources_size_is_planned_where_the_cores_carry_it() {
        let full_hd = source_size((1920, 1080), Some((30, 1)), Some(6_000_000), 2);
        let rung = full_hd.unwrap().unwrap();
        assert_eq!((rung.width, rung.height), (1920, 1080));
        assert_eq!((rung.name.as_str(), rung.bitrate), ("1080p", 6_000_000));
        let large = |cores| source_size((3840, 1920), Some((30, 1)), None, cores).unwrap();
        assert_eq!(large(2), None);
        assert_eq!(large(8).map(|rung| rung.bitrate), Some(22_118_400));
        let odd = source_size((641, 361), None, None, 1).unwrap().unwrap();
        assert_eq!((odd.width, odd.height), (640, 360));
    }

    #[test]
    fn names_stay_unique() {
        let same = [
            RungConfig::new(640, 800_000),
            RungConfig::new(640, 400_000),
            RungConfig::new(640, 400_000),
        ];
        let rungs = plan(1280, 640, None, &same).unwrap();
        let names: Vec<_> = rungs.iter().map(|rung| rung.name.as_str()).collect();
        assert_eq!(names, ["320p", "320p-400k", "320p-400k-2"]);
    }

    #[test]
    fn wrong_settings_name_value_limit_and_remedy() {
        let too_many = vec![RungConfig::new(640, 1); RUNGS_MAX + 1];
        let error = plan(1280, 640, None, &too_many).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use ladder = 9: a ladder has at most 8 rungs; leave some out"
        );
        let mut config = RungConfig::new(640, 800_000);
        config.encoder = Some("h264_magic".to_owned());
        let error = plan(1280, 640, None, &[config]).unwrap_err().to_string();
        assert!(
            error.contains("h264_magic") && error.contains("libx264"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn never_upscales_and_keeps_shape(
            wide in 16u32..8192, high in 16u32..8192,
            widths in proptest::collection::vec(16u32..8192, 0..8),
            rate in 1u32..240, most in proptest::option::of(1.0f64..240.0),
        ) {
            let configs: Vec<_> = widths.iter().map(|width| {
                let mut config = RungConfig::new(*width, 1_000_000);
                config.max_fps = most;
                config
            }).collect();
            let Ok(rungs) = plan(wide, high, Some((rate, 1)), &configs) else { return Ok(()) };
            prop_assert!(rungs.windows(2).all(|w| w[0].width >= w[1].width));
            for rung in &rungs {
                prop_assert!(rung.width < wide && rung.width % 2 == 0 && rung.height % 2 == 0);
                let exact = f64::from(rung.width) * f64::from(high) / f64::from(wide);
                prop_assert!((f64::from(rung.height) - exact).abs() <= 1.0 || rung.height == 16);
                let fps = f64::from(rung.frame_rate.0) / f64::from(rung.frame_rate.1);
                prop_assert!(most.is_none_or(|most| fps <= most * 1.001));
            }
            let mut names: Vec<_> = rungs.iter().map(|rung| &rung.name).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), rungs.len());
        }
    }
}
