//! Programs people publish and watch with: each ends in a stream that plays without a complaint.

use std::process::Command;

use e2e::{
    Origin, Process,
    peer::{self, Ffmpeg},
    run, viewer,
};

/// A key as well: each client writes it in its own way.
const SETTINGS: &str = "record = false\nladder = []\n[origin.publish]\nreconnect_window = \"0s\"\n\
                        [origin.publish.keys]\nfoo = \"s3cret\"";

const SECONDS: u32 = 9;

/// `url` is given the key; `command` publishes there for [`SECONDS`].
async fn publishes(command: impl FnOnce(&str) -> Command) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let url = origin.publish_url("foo?key=s3cret");
    let mut publisher = Process::start(folder.path(), "publisher", &mut command(&url));
    let status = publisher.wait("the publisher is done").await;
    assert!(status.success(), "{}", publisher.output());
    origin
        .text_when("/hls/foo/source/index.m3u8", |text| {
            text.contains("#EXT-X-ENDLIST")
        })
        .await;

    let video = viewer::fetch(&origin, "foo", "source").await;
    let audio = viewer::fetch(&origin, "foo", "audio").await;
    viewer::assert_tiles("video", &video);
    viewer::assert_tiles("audio", &audio);
    let frames = video.units().count() as u32;
    assert!(
        frames.abs_diff(SECONDS * 30) <= 2,
        "{frames} frames of {SECONDS} s"
    );
    let audio_units = audio.units().count() as u32;
    let sent = SECONDS * 48_000 / 1024;
    assert!(
        audio_units.abs_diff(sent) <= 4,
        "{audio_units} audio frames of {sent}"
    );
    origin.assert_healthy().await;
    let said = ffmpeg_plays(&origin.url("/hls/foo.m3u8"));
    assert!(said.is_empty(), "ffmpeg complains: {said}");
    gstreamer_plays(&origin.url("/hls/foo.m3u8"));
}

/// What ffmpeg warns of while it decodes all of a stream. Times stay as they are: rounded to a
/// frame rate that ffmpeg guessed from a few pictures, two of them may become one.
fn ffmpeg_plays(url: &str) -> String {
    let play = ["-v", "warning", "-i", url, "-map", "0"];
    let nowhere = ["-enc_time_base:v", "-1", "-f", "null", "-"];
    run("ffmpeg", &[play.as_slice(), &nowhere].concat())
        .trim()
        .to_owned()
}

/// GStreamer decodes video and audio to the end.
fn gstreamer_plays(url: &str) {
    let uri = format!("uri={url}");
    for player in ["playbin", "playbin3"] {
        let video = "video-sink=fakesink name=video-out sync=false silent=false";
        let audio = "audio-sink=fakesink name=audio-out sync=false silent=false";
        let said = run("gst-launch-1.0", &["-v", player, &uri, video, audio]);
        for sink in ["video-out", "audio-out"] {
            let shown = said
                .lines()
                .filter(|line| line.contains(sink) && line.contains("chain"))
                .count();
            assert!(
                shown >= 100,
                "{player} shows {shown} buffers of {sink}:\n{said}"
            );
        }
        assert!(
            !said.contains("ERROR") && said.contains("EOS"),
            "{player}: {said}"
        );
    }
}

#[tokio::test]
async fn ffmpeg_publishes() {
    publishes(|url| {
        Ffmpeg {
            b_frames: 2,
            seconds: Some(SECONDS),
            ..Ffmpeg::default()
        }
        .command(url)
    })
    .await;
}

#[tokio::test]
async fn gstreamer_rtmp2sink_publishes() {
    publishes(|url| peer::gstreamer(&format!("rtmp2sink location={url}"), SECONDS)).await;
}

#[tokio::test]
async fn librtmp_publishes() {
    // librtmp splits its one argument at spaces.
    publishes(|url| peer::gstreamer(&format!("rtmpsink location={url}"), SECONDS)).await;
}

#[tokio::test]
async fn ffmpeg_and_gstreamer_watch_live() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = SETTINGS.replace(
        "ladder = []",
        "[[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"",
    );
    let origin = Origin::start(folder.path(), &settings).await;
    let url = origin.publish_url("foo?key=s3cret");
    let source = Ffmpeg {
        seconds: Some(14),
        ..Ffmpeg::default()
    };
    let _publisher = source.publish(folder.path(), "publisher", &url);
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("80p"))
        .await;

    let watch = origin.url("/hls/foo.m3u8");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v", "warning", "-i", &watch, "-map", "0", "-f", "null", "-",
    ]);
    let mut ffmpeg = Process::start(folder.path(), "ffmpeg", &mut ffmpeg);
    let mut gstreamer = Command::new("gst-launch-1.0");
    gstreamer.args(["playbin3", &format!("uri={watch}")]);
    gstreamer.args([
        "video-sink=fakesink sync=true",
        "audio-sink=fakesink sync=true",
    ]);
    let mut gstreamer = Process::start(folder.path(), "gstreamer", &mut gstreamer);
    assert!(
        ffmpeg.wait("ffmpeg saw the end").await.success(),
        "{}",
        ffmpeg.output()
    );
    // Its HLS reader loads the init segment again after each reload and tells itself so.
    let complaints: Vec<String> = ffmpeg
        .output()
        .lines()
        .filter(|line| !line.contains("Found duplicated MOOV Atom"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "ffmpeg complains: {complaints:#?}");
    assert!(
        gstreamer.wait("GStreamer saw the end").await.success(),
        "{}",
        gstreamer.output()
    );
    assert!(
        !gstreamer.output().contains("ERROR"),
        "{}",
        gstreamer.output()
    );
}
