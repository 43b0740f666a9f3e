//! What a container says of its pictures beside their samples: how they are turned, how they lie on
//! the sphere, and whether they are encrypted.
//!
//! FFmpeg hands both over as C structures that may grow at their ends, so only their beginnings are
//! read here, as the bytes they are.

use ffmpeg_next::{self as ffmpeg, codec::packet::side_data::Type};
use media::{Immersive, Orientation, Projection, StereoLayout};

use crate::Rotation;

/// `AVSphericalMapping.projection`. The last three came with FFmpeg 7.1, so bindings may lack them.
const EQUIRECTANGULAR: i32 = 0;
const CUBEMAP: i32 = 1;
const EQUIRECTANGULAR_TILE: i32 = 2;
const HALF_EQUIRECTANGULAR: i32 = 3;
const RECTILINEAR: i32 = 4;

/// `AVStereo3D.type`.
const SIDE_BY_SIDE: i32 = 1;
const TOP_BOTTOM: i32 = 2;

/// `AVStereo3D.flags`: the right eye comes first.
const INVERTED: i32 = 1;

/// A quarter of a picture as bounds are given, less what rounding may cost.
const QUARTER: std::ops::RangeInclusive<u32> = 0x3ff0_0000..=0x4010_0000;

/// Whether the packet needs a key: to the decoder its bytes are noise, which now and then looks
/// like a picture.
pub(super) fn is_encrypted(packet: &ffmpeg::Packet) -> bool {
    packet
        .side_data()
        .any(|data| data.kind() == Type::EncryptionInfo)
}

/// The turn that the pictures need; `Err` for one that is not by quarters.
pub(super) fn rotation(stream: &ffmpeg::Stream<'_>) -> Result<Rotation, String> {
    let Some(data) = find(stream, Type::DisplayMatrix) else {
        return Ok(Rotation::NONE);
    };
    let matrix = [
        word(&data, 0),
        word(&data, 1),
        word(&data, 3),
        word(&data, 4),
    ];
    let [Some(a), Some(b), Some(c), Some(d)] = matrix else {
        return Ok(Rotation::NONE);
    };
    Rotation::from_matrix(a, b, c, d)
        .ok_or_else(|| "its pictures are turned, but not by quarters".to_owned())
}

/// How the pictures lie on the sphere, where the container says so in words we know.
pub(super) fn immersive(stream: &ffmpeg::Stream<'_>) -> Option<Immersive> {
    let data = find(stream, Type::DataSpherical)?;
    let projection = match word(&data, 0)? {
        EQUIRECTANGULAR => Projection::Equirectangular,
        EQUIRECTANGULAR_TILE => tile(&data)?,
        CUBEMAP => Projection::Cubemap,
        HALF_EQUIRECTANGULAR => Projection::HalfEquirectangular,
        RECTILINEAR => Projection::Rectilinear,
        _ => return None,
    };
    let degrees = |index| word(&data, index).map(|fixed| f64::from(fixed) / 65536.0);
    Some(Immersive {
        fov: None,
        projection,
        stereo: stereo(stream),
        orientation: Orientation {
            yaw: degrees(1)?,
            pitch: degrees(2)?,
            roll: degrees(3)?,
        },
    })
}

/// Of all tiles of the sphere only its front half has a name.
fn tile(data: &[u8]) -> Option<Projection> {
    let bound = |index| word(data, index).map(|bits| bits as u32);
    let (left, top, right, bottom) = (bound(4)?, bound(5)?, bound(6)?, bound(7)?);
    let is_half = QUARTER.contains(&left) && QUARTER.contains(&right) && top == 0 && bottom == 0;
    is_half.then_some(Projection::HalfEquirectangular)
}

fn stereo(stream: &ffmpeg::Stream<'_>) -> StereoLayout {
    let Some(data) = find(stream, Type::Stereo3d) else {
        return StereoLayout::Mono;
    };
    let is_inverted = word(&data, 1).is_some_and(|flags| flags & INVERTED != 0);
    match (word(&data, 0), is_inverted) {
        (Some(TOP_BOTTOM), _) => StereoLayout::TopBottom,
        (Some(SIDE_BY_SIDE), false) => StereoLayout::SideBySide,
        (Some(SIDE_BY_SIDE), true) => StereoLayout::RightLeft,
        _ => StereoLayout::Mono,
    }
}

fn find(stream: &ffmpeg::Stream<'_>, kind: Type) -> Option<Vec<u8>> {
    let mut all = stream.side_data();
    let found = all.find(|data| data.kind() == kind)?;
    Some(found.data().to_vec())
}

/// The `index`-th 32-bit word.
fn word(data: &[u8], index: usize) -> Option<i32> {
    let bytes = data.get(index * 4..index * 4 + 4)?;
    Some(i32::from_ne_bytes(bytes.try_into().ok()?))
}
