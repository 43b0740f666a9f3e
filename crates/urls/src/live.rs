//! URLs of live streams.

use std::fmt::{Display, Formatter, Result};

use crate::name::{is_name, number};

/// A resource of the live side. Streams, renditions and runs are names by [`crate::is_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live<'a> {
    /// `/hls/index.json`: the list of live streams.
    Index,
    /// `/hls/<stream>.m3u8`, or `/hls/<stream>.spatial.m3u8` for Apple spatial players.
    Multivariant {
        /// The stream's name.
        stream: &'a str,
        /// For Apple spatial players.
        spatial: bool,
    },
    /// `/hls/<stream>/info.json`.
    Info {
        /// The stream's name.
        stream: &'a str,
    },
    /// `/hls/<stream>/poster.jpg`: a recent picture.
    Poster {
        /// The stream's name.
        stream: &'a str,
    },
    /// `/hls/<stream>/<rendition>/index.m3u8`.
    Playlist {
        /// The stream's name.
        stream: &'a str,
        /// `source`, `audio` or `<height>p`.
        rendition: &'a str,
    },
    /// `/hls/<stream>/<rendition>/<run>/<file>`.
    Media {
        /// The stream's name.
        stream: &'a str,
        /// `source`, `audio` or `<height>p`.
        rendition: &'a str,
        /// The run whose numbering the file's number belongs to.
        run_id: &'a str,
        /// Init segment, segment or part.
        file: MediaFile,
    },
}

/// A file of one run of one rendition. Its bytes never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaFile {
    /// `init-<n>.mp4`
    Init(u32),
    /// `<msn>.m4s`
    Segment(u64),
    /// `<msn>.<part>.m4s`
    Part(u64, u64),
}

impl MediaFile {
    /// Reads a file name.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(index) = name.strip_prefix("init-") {
            return Some(Self::Init(number(index.strip_suffix(".mp4")?)?));
        }
        let stem = name.strip_suffix(".m4s")?;
        match stem.split_once('.') {
            Some((msn, part)) => Some(Self::Part(number(msn)?, number(part)?)),
            None => Some(Self::Segment(number(stem)?)),
        }
    }

    /// What it is, as metrics name it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Segment(_) => "segment",
            Self::Part(..) => "part",
        }
    }
}

impl Display for MediaFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Init(index) => write!(f, "init-{index}.mp4"),
            Self::Segment(msn) => write!(f, "{msn}.m4s"),
            Self::Part(msn, part) => write!(f, "{msn}.{part}.m4s"),
        }
    }
}

impl<'a> Live<'a> {
    /// Reads a path.
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/hls/")?;
        if rest == "index.json" {
            return Some(Self::Index);
        }
        let Some((stream, rest)) = rest.split_once('/') else {
            let name = rest.strip_suffix(".m3u8")?;
            let (stream, spatial) = match name.strip_suffix(".spatial") {
                Some(stream) => (stream, true),
                None => (name, false),
            };
            return is_name(stream).then_some(Self::Multivariant { stream, spatial });
        };
        if !is_name(stream) {
            return None;
        }
        if rest == "info.json" {
            return Some(Self::Info { stream });
        }
        if rest == "poster.jpg" {
            return Some(Self::Poster { stream });
        }
        let (rendition, rest) = rest.split_once('/')?;
        if !is_name(rendition) {
            return None;
        }
        if rest == "index.m3u8" {
            return Some(Self::Playlist { stream, rendition });
        }
        let (run_id, file) = rest.split_once('/')?;
        let file = MediaFile::parse(file)?;
        is_name(run_id).then_some(Self::Media {
            stream,
            rendition,
            run_id,
            file,
        })
    }

    /// The stream that the resource at `path` belongs to.
    pub fn stream_of(path: &'a str) -> Option<&'a str> {
        Self::parse(path)?.stream()
    }

    /// The stream it belongs to; none for the list of all.
    pub const fn stream(&self) -> Option<&'a str> {
        match *self {
            Self::Index => None,
            Self::Multivariant { stream, .. }
            | Self::Info { stream }
            | Self::Poster { stream }
            | Self::Playlist { stream, .. }
            | Self::Media { stream, .. } => Some(stream),
        }
    }
}

impl Display for Live<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Index => f.write_str("/hls/index.json"),
            Self::Multivariant { stream, spatial } => {
                let flavour = if *spatial { ".spatial" } else { "" };
                write!(f, "/hls/{stream}{flavour}.m3u8")
            }
            Self::Info { stream } => write!(f, "/hls/{stream}/info.json"),
            Self::Poster { stream } => write!(f, "/hls/{stream}/poster.jpg"),
            Self::Playlist { stream, rendition } => {
                write!(f, "/hls/{stream}/{rendition}/index.m3u8")
            }
            Self::Media {
                stream,
                rendition,
                run_id,
                file,
            } => write!(f, "/hls/{stream}/{rendition}/{run_id}/{file}"),
        }
    }
}
