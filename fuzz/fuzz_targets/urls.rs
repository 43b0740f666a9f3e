//! URLs and queries of anybody: what edge and origin make of them, and publish URLs.
//!
//! Beside not panicking: what an origin serves, an edge lets through as the same kind of thing; a
//! cache key is its own key; and directives that an edge passes on are directives to the origin.
#![no_main]

use hls::reload::Directives;
use libfuzzer_sys::fuzz_target;
use rtmp::url::PublishUrl;

/// As they are: what they have beside the functions used here is for their own crates.
#[allow(dead_code)]
#[path = "../../origin/src/route.rs"]
mod route;
#[allow(dead_code)]
#[path = "../../edge/src/request.rs"]
mod request;

use route::Route;
use request::Kind;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let request = request::parse(path, query);
    if let Some(route) = route::route(path) {
        let kind = match route {
            Route::Index | Route::Info { .. } => Kind::Info,
            Route::Multivariant { .. } => Kind::Multivariant,
            Route::Playlist { .. } => Kind::Playlist,
            Route::Media { .. } => Kind::Media,
        };
        let passed = request::parse(path, None).expect("an edge lets through what an origin serves");
        assert_eq!(passed.kind, kind);
    }
    if let Ok(request) = request {
        assert_eq!(request.path(), path);
        let (path, query) = match request.key.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*request.key, None),
        };
        let again = request::parse(path, query).expect("a key is a URL");
        assert_eq!(again, request, "a key is its own key");
        if let Some(query) = query {
            Directives::parse(query).expect("an edge asks for what an origin can read");
        }
    }
    let _ = Directives::parse(query.unwrap_or(path));
    if let Ok(url) = text.parse::<PublishUrl>() {
        let shown = url.to_string();
        assert_eq!(shown.parse::<PublishUrl>().map(|url| url.to_string()), Ok(shown));
    }
});
