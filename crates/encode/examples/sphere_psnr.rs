//! What a projection is worth: encodes rungs of one equirectangular source in a projection and
//! several bitrates as an origin would, and compares each with the source on the sphere.
//!
//! ```text
//! sphere_psnr SOURCE.mp4 FOLDER WIDTH PROJECTION kbps …
//! ```
//!
//! WIDTH is that of an equirectangular rung; cubemaps get as many pixels around the equator. Every
//! rung is decoded by `ffmpeg`, turned back into an equirectangular picture of the source's size
//! and compared there by WS-PSNR: PSNR of the luma with each row weighted by its share of the
//! sphere (Sun, Lu and Yu, 2017). One JSON object per rung is printed.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use encode::{
    Reprojection,
    file_demuxer::FileDemuxer,
    ladder::{Event, Ladder, Options, Pace, RungConfig, plan},
};
use media::{AccessUnit, MediaKind, Projection, Track, VideoConfig};

type Failure = Box<dyn std::error::Error>;

/// Pictures compared: every fourth is enough for a mean.
const EVERY: u32 = 4;

/// An equi-angular cubemap as `v360` wants it, with a margin of two pixels around each row of
/// faces.
const EAC: &str = "split[a][b];[a]crop=iw:ih/2:0:0,pad=iw+4:ih+4:2:2,fillborders=2:2:2:2:smear[c];\
                   [b]crop=iw:ih/2:0:ih/2,pad=iw+4:ih+4:2:2,fillborders=2:2:2:2:smear[d];\
                   [c][d]vstack,v360=eac:e:interp=lanczos";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [source, folder, width, projection, rates @ ..] = words.as_slice() else {
        return Err("usage: sphere_psnr SOURCE.mp4 FOLDER WIDTH PROJECTION kbps …".into());
    };
    let (source, folder) = (Path::new(source), PathBuf::from(folder));
    let (width, projection) = (width.parse()?, projection.parse()?);
    std::fs::create_dir_all(&folder)?;
    for rate in rates {
        let rung = Rung::encode(source, &folder, projection, width, rate.parse()?)?;
        let decibels = rung.compare(source)?;
        println!(
            "{{\"width\":{},\"height\":{},\"kbps\":{:.1},\"cpu_seconds\":{:.2},\
             \"ws_psnr\":{decibels:.3}}}",
            rung.size.0, rung.size.1, rung.kilobits, rung.cpu_seconds,
        );
    }
    Ok(())
}

/// An encoded rung in a file.
struct Rung {
    path: PathBuf,
    projection: Projection,
    size: (u32, u32),
    kilobits: f64,
    /// Decoding, reprojecting, scaling, encoding.
    cpu_seconds: f64,
    source_size: (u32, u32),
}

impl Rung {
    fn encode(
        source: &Path,
        folder: &Path,
        projection: Projection,
        width: u32,
        kilobits: u32,
    ) -> Result<Self, Failure> {
        let mut demuxer = FileDemuxer::open(File::open(source)?)?;
        let track = demuxer
            .video_track()
            .ok_or("the source has no video")?
            .clone();
        let config = &track.as_video().ok_or("the source has no video")?.config;
        let source_size = config.dimensions();
        let before = cpu_seconds();
        let is_map = projection == Projection::Equirectangular;
        let wanted = RungConfig {
            reprojection: (!is_map).then_some(Reprojection {
                from: Projection::Equirectangular,
                to: projection,
                yaw: 0.0,
                fov: 180.0,
            }),
            ..RungConfig::new(if is_map { width } else { width / 4 * 3 }, kilobits * 1000)
        };
        let rungs = plan(source_size.0, source_size.1, config.frame_rate(), &[wanted])?;
        let planned = rungs
            .first()
            .ok_or("the rung is not narrower than the source")?;
        let size = (planned.width, planned.height);
        let path = folder.join(format!("{projection}-{kilobits}.h264"));
        let mut file = BufWriter::new(File::create(&path)?);
        let mut rung_track: Option<Track> = None;
        let options = Options {
            pace: Pace::Offline,
            ..Options::default()
        };
        let sink = move |event| match event {
            Event::Track { track, .. } => rung_track = Some(track),
            Event::AccessUnit { unit, .. } => write(&mut file, rung_track.as_ref(), &unit),
            other => eprintln!("{other:?}"),
        };
        let mut ladder = Ladder::spawn_with(&track, rungs, options, sink)?;
        let mut ticks = 0;
        while let Some(unit) = demuxer.read()? {
            if unit.kind == MediaKind::Video {
                ticks += i64::from(unit.duration);
                let opens_segment = unit.is_sync();
                ladder.push(unit, opens_segment);
            }
        }
        ladder.finish();
        let cpu_seconds = cpu_seconds() - before;
        let seconds = media::VIDEO_TIMESCALE.seconds(ticks);
        let bits = std::fs::metadata(&path)?.len() as f64 * 8.0;
        Ok(Self {
            path,
            projection,
            size,
            kilobits: bits / 1000.0 / seconds,
            cpu_seconds,
            source_size,
        })
    }

    /// WS-PSNR of the luma, decibels.
    fn compare(&self, source: &Path) -> Result<f64, Failure> {
        let (width, height) = self.source_size;
        let every = format!("select='not(mod(n,{EVERY}))'");
        let back = match self.projection {
            Projection::Cubemap => "v360=c3x2:e:in_forder=rludfb:interp=lanczos",
            Projection::EquiAngularCubemap => EAC,
            _ => "v360=e:e:interp=lanczos",
        };
        let ours = format!("{every},{back}:w={width}:h={height}");
        let (mut ours, mut theirs) = (luma(&self.path, &ours)?, luma(source, &every)?);
        let weights = weights(height);
        let bytes = width as usize * height as usize;
        let (mut one, mut other) = (vec![0; bytes], vec![0; bytes]);
        let (mut squares, mut total) = (0.0, 0.0);
        while next(&mut theirs, &mut other)? && next(&mut ours, &mut one)? {
            let rows = one.chunks(width as usize).zip(other.chunks(width as usize));
            for ((a, b), weight) in rows.zip(&weights) {
                let difference = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b)).pow(2);
                let row: u64 = a.iter().zip(b).map(difference).sum();
                squares += row as f64 * weight;
                total += f64::from(width) * weight;
            }
        }
        for child in [&mut ours, &mut theirs] {
            child.kill()?;
            child.wait()?;
        }
        Ok(10.0 * (255.0 * 255.0 * total / squares).log10())
    }
}

/// Seconds of CPU that this process has used on all its threads.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid for the call, which only writes through it.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The share of the sphere that a pixel of each row has, up to a factor.
fn weights(height: u32) -> Vec<f64> {
    let latitude = |row: u32| (f64::from(row) + 0.5 - f64::from(height) / 2.0) / f64::from(height);
    (0..height)
        .map(|row| (latitude(row) * std::f64::consts::PI).cos())
        .collect()
}

/// `ffmpeg` that writes the luma of `path`'s pictures, filtered.
fn luma(path: &Path, filter: &str) -> Result<Child, Failure> {
    let filter = format!("{filter},format=gray");
    let child = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", &filter, "-fps_mode", "passthrough"])
        .args(["-f", "rawvideo", "-"])
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// The next picture; `false` at the end.
fn next(from: &mut Child, picture: &mut [u8]) -> Result<bool, Failure> {
    let output = from.stdout.as_mut().ok_or("ffmpeg has no output")?;
    match output.read_exact(picture) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn write(file: &mut BufWriter<File>, track: Option<&Track>, unit: &AccessUnit) {
    let Some(video) = track.and_then(Track::as_video) else {
        return;
    };
    let VideoConfig::Avc(config) = &video.config;
    let sets = [config.sps(), config.pps()];
    let sets = sets.into_iter().filter(|_| unit.is_sync());
    for nal in sets.chain(config.nal_units(&unit.payload)) {
        let written = file
            .write_all(&[0, 0, 0, 1])
            .and_then(|()| file.write_all(nal));
        if let Err(error) = written {
            eprintln!("cannot write the rung: {error}");
            std::process::exit(1);
        }
    }
}
