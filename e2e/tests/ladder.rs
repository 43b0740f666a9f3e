//! The ladder beside the pass-through: every rung cuts where the source does, and the multivariant
//! playlist tells the truth about each.

use std::path::Path;

use e2e::{
    Origin,
    peer::Ffmpeg,
    run,
    viewer::{self, Rendition},
};
use m3u8_rs::{MasterPlaylist, VariantStream};

const SETTINGS: &str = "record = false\n\
    [[origin.ladder]]\nwidth = 320\nbitrate = \"300k\"\npreset = \"ultrafast\"\n\
    [[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"\n\
    [origin.hls]\nwindow = \"90s\"\n\
    [origin.publish]\nreconnect_window = \"0s\"";

/// Rendition, picture size.
const RUNGS: [(&str, u64, u64); 3] = [("source", 640, 320), ("160p", 320, 160), ("80p", 160, 80)];

fn master(text: &str) -> MasterPlaylist {
    m3u8_rs::parse_master_playlist_res(text.as_bytes())
        .unwrap_or_else(|e| panic!("not a multivariant playlist: {e:?}\n{text}"))
}

async fn check(source: Ffmpeg, frame_rate: f64) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let mut publisher = source.publish(folder.path(), "publisher", &origin.publish_url("foo"));
    let first = origin.text_when("/hls/foo.m3u8", |_| true).await;
    for (name, ..) in RUNGS {
        assert!(
            first.contains(&format!("foo/{name}/index.m3u8")),
            "listed from the start: {first}"
        );
        let early = viewer::fetch(&origin, "foo", name).await;
        assert!(
            early.segments.len() >= 3,
            "{name} can be played at once: {}",
            early.text
        );
    }
    assert!(
        publisher.wait("the publisher is done").await.success(),
        "{}",
        publisher.output()
    );
    origin
        .text_when("/hls/foo/80p/index.m3u8", |text| {
            text.contains("#EXT-X-ENDLIST")
        })
        .await;

    let listed = master(&origin.get("/hls/foo.m3u8").await.text());
    assert_eq!(listed.variants.len(), RUNGS.len());
    let audio = viewer::fetch(&origin, "foo", "audio").await;
    let reference = viewer::fetch(&origin, "foo", "source").await;
    for (name, width, height) in RUNGS {
        let rung = viewer::fetch(&origin, "foo", name).await;
        viewer::assert_tiles(name, &rung);
        cuts_alike(name, &rung, &reference);
        let uri = format!("foo/{name}/index.m3u8");
        let variant = listed
            .variants
            .iter()
            .find(|variant| variant.uri == uri)
            .expect("listed");
        let resolution = variant.resolution.as_ref().map(|r| (r.width, r.height));
        assert_eq!(resolution, Some((width, height)), "{name}");
        assert_eq!(
            variant.frame_rate.map(|rate| (rate * 1000.0).round()),
            Some(frame_rate * 1000.0)
        );
        tells_the_rate(name, variant, &rung, &audio);
        let init = &rung.inits.values().next().expect("an init segment").1;
        let audio_init = &audio.inits.values().next().expect("an init segment").1;
        let codecs = format!(
            "{},{}",
            init.tracks[0].track.rfc6381(),
            audio_init.tracks[0].track.rfc6381()
        );
        assert_eq!(variant.codecs.as_deref(), Some(codecs.as_str()), "{name}");
        let file = folder.path().join(format!("{name}.mp4"));
        std::fs::write(&file, rung.file()).expect("written");
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
        assert_eq!(said.trim(), "", "{name} decodes without a warning");
        shows_the_same(folder.path(), name);
    }
    origin.assert_healthy().await;
    let numbers = |r: &Rendition| r.segments.iter().map(|s| s.msn).collect::<Vec<_>>();
    assert_eq!(
        numbers(&audio),
        numbers(&reference),
        "audio has the same numbers"
    );
}

/// Same numbers, same first decode time, same end, and every presentation time of the source.
fn cuts_alike(name: &str, rung: &Rendition, reference: &Rendition) {
    let shape = |r: &Rendition| {
        let segment = |segment: &viewer::Segment| {
            let (first, last) = (&segment.units[0], &segment.units[segment.units.len() - 1]);
            (
                segment.msn,
                first.dts,
                first.pts,
                last.dts + i64::from(last.duration),
                segment.units.len(),
            )
        };
        r.segments.iter().map(segment).collect::<Vec<_>>()
    };
    assert_eq!(
        shape(rung),
        shape(reference),
        "{name} is cut as the source is"
    );
    let times = |r: &Rendition| {
        let mut times: Vec<_> = r.units().map(|unit| unit.pts).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(
        times(rung),
        times(reference),
        "{name} has the source's presentation times"
    );
    assert!(
        rung.units().all(|unit| unit.dts <= unit.pts),
        "{name} is never decoded late"
    );
    let syncs = rung
        .segments
        .iter()
        .flat_map(|s| s.units.iter().skip(1))
        .filter(|unit| unit.is_sync());
    assert!(
        name == "source" || syncs.count() == 0,
        "{name} has keyframes where segments start only"
    );
}

/// What FFmpeg shows of the rung at any time is what it shows of the source at that time: next to
/// each other, neighbouring pictures of this source are 30 dB at most alike.
fn shows_the_same(folder: &Path, name: &str) {
    let file = |name: &str| folder.join(format!("{name}.mp4")).display().to_string();
    let log = folder.join(format!("{name}.psnr")).display().to_string();
    let compare = format!(
        "[0:v]scale=160:80:flags=area[a];[1:v]scale=160:80:flags=area[b];[a][b]psnr=stats_file={log}"
    );
    let (source, rung) = (file("source"), file(name));
    let inputs = ["-v", "error", "-copyts", "-i", &rung, "-i", &source];
    let outputs = ["-lavfi", &compare, "-f", "null", "-"];
    run("ffmpeg", &[&inputs[..], &outputs[..]].concat());
    let text = std::fs::read_to_string(&log).expect("ffmpeg wrote what it compared");
    let luma = |line: &str| {
        let value = line.split("psnr_y:").nth(1)?.split(' ').next()?;
        // Equal pictures are "inf".
        value.parse::<f64>().ok()
    };
    let alike: Vec<f64> = text.lines().filter_map(luma).collect();
    assert!(alike.len() > 100, "{name}: {} compared", alike.len());
    let worst = alike.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(worst > 32.0, "{name} shows another picture: {worst} dB");
}

/// BANDWIDTH is no less than what was sent and not twice as much.
fn tells_the_rate(name: &str, variant: &VariantStream, rung: &Rendition, audio: &Rendition) {
    let peak = |r: &Rendition| {
        // The last one may be a fraction; a rate over a few frames is no peak (bis 4.4.6.2).
        let whole = r.segments.iter().filter(|segment| segment.seconds >= 1.0);
        whole
            .map(|segment| segment.bytes.len() as f64 * 8.0 / segment.seconds)
            .fold(0.0, f64::max)
    };
    let measured = peak(rung) + peak(audio);
    let told = variant.bandwidth as f64;
    assert!(
        told >= measured,
        "{name}: BANDWIDTH {told} is below the measured {measured}"
    );
    assert!(
        told < 2.0 * measured,
        "{name}: BANDWIDTH {told} is twice the measured {measured}"
    );
    let average = variant.average_bandwidth.expect("an average") as f64;
    assert!(
        average <= told,
        "{name}: average {average} above peak {told}"
    );
}

/// A minute, all of it still in the window when it is over.
#[tokio::test]
async fn rungs_are_aligned() {
    let source = Ffmpeg {
        size: "640x320",
        seconds: Some(60),
        ..Ffmpeg::default()
    };
    check(source, 30.0).await;
}

#[tokio::test]
async fn rungs_are_aligned_with_b_frames_at_29_97() {
    let source = Ffmpeg {
        size: "640x320",
        rate: "30000/1001",
        gop: 60,
        b_frames: 3,
        seconds: Some(12),
    };
    check(source, 29.97).await;
}

/// A camera that comes back with a larger picture: rungs that the smaller one was too small for.
#[tokio::test]
async fn a_larger_picture_gets_its_rungs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = "record = false\n\
        [[origin.ladder]]\nwidth = 480\nbitrate = \"300k\"\npreset = \"ultrafast\"\n\
        [[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"\n\
        [origin.hls]\nwindow = \"90s\"";
    let origin = Origin::start(folder.path(), settings).await;
    let publish = |size, name| {
        let source = Ffmpeg {
            size,
            seconds: Some(10),
            ..Ffmpeg::default()
        };
        source.publish(folder.path(), name, &origin.publish_url("foo"))
    };
    let mut small = publish("320x160", "small");
    let listed = origin.text_when("/hls/foo.m3u8", |_| true).await;
    assert!(listed.contains("foo/80p/") && !listed.contains("480x240"));
    assert!(small.wait("the small picture ends").await.success());
    let mut large = publish("640x320", "large");
    let listed = origin
        .text_when("/hls/foo.m3u8", |text| text.contains("480x240"))
        .await;
    for rendition in ["source", "240p", "80p"] {
        assert!(listed.contains(&format!("foo/{rendition}/")), "{listed}");
    }
    assert!(large.wait("the large picture ends").await.success());
    let rung = viewer::fetch(&origin, "foo", "240p").await;
    assert!(rung.units().next().is_some_and(|unit| unit.is_sync()));
    let init = &rung.inits.values().next().expect("an init segment").1;
    let video = init.tracks[0].track.as_video().expect("video");
    assert_eq!(video.config.dimensions(), (480, 240));
    origin.assert_healthy().await;
}

/// Two fields a picture, as a camera for television sends them: rungs show whole pictures.
#[tokio::test]
async fn rungs_of_an_interlaced_source_are_deinterlaced() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let url = origin.publish_url("foo");
    let mut camera = std::process::Command::new("ffmpeg");
    camera.args(["-re", "-f", "lavfi", "-i"]);
    // Everything moves: else most of a picture looks whole.
    camera.arg("testsrc2=s=640x320:r=50,scroll=h=0.02,tinterlace=interleave_top");
    camera.args(["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"]);
    camera.args(["-flags", "+ilme+ildct", "-pix_fmt", "yuv420p", "-g", "25"]);
    camera.args(["-b:v", "2M", "-t", "10", "-f", "flv", &url]);
    let mut camera = e2e::Process::start(folder.path(), "camera", &mut camera);
    origin.text_when("/hls/foo.m3u8", |_| true).await;
    assert!(camera.wait("the camera ends").await.success());
    let source = viewer::fetch(&origin, "foo", "source").await;
    let rung = viewer::fetch(&origin, "foo", "160p").await;
    for (name, rendition) in [("source", &source), ("160p", &rung)] {
        let file = folder.path().join(format!("{name}.mp4"));
        std::fs::write(file, rendition.file()).expect("written");
    }
    let whole = likeness(folder.path(), "bwdif=mode=send_frame,");
    let combed = likeness(folder.path(), "");
    assert!(whole > combed + 1.0, "{whole} dB whole, {combed} dB combed");
    let times = |r: &Rendition| {
        let mut times: Vec<_> = r.units().map(|unit| unit.pts).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(times(&rung), times(&source));
}

/// How like the rung is to the source after `filter`, in dB of luma on average.
fn likeness(folder: &Path, filter: &str) -> f64 {
    let file = |name: &str| folder.join(name).display().to_string();
    let compare = format!("[1:v]{filter}scale=320:160[b];[0:v][b]psnr");
    let inputs = [
        "-copyts",
        "-i",
        &file("160p.mp4"),
        "-i",
        &file("source.mp4"),
    ];
    let said = run(
        "ffmpeg",
        &[&inputs[..], &["-lavfi", &compare, "-f", "null", "-"]].concat(),
    );
    let value = said
        .split("PSNR y:")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    value
        .and_then(|value| value.parse().ok())
        .expect("what FFmpeg compared")
}
