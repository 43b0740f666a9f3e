//! URLs and queries of anybody: what edge and origin make of them, and publish URLs.
//!
//! Beside not panicking: a path that is read is written as it was, an edge lets it through, a cache
//! key is its own key, and directives have one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::url::PublishUrl;
use urls::{Directives, Resource};

/// As it is: what it has beside the functions used here is for its own crate.
#[allow(dead_code)]
#[path = "../../edge/src/request.rs"]
mod request;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let request = request::parse(path, query);
    if let Some(resource) = Resource::parse(path) {
        assert_eq!(resource.to_string(), path);
        if path.len() <= request::PATH_BYTES_MAX {
            request::parse(path, None).expect("an edge lets through what an origin serves");
        }
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
            let directives = Directives::parse(query).expect("an origin can read it");
            assert_eq!(directives.to_string(), query);
        }
    }
    let _ = Directives::parse(query.unwrap_or(path));
    if let Ok(url) = text.parse::<PublishUrl>() {
        let shown = url.to_string();
        assert_eq!(shown.parse::<PublishUrl>().map(|url| url.to_string()), Ok(shown));
    }
});
