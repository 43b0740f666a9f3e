//! Each origin encodes the ladder for itself; a player may take any rung's segment from either.

mod pairing_common;

use std::{path::Path, sync::Arc, time::Instant};

use e2e::viewer::{self, Rendition};
use pairing_common::{
    encoder::{Encoded, Shape},
    pair::Pair,
};

const SHAPE: Shape = Shape {
    name: "show",
    rate: (30, 1),
    gop: 30,
    starts_ms: [0, 1_230],
    seconds: 90,
};

const RUNGS: [&str; 2] = ["120p", "80p"];

const SETTINGS: &str = "[[origin.ladder]]\nwidth = 240\nbitrate = \"200k\"\npreset = \"ultrafast\"\n\
     [[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"";

/// Segments both list, of which every choice of origins is tried at every boundary.
const COMMON: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_segment_of_a_rung_may_come_from_either_origin() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let encoded = Encoded::test_picture(folder.path(), &SHAPE, "320x160");
    let pair = Pair::start(folder.path(), SETTINGS).await;
    let began = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for (origin, start_ms) in pair.origins.iter().zip(SHAPE.starts_ms) {
        let url = origin.publish_url(SHAPE.name);
        publishers.spawn(Arc::clone(&encoded).publish(url, began, start_ms));
    }
    pair.locked(1).await;
    for index in [0, 1] {
        pair.lists(index, SHAPE.name, &RUNGS, COMMON + 1).await;
    }
    for name in RUNGS {
        let [one, other] = &pair.origins;
        let both = [
            viewer::fetch(one, SHAPE.name, name).await,
            viewer::fetch(other, SHAPE.name, name).await,
        ];
        interchangeable(folder.path(), name, &both);
    }
    publishers.abort_all();
}

/// Every mixture of both origins' segments decodes to all of its pictures.
fn interchangeable(folder: &Path, name: &str, both: &[Rendition; 2]) {
    assert_eq!(
        both[0].inits.keys().count(),
        1,
        "{name} has one init segment"
    );
    assert_eq!(
        inits(&both[0]),
        inits(&both[1]),
        "{name}: equal names and bytes"
    );
    let [one, other] = both.each_ref().map(|rendition| &rendition.segments);
    let pairs: Vec<_> = one
        .iter()
        .filter_map(|segment| {
            let same = other.iter().find(|other| other.msn == segment.msn)?;
            Some([segment, same])
        })
        .collect();
    assert!(pairs.len() >= COMMON, "{name}: {} in common", pairs.len());
    for [one, other] in &pairs {
        let times = |segment: &viewer::Segment| -> Vec<_> {
            let units = segment.units.iter();
            units
                .map(|unit| (unit.dts, unit.duration, unit.is_sync()))
                .collect()
        };
        assert_eq!(
            times(one),
            times(other),
            "{name} {}: cut and timed alike",
            one.msn
        );
    }
    let pairs = &pairs[..COMMON];
    let init = inits(&both[0]).remove(0).1;
    let frames: usize = pairs.iter().map(|[one, _]| one.units.len()).sum();
    // Each bit says where a segment comes from.
    for choice in 0..1_usize << COMMON {
        let mut file = init.to_vec();
        for (place, pair) in pairs.iter().enumerate() {
            file.extend_from_slice(&pair[(choice >> place) & 1].bytes);
        }
        assert_eq!(
            decoded(folder, &file),
            frames,
            "{name}, choice {choice:05b}"
        );
    }
}

fn inits(rendition: &Rendition) -> Vec<(String, bytes::Bytes)> {
    let all = rendition.inits.iter();
    all.map(|(url, (bytes, _))| (url.clone(), bytes.clone()))
        .collect()
}

/// How many pictures ffmpeg finds, without a word of complaint.
fn decoded(folder: &Path, file: &[u8]) -> usize {
    let path = folder.join("mixed.mp4");
    std::fs::write(&path, file).expect("the disk has room");
    let path = path.to_string_lossy();
    // One line of text for each picture, and for each complaint.
    let said = e2e::run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-xerror",
            "-i",
            &path,
            "-fps_mode",
            "passthrough",
            "-f",
            "framecrc",
            "-",
        ],
    );
    let lines = said.lines().filter(|line| !line.starts_with('#'));
    let complaints: Vec<&str> = lines
        .clone()
        .filter(|line| !line.starts_with("0,"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    lines.count()
}
