//! Source files of the page to one document.
//!
//! The program is written as ES modules, so that tools can check it and tests can load its pieces;
//! a page in one answer cannot load modules, so each becomes a function that returns what it
//! exports. Only the plain forms are understood that the sources use: named imports from a
//! neighbour, and `export` before a declaration.

use std::{fmt::Write as _, sync::LazyLock};

use service::admin::Page;
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
/// In an order in which each comes after what it imports.
const MODULES: [(&str, &str); 7] = [
    ("dom", include_str!("page/dom.js")),
    ("format", include_str!("page/format.js")),
    ("plot", include_str!("page/plot.js")),
    ("map", include_str!("page/map.js")),
    ("server", include_str!("page/server.js")),
    ("view", include_str!("page/view.js")),
    ("main", include_str!("page/main.js")),
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
    MODULES
        .iter()
        .map(|(name, source)| wrapped(name, source))
        .collect()
}

/// One module as a constant that holds its exports.
fn wrapped(name: &str, source: &str) -> String {
    let (mut body, mut exports, mut import) = (String::new(), Vec::new(), String::new());
    for line in source.lines() {
        if !import.is_empty() || line.starts_with("import ") {
            import.push_str(line);
            if line.ends_with(';') {
                body.push_str(&taken(&std::mem::take(&mut import)));
            }
            continue;
        }
        let declared = line.strip_prefix("export ");
        exports.extend(declared.and_then(declared_name));
        body.push_str(declared.unwrap_or(line));
        body.push('\n');
    }
    let exports = exports.join(", ");
    let mut module = String::new();
    let _ = writeln!(
        module,
        "const module_{name} = (() => {{\n{body}return {{ {exports} }};\n}})();"
    );
    module
}

/// `import { a, b } from './x.js';` as `const { a, b } = module_x;`.
fn taken(import: &str) -> String {
    let names = import.split(['{', '}']).nth(1).unwrap_or_default();
    let from = import.split(['/', '.']).rev().nth(1).unwrap_or_default();
    format!("const {{{names}}} = module_{from};\n")
}

/// `f` of `async function f(a) {`, `X` of `const X = 1;`, `C` of `class C {`.
fn declared_name(declaration: &str) -> Option<&str> {
    let mut words = declaration.split([' ', '(', '=']);
    words.find(|word| !["async", "function", "const", "class"].contains(word))
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
    fn a_module_becomes_a_constant_with_its_exports() {
        let source = "import { a } from './dom.js';\nimport {\n  b,\n} from './format.js';\n\
                      export async function f(x) {\n}\nexport const N = 1;\nexport class C {}\nconst own = 2;\n";
        let expected = "const module_view = (() => {\nconst { a } = module_dom;\nconst {  b,} = module_format;\n\
                        async function f(x) {\n}\nconst N = 1;\nclass C {}\nconst own = 2;\n\
                        return { f, N, C };\n})();\n";
        assert_eq!(wrapped("view", source), expected);
    }

    #[test]
    fn each_module_comes_after_what_it_imports() {
        for (place, (name, source)) in MODULES.iter().enumerate() {
            let before = |other: &str| MODULES.iter().take(place).any(|(name, _)| *name == other);
            let imported = source.split("from './").skip(1);
            for other in imported.filter_map(|rest| rest.split('.').next()) {
                assert!(before(other), "{name} needs {other}");
            }
        }
    }

    #[test]
    fn the_document_is_whole_and_names_no_other_host() {
        let (html, ..) = &*DOCUMENT;
        assert!(
            !html.contains('%') || !html.contains("%S"),
            "a place was left empty"
        );
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
