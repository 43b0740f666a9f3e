//! Init segments under other people's eyes: what FFmpeg reads of the immersive boxes.
//!
//! Two of them: the system's `ffprobe`, which knows Spherical Video V2, and a current FFmpeg from
//! the test environment's `av` package, which knows Apple's boxes too (`side_data.py`). What
//! neither family of boxes can name (an equi-angular cubemap, a dual fisheye) no reader is asked
//! for.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use media::{Immersive, Orientation, Projection, StereoLayout, Track, avc};
use serde_json::Value;

/// x264, High, level 3.1, 1280x640.
const RECORD: &[u8] = &[
    0x01, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0x00, 0x1a, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50,
    0x05, 0x1b, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83,
    0x19, 0x60, 0x01, 0x00, 0x06, 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00,
];

const TURNED: Orientation = Orientation {
    yaw: 30.0,
    pitch: -10.0,
    roll: 5.0,
};

/// Every layout of every projection that both families of boxes can name.
fn written(folder: &Path) -> Vec<(Immersive, PathBuf)> {
    let track = Track::video(avc::Config::parse(Bytes::from_static(RECORD)).unwrap());
    let spheres = [
        Projection::Equirectangular,
        Projection::HalfEquirectangular,
        Projection::Cubemap,
    ];
    let mut files = Vec::new();
    for projection in spheres {
        for &stereo in StereoLayout::ALL {
            let immersive = Immersive {
                fov: None,
                projection,
                stereo,
                orientation: TURNED,
            };
            let path = folder.join(format!("{projection}-{stereo}.mp4"));
            std::fs::write(&path, cmaf::init_segment(&track, &immersive).unwrap()).unwrap();
            files.push((immersive, path));
        }
    }
    files
}

/// What `ffprobe` says of the first stream's side data of one type.
fn probed(path: &Path, kind: &str) -> Value {
    let shown = [
        "-v",
        "error",
        "-show_entries",
        "stream_side_data",
        "-of",
        "json",
    ];
    let output = Command::new("ffprobe").args(shown).arg(path).output();
    let output = output.expect("ffprobe is installed").stdout;
    let report: Value = serde_json::from_slice(&output).unwrap();
    let list = report["streams"][0]["side_data_list"].as_array().cloned();
    let found = list
        .into_iter()
        .flatten()
        .find(|one| one["side_data_type"] == kind);
    found.unwrap_or_default()
}

#[test]
fn ffprobe_reads_spherical_video_v2() {
    let folder = tempfile::tempdir().unwrap();
    for (
        Immersive {
            projection, stereo, ..
        },
        path,
    ) in written(folder.path())
    {
        let sphere = probed(&path, "Spherical Mapping");
        let name = match projection {
            Projection::Equirectangular => "equirectangular",
            Projection::HalfEquirectangular => "tiled equirectangular",
            _ => "cubemap",
        };
        assert_eq!(sphere["projection"], name, "{projection} {stereo}");
        let angles = ["yaw", "pitch", "roll"].map(|angle| sphere[angle].as_i64());
        assert_eq!(
            angles,
            [Some(30), Some(-10), Some(5)],
            "{projection} {stereo}"
        );
        if projection == Projection::HalfEquirectangular {
            // A quarter of the whole on either side; FFmpeg rounds it up to the next pixel.
            let bounds = ["bound_left", "bound_right"].map(|bound| sphere[bound].as_i64());
            assert!(
                matches!(bounds, [Some(640..=641), Some(639..=640)]),
                "{bounds:?}"
            );
        }
        // This reader is older than the layout with the right eye on the left.
        let layout = match stereo {
            StereoLayout::Mono => "2D",
            StereoLayout::TopBottom => "top and bottom",
            StereoLayout::SideBySide => "side by side",
            StereoLayout::RightLeft => continue,
        };
        assert_eq!(probed(&path, "Stereo 3D")["type"], layout, "{projection}");
    }
}

/// What a current FFmpeg says of each file, in their order.
fn read(paths: &[PathBuf]) -> Vec<Value> {
    let venv = std::env::var_os("PANOCAST_VENV").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/panocast/venv"),
        PathBuf::from,
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/side_data.py");
    let output = Command::new(venv.join("bin/python3"))
        .arg(script)
        .args(paths)
        .output();
    let output = output.expect("the test environment is there: run scripts/install test");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_current_ffmpeg_reads_apples_boxes() {
    let folder = tempfile::tempdir().unwrap();
    let files = written(folder.path());
    let paths: Vec<PathBuf> = files.iter().map(|(_, path)| path.clone()).collect();
    for (
        (
            Immersive {
                projection, stereo, ..
            },
            _,
        ),
        read,
    ) in files.iter().zip(read(&paths))
    {
        let text = |key: &str| read[key].as_str().unwrap_or_default().to_owned();
        let (sphere, eyes) = (text("Spherical Mapping"), text("Stereo 3D"));
        let (name, field) = match projection {
            Projection::Equirectangular => ("equirectangular", Some("360.000")),
            Projection::HalfEquirectangular => ("half equirectangular", Some("180.000")),
            _ => ("cubemap", None),
        };
        assert!(sphere.starts_with(name), "{projection} {stereo}: {sphere}");
        let field = field.map(|degrees| format!("horizontal_field_of_view: {degrees}"));
        assert!(
            field.is_none_or(|field| eyes.contains(&field)),
            "{projection} {stereo}: {eyes}"
        );
        let (layout, is_inverted) = match stereo {
            StereoLayout::Mono => ("2D", false),
            StereoLayout::TopBottom => ("top and bottom", false),
            StereoLayout::SideBySide => ("side by side", false),
            StereoLayout::RightLeft => ("side by side", true),
        };
        assert!(eyes.starts_with(layout), "{projection} {stereo}: {eyes}");
        assert_eq!(
            eyes.contains("(inverted)"),
            is_inverted,
            "{projection} {stereo}: {eyes}"
        );
    }
}
