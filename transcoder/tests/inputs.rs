//! Files that are no recordings of ours: a right result or a clear verdict, and never a block for
//! others.

#![forbid(unsafe_code)]

mod support;

use bytes::Bytes;
use jobs::Queue as _;
use store::{Label, Store as _};
use support::*;

const VIDEO: [&str; 4] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x160:rate=15:duration=5",
];
const SOUND: [&str; 4] = [
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=44100:duration=5",
];
const H264: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30"];

/// What a file made by ffmpeg becomes: the asset's name, or the verdict.
async fn transcode(name: &str, parts: &[&[&str]]) -> (Place, Result<String, String>) {
    let place = Place::new().await;
    let path = place.folder.path().join(name);
    ffmpeg(&parts.concat(), &path);
    let bytes = std::fs::read(&path).unwrap();
    let verdict = upload(&place, name, bytes.into()).await;
    (place, verdict)
}

async fn upload(place: &Place, name: &str, bytes: Bytes) -> Result<String, String> {
    place
        .ingest
        .put(name, bytes, Label::default())
        .await
        .unwrap();
    place.tell(name).await;
    place.drain_queue(&place.worker()).await;
    let mut dead = place.queue.dead_letters().await.unwrap();
    match dead.pop() {
        Some(letter) => Err(letter.reason),
        None => {
            let etag = place.ingest.head(name).await.unwrap().etag;
            Ok(transcoder::asset_name(name, &etag))
        }
    }
}

fn decodes(place: &Place, asset: &str) {
    let warnings = decode_with_ffmpeg(&place.vod().join(asset).join("index.m3u8"));
    assert_eq!(warnings, "");
}

async fn seconds(place: &Place, asset: &str, rendition: &str) -> f64 {
    let read = read_rendition(&*place.egress, asset, rendition).await;
    read.playlist
        .segments
        .iter()
        .map(|segment| f64::from(segment.duration))
        .sum()
}

#[tokio::test]
async fn an_ordinary_mp4_with_its_index_at_either_end() {
    for flags in [&["-movflags", "+faststart"][..], &[]] {
        let (place, result) = transcode(
            "holiday 1.mp4",
            &[&VIDEO, &SOUND, &H264, &["-c:a", "aac"], flags],
        )
        .await;
        let asset = result.unwrap();
        assert!(asset.starts_with("holiday-1-"), "{asset}");
        decodes(&place, &asset);
        for rendition in ["source", "120p", "80p"] {
            let length = seconds(&place, &asset, rendition).await;
            assert!((length - 5.0).abs() < 1.0 / 15.0, "{rendition}: {length}");
        }
        let length = seconds(&place, &asset, "audio").await;
        assert!((length - 5.0).abs() < 0.1, "{length}");
    }
}

#[tokio::test]
async fn flv_and_transport_streams() {
    for name in ["a.flv", "a.ts"] {
        let (place, result) = transcode(name, &[&VIDEO, &SOUND, &H264, &["-c:a", "aac"]]).await;
        let asset = result.unwrap();
        decodes(&place, &asset);
        let length = seconds(&place, &asset, "120p").await;
        assert!((length - 5.0).abs() < 2.0 / 15.0, "{name}: {length}");
    }
}

#[tokio::test]
async fn sound_alone_and_pictures_alone() {
    let (place, result) = transcode("talk.m4a", &[&SOUND, &["-c:a", "aac"]]).await;
    let asset = result.unwrap();
    let length = seconds(&place, &asset, "audio").await;
    assert!((length - 5.0).abs() < 0.1, "{length}");
    decodes(&place, &asset);
    let (place, result) = transcode("mute.mp4", &[&VIDEO, &H264]).await;
    let asset = result.unwrap();
    decodes(&place, &asset);
    assert!((seconds(&place, &asset, "80p").await - 5.0).abs() < 1.0 / 15.0);
}

#[tokio::test]
async fn a_variable_rate_keeps_its_times() {
    let jumpy = "select='not(mod(n\\,3))+gt(t\\,3)'";
    let (place, result) = transcode(
        "vfr.mp4",
        &[&VIDEO, &["-vf", jumpy, "-fps_mode", "vfr"], &H264],
    )
    .await;
    let asset = result.unwrap();
    decodes(&place, &asset);
    let times = |read: Read| {
        read.segments
            .into_iter()
            .flatten()
            .map(|u| u.dts)
            .collect::<Vec<_>>()
    };
    let source = times(read_rendition(&*place.egress, &asset, "source").await);
    assert_eq!(
        times(read_rendition(&*place.egress, &asset, "80p").await),
        source
    );
}

#[tokio::test]
async fn an_odd_size_becomes_even_rungs() {
    let odd = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=321x161:rate=15:duration=4",
    ];
    let (place, result) = transcode("odd.mp4", &[&odd, &["-pix_fmt", "yuv444p"], &H264]).await;
    let asset = result.unwrap();
    decodes(&place, &asset);
    let master = text(&*place.egress, &transcoder::multivariant(&asset)).await;
    assert!(
        !master.contains("source/"),
        "few players decode 4:4:4\n{master}"
    );
    let read = read_rendition(&*place.egress, &asset, "80p").await;
    let avc = read.track.avc().unwrap();
    assert_eq!((avc.width(), avc.height()), (160, 80));
}

#[tokio::test]
async fn what_cannot_become_vod_gets_a_verdict_that_names_the_reason() {
    let (_, result) = transcode(
        "new.mp4",
        &[&VIDEO, &["-c:v", "libx265", "-preset", "ultrafast"]],
    )
    .await;
    let verdict = result.unwrap_err();
    assert!(
        verdict.contains("H265") || verdict.contains("HEVC"),
        "{verdict}"
    );
    let secret = "76a6c65c5ea762046bd749a2e632ccbb";
    let encrypted = [
        "-encryption_scheme",
        "cenc-aes-ctr",
        "-encryption_key",
        secret,
        "-encryption_kid",
        secret,
    ];
    let (_, result) = transcode("locked.mp4", &[&VIDEO, &H264, &encrypted]).await;
    let verdict = result.unwrap_err();
    assert!(verdict.contains("encrypted"), "{verdict}");
    let place = Place::new().await;
    let verdict = upload(&place, "empty.mp4", Bytes::new()).await.unwrap_err();
    assert!(verdict.contains("empty"), "{verdict}");
    let place = Place::new().await;
    let noise = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let verdict = upload(&place, "noise.mp4", noise).await.unwrap_err();
    assert!(verdict.contains("cannot transcode noise.mp4"), "{verdict}");
    let place = Place::new().await;
    place.tell("gone.mp4").await;
    place.drain_queue(&place.worker()).await;
    let verdict = place.queue.dead_letters().await.unwrap().remove(0).reason;
    assert!(verdict.contains("gone from the ingest store"), "{verdict}");
}

#[tokio::test]
async fn a_file_cut_short_gives_what_it_has_or_a_verdict() {
    let place = Place::new().await;
    let path = place.folder.path().join("whole.mp4");
    ffmpeg(&[&VIDEO[..], &H264].concat(), &path);
    let whole = std::fs::read(&path).unwrap();
    let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let verdict = upload(&place, "half.mp4", half).await.unwrap_err();
    assert!(verdict.contains("cannot transcode half.mp4"), "{verdict}");
    // Without its sidecar and cut in the middle of a chunk, a recording of ours still plays.
    let made = recording(6, None);
    let cut = made.bytes.slice(..made.bytes.len() * 3 / 4);
    let place = Place::new().await;
    let asset = upload(&place, "cut.mp4", cut).await.unwrap();
    decodes(&place, &asset);
    let length = seconds(&place, &asset, "80p").await;
    assert!((3.0..5.5).contains(&length), "{length}");
}

#[tokio::test]
async fn a_poison_job_does_not_hold_others_up() {
    let place = Place::new().await;
    place
        .ingest
        .put(
            "poison.mp4",
            Bytes::from_static(b"poison"),
            Label::default(),
        )
        .await
        .unwrap();
    place.tell("poison.mp4").await;
    let made = recording(4, None);
    place.record(&made).await;
    place.drain_queue(&place.worker()).await;
    check(&*place.egress, &made, &["source", "120p", "80p", "audio"]).await;
    assert_eq!(place.queue.dead_letters().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_local_file_without_any_service_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk one.mp4");
    ffmpeg(
        &[&VIDEO[..], &SOUND, &H264, &["-c:a", "aac"]].concat(),
        &path,
    );
    let out = folder.path().join("out");
    let progress = transcoder::progress::Progress::new(service::Clock::real());
    let settings = settings();
    let half = transcoder::vod_file(&path, &out, &settings, &progress);
    // Dropped while it works, as by a signal.
    let waited = std::pin::pin!(async {
        while progress.report().slices_done == 0 {
            tokio::task::yield_now().await;
        }
    });
    let either = std::pin::pin!(half);
    futures_util::future::select(either, waited).await;
    let asset = transcoder::vod_file(&path, &out, &settings, &progress)
        .await
        .unwrap();
    assert_eq!(progress.report().slices_done, 2, "no slice was made twice");
    assert_eq!(
        decode_with_ffmpeg(&out.join("vod").join(asset).join("index.m3u8")),
        ""
    );
    let missing = transcoder::vod_file(&out.join("no"), &out, &settings, &progress).await;
    assert!(missing.unwrap_err().is_permanent());
}
