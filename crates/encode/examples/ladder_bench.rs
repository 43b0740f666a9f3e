//! Transcodes a file through the ladder as fast as it goes and prints what that cost, as JSON.
//!
//! ```text
//! ladder_bench INPUT OUTPUT_FOLDER [width:kbps …]
//!     [--preset NAME] [--encoder-threads N] [--decoder-threads N]
//! ```
//!
//! Each rung is written as `<name>.h264` (Annex B). CPU seconds are the whole process's, user and
//! system.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use encode::{
    file_demuxer::FileDemuxer,
    ladder::{Event, Ladder, Options, Pace, Rung, RungConfig, plan},
};
use media::{AccessUnit, MediaKind, Track, VideoConfig};

type Failure = Box<dyn std::error::Error>;

struct Arguments {
    input: PathBuf,
    output: PathBuf,
    rungs: Vec<RungConfig>,
    options: Options,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| transcode(&arguments)) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, Failure> {
    let mut options = Options {
        pace: Pace::Offline,
        ..Options::default()
    };
    let (mut paths, mut rungs, mut preset) = (Vec::new(), Vec::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--preset" => preset = Some(value()?),
            "--encoder-threads" => options.encoder_threads = value()?.parse()?,
            "--decoder-threads" => options.decoder_threads = value()?.parse()?,
            _ if paths.len() < 2 => paths.push(PathBuf::from(&word)),
            _ => {
                let (width, kbps) = word.split_once(':').ok_or("rungs are WIDTH:KBPS")?;
                rungs.push(RungConfig::new(width.parse()?, kbps.parse::<u32>()? * 1000));
            }
        }
    }
    if rungs.is_empty() {
        rungs = [(1920, 5_800_000), (960, 2_300_000), (480, 500_000)]
            .map(|(width, bitrate)| RungConfig::new(width, bitrate))
            .to_vec();
    }
    rungs
        .iter_mut()
        .for_each(|rung| rung.preset.clone_from(&preset));
    let (Some(output), Some(input)) = (paths.pop(), paths.pop()) else {
        return Err("usage: ladder_bench INPUT OUTPUT_FOLDER [width:kbps …]".into());
    };
    Ok(Arguments {
        input,
        output,
        rungs,
        options,
    })
}

fn transcode(arguments: &Arguments) -> Result<String, Failure> {
    let mut demuxer = FileDemuxer::open(File::open(&arguments.input)?)?;
    let track = demuxer
        .video_track()
        .ok_or("the input has no video")?
        .clone();
    let config = &track.as_video().ok_or("the input has no video")?.config;
    let (width, height) = config.dimensions();
    let rungs = plan(width, height, config.frame_rate(), &arguments.rungs)?;
    let (started, before) = (Instant::now(), cpu_seconds());
    let mut writer = Writer::create(&arguments.output, &rungs)?;
    let options = arguments.options;
    let sink = move |event| writer.take(event);
    let mut ladder = Ladder::spawn_with(&track, rungs.clone(), options, sink)?;
    let mut pictures = 0u32;
    while let Some(unit) = demuxer.read()? {
        if unit.kind == MediaKind::Video {
            pictures += 1;
            let opens_segment = unit.is_sync();
            ladder.push(unit, opens_segment);
        }
    }
    ladder.finish();
    let (user, system) = cpu_seconds();
    let names: Vec<_> = rungs
        .iter()
        .map(|rung| format!("\"{}\"", rung.name))
        .collect();
    Ok(format!(
        "{{\"pictures\":{pictures},\"rungs\":[{}],\"wall_s\":{:.3},\
         \"user_s\":{:.3},\"system_s\":{:.3}}}",
        names.join(","),
        started.elapsed().as_secs_f64(),
        user - before.0,
        system - before.1,
    ))
}

struct Writer {
    files: Vec<(BufWriter<File>, Option<Track>)>,
}

impl Writer {
    fn create(folder: &Path, rungs: &[Rung]) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let open = |rung: &Rung| -> Result<_, Failure> {
            let file = File::create(folder.join(format!("{}.h264", rung.name)))?;
            Ok((BufWriter::new(file), None))
        };
        let files = rungs.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Track { rung, track } => {
                if let Some(file) = self.files.get_mut(rung) {
                    file.1 = Some(track);
                }
            }
            Event::AccessUnit { rung, unit } => {
                if let Some((file, Some(track))) = self.files.get_mut(rung) {
                    write(file, track, &unit);
                }
            }
            other => eprintln!("{other:?}"),
        }
    }
}

fn write(file: &mut BufWriter<File>, track: &Track, unit: &AccessUnit) {
    let Some(video) = track.as_video() else {
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
            eprintln!("cannot write a rung: {error}");
            std::process::exit(1);
        }
    }
}

/// User and system seconds of this process so far.
fn cpu_seconds() -> (f64, f64) {
    // SAFETY: the call fills the structure it is given, for which zeros are valid.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime), seconds(usage.ru_stime))
}
