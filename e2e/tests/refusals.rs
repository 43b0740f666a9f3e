//! Every refusal reaches the publisher's user in words, and the log in one line.

use std::path::Path;

use e2e::{
    Origin, Process,
    clip::Clip,
    peer::{self, Ffmpeg},
    publisher::Publisher,
};

const SETTINGS: &str = "record = false\nladder = []\n[origin.publish]\non_conflict = \"reject\"\n";
const KEYS: &str = "[origin.publish.keys]\nfoo = \"s3cret\"\n";

/// ffmpeg is refused at `path` with `words`; the log has them once.
async fn refused(origin: &Origin, folder: &Path, name: &str, path: &str, words: &[&str]) {
    let url = format!("rtmp://127.0.0.1:{}/{path}", origin.rtmp);
    let mut publisher = Ffmpeg::default().publish(folder, name, &url);
    let status = publisher.wait("ffmpeg gives up").await;
    let said = publisher.output();
    assert!(!status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "ffmpeg shows {word:?}: {said}");
    }
    logged_once(origin, words).await;
    assert!(
        !origin.process.output().contains("s3cret"),
        "no secret in the log"
    );
}

/// The log's line follows the connection's end.
async fn logged_once(origin: &Origin, words: &[&str]) {
    let mut words = words.to_vec();
    words.push("publisher refused");
    let lines = e2e::until("the refusal is logged", e2e::PATIENCE, async || {
        Some(origin.log_lines(&words)).filter(|lines| !lines.is_empty())
    })
    .await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[tokio::test]
async fn keys_apps_and_names() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let folder = folder.path();
    let origin = Origin::start(folder, &format!("{SETTINGS}{KEYS}")).await;
    let (wrong, missing) = ("wrong key for stream foo", "stream foo needs a key");
    refused(&origin, folder, "wrong", "live/foo?key=guess", &[wrong]).await;
    refused(&origin, folder, "missing", "live/foo", &[missing]).await;
    let unknown = "stream bar is not allowed here";
    refused(
        &origin,
        folder,
        "unknown",
        "live/bar?key=s3cret",
        &[unknown],
    )
    .await;
    let app = "unknown application: publish to rtmp://host/live/<stream>";
    refused(&origin, folder, "app", "studio/foo?key=s3cret", &[app]).await;
    refused(
        &origin,
        folder,
        "name",
        "live/f.oo?key=s3cret",
        &["use letters, digits, - and _"],
    )
    .await;
    assert!(
        origin.streams().await.as_array().is_some_and(Vec::is_empty),
        "nothing was created"
    );
}

#[tokio::test]
async fn a_taken_stream_stays_with_its_publisher() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let clip = Clip::make(folder.path(), "160x80", 2);
    let mut holder = Publisher::connect(&origin.publish_url("foo"))
        .await
        .expect("the name is free");
    assert!(
        holder
            .send(clip.headers_at(0).chain(clip.turns(0, 2)))
            .await
    );
    let words = &["cannot publish foo: it already has a publisher"];
    refused(&origin, folder.path(), "second", "live/foo", words).await;
    assert!(holder.send(clip.turns(4_000, 3)).await, "the first goes on");
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("source/"))
        .await;
    holder.leave().await;
}

#[tokio::test]
async fn a_codec_nobody_can_package() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    // The header OBS 29.1 opens HEVC with: extended, sequence start, FourCC.
    let body = bytes::Bytes::from_static(b"\x90hvc1\x01\x01\x60");
    let tag = flv::Tag {
        kind: flv::TagKind::Video,
        timestamp_ms: 0,
        body,
    };
    let mut publisher = Publisher::connect(&origin.publish_url("foo"))
        .await
        .expect("accepted");
    publisher.send([tag]).await;
    let refused = publisher.until_refused().await.expect("a reason");
    assert_eq!(refused.code, "NetStream.Publish.BadName");
    assert!(
        refused.description.contains("H.264"),
        "names the remedy: {refused:?}"
    );
    logged_once(&origin, &["stream=\"foo\"", "hvc1"]).await;
}

/// GStreamer shows the code alone.
#[tokio::test]
async fn gstreamer_is_told_as_well() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), &format!("{SETTINGS}{KEYS}")).await;
    for (name, path, shown, logged) in [
        (
            "app",
            "studio/foo?key=s3cret",
            "NetConnection.Connect.InvalidApp",
            "unknown application",
        ),
        (
            "key",
            "live/foo?key=guess",
            "NetStream.Publish.BadName",
            "wrong key for stream foo",
        ),
    ] {
        let sink = format!("rtmp2sink location=rtmp://127.0.0.1:{}/{path}", origin.rtmp);
        let mut publisher = Process::start(folder.path(), name, &mut peer::gstreamer(&sink, 5));
        let status = publisher.wait("GStreamer gives up").await;
        assert!(!status.success(), "{name}: {}", publisher.output());
        assert!(
            publisher.output().contains(shown),
            "{name}: {}",
            publisher.output()
        );
        logged_once(&origin, &[logged]).await;
    }
}
