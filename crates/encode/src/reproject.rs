//! Turns one projection of the sphere into another with FFmpeg's `v360` filter.
//!
//! The result has about as many pixels per degree as the source, so that scaling afterwards stays
//! the only place where detail is given up on purpose. It is costly at 4K: a stage for cameras that
//! do not stitch, and for rungs of fewer pixels at equal sharpness.

use ffmpeg_next::{
    self as ffmpeg, filter,
    format::Pixel,
    frame::{self, Video},
};
use media::{Immersive, Projection, StereoLayout};

use crate::{Error, Picture, error::Attempt};

/// What to make of the source's projection before a rung is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reprojection {
    /// The source's projection.
    pub from: Projection,
    /// The rung's projection.
    pub to: Projection,
    /// Degrees by which the view turns to the left, -180 to 180.
    pub yaw: f64,
    /// Degrees that one lens of the source sees, if it is a dual fisheye; 90 to 270.
    pub fov: f64,
}

impl Reprojection {
    /// What makes a rung in projection `to` of a source that lies on the sphere as `from` says.
    /// `None` where the rung is better left as the source is: it is so already, a stereo picture
    /// holds two spheres, a flat one none.
    pub fn of(from: &Immersive, to: Projection) -> Option<Self> {
        let sphere = from.projection != Projection::Rectilinear;
        let wanted = sphere && from.stereo == StereoLayout::Mono && to != from.projection;
        wanted.then_some(Self {
            from: from.projection,
            to,
            yaw: 0.0,
            fov: from.fov.unwrap_or(Immersive::FISHEYE_DEGREES),
        })
    }

    /// `Ok` where this can be carried out.
    pub fn check(&self) -> Result<(), Error> {
        v360_name(self.from)?;
        v360_name(self.to)?;
        if !(90.0..=270.0).contains(&self.fov) {
            return Err(Error::setting("fov", self.fov, "make it 90 to 270 degrees"));
        }
        if (-180.0..=180.0).contains(&self.yaw) {
            Ok(())
        } else {
            Err(Error::setting(
                "yaw",
                self.yaw,
                "make it -180 to 180 degrees",
            ))
        }
    }

    /// A size whose shape the result has, for a source of `size`.
    pub(crate) fn aspect(&self, size: (u32, u32)) -> (u32, u32) {
        match self.to {
            Projection::Equirectangular | Projection::DualFisheye => (2, 1),
            Projection::HalfEquirectangular => (1, 1),
            Projection::Cubemap | Projection::EquiAngularCubemap => (3, 2),
            Projection::Rectilinear => size,
        }
    }

    /// The result's size for a source of `size`: as many pixels around the equator as the source
    /// has.
    fn size(&self, size: (u32, u32)) -> (u32, u32) {
        let around = match self.from {
            Projection::Equirectangular | Projection::DualFisheye => size.0,
            Projection::HalfEquirectangular => size.0 * 2,
            // Four faces of the equator, three of which lie side by side.
            Projection::Cubemap | Projection::EquiAngularCubemap => size.0 / 3 * 4,
            Projection::Rectilinear => size.0,
        };
        let width = match self.to {
            Projection::Equirectangular | Projection::DualFisheye => around,
            Projection::HalfEquirectangular => around / 2,
            Projection::Cubemap | Projection::EquiAngularCubemap => around / 4 * 3,
            Projection::Rectilinear => size.0,
        };
        let (wide, high) = self.aspect(size);
        let mut width = width.clamp(48, crate::SIDE_PIXELS_MAX) & !1;
        if self.to == Projection::EquiAngularCubemap {
            // Both rows of faces begin at even rows.
            width -= width % 12;
        }
        let height = u64::from(width) * u64::from(high) / u64::from(wide.max(1));
        (
            width,
            u32::try_from(height)
                .unwrap_or(u32::MAX)
                .clamp(16, crate::SIDE_PIXELS_MAX)
                & !1,
        )
    }

    fn filter(&self, size: (u32, u32)) -> Result<String, Error> {
        self.check()?;
        let (from, to) = (v360_name(self.from)?, v360_name(self.to)?);
        let (width, height) = self.size(size);
        let is_eac = |projection| projection == Projection::EquiAngularCubemap;
        let mut filter = String::new();
        if is_eac(self.from) {
            filter.push_str(&with_margins());
        }
        let more = if is_eac(self.to) { MARGIN } else { 0 };
        filter.push_str(&format!(
            "v360={from}:{to}:w={}:h={}:interp=linear",
            width + 2 * more,
            height + 4 * more
        ));
        // The filter turns the other way round: its yaw moves the picture's content to the left.
        filter.push_str(&format!(":yaw={}", -self.yaw));
        if self.from == Projection::DualFisheye {
            filter.push_str(&format!(":ih_fov={0}:iv_fov={0}", self.fov));
        }
        if self.to == Projection::Cubemap {
            // Right, left, up above down, front, back.
            filter.push_str(":out_forder=rludfb");
        }
        if self.from == Projection::Cubemap {
            filter.push_str(":in_forder=rludfb");
        }
        if is_eac(self.to) {
            filter.push_str(&without_margins(width, height));
        }
        Ok(filter)
    }
}

/// Pixels that `v360` keeps free around each row of an equi-angular cubemap's faces, as YouTube did
/// once. Ours has none: its geometry must not depend on its size.
const MARGIN: u32 = 2;

/// Cuts the margins off, to leave faces of this size in all.
fn without_margins(width: u32, height: u32) -> String {
    let row = |top: u32| format!("crop={width}:{}:{MARGIN}:{top}", height / 2);
    let (upper, lower) = (row(MARGIN), row(height / 2 + 3 * MARGIN));
    format!(",split[a][b];[a]{upper}[c];[b]{lower}[d];[c][d]vstack")
}

/// Puts margins around faces, filled with what lies at their edges.
fn with_margins() -> String {
    let (m, both) = (MARGIN, 2 * MARGIN);
    let row = |top: &str| {
        format!(
            "crop=iw:ih/2:0:{top},pad=iw+{both}:ih+{both}:{m}:{m},fillborders={m}:{m}:{m}:{m}:smear"
        )
    };
    let (upper, lower) = (row("0"), row("ih/2"));
    format!("split[a][b];[a]{upper}[c];[b]{lower}[d];[c][d]vstack,")
}

fn v360_name(projection: Projection) -> Result<&'static str, Error> {
    match projection {
        Projection::Equirectangular => Ok("equirect"),
        Projection::HalfEquirectangular => Ok("hequirect"),
        Projection::Cubemap => Ok("c3x2"),
        Projection::EquiAngularCubemap => Ok("eac"),
        Projection::DualFisheye => Ok("dfisheye"),
        Projection::Rectilinear => {
            let reason = "a flat picture lies on no sphere; leave the reprojection out";
            Err(Error::setting("projection", projection, reason))
        }
    }
}

struct Open {
    graph: filter::Graph,
    from: (Pixel, u32, u32),
}

/// Carries a [`Reprojection`] out.
pub(crate) struct Reprojector {
    reprojection: Reprojection,
    open: Option<Open>,
}

impl Reprojector {
    pub(crate) fn new(reprojection: Reprojection) -> Self {
        Self {
            reprojection,
            open: None,
        }
    }

    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let from = (picture.frame().format(), picture.width(), picture.height());
        let mut open = match self.open.take().filter(|open| open.from == from) {
            Some(open) => open,
            None => Open {
                graph: self.graph(from)?,
                from,
            },
        };
        let action = || {
            format!(
                "reproject {:?} to {:?}",
                self.reprojection.from, self.reprojection.to
            )
        };
        let missing = || Err(ffmpeg::Error::FilterNotFound).attempt(action);
        let mut shared = picture.share()?;
        shared.frame_mut().set_pts(Some(0));
        match open.graph.get("in") {
            Some(mut input) => input.source().add(shared.frame()).attempt(action)?,
            None => return missing(),
        }
        let mut out = Video::empty();
        let base: &mut frame::Frame = &mut out;
        match open.graph.get("out") {
            Some(mut output) => output.sink().frame(base).attempt(action)?,
            None => return missing(),
        }
        self.open = Some(open);
        let mut out = Picture::from_frame(out);
        out.set_color(picture.color());
        Ok(out)
    }

    fn graph(&self, from: (Pixel, u32, u32)) -> Result<filter::Graph, Error> {
        let filter = self.reprojection.filter((from.1, from.2))?;
        let action = || format!("set up {filter}");
        let find = |name: &str| filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
        let mut graph = filter::Graph::new();
        let layout = from
            .0
            .descriptor()
            .map_or("yuv420p", |layout| layout.name());
        let arguments = format!(
            "video_size={}x{}:pix_fmt={layout}:time_base=1/25:pixel_aspect=1/1",
            from.1, from.2
        );
        let source = find("buffer").attempt(action)?;
        graph.add(&source, "in", &arguments).attempt(action)?;
        let sink = find("buffersink").attempt(action)?;
        graph.add(&sink, "out", "").attempt(action)?;
        let parser = graph.output("in", 0).attempt(action)?;
        let parser = parser.input("out", 0).attempt(action)?;
        parser.parse(&filter).attempt(action)?;
        graph.validate().attempt(action)?;
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPHERE: Reprojection = Reprojection {
        from: Projection::Equirectangular,
        to: Projection::Equirectangular,
        yaw: 0.0,
        fov: Immersive::FISHEYE_DEGREES,
    };

    #[test]
    fn what_is_so_already_or_cannot_be_turned_is_left_alone() {
        let of = |projection, stereo, to| {
            let from = Immersive {
                projection,
                stereo,
                ..Immersive::default()
            };
            Reprojection::of(&from, to).map(|it| (it.from, it.to))
        };
        let (round, faces) = (Projection::Equirectangular, Projection::EquiAngularCubemap);
        assert_eq!(of(round, StereoLayout::Mono, faces), Some((round, faces)));
        assert_eq!(of(round, StereoLayout::Mono, round), None);
        assert_eq!(of(round, StereoLayout::TopBottom, faces), None);
        assert_eq!(of(Projection::Rectilinear, StereoLayout::Mono, round), None);
    }

    /// Dark but for one bright column at `column`.
    fn column(width: u32, height: u32, column: usize) -> Picture {
        let mut picture = Picture::new(width, height).unwrap();
        for index in 0..3 {
            let plane = picture.plane_mut(index).unwrap();
            for row in plane.data.chunks_mut(plane.stride) {
                row.fill(if index == 0 { 16 } else { 128 });
                if index == 0 {
                    row[column - 2..column + 3].fill(235);
                }
            }
        }
        picture
    }

    fn brightest(picture: &Picture) -> usize {
        let (data, stride) = picture.plane(0).unwrap();
        let middle = picture.height() as usize / 2;
        let row = &data[middle * stride..][..picture.width() as usize];
        let sum: usize = row.iter().map(|s| usize::from(*s > 128)).sum();
        let places: usize = row
            .iter()
            .enumerate()
            .filter(|(_, s)| **s > 128)
            .map(|(x, _)| x)
            .sum();
        places / sum.max(1)
    }

    #[test]
    fn yaw_turns_the_view_to_the_left() {
        let turned = Reprojection {
            yaw: 90.0,
            ..SPHERE
        };
        // What lies a quarter turn to the left of the centre comes to the centre.
        let picture = Reprojector::new(turned).run(&column(256, 128, 64)).unwrap();
        assert_eq!((picture.width(), picture.height()), (256, 128));
        assert!(
            brightest(&picture).abs_diff(128) <= 2,
            "{}",
            brightest(&picture)
        );
    }

    #[test]
    fn every_projection_of_a_sphere_has_its_shape() {
        for (to, size) in [
            (Projection::Cubemap, (192, 128)),
            (Projection::EquiAngularCubemap, (192, 128)),
            (Projection::HalfEquirectangular, (128, 128)),
            (Projection::DualFisheye, (256, 128)),
        ] {
            let mut there = Reprojector::new(Reprojection { to, ..SPHERE });
            let mut back = Reprojector::new(Reprojection {
                from: to,
                to: Projection::Equirectangular,
                yaw: 0.0,
                fov: Immersive::FISHEYE_DEGREES,
            });
            let picture = there.run(&column(256, 128, 128)).unwrap();
            assert_eq!((picture.width(), picture.height()), size, "{to}");
            let again = back.run(&picture).unwrap();
            assert_eq!(again.width(), 256, "{to}");
            assert!(
                brightest(&again).abs_diff(128) <= 3,
                "{to} {}",
                brightest(&again)
            );
            assert!(there.run(&column(128, 64, 64)).is_ok(), "another size");
        }
    }

    #[test]
    fn a_flat_picture_is_refused() {
        let flat = Reprojection {
            to: Projection::Rectilinear,
            ..SPHERE
        };
        let error = flat.check().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot use projection = rectilinear"),
            "{error}"
        );
        assert!(
            Reprojection {
                yaw: f64::NAN,
                ..SPHERE
            }
            .check()
            .is_err()
        );
    }
}
