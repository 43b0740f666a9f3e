//! ffmpeg publishes files of every shape; what viewers get is what was published, bit for bit, cut
//! at the same times.

use std::{path::Path, process::Command};

use e2e::{Origin, Process, run, viewer};
use flv::{Demuxer, file::Reader};
use media::{IngestEvent, IngestUnit, MediaKind};

/// A published file: what ffmpeg makes of it, and what must hold.
struct Shape {
    name: &'static str,
    size: &'static str,
    seconds: &'static str,
    video: &'static [&'static str],
    audio: &'static [&'static str],
    rate: &'static str,
    gop_seconds: f64,
}

const SMALL: &str = "320x160";
const AAC: &[&str] = &["-c:a", "aac", "-b:a", "96k", "-ar", "48000"];

const SHAPES: &[Shape] = &[
    Shape {
        name: "gop1",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "0", "-g", "30"],
        audio: AAC,
        rate: "30",
        gop_seconds: 1.0,
    },
    Shape {
        name: "bframes",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "3", "-g", "60"],
        audio: AAC,
        rate: "30",
        gop_seconds: 2.0,
    },
    Shape {
        name: "gop5",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "2", "-g", "150"],
        audio: AAC,
        rate: "30",
        gop_seconds: 5.0,
    },
    Shape {
        name: "ntsc",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "2", "-g", "60"],
        audio: AAC,
        rate: "30000/1001",
        gop_seconds: 2.002,
    },
    Shape {
        name: "pal50",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "2", "-g", "100"],
        audio: AAC,
        rate: "50",
        gop_seconds: 2.0,
    },
    Shape {
        name: "fast60",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "2", "-g", "120"],
        audio: &["-c:a", "aac", "-ar", "44100", "-ac", "1"],
        rate: "60",
        gop_seconds: 2.0,
    },
    Shape {
        name: "silent",
        size: SMALL,
        seconds: "20",
        video: &["-bf", "2", "-g", "60"],
        audio: &["-an"],
        rate: "30",
        gop_seconds: 2.0,
    },
    Shape {
        name: "irregular",
        size: SMALL,
        seconds: "20",
        video: &[
            "-bf",
            "2",
            "-g",
            "250",
            "-force_key_frames",
            "0,0.7,2.5,4,6.9,8.1,10,12.2,14,16.8,18",
        ],
        audio: AAC,
        rate: "30",
        gop_seconds: 0.0,
    },
    Shape {
        name: "four_k",
        size: "3840x1920",
        seconds: "8",
        video: &[
            "-bf", "2", "-g", "60", "-b:v", "16M", "-minrate", "16M", "-maxrate", "16M",
            "-bufsize", "16M", "-nal-hrd", "cbr",
        ],
        audio: AAC,
        rate: "30",
        gop_seconds: 2.0,
    },
];

fn make(folder: &Path, shape: &Shape) -> String {
    let path = folder
        .join(format!("{}.flv", shape.name))
        .to_string_lossy()
        .into_owned();
    let picture = format!("testsrc2=s={}:r={}", shape.size, shape.rate);
    let mut arguments = vec![
        "-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i",
    ];
    arguments.extend([
        "sine=f=440:r=48000",
        "-t",
        shape.seconds,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]);
    arguments.extend([
        "-tune",
        "fastdecode",
        "-sc_threshold",
        "0",
        "-pix_fmt",
        "yuv420p",
    ]);
    arguments.extend(shape.video.iter().chain(shape.audio));
    arguments.extend(["-f", "flv", &path]);
    run("ffmpeg", &arguments);
    path
}

/// What a file holds, in order, by track.
fn published(path: &str, kind: MediaKind) -> Vec<IngestUnit> {
    let mut reader = Reader::new();
    reader.push(&std::fs::read(path).expect("the file was made"));
    let mut demuxer = Demuxer::new();
    let mut units = Vec::new();
    while let Some(tag) = reader.next_tag().expect("ffmpeg writes valid FLV") {
        demuxer.push(tag);
        while let Some(event) = demuxer.next_event() {
            match event {
                IngestEvent::Unit(unit) if unit.kind == kind => units.push(unit),
                IngestEvent::Skipped(skipped) => panic!("valid tags, {skipped:?}"),
                _ => {}
            }
        }
    }
    units
}

async fn check(shape: &Shape) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = make(folder.path(), shape);
    let origin = Origin::start(
        folder.path(),
        "record = false\nladder = []\n[origin.publish]\nreconnect_window = \"0s\"",
    )
    .await;
    let url = origin.publish_url("foo");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]);
    if shape.size != SMALL {
        // Faster than it plays, ffmpeg ends with megabytes unsent: when it closes before it has
        // read our last acknowledgement, its system resets the connection and throws them away.
        command.arg("-re");
    }
    command.args(["-i", &path, "-c", "copy", "-f", "flv", &url]);
    let mut publisher = Process::start(folder.path(), "publisher", &mut command);
    let status = publisher.wait("the file is published").await;
    assert!(status.success(), "{}", publisher.output());
    origin
        .text_when("/hls/foo/source/index.m3u8", |text| {
            text.contains("#EXT-X-ENDLIST")
        })
        .await;

    let video = viewer::fetch(&origin, "foo", "source").await;
    viewer::assert_tiles("video", &video);
    let sent = published(&path, MediaKind::Video);
    let got: Vec<_> = video.units().collect();
    assert_eq!(got.len(), sent.len(), "every access unit arrives");
    for (sent, got) in sent.iter().zip(&got) {
        assert_eq!(sent.payload, got.payload, "bit-identical");
        assert_eq!(sent.is_sync(), got.is_sync());
        let composition_ms = (got.pts - got.dts) as f64 / 360.0;
        assert!(
            (composition_ms - f64::from(sent.composition)).abs() <= 1.0,
            "composition as sent"
        );
    }
    let target = video.playlist.target_duration;
    for segment in &video.segments {
        assert!(
            segment.seconds.round() <= target as f64,
            "EXTINF {} <= {target}",
            segment.seconds
        );
    }
    if shape.gop_seconds > 0.0 {
        let whole = (2.0 / shape.gop_seconds).ceil().max(1.0) * shape.gop_seconds;
        for segment in &video.segments[..video.segments.len() - 1] {
            assert!(
                (segment.seconds - whole).abs() < 0.002,
                "{} is {whole} s",
                segment.seconds
            );
        }
    }
    if shape.audio != ["-an"] {
        check_audio(&origin, &path, &video, &sent).await;
    }
    let file = folder.path().join("video.mp4");
    std::fs::write(&file, video.file()).expect("written");
    let said = run(
        "ffmpeg",
        &[
            "-v",
            "warning",
            "-i",
            &file.to_string_lossy(),
            "-f",
            "null",
            "-",
        ],
    );
    assert_eq!(said.trim(), "", "decodes without a warning");
}

async fn check_audio(
    origin: &Origin,
    path: &str,
    video: &viewer::Rendition,
    sent_video: &[IngestUnit],
) {
    let audio = viewer::fetch(origin, "foo", "audio").await;
    viewer::assert_tiles("audio", &audio);
    let sent = published(path, MediaKind::Audio);
    let got: Vec<_> = audio.units().collect();
    // Audio before the first keyframe is not presented.
    let first = got.first().expect("there is audio");
    let skipped = sent
        .iter()
        .position(|s| s.payload == first.payload)
        .expect("audio as sent");
    assert!(
        skipped <= 4,
        "{skipped} audio frames were dropped at the start"
    );
    assert_eq!(got.len(), sent.len() - skipped);
    let rate = f64::from(
        audio.inits.values().next().expect("init").1.tracks[0]
            .track
            .timescale()
            .rate(),
    );
    let sent_offset =
        sent[skipped].dts as f64 - sent_video[0].dts as f64 - f64::from(sent_video[0].composition);
    let video_start = video.units().next().expect("video").pts as f64 / 360.0;
    let got_offset = first.dts as f64 / rate * 1000.0 - video_start;
    assert!(
        (got_offset - sent_offset).abs() <= 10.0,
        "A/V offset {got_offset} against {sent_offset} ms"
    );
    let numbers = |r: &viewer::Rendition| r.segments.iter().map(|s| s.msn).collect::<Vec<_>>();
    assert_eq!(numbers(&audio), numbers(video), "same MSNs");
}

macro_rules! shapes {
    ($($name:ident = $index:literal),+) => {$(
        #[tokio::test]
        async fn $name() {
            check(&SHAPES[$index]).await;
        }
    )+};
}

shapes!(
    one_second_gop = 0,
    b_frames = 1,
    five_second_gop = 2,
    ntsc_rate = 3,
    fifty_frames = 4,
    sixty_frames_and_mono_44100 = 5,
    no_audio = 6,
    irregular_keyframes = 7,
    four_k_at_16_megabits = 8
);
