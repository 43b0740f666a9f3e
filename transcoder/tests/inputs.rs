//! Files that are no recordings of ours: a right result or a clear verdict, and never a block for
//! others.

#![forbid(unsafe_code)]

mod support;

use bytes::Bytes;
use jobs::Queue as _;
use store::{ObjectMetadata, Store as _};
use support::*;
use transcoder::progress::Progress;

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
async fn transcode(name: &str, parts: &[&[&str]]) -> (Fixture, Result<String, String>) {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join(name);
    ffmpeg(&parts.concat(), &path);
    let bytes = std::fs::read(&path).unwrap();
    let verdict = upload(&fixture, name, bytes.into()).await;
    (fixture, verdict)
}

async fn upload(fixture: &Fixture, name: &str, bytes: Bytes) -> Result<String, String> {
    fixture
        .ingest
        .put(name, bytes, ObjectMetadata::default())
        .await
        .unwrap();
    fixture.tell(name).await;
    fixture.drain_queue(&fixture.worker()).await;
    let mut dead = fixture.queue.dead_letters().await.unwrap();
    match dead.pop() {
        Some(letter) => Err(letter.reason),
        None => {
            let etag = fixture.ingest.head(name).await.unwrap().etag;
            Ok(transcoder::asset_name(name, &etag))
        }
    }
}

fn decodes(fixture: &Fixture, asset: &str) {
    let warnings = decode_with_ffmpeg(&fixture.vod().join(asset).join("index.m3u8"));
    assert_eq!(warnings, "");
}

async fn seconds(fixture: &Fixture, asset: &str, rendition: &str) -> f64 {
    let read = read_rendition(&*fixture.egress, asset, rendition).await;
    read.playlist
        .segments
        .iter()
        .map(|segment| f64::from(segment.duration))
        .sum()
}

#[tokio::test]
async fn an_ordinary_mp4_with_its_index_at_either_end() {
    for flags in [&["-movflags", "+faststart"][..], &[]] {
        let (fixture, result) = transcode(
            "holiday 1.mp4",
            &[&VIDEO, &SOUND, &H264, &["-c:a", "aac"], flags],
        )
        .await;
        let asset = result.unwrap();
        assert!(asset.starts_with("holiday-1-"), "{asset}");
        decodes(&fixture, &asset);
        for rendition in ["source", "120p", "80p"] {
            let length = seconds(&fixture, &asset, rendition).await;
            assert!((length - 5.0).abs() < 1.0 / 15.0, "{rendition}: {length}");
        }
        let length = seconds(&fixture, &asset, "audio").await;
        assert!((length - 5.0).abs() < 0.1, "{length}");
    }
}

#[tokio::test]
async fn flv_and_transport_streams() {
    for name in ["a.flv", "a.ts"] {
        let (fixture, result) = transcode(name, &[&VIDEO, &SOUND, &H264, &["-c:a", "aac"]]).await;
        let asset = result.unwrap();
        decodes(&fixture, &asset);
        let length = seconds(&fixture, &asset, "120p").await;
        assert!((length - 5.0).abs() < 2.0 / 15.0, "{name}: {length}");
    }
}

#[tokio::test]
async fn sound_alone_and_pictures_alone() {
    let (fixture, result) = transcode("talk.m4a", &[&SOUND, &["-c:a", "aac"]]).await;
    let asset = result.unwrap();
    let length = seconds(&fixture, &asset, "audio").await;
    assert!((length - 5.0).abs() < 0.1, "{length}");
    decodes(&fixture, &asset);
    let (fixture, result) = transcode("mute.mp4", &[&VIDEO, &H264]).await;
    let asset = result.unwrap();
    decodes(&fixture, &asset);
    assert!((seconds(&fixture, &asset, "80p").await - 5.0).abs() < 1.0 / 15.0);
}

#[tokio::test]
async fn a_variable_rate_keeps_its_times() {
    let jumpy = "select='not(mod(n\\,3))+gt(t\\,3)'";
    let (fixture, result) = transcode(
        "vfr.mp4",
        &[
            &VIDEO,
            &["-vf", jumpy, "-fps_mode", "vfr"],
            &H264,
            &["-g", "10"],
        ],
    )
    .await;
    let asset = result.unwrap();
    decodes(&fixture, &asset);
    let times = |read: Read| {
        let mut times: Vec<i64> = read.segments.iter().flatten().map(|u| u.pts).collect();
        times.sort_unstable();
        times
    };
    let source = times(read_rendition(&*fixture.egress, &asset, "source").await);
    assert_eq!(
        times(read_rendition(&*fixture.egress, &asset, "80p").await),
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
    let (fixture, result) = transcode("odd.mp4", &[&odd, &["-pix_fmt", "yuv444p"], &H264]).await;
    let asset = result.unwrap();
    decodes(&fixture, &asset);
    let master = text(&*fixture.egress, &transcoder::multivariant(&asset)).await;
    assert!(
        !master.contains("source/"),
        "few players decode 4:4:4\n{master}"
    );
    let read = read_rendition(&*fixture.egress, &asset, "80p").await;
    let video = read.track.as_video().unwrap();
    assert_eq!(video.config.dimensions(), (160, 80));
}

/// The track's display matrix, as a phone writes it that was held upright: a quarter to the right.
fn held_upright(mut file: Vec<u8>) -> Bytes {
    let word = |value: i32| value.to_be_bytes();
    let matrix = |turn: [i32; 4]| {
        let [a, b, c, d] = turn.map(|factor| word(factor << 16));
        [
            a,
            b,
            word(0),
            c,
            d,
            word(0),
            word(0),
            word(0),
            word(1 << 30),
        ]
        .concat()
    };
    let (upright, turned) = (matrix([1, 0, 0, 1]), matrix([0, 1, -1, 0]));
    let header = file.windows(4).position(|name| name == b"tkhd").unwrap();
    let after = file[header..].windows(upright.len());
    let at = header + after.into_iter().position(|m| m == upright).unwrap();
    file[at..at + turned.len()].copy_from_slice(&turned);
    file.into()
}

#[tokio::test]
async fn pictures_stored_on_their_side_come_out_upright() {
    let corner = [
        "-f",
        "lavfi",
        "-i",
        "color=black:s=320x160:r=15:d=4,drawbox=w=160:h=80:color=white:t=fill",
    ];
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("phone.mp4");
    ffmpeg(&[&corner[..], &H264].concat(), &path);
    let file = held_upright(std::fs::read(&path).unwrap());
    let asset = upload(&fixture, "phone.mp4", file).await.unwrap();
    decodes(&fixture, &asset);
    let master = text(&*fixture.egress, &transcoder::multivariant(&asset)).await;
    assert!(
        !master.contains("source/"),
        "nobody turns the copy\n{master}"
    );
    let read = read_rendition(&*fixture.egress, &asset, "320p").await;
    let video = read.track.as_video().unwrap();
    assert_eq!(video.config.dimensions(), (160, 320));
    let picture = fixture.folder.path().join("first.gray");
    let playlist = fixture.vod().join(&asset).join("320p/index.m3u8");
    let first = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray"];
    ffmpeg(
        &[&["-i", playlist.to_str().unwrap()][..], &first].concat(),
        &picture,
    );
    let picture = std::fs::read(picture).unwrap();
    let sample = |x: usize, y: usize| picture[y * 160 + x];
    assert!(sample(120, 80) > 200, "what was on the left is at the top");
    assert!(
        sample(40, 80) < 50 && sample(120, 240) < 50 && sample(40, 240) < 50,
        "and only there"
    );
}

#[tokio::test]
async fn pictures_smaller_than_every_rung_keep_their_size() {
    let small = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=96x64:rate=15:duration=4",
    ];
    let (fixture, result) =
        transcode("small.mp4", &[&small, &["-pix_fmt", "yuv444p"], &H264]).await;
    let asset = result.unwrap();
    decodes(&fixture, &asset);
    let read = read_rendition(&*fixture.egress, &asset, "64p").await;
    let video = read.track.as_video().unwrap();
    assert_eq!(video.config.dimensions(), (96, 64));
}

#[tokio::test]
async fn what_is_no_media_by_its_name_is_refused_where_people_look() {
    let fixture = Fixture::new().await;
    let bytes = Bytes::from_static(b"notes");
    let name = "notes.txt";
    fixture
        .ingest
        .put(name, bytes, ObjectMetadata::default())
        .await
        .unwrap();
    fixture.tell(name).await;
    let progress = Progress::new(service::Clock::real());
    let worker = fixture.worker_that_tells(&progress);
    fixture.drain_queue(&worker).await;
    let failures = progress.report().failures;
    assert_eq!(failures.len(), 1);
    assert!(
        failures[0].reason.contains("notes.txt") && failures[0].reason.contains("mp4, m4v"),
        "{failures:?}"
    );
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
    assert_eq!(fixture.queue.depth().await.unwrap(), jobs::Depth::default());
}

#[tokio::test]
async fn what_cannot_become_vod_gets_a_verdict_that_names_the_reason() {
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
    let fixture = Fixture::new().await;
    let verdict = upload(&fixture, "empty.mp4", Bytes::new())
        .await
        .unwrap_err();
    assert!(verdict.contains("empty"), "{verdict}");
    let (_, result) = transcode("nothing.mp4", &[&VIDEO, &H264, &["-t", "0"]]).await;
    let verdict = result.unwrap_err();
    assert!(
        verdict.contains("cannot transcode nothing.mp4"),
        "{verdict}"
    );
    let fixture = Fixture::new().await;
    let noise = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let verdict = upload(&fixture, "noise.mp4", noise).await.unwrap_err();
    assert!(verdict.contains("cannot transcode noise.mp4"), "{verdict}");
    let fixture = Fixture::new().await;
    fixture.tell("gone.mp4").await;
    fixture.drain_queue(&fixture.worker()).await;
    let verdict = fixture.queue.dead_letters().await.unwrap().remove(0).reason;
    assert!(verdict.contains("gone from the ingest store"), "{verdict}");
}

#[tokio::test]
async fn a_file_cut_short_gives_what_it_has_or_a_verdict() {
    let fixture = Fixture::new().await;
    let path = fixture.folder.path().join("whole.mp4");
    ffmpeg(&[&VIDEO[..], &H264].concat(), &path);
    let whole = std::fs::read(&path).unwrap();
    let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let verdict = upload(&fixture, "half.mp4", half).await.unwrap_err();
    assert!(verdict.contains("cannot transcode half.mp4"), "{verdict}");
    // Without its sidecar and cut in the middle of a chunk, a recording of ours still plays.
    let made = recording(6, None);
    let cut = made.bytes.slice(..made.bytes.len() * 3 / 4);
    let fixture = Fixture::new().await;
    let asset = upload(&fixture, "cut.mp4", cut).await.unwrap();
    decodes(&fixture, &asset);
    let length = seconds(&fixture, &asset, "80p").await;
    assert!((3.0..5.5).contains(&length), "{length}");
}

#[tokio::test]
async fn a_poison_job_does_not_hold_others_up() {
    let fixture = Fixture::new().await;
    fixture
        .ingest
        .put(
            "poison.mp4",
            Bytes::from_static(b"poison"),
            ObjectMetadata::default(),
        )
        .await
        .unwrap();
    fixture.tell("poison.mp4").await;
    let made = recording(4, None);
    fixture.record(&made).await;
    fixture.drain_queue(&fixture.worker()).await;
    check(&*fixture.egress, &made, &["source", "120p", "80p", "audio"]).await;
    assert_eq!(fixture.queue.dead_letters().await.unwrap().len(), 1);
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
    let progress = Progress::new(service::Clock::real());
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
    let vod = transcoder::vod_file(&path, &out, &settings, &progress)
        .await
        .unwrap();
    assert_eq!(progress.report().slices_done, 2, "no slice was made twice");
    assert_eq!(
        decode_with_ffmpeg(&out.join("vod").join(vod.asset).join("index.m3u8")),
        ""
    );
    let missing = transcoder::vod_file(&out.join("no"), &out, &settings, &progress).await;
    assert!(missing.unwrap_err().is_permanent());
}
