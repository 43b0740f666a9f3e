//! What playlists write to refer to each other and to media: paths relative to the playlist's own.

use std::fmt::{Display, Formatter, Result};

use crate::MediaFile;

/// A reference from one playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// From a live media playlist to media of its own rendition.
    Media {
        /// The run that the file belongs to.
        run_id: &'a str,
        /// Init segment, segment or part.
        file: MediaFile,
    },
    /// From a live media playlist to another rendition's.
    Sibling {
        /// The other rendition's name.
        rendition: &'a str,
    },
    /// From a multivariant playlist to a rendition's media playlist.
    Rendition {
        /// The live stream's name; none for a recording, whose multivariant playlist lies in the
        /// asset's own folder.
        stream: Option<&'a str>,
        /// The rendition's name.
        rendition: &'a str,
    },
}

impl<'a> Reference<'a> {
    /// From a live media playlist to media of its own rendition.
    pub const fn media(run_id: &'a str, file: MediaFile) -> Self {
        Self::Media { run_id, file }
    }
}

impl Display for Reference<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Media { run_id, file } => write!(f, "{run_id}/{file}"),
            Self::Sibling { rendition } => write!(f, "../{rendition}/index.m3u8"),
            Self::Rendition { stream, rendition } => {
                if let Some(stream) = stream {
                    write!(f, "{stream}/")?;
                }
                write!(f, "{rendition}/index.m3u8")
            }
        }
    }
}
