//! Playlists of anybody: what the probe and the origin's self-check read, and what an edge reads.
//!
//! The input is a row of playlists, one after the other, each from its own `#EXTM3U`; the letter
//! before it says whose it is. Beside not panicking, a playlist that comes twice must be judged
//! alike.
#![no_main]

use hls::check::{Checker, Multivariant, Rule, check_multivariant, parse_media};
use libfuzzer_sys::fuzz_target;

/// As it is: what it has beside [`playlist::scan`] is for its own crate.
#[allow(dead_code)]
#[path = "../../edge/src/playlist.rs"]
mod playlist;

/// Numbers from here on may reach the end of their type, where "the next one" means nothing.
const NUMBER_MAX: u64 = 1 << 53;

fuzz_target!(|data: &[u8]| {
    let _ = playlist::scan(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut checker = Checker::new();
    checker.expect_reports(["a".to_owned(), "b".to_owned()]);
    let mut name = "a";
    for piece in text.split_inclusive("#EXTM3U") {
        // Each piece ends with the start of the next playlist.
        let (body, next) = match piece.strip_suffix("#EXTM3U") {
            Some(body) => (body, true),
            None => (piece, false),
        };
        judge(&mut checker, name, &format!("#EXTM3U{body}"));
        if next {
            name = if body.ends_with('b') { "b" } else { "a" };
        }
    }
    judge(&mut checker, "c", text);
    let _ = checker.across();
    if Multivariant::is_likely(text) {
        let (found, violations) = check_multivariant(text);
        assert!(found.variants.len() <= text.lines().count() && violations.len() <= data.len());
    }
});

fn judge(checker: &mut Checker, name: &str, text: &str) {
    let first = checker.media(name, text);
    let Ok(media) = parse_media(text) else {
        assert!(!first.is_empty(), "what cannot be read is a violation");
        return;
    };
    let reach = media
        .media_sequence
        .saturating_add(media.segments.len() as u64);
    // What a delta leaves out was judged with what came before it.
    if reach > NUMBER_MAX || media.skipped > 0 {
        return;
    }
    let alone = Checker::new().media(name, text);
    for violation in checker.media(name, text) {
        let again = alone.contains(&violation) || violation.rule == Rule::ReportMissing;
        assert!(again, "only the second time: {violation}");
    }
}
