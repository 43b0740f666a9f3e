//! Projection and stereo layout to and from the boxes of a visual sample entry.
//!
//! `st3d` + `sv3d` are Google's Spherical Video V2, `vexu` + `hfov` Apple's video extended usage; a
//! file may carry both, saying the same. Flat mono video gets none. Projections that neither family
//! can name (equi-angular cubemap, dual fisheye) are kept in a `uuid` box of ours, so that a
//! recording still knows them.

use media::{Immersive, Orientation, Projection, StereoLayout};
use mp4_atom::{
    Cbmp, Equi, Eyes, Hfov, Pack, Pkin, Prhd, Prji, Proj, ProjKind, Spatial, St3d, Stri, Sv3d,
    Svhd, Vexu, VexuProj,
};

use crate::{
    Error,
    boxes::{Children, container, leaf},
};

/// A quarter of the picture as a 0.32 fraction: what half an equirectangular picture lacks on
/// either side.
const QUARTER: u32 = 0x4000_0000;

/// Marks our own box for projections without a public one.
const PROJECTION_UUID: [u8; 16] = *b"panocast.proj.v1";

/// Appends the boxes that describe `immersive`.
pub(crate) fn write(out: &mut Vec<u8>, immersive: &Immersive) -> Result<(), Error> {
    let stereo = immersive.stereo != StereoLayout::Mono;
    if immersive.projection == Projection::Rectilinear && !stereo {
        return Ok(());
    }
    let spatial = Spatial {
        st3d: Some(St3d {
            stereo_mode: stereo_mode(immersive.stereo),
        }),
        sv3d: proj_kind(immersive.projection).map(|kind| sv3d(kind, &immersive.orientation)),
        vexu: vexu(immersive),
        hfov: hfov(immersive.projection),
        unknown: Vec::new(),
    };
    leaf(out, &spatial)?;
    if matches!(
        immersive.projection,
        Projection::EquiAngularCubemap | Projection::DualFisheye
    ) {
        container(out, b"uuid", |out| {
            out.extend_from_slice(&PROJECTION_UUID);
            for degrees in angles(&immersive.orientation) {
                out.extend_from_slice(&degrees.to_be_bytes());
            }
            out.extend_from_slice(immersive.projection.name().as_bytes());
            Ok(())
        })?;
    }
    Ok(())
}

/// Reads what [`write`] wrote among the children of a sample entry.
pub(crate) fn read(children: Children<'_>) -> Result<Immersive, Error> {
    let mut immersive = Immersive {
        projection: Projection::Rectilinear,
        ..Immersive::default()
    };
    for child in children {
        match &child.kind {
            b"st3d" => immersive.stereo = stereo_layout(child.decode::<St3d>()?.stereo_mode),
            b"sv3d" => {
                let proj = child.decode::<Sv3d>()?.proj.unwrap_or_default();
                immersive.projection = projection(proj.kind.as_ref());
                if let Some(prhd) = proj.prhd {
                    immersive.orientation = orientation([
                        prhd.pose_yaw_degrees,
                        prhd.pose_pitch_degrees,
                        prhd.pose_roll_degrees,
                    ]);
                }
            }
            b"uuid" => read_own(child.body, &mut immersive),
            _ => {}
        }
    }
    Ok(immersive)
}

fn read_own(body: &[u8], immersive: &mut Immersive) {
    let Some(body) = body.strip_prefix(&PROJECTION_UUID) else {
        return;
    };
    let Some((angles, name)) = body.split_first_chunk::<12>() else {
        return;
    };
    if let Some(projection) = std::str::from_utf8(name).ok().and_then(|n| n.parse().ok()) {
        let [y0, y1, y2, y3, p0, p1, p2, p3, r0, r1, r2, r3] = *angles;
        immersive.projection = projection;
        immersive.orientation = orientation([
            i32::from_be_bytes([y0, y1, y2, y3]),
            i32::from_be_bytes([p0, p1, p2, p3]),
            i32::from_be_bytes([r0, r1, r2, r3]),
        ]);
    }
}

fn stereo_mode(stereo: StereoLayout) -> u8 {
    match stereo {
        StereoLayout::Mono => St3d::MONO,
        StereoLayout::TopBottom => St3d::TOP_BOTTOM,
        StereoLayout::SideBySide => St3d::LEFT_RIGHT,
        StereoLayout::RightLeft => St3d::RIGHT_LEFT,
    }
}

fn stereo_layout(mode: u8) -> StereoLayout {
    match mode {
        St3d::TOP_BOTTOM => StereoLayout::TopBottom,
        St3d::LEFT_RIGHT => StereoLayout::SideBySide,
        St3d::RIGHT_LEFT => StereoLayout::RightLeft,
        _ => StereoLayout::Mono,
    }
}

fn proj_kind(projection: Projection) -> Option<ProjKind> {
    match projection {
        Projection::Equirectangular => Some(ProjKind::Equi(Equi::default())),
        Projection::HalfEquirectangular => Some(ProjKind::Equi(Equi {
            projection_bounds_left: QUARTER,
            projection_bounds_right: QUARTER,
            ..Equi::default()
        })),
        Projection::Cubemap => Some(ProjKind::Cbmp(Cbmp {
            layout: 0,
            padding: 0,
        })),
        Projection::EquiAngularCubemap | Projection::DualFisheye | Projection::Rectilinear => None,
    }
}

fn projection(kind: Option<&ProjKind>) -> Projection {
    match kind {
        Some(ProjKind::Equi(equi)) if equi.projection_bounds_left >= QUARTER => {
            Projection::HalfEquirectangular
        }
        Some(ProjKind::Equi(_)) => Projection::Equirectangular,
        Some(ProjKind::Cbmp(_)) => Projection::Cubemap,
        _ => Projection::Rectilinear,
    }
}

fn sv3d(kind: ProjKind, orientation: &Orientation) -> Sv3d {
    let [yaw, pitch, roll] = angles(orientation);
    Sv3d {
        svhd: Some(Svhd {
            metadata_source: String::new(),
        }),
        proj: Some(Proj {
            prhd: Some(Prhd {
                pose_yaw_degrees: yaw,
                pose_pitch_degrees: pitch,
                pose_roll_degrees: roll,
            }),
            kind: Some(kind),
            unknown: Vec::new(),
        }),
        unknown: Vec::new(),
    }
}

fn vexu(immersive: &Immersive) -> Option<Vexu> {
    let kind = match immersive.projection {
        Projection::Equirectangular => Some(Prji::EQUIRECTANGULAR),
        Projection::HalfEquirectangular => Some(Prji::HALF_EQUIRECTANGULAR),
        Projection::Rectilinear => Some(Prji::RECTILINEAR),
        Projection::Cubemap | Projection::EquiAngularCubemap | Projection::DualFisheye => None,
    };
    let packing = match immersive.stereo {
        StereoLayout::Mono => None,
        StereoLayout::TopBottom => Some(Pkin::OVER_UNDER),
        StereoLayout::SideBySide | StereoLayout::RightLeft => Some(Pkin::SIDE_BY_SIDE),
    };
    if kind.is_none() && packing.is_none() {
        return None;
    }
    Some(Vexu {
        proj: kind.map(|projection_kind| VexuProj {
            prji: Some(Prji { projection_kind }),
            ..VexuProj::default()
        }),
        eyes: packing.map(|_| Eyes {
            stri: Some(Stri {
                has_left_eye_view: true,
                has_right_eye_view: true,
                eye_views_reversed: immersive.stereo == StereoLayout::RightLeft,
                has_additional_views: false,
            }),
            ..Eyes::default()
        }),
        pack: packing.map(|view_packing_kind| Pack {
            pkin: Some(Pkin { view_packing_kind }),
            ..Pack::default()
        }),
        ..Vexu::default()
    })
}

fn hfov(projection: Projection) -> Option<Hfov> {
    let degrees = match projection {
        Projection::Equirectangular => 360,
        Projection::HalfEquirectangular => 180,
        _ => return None,
    };
    Some(Hfov {
        field_of_view: degrees * Hfov::DENOMINATOR,
    })
}

/// Yaw, pitch and roll as 16.16 degrees.
fn angles(orientation: &Orientation) -> [i32; 3] {
    [orientation.yaw, orientation.pitch, orientation.roll]
        .map(|degrees| (degrees.clamp(-180.0, 180.0) * 65_536.0).round() as i32)
}

fn orientation(angles: [i32; 3]) -> Orientation {
    let [yaw, pitch, roll] = angles.map(|fixed| f64::from(fixed) / 65_536.0);
    Orientation { yaw, pitch, roll }
}
