//! Source files of the page to one document.
//!
//! The program is written as ES modules, so that tools can check it and tests can load its pieces;
//! a page in one answer cannot load modules, so they are put one after the other, without the lines
//! that import, in an order in which each comes after what it needs.

use std::sync::LazyLock;

use service::admin::Page;
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const MODULES: [&str; 7] = [
    include_str!("page/dom.js"),
    include_str!("page/words.js"),
    include_str!("page/plot.js"),
    include_str!("page/map.js"),
    include_str!("page/server.js"),
    include_str!("page/view.js"),
    include_str!("page/main.js"),
];

static DOCUMENT: LazyLock<(String, String, String)> = LazyLock::new(|| {
    let script = format!("(() => {{\n'use strict';\n{}}})();\n", bundle());
    let (script_hash, style_hash) = (hash(&script), hash(STYLE));
    let html = FRAME.replace("%STYLE%", STYLE).replace("%SCRIPT%", &script);
    (html, script_hash, style_hash)
});

/// The page.
pub fn page() -> Option<Page> {
    let (html, script, style) = &*DOCUMENT;
    Page::new(html.as_str(), script, style)
}

fn bundle() -> String {
    let mut bundle = String::new();
    let mut is_import = false;
    for line in MODULES.iter().flat_map(|module| module.lines()) {
        is_import |= line.starts_with("import ");
        if !is_import {
            bundle.push_str(line.strip_prefix("export ").unwrap_or(line));
            bundle.push('\n');
        }
        is_import &= !line.ends_with(';');
    }
    bundle
}

/// As Content-Security-Policy wants it: base64 of SHA-256.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text.as_bytes());
    let mut encoded = String::new();
    for group in digest.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[((bits >> (18 - 6 * place)) & 63) as usize];
            let used = place <= group.len();
            encoded.push(if used { char::from(digit) } else { '=' });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_base64_of_sha256() {
        // From RFC 6234's test vectors, "abc".
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn the_document_is_whole_and_names_no_other_host() {
        let (html, ..) = &*DOCUMENT;
        assert!(
            !html.contains('%') || !html.contains("%S"),
            "a place was left empty"
        );
        for module in MODULES {
            let exports = module.lines().filter(|line| line.starts_with("export "));
            for line in exports {
                let text = line.trim_start_matches("export ");
                assert!(html.contains(text), "{text} is missing");
            }
        }
        assert!(!html.contains("\nimport ") && !html.contains("\nexport "));
        let outside = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("src=\"http") && !outside.contains("https://"));
        assert!(
            html.len() < 64 << 10,
            "{} bytes: who opens it over a phone waits",
            html.len()
        );
    }
}
