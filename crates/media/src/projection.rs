//! How a picture lies on the sphere around the viewer.
//!
//! RTMP carries no such field, so an origin must own it: from config, the admin API or the stream's
//! metadata. The words are those of Google's Spherical Video V2 and of Apple's
//! `vexu`/`REQ-VIDEO-LAYOUT`.

use std::{fmt, str::FromStr};

/// A name that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} \"{name}\"; known: {known}")]
pub struct UnknownName {
    /// What was named.
    pub what: &'static str,
    /// The name given.
    pub name: String,
    /// The names that exist.
    pub known: &'static str,
}

macro_rules! named {
    ($(#[$meta:meta])* $name:ident, $what:literal, $known:literal, { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every variant, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name used in config, JSON and the player.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($text => Ok($name::$variant),)+
                    _ => Err(UnknownName { what: $what, name: name.to_owned(), known: $known }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.name()) }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

named! {
    /// The mapping from the sphere to the picture.
    Projection, "projection",
    "equirectangular, half-equirectangular, cubemap, eac, dual-fisheye, rectilinear",
    {
        /// Longitude and latitude as x and y, 360° by 180°.
        #[default]
        Equirectangular = "equirectangular",
        /// The front 180° of it (VR180).
        HalfEquirectangular = "half-equirectangular",
        /// Six faces, 3 x 2: right, left, up / down, front, back.
        Cubemap = "cubemap",
        /// Equi-angular cubemap, 3 x 2.
        EquiAngularCubemap = "eac",
        /// Two circles side by side, as an unstitched camera sends them.
        DualFisheye = "dual-fisheye",
        /// An ordinary flat picture.
        Rectilinear = "rectilinear",
    }
}

named! {
    /// How the two eyes' pictures share one frame.
    StereoLayout, "stereo layout", "mono, top-bottom, side-by-side, right-left",
    {
        /// One picture for both eyes.
        #[default]
        Mono = "mono",
        /// Left eye above.
        TopBottom = "top-bottom",
        /// Left eye on the left.
        SideBySide = "side-by-side",
        /// Left eye on the right.
        RightLeft = "right-left",
    }
}

/// Where the picture's centre lies, in degrees: yaw ±180, pitch ±90, roll ±180 (Spherical Video V2,
/// `prhd`).
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orientation {
    /// Counter-clockwise seen from above.
    pub yaw: f64,
    /// Upwards.
    pub pitch: f64,
    /// Clockwise seen from behind.
    pub roll: f64,
}

/// All a player must know to put the picture around the viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Immersive {
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the centre lies.
    pub orientation: Orientation,
    /// Degrees that one lens of a dual fisheye sees, or the width of a flat picture; `None` means
    /// the usual [`Immersive::FISHEYE_DEGREES`] or 90.
    pub fov: Option<f64>,
}

impl Immersive {
    /// What one lens of a dual fisheye sees where nothing else is said: half the sphere.
    pub const FISHEYE_DEGREES: f64 = 180.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for projection in Projection::ALL {
            assert_eq!(projection.name().parse(), Ok(*projection));
        }
        for stereo in StereoLayout::ALL {
            assert_eq!(stereo.name().parse(), Ok(*stereo));
        }
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = "cube".parse::<Projection>().unwrap_err();
        assert!(
            Projection::ALL
                .iter()
                .all(|p| error.known.contains(p.name()))
        );
        assert!(
            error
                .to_string()
                .starts_with("unknown projection \"cube\"; known: equirectangular")
        );
        let error = "3d".parse::<StereoLayout>().unwrap_err();
        assert!(
            StereoLayout::ALL
                .iter()
                .all(|s| error.known.contains(s.name()))
        );
    }
}
