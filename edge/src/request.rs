//! Reads a request's URL: the kind of resource it asks for, and the key it is cached and fetched
//! by.
//!
//! The key is the path plus exactly the delivery directives (`_HLS_msn`, `_HLS_part`, `_HLS_skip`,
//! in this order, rfc8216bis §6.2.5.1) where they mean something. Everything else in a query (CMCD,
//! session ids, cache busters) is of no concern to an origin and would only split the cache.

use std::borrow::Cow;

use urls::{DirectiveError, Directives, Live, Resource};

/// Paths of ours have at most 5 pieces of at most 64 characters, recordings a little more.
pub const PATH_BYTES_MAX: usize = 512;

/// A query longer than this is an attack: CMCD, the longest legitimate one, stays near 500 bytes.
pub const QUERY_BYTES_MAX: usize = 8 << 10;

/// What kind of resource a path names; decides lifetimes and what a failure may be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A live media playlist: changes with each part, may block.
    Playlist,
    /// A live multivariant playlist: changes when rungs come or go.
    Multivariant,
    /// Init segment, segment or part: never changes.
    Media,
    /// Lists and stream facts in JSON.
    Info,
    /// A finished recording's files, from the egress store.
    Vod,
    /// The player page and its files.
    Page,
}

impl Kind {
    /// All kinds, for tables.
    pub const ALL: [Self; 6] = [
        Self::Playlist,
        Self::Multivariant,
        Self::Media,
        Self::Info,
        Self::Vod,
        Self::Page,
    ];

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Multivariant => "multivariant",
            Self::Media => "media",
            Self::Info => "facts",
            Self::Vod => "vod",
            Self::Page => "page",
        }
    }
}

/// A well-formed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRequest<'a> {
    /// What it is.
    pub kind: Kind,
    /// Path and canonical directives.
    pub key: Cow<'a, str>,
    /// How many bytes of the key are the path.
    pub path_length: usize,
    /// Whether the origin may hold the answer back until it exists.
    pub blocking: Blocking,
}

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// Nothing: it is answered at once.
    No,
    /// A segment, and everything in it.
    Segment,
    /// One part.
    Part,
}

impl CacheRequest<'_> {
    /// The path alone.
    pub fn path(&self) -> &str {
        self.key.get(..self.path_length).unwrap_or(&self.key)
    }

    /// With its own copy of the key.
    pub fn into_owned(self) -> CacheRequest<'static> {
        let CacheRequest {
            kind,
            key,
            path_length,
            blocking,
        } = self;
        CacheRequest {
            kind,
            key: Cow::Owned(key.into_owned()),
            path_length,
            blocking,
        }
    }
}

/// Why a URL is refused; the viewer's fault, answered 400 (404 for [`Refusal::NoSuchPath`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than anything we serve.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// Longer than any player sends.
    #[error("the query is longer than {QUERY_BYTES_MAX} bytes")]
    QueryTooLong,
    /// Escapes, `..`, `//` or characters that no URL of ours has.
    #[error("the path has characters or pieces that no URL here has; write it plainly")]
    PathNotPlain,
    /// Delivery directives that are not as rfc8216bis §6.2.5 has them.
    #[error(transparent)]
    Directive(#[from] DirectiveError),
    /// Nothing is served there.
    #[error("nothing is served at this path")]
    NoSuchPath,
}

/// Understands path and query of a request.
pub fn parse<'a>(path: &'a str, query: Option<&str>) -> Result<CacheRequest<'a>, Refusal> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Refusal::PathTooLong);
    }
    let query = query.unwrap_or_default();
    if query.len() > QUERY_BYTES_MAX {
        return Err(Refusal::QueryTooLong);
    }
    check_plain(path)?;
    let kind = kind_of(path)?;
    let mut request = CacheRequest {
        kind,
        key: Cow::Borrowed(path),
        path_length: path.len(),
        blocking: Blocking::No,
    };
    if kind == Kind::Playlist {
        let directives = Directives::parse(query)?;
        request.blocking = blocking(&directives);
        if !directives.is_empty() {
            request.key = Cow::Owned(format!("{path}?{directives}"));
        }
    } else if kind == Kind::Media {
        // A hinted part is held until it is whole.
        request.blocking = Blocking::Part;
    }
    Ok(request)
}

fn check_plain(path: &str) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'~');
    let rest = path.strip_prefix('/').ok_or(Refusal::PathNotPlain)?;
    if !rest.bytes().all(plain) {
        return Err(Refusal::PathNotPlain);
    }
    let hidden = |piece: &str| piece.is_empty() || piece.starts_with('.');
    if !rest.is_empty() && rest.trim_end_matches('/').split('/').any(hidden) {
        return Err(Refusal::PathNotPlain);
    }
    Ok(())
}

fn kind_of(path: &str) -> Result<Kind, Refusal> {
    match Resource::parse(path) {
        Some(Resource::Live(Live::Playlist { .. })) => Ok(Kind::Playlist),
        Some(Resource::Live(Live::Multivariant { .. })) => Ok(Kind::Multivariant),
        Some(Resource::Live(Live::Media { .. })) => Ok(Kind::Media),
        Some(Resource::Live(Live::Index | Live::Info { .. } | Live::Poster { .. })) => {
            Ok(Kind::Info)
        }
        Some(Resource::Vod(_)) => Ok(Kind::Vod),
        None if path.starts_with("/hls/") || path.starts_with("/vod/") => Err(Refusal::NoSuchPath),
        None => Ok(Kind::Page),
    }
}

/// What an answer to these directives waits for.
const fn blocking(directives: &Directives) -> Blocking {
    match (directives.msn, directives.part) {
        (None, _) => Blocking::No,
        (Some(_), None) => Blocking::Segment,
        (Some(_), Some(_)) => Blocking::Part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, query: &str) -> String {
        parse(path, Some(query)).unwrap().key.into_owned()
    }

    #[test]
    fn session_ids_and_cache_busters_are_not_in_the_key() {
        let path = "/hls/a/audio/index.m3u8";
        for query in [
            "session=1",
            "CMCD=bl%3D2100%2Csid%3D%22x%22",
            "_=17",
            "token=abc&x",
            "",
        ] {
            assert_eq!(key(path, query), path, "{query}");
        }
        assert_eq!(
            key("/hls/a/source/e1/7.m4s", "_HLS_msn=4"),
            "/hls/a/source/e1/7.m4s"
        );
    }

    #[test]
    fn the_key_has_exactly_the_directives_in_order() {
        let path = "/hls/a/audio/index.m3u8";
        for query in [
            "_HLS_msn=7&_HLS_part=2",
            "_HLS_part=2&_HLS_msn=7",
            "CMCD=ot%3Dm&_HLS_part=02&x=1&_HLS_msn=007",
        ] {
            assert_eq!(
                key(path, query),
                format!("{path}?_HLS_msn=7&_HLS_part=2"),
                "{query}"
            );
        }
        assert_eq!(key(path, "_HLS_skip=YES"), format!("{path}?_HLS_skip=YES"));
        let all = "_HLS_skip=v2&_HLS_part=0&_HLS_msn=1";
        assert_eq!(
            key(path, all),
            format!("{path}?_HLS_msn=1&_HLS_part=0&_HLS_skip=v2")
        );
    }

    #[test]
    fn malformed_directives_are_refused() {
        for query in [
            "_HLS_part=1",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=1&_HLS_msn=2",
            "_HLS_msn=99999999999999999999",
            "_HLS_skip=NO",
        ] {
            let refused = parse("/hls/a/audio/index.m3u8", Some(query));
            assert!(matches!(refused, Err(Refusal::Directive(_))), "{query}");
        }
    }

    #[test]
    fn path_tricks_are_refused() {
        for path in [
            "/hls/../etc/passwd",
            "/hls/%2e%2e/secret",
            "/hls//a.m3u8",
            "/hls/a%00.m3u8",
            "/hls/a/./index.m3u8",
            "/hls/a b.m3u8",
            "/hls/a\\b.m3u8",
            "/.git/config",
            "*",
            "/vod/é/index.m3u8",
        ] {
            assert_eq!(parse(path, None), Err(Refusal::PathNotPlain), "{path}");
        }
        assert_eq!(
            parse(&format!("/{}", "a".repeat(600)), None),
            Err(Refusal::PathTooLong)
        );
        let query = "a".repeat(9 << 10);
        assert_eq!(
            parse("/hls/a.m3u8", Some(&query)),
            Err(Refusal::QueryTooLong)
        );
    }

    #[test]
    fn kinds_follow_the_url_layout() {
        for (path, kind) in [
            ("/hls/a.m3u8", Kind::Multivariant),
            ("/hls/a.spatial.m3u8", Kind::Multivariant),
            ("/hls/a/1920p/index.m3u8", Kind::Playlist),
            ("/hls/a/1920p/e5/init-0.mp4", Kind::Media),
            ("/hls/a/1920p/e5/17.3.m4s", Kind::Media),
            ("/hls/a/info.json", Kind::Info),
            ("/hls/index.json", Kind::Info),
            ("/vod/x/index.m3u8", Kind::Vod),
            ("/vod/index.json", Kind::Vod),
            ("/", Kind::Page),
            ("/assets/main-4f.js", Kind::Page),
        ] {
            assert_eq!(parse(path, None).unwrap().kind, kind, "{path}");
        }
        for path in [
            "/hls/",
            "/hls/a",
            "/hls/a/b/c/d/e.m4s",
            "/hls/a/b.exe",
            "/vod/",
        ] {
            assert_eq!(parse(path, None), Err(Refusal::NoSuchPath), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn keys_are_canonical(msn: u64, part: u64, noise in "[a-z]{0,5}=[a-z0-9]{0,5}") {
            let (msn, part) = (msn >> 2, part >> 2);
            let path = "/hls/a/audio/index.m3u8";
            let one = key(path, &format!("_HLS_msn={msn}&{noise}&_HLS_part={part}"));
            let other = key(path, &format!("_HLS_part={part}&_HLS_msn={msn}"));
            assert_eq!(one, other);
            let (path, query) = one.split_once('?').unwrap();
            assert_eq!(key(path, query), one, "a key is its own key");
        }

        #[test]
        fn nothing_panics(path in ".{0,80}", query in ".{0,80}") {
            let _ = parse(&path, Some(&query));
        }
    }
}
