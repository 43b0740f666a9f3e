//! A path to what it names. Pure, total, and strict: one spelling per resource, so that caches hold one copy.

/// The longest stream name (`docs/ref/urls.md`).
pub const STREAM_NAME_MAX: usize = 64;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/hls/index.json`.
    Index,
    /// `/hls/<stream>.m3u8`, `/hls/<stream>.spatial.m3u8`.
    Multivariant {
        /// Which stream.
        stream: &'a str,
        /// For Apple spatial players.
        spatial: bool,
    },
    /// `/hls/<stream>/info.json`.
    Info {
        /// Which stream.
        stream: &'a str,
    },
    /// `/hls/<stream>/<rendition>/index.m3u8`.
    Playlist {
        /// Which stream.
        stream: &'a str,
        /// Which rendition.
        rendition: &'a str,
    },
    /// `/hls/<stream>/<rendition>/<run_id>/…`.
    Media {
        /// Which stream.
        stream: &'a str,
        /// Which rendition.
        rendition: &'a str,
        /// Which run.
        run_id: &'a str,
        /// Which bytes.
        media: Media,
    },
}

/// A piece of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `init-<n>.mp4`.
    Init(u32),
    /// `<msn>.m4s`.
    Segment(u64),
    /// `<msn>.<part>.m4s`.
    Part(u64, u64),
}

impl Media {
    /// The name used in metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Media::Init(_) => "init",
            Media::Segment(_) => "segment",
            Media::Part(..) => "part",
        }
    }

    /// An entity tag: the URL names the bytes for ever, so its own words do. The format version is in it because the
    /// same media packaged by a newer program has other bytes.
    pub fn tag(self, run_id: &str) -> String {
        let version = cmaf::FORMAT_VERSION;
        match self {
            Media::Init(index) => format!("{version}-{run_id}-i{index:x}"),
            Media::Segment(msn) => format!("{version}-{run_id}-{msn}"),
            Media::Part(msn, part) => format!("{version}-{run_id}-{msn}.{part}"),
        }
    }
}

/// Whether `name` may name a stream.
pub fn is_stream_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=STREAM_NAME_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// Reads a path (percent-encoding is not undone: no name of ours needs it).
pub fn route(path: &str) -> Option<Route<'_>> {
    let rest = path.strip_prefix("/hls/")?;
    if rest == "index.json" {
        return Some(Route::Index);
    }
    let Some((stream, rest)) = rest.split_once('/') else {
        let name = rest.strip_suffix(".m3u8")?;
        let (stream, spatial) = match name.strip_suffix(".spatial") {
            Some(stream) => (stream, true),
            None => (name, false),
        };
        return is_stream_name(stream).then_some(Route::Multivariant { stream, spatial });
    };
    if !is_stream_name(stream) {
        return None;
    }
    if rest == "info.json" {
        return Some(Route::Info { stream });
    }
    let (rendition, rest) = rest.split_once('/')?;
    if !is_stream_name(rendition) {
        return None;
    }
    if rest == "index.m3u8" {
        return Some(Route::Playlist { stream, rendition });
    }
    let (run_id, file) = rest.split_once('/')?;
    let media = media(file)?;
    is_stream_name(run_id).then_some(Route::Media {
        stream,
        rendition,
        run_id,
        media,
    })
}

fn media(file: &str) -> Option<Media> {
    if let Some(index) = file.strip_prefix("init-") {
        let index = number(index.strip_suffix(".mp4")?)?;
        return Some(Media::Init(u32::try_from(index).ok()?));
    }
    let stem = file.strip_suffix(".m4s")?;
    match stem.split_once('.') {
        Some((msn, part)) => Some(Media::Part(number(msn)?, number(part)?)),
        None => Some(Media::Segment(number(stem)?)),
    }
}

/// A decimal number in its only spelling: no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_path_is_read() {
        let media = |media| Route::Media {
            stream: "foo",
            rendition: "source",
            run_id: "k3x9",
            media,
        };
        for (path, expected) in [
            ("/hls/index.json", Route::Index),
            (
                "/hls/foo.m3u8",
                Route::Multivariant {
                    stream: "foo",
                    spatial: false,
                },
            ),
            (
                "/hls/foo.spatial.m3u8",
                Route::Multivariant {
                    stream: "foo",
                    spatial: true,
                },
            ),
            ("/hls/foo/info.json", Route::Info { stream: "foo" }),
            (
                "/hls/foo/audio/index.m3u8",
                Route::Playlist {
                    stream: "foo",
                    rendition: "audio",
                },
            ),
            ("/hls/foo/source/k3x9/init-7.mp4", media(Media::Init(7))),
            (
                "/hls/foo/source/k3x9/1760000000.m4s",
                media(Media::Segment(1_760_000_000)),
            ),
            (
                "/hls/foo/source/k3x9/1760000000.3.m4s",
                media(Media::Part(1_760_000_000, 3)),
            ),
        ] {
            assert_eq!(route(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for path in [
            "/",
            "/hls/",
            "/hls/.m3u8",
            "/hls/a b.m3u8",
            "/hls/../etc/passwd",
            "/hls/foo/../bar/index.m3u8",
            "/hls/foo//index.m3u8",
            "/hls/foo/source/k3x9/01.m4s",
            "/hls/foo/source/k3x9/+1.m4s",
            "/hls/foo/source/k3x9/1.2.3.m4s",
            "/hls/foo/source/k3x9/init-99999999999.mp4",
            "/hls/foo/source/k3x9/99999999999999999999.m4s",
            "/hls/foo%2f/index.m3u8",
            "/HLS/foo.m3u8",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
        assert!(!is_stream_name(&"x".repeat(STREAM_NAME_MAX + 1)));
    }
}
