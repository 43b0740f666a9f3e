//! URLs of finished recordings. Without the first slash each is also the object's key in the egress
//! store.

use std::fmt::{Display, Formatter, Result};

use crate::name::{is_name, is_plain, number};

/// A resource of the recorded side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vod<'a> {
    /// `/vod/index.json`: the list of finished recordings.
    Index,
    /// `/vod/<asset>/<file>`.
    Asset {
        /// The asset's name: path characters that need no escape.
        asset: &'a str,
        /// A file of it.
        file: AssetFile<'a>,
    },
}

/// A file of an asset. None ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetFile<'a> {
    /// `index.m3u8`, or `index.spatial.m3u8` for Apple spatial players.
    Multivariant {
        /// For Apple spatial players.
        spatial: bool,
    },
    /// `<rendition>/index.m3u8`
    Playlist {
        /// The rendition's name.
        rendition: &'a str,
    },
    /// `<rendition>/init-<hash>.mp4`: named by what it holds, because slices make it independently.
    Init {
        /// The rendition's name.
        rendition: &'a str,
        /// Hash of its bytes, written as eight hexadecimal digits.
        hash: u32,
    },
    /// `<rendition>/<number>.m4s`
    Segment {
        /// The rendition's name.
        rendition: &'a str,
        /// Its number in the asset.
        number: u32,
    },
    /// `info.json`
    Info,
    /// `poster.jpg`
    Poster,
    /// `thumbnails.vtt`
    Thumbnails,
    /// `thumbnails-<number>.jpg`
    ThumbnailSheet(u32),
    /// Any other file, by its path below the asset, such as subtitles that an operator added.
    Other(&'a str),
}

impl<'a> Vod<'a> {
    /// Reads a path.
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/vod/")?;
        if rest == "index.json" {
            return Some(Self::Index);
        }
        let (asset, file) = rest.split_once('/')?;
        let file = AssetFile::parse(file)?;
        is_plain(asset).then_some(Self::Asset { asset, file })
    }

    /// The object's key in the egress store.
    pub fn key(&self) -> String {
        self.to_string().split_off(1)
    }
}

impl<'a> AssetFile<'a> {
    /// Its name without folders: how a playlist in the same folder refers to it.
    pub fn file_name(&self) -> String {
        let path = self.to_string();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn parse(path: &'a str) -> Option<Self> {
        Self::parse_known(path).or_else(|| {
            let named = path.rsplit('/').next()?.contains('.');
            (named && path.split('/').all(is_plain)).then_some(Self::Other(path))
        })
    }

    fn parse_known(path: &'a str) -> Option<Self> {
        let Some((rendition, file)) = path.split_once('/') else {
            return match path {
                "index.m3u8" => Some(Self::Multivariant { spatial: false }),
                "index.spatial.m3u8" => Some(Self::Multivariant { spatial: true }),
                "info.json" => Some(Self::Info),
                "poster.jpg" => Some(Self::Poster),
                "thumbnails.vtt" => Some(Self::Thumbnails),
                _ => {
                    let sheet = path.strip_prefix("thumbnails-")?.strip_suffix(".jpg")?;
                    number(sheet).map(Self::ThumbnailSheet)
                }
            };
        };
        if !is_name(rendition) {
            return None;
        }
        if file == "index.m3u8" {
            return Some(Self::Playlist { rendition });
        }
        if let Some(digits) = file.strip_prefix("init-") {
            let digits = digits.strip_suffix(".mp4")?;
            let hash = u32::from_str_radix(digits, 16).ok()?;
            let canonical = format!("{hash:08x}") == digits;
            return canonical.then_some(Self::Init { rendition, hash });
        }
        let number = number(file.strip_suffix(".m4s")?)?;
        Some(Self::Segment { rendition, number })
    }
}

impl Display for Vod<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Index => f.write_str("/vod/index.json"),
            Self::Asset { asset, file } => write!(f, "/vod/{asset}/{file}"),
        }
    }
}

impl Display for AssetFile<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Multivariant { spatial: false } => f.write_str("index.m3u8"),
            Self::Multivariant { spatial: true } => f.write_str("index.spatial.m3u8"),
            Self::Playlist { rendition } => write!(f, "{rendition}/index.m3u8"),
            Self::Init { rendition, hash } => write!(f, "{rendition}/init-{hash:08x}.mp4"),
            Self::Segment { rendition, number } => write!(f, "{rendition}/{number}.m4s"),
            Self::Info => f.write_str("info.json"),
            Self::Poster => f.write_str("poster.jpg"),
            Self::Thumbnails => f.write_str("thumbnails.vtt"),
            Self::ThumbnailSheet(number) => write!(f, "thumbnails-{number}.jpg"),
            Self::Other(path) => f.write_str(path),
        }
    }
}
