//! Uploads of every usual kind: each becomes right VOD, with a word where something is missing.
//!
//! FFmpeg makes each file; what comes out is judged by its playlists, by FFmpeg's decoders and by
//! the presentation times of its access units.

#![forbid(unsafe_code)]

mod support;

use std::path::{Path, PathBuf};

use media::MediaKind;
use store::Folder;
use support::*;
use transcoder::{Vod, progress::Progress};

/// Six seconds of moving picture and tone.
const SECONDS: f64 = 6.0;
const VIDEO: &str = "testsrc2=size=320x160:rate=30:duration=6";
const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=6";

/// x264 with groups of a second.
const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-crf",
    "38",
    "-threads",
    "1",
    "-g",
    "30",
    "-pix_fmt",
    "yuv420p",
];

/// One kind of file and what must become of it.
struct Case {
    /// The file's name, with odd ones among them.
    name: &'static str,
    /// FFmpeg's arguments after both inputs.
    arguments: &'static [&'static str],
    video: &'static str,
    tone: &'static str,
    /// Whether its own video is offered.
    is_copied: bool,
    /// Width and height of the largest encoded rung.
    size: (u32, u32),
    /// Words that a warning must have; without any there must be none.
    warning: Option<&'static str>,
}

const USUAL: Case = Case {
    name: "usual.mp4",
    arguments: &[],
    video: VIDEO,
    tone: TONE,
    is_copied: true,
    size: (240, 120),
    warning: None,
};

/// A file, what it became, and where.
struct Made {
    vod: Vod,
    folder: tempfile::TempDir,
    source: PathBuf,
}

impl Made {
    fn asset(&self) -> PathBuf {
        self.folder.path().join("out/vod").join(&self.vod.asset)
    }

    async fn store(&self) -> Folder {
        Folder::open(self.folder.path().join("out")).await.unwrap()
    }
}

async fn make(name: &str, write: impl FnOnce(&Path)) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join(name);
    write(&source);
    let progress = Progress::new(service::Clock::real());
    let out = folder.path().join("out");
    let vod = transcoder::vod_file(&source, &out, &settings(), &progress)
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    Made {
        vod,
        folder,
        source,
    }
}

async fn transcode(case: &Case) -> Made {
    let inputs = [
        "-f", "lavfi", "-i", case.video, "-f", "lavfi", "-i", case.tone,
    ];
    let arguments = [&inputs[..], H264, &["-c:a", "aac"], case.arguments].concat();
    make(case.name, |path| ffmpeg(&arguments, path)).await
}

/// First presentation times of a file's video and audio, as FFmpeg reads them.
fn starts(path: &Path) -> (f64, f64) {
    let start = |stream: &str| {
        let output = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", stream])
            .args(["-show_entries", "frame=pts_time", "-read_intervals", "%+1"])
            .args(["-of", "csv=p=0"])
            .arg(path)
            .output()
            .expect("ffprobe is installed: apt-get install ffmpeg");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let times = text
            .lines()
            .filter_map(|line| line.trim_end_matches(',').parse().ok());
        times.fold(f64::MAX, f64::min)
    };
    (start("v:0"), start("a:0"))
}

async fn renditions(made: &Made) -> Vec<String> {
    let text = std::fs::read_to_string(made.asset().join("index.m3u8")).unwrap();
    let (_, master) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
    let mut names: Vec<String> = master
        .variants
        .iter()
        .map(|variant| variant.uri.trim_end_matches("/index.m3u8").to_owned())
        .collect();
    for media in &master.alternatives {
        let uri = media.uri.as_deref().unwrap_or_default();
        let name = uri.trim_end_matches("/index.m3u8").to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What holds of every asset: all renditions last as long, from the same time on; segments are of
/// even length and each begins with a keyframe; FFmpeg decodes all of it without a word.
async fn check_asset(made: &Made, seconds: f64) {
    let name = made.source.display();
    let store = made.store().await;
    for rendition in renditions(made).await {
        let read = read_rendition(&store, &made.vod.asset, &rendition).await;
        let lengths = read.playlist.segments.iter().map(|s| f64::from(s.duration));
        let sum: f64 = lengths.clone().sum();
        assert!((sum - seconds).abs() < 0.1, "{name} {rendition}: {sum} s");
        let longest = lengths.fold(0.0, f64::max);
        assert!(
            longest <= 3.05,
            "{name} {rendition}: a segment of {longest} s"
        );
        for segment in &read.segments {
            assert!(segment[0].is_sync(), "{name} {rendition}");
            assert!(
                segment.iter().all(|unit| unit.pts >= unit.dts),
                "{name} {rendition}"
            );
        }
        let units: Vec<_> = read.segments.iter().flatten().collect();
        let gapless = units
            .windows(2)
            .all(|pair| pair[0].dts + i64::from(pair[0].duration) == pair[1].dts);
        assert!(gapless, "{name} {rendition}: decode times have a gap");
    }
    let said = decode_with_ffmpeg(&made.asset().join("index.m3u8"));
    assert_eq!(said, "", "{name}");
}

/// Both media begin as far apart as in the file, to a tick.
async fn check_starts(made: &Made) {
    let store = made.store().await;
    let (video, audio) = starts(&made.source);
    for rendition in renditions(made).await {
        let read = read_rendition(&store, &made.vod.asset, &rendition).await;
        let first = read
            .segments
            .iter()
            .flatten()
            .map(|unit| unit.pts)
            .min()
            .unwrap();
        let first = read.track.timescale().seconds(first);
        let expected = match read.track.kind() {
            MediaKind::Video => video,
            MediaKind::Audio => audio,
        };
        assert!(
            (first - expected).abs() < 0.000_03,
            "{} {rendition}: begins at {first}, in the file at {expected}",
            made.source.display()
        );
    }
}

async fn check(case: &Case) {
    let made = transcode(case).await;
    check_asset(&made, SECONDS).await;
    check_starts(&made).await;
    let names = renditions(&made).await;
    let is_copied = names.iter().any(|name| name == "source");
    assert_eq!(is_copied, case.is_copied, "{}: {names:?}", case.name);
    let text = std::fs::read_to_string(made.asset().join("index.m3u8")).unwrap();
    let (width, height) = case.size;
    assert!(
        text.contains(&format!("RESOLUTION={width}x{height}\n"))
            || text.contains(&format!("RESOLUTION={width}x{height},")),
        "{}: {text}",
        case.name
    );
    match case.warning {
        None => assert_eq!(made.vod.warnings, Vec::<String>::new(), "{}", case.name),
        Some(words) => assert!(
            made.vod.warnings.iter().any(|said| said.contains(words)),
            "{}: {:?}",
            case.name,
            made.vod.warnings
        ),
    }
}

macro_rules! cases {
    ($($test:ident: $case:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            check(&$case).await;
        }
    )*};
}

cases! {
    an_mp4: USUAL;
    an_mp4_without_b_pictures: Case { arguments: &["-bf", "0"], ..USUAL };
    a_fragmented_mp4: Case {
        name: "fragmented.mp4",
        arguments: &["-movflags", "frag_keyframe+empty_moov"],
        ..USUAL
    };
    a_mov_with_pcm: Case { name: "pcm.mov", arguments: &["-c:a", "pcm_s16le"], ..USUAL };
    a_transport_stream: Case { name: "a.ts", ..USUAL };
    a_transport_stream_with_latm: Case {
        name: "latm.ts",
        arguments: &["-mpegts_flags", "latm"],
        ..USUAL
    };
    a_transport_stream_of_a_camera_with_ac3: Case {
        name: "00001.MTS",
        arguments: &["-c:a", "ac3", "-f", "mpegts", "-mpegts_m2ts_mode", "1"],
        ..USUAL
    };
    a_matroska_file_with_b_pictures: Case { name: "obs.mkv", arguments: &["-bf", "2"], ..USUAL };
    a_matroska_file_with_mp3: Case {
        name: "mp3.mkv",
        arguments: &["-c:a", "libmp3lame"],
        ..USUAL
    };
    an_flv: Case { name: "a.flv", ..USUAL };
    a_webm: Case {
        name: "a.webm",
        arguments: &["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
        is_copied: false,
        size: (320, 160),
        ..USUAL
    };
    hevc_of_a_camera: Case {
        name: "VID_20260101_00_001.insv",
        arguments: &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none",
            "-f", "mp4"],
        is_copied: false,
        size: (320, 160),
        ..USUAL
    };
    open_groups: Case {
        name: "open.ts",
        arguments: &["-bf", "2", "-x264-params",
            "open-gop=1:keyint=30:min-keyint=30:scenecut=0"],
        is_copied: false,
        size: (320, 160),
        warning: Some("not IDR"),
        ..USUAL
    };
    one_group_for_all: Case {
        name: "one.ts",
        arguments: &["-bf", "2", "-g", "999", "-keyint_min", "999"],
        is_copied: false,
        size: (320, 160),
        warning: Some("apart"),
        ..USUAL
    };
    fields: Case {
        name: "fields.ts",
        arguments: &["-vf", "interlace", "-flags", "+ildct+ilme", "-bf", "0"],
        is_copied: false,
        size: (320, 160),
        ..USUAL
    };
    pixels_that_are_not_square: Case {
        name: "anamorphic.mp4",
        video: "testsrc2=size=240x160:rate=30:duration=6,setsar=4/3",
        is_copied: false,
        size: (320, 160),
        ..USUAL
    };
    a_name_with_everything_in_it: Case { name: "Ünï & 100% #1 (x)+y?.mp4", ..USUAL };
}

/// Short, late and holed media of either kind are filled.
#[tokio::test]
async fn what_one_medium_lacks_is_filled() {
    let video = |select: &'static str| match select {
        "" => VIDEO.to_owned(),
        some => format!("{VIDEO},select='{some}'"),
    };
    let tone = |select: &'static str| match select {
        "" => TONE.to_owned(),
        some => format!("{TONE},aselect='{some}'"),
    };
    for (video_has, audio_has, extension) in [
        ("", "lt(t,2)", "mp4"),
        ("", "gt(t,3)", "mkv"),
        ("", "not(between(t,2,4))", "mp4"),
        ("lt(t,3)", "", "mp4"),
        ("not(between(t,1,4.5))", "", "mkv"),
        ("gt(t,3)", "", "ts"),
    ] {
        let (video, tone) = (video(video_has), tone(audio_has));
        let inputs = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &tone];
        let options = ["-c:a", "aac", "-fps_mode", "passthrough", "-copyts"];
        let arguments = [&inputs[..], H264, &options].concat();
        let name = format!("holes.{extension}");
        let made = make(&name, |path| ffmpeg(&arguments, path)).await;
        println!("video {video_has:?}, audio {audio_has:?}");
        check_asset(&made, SECONDS).await;
    }
}

/// One picture per second, none of them held or left out.
#[tokio::test]
async fn slides_keep_their_times() {
    let slides = Case {
        name: "slides.mp4",
        video: "testsrc2=size=320x160:rate=1:duration=6",
        ..USUAL
    };
    let made = transcode(&slides).await;
    check_asset(&made, SECONDS).await;
    let store = made.store().await;
    for rendition in ["120p", "80p"] {
        let read = read_rendition(&store, &made.vod.asset, rendition).await;
        let mut shown: Vec<i64> = read
            .segments
            .iter()
            .flatten()
            .map(|unit| unit.pts)
            .collect();
        shown.sort_unstable();
        let expected: Vec<i64> = (0..6).map(|n| n * 360_000).collect();
        assert_eq!(shown, expected, "{rendition}");
    }
}

#[tokio::test]
async fn a_file_cut_short_says_what_it_announced_and_what_it_holds() {
    let inputs = ["-f", "lavfi", "-i", VIDEO, "-f", "lavfi", "-i", TONE];
    let end = ["-c:a", "aac", "-movflags", "+faststart"];
    let arguments = [&inputs[..], H264, &end].concat();
    let made = make("cut.mp4", |path| {
        ffmpeg(&arguments, path);
        let whole = std::fs::read(path).unwrap();
        std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
    })
    .await;
    let said = made.vod.warnings.join("\n");
    assert!(
        said.contains("6.0 s") && said.contains("cut short"),
        "{said}"
    );
    let info = std::fs::read_to_string(made.asset().join("info.json")).unwrap();
    assert!(info.contains("cut short"), "players learn it too: {info}");
    let index = made.folder.path().join("out/vod/index.json");
    assert!(
        std::fs::read_to_string(index)
            .unwrap()
            .contains("cut short")
    );
    assert_eq!(decode_with_ffmpeg(&made.asset().join("index.m3u8")), "");
}

#[tokio::test]
async fn each_language_is_a_rendition_with_its_name() {
    let case = Case {
        name: "languages.mkv",
        arguments: &[
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-map",
            "1:a",
            "-metadata:s:a:0",
            "language=ger",
            "-metadata:s:a:1",
            "language=eng",
            "-metadata:s:a:1",
            "title=Commentary",
        ],
        ..USUAL
    };
    let made = transcode(&case).await;
    check_asset(&made, SECONDS).await;
    let text = std::fs::read_to_string(made.asset().join("index.m3u8")).unwrap();
    let media: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("#EXT-X-MEDIA:"))
        .collect();
    assert_eq!(media.len(), 2, "{text}");
    assert!(
        media[0].contains("NAME=\"de\",LANGUAGE=\"de\",DEFAULT=YES"),
        "{}",
        media[0]
    );
    assert!(
        media[1].contains("NAME=\"Commentary\",LANGUAGE=\"en\",DEFAULT=NO"),
        "{}",
        media[1]
    );
}

/// A display matrix, as phones write it that are held upright.
#[tokio::test]
async fn turned_pictures_of_a_phone_are_upright() {
    let made = make("phone.mov", |path| {
        let flat = path.with_extension("flat.mp4");
        let inputs = ["-f", "lavfi", "-i", VIDEO];
        ffmpeg(&[&inputs[..], H264].concat(), &flat);
        let flat = flat.to_str().unwrap().to_owned();
        let turn = ["-i", &flat, "-c", "copy", "-metadata:s:v", "rotate=90"];
        ffmpeg(&turn, path);
    })
    .await;
    check_asset(&made, SECONDS).await;
    let text = std::fs::read_to_string(made.asset().join("index.m3u8")).unwrap();
    assert!(text.contains("RESOLUTION=160x320"), "{text}");
}

/// Two sizes in one transport stream.
#[tokio::test]
async fn a_size_that_changes_is_shown_in_one() {
    let made = make("sizes.ts", |path| {
        let mut joined = Vec::new();
        for (part, size) in [("a", "320x160"), ("b", "640x320")] {
            let file = path.with_extension(format!("{part}.ts"));
            let video = format!("testsrc2=size={size}:rate=30:duration=3");
            let offset = if part == "b" { "3" } else { "0" };
            let inputs = ["-f", "lavfi", "-i", &video];
            let end = ["-bf", "0", "-output_ts_offset", offset];
            ffmpeg(&[&inputs[..], H264, &end].concat(), &file);
            joined.extend(std::fs::read(&file).unwrap());
        }
        std::fs::write(path, joined).unwrap();
    })
    .await;
    check_asset(&made, SECONDS).await;
    let said = made.vod.warnings.join("\n");
    assert!(
        said.contains("320x160") && said.contains("640x320"),
        "{said}"
    );
}
