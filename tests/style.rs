//! The written rules of CONTRIBUTING.md, held by a test: line, function and file lengths, one
//! import style, words, and that ARCHITECTURE.md and the glossary know every module.
//!
//! What was too long when the rule came is listed with its measure. A list may only shrink: an
//! entry that is no longer needed, or larger than needed, fails as well.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const COLUMNS: usize = 100;
const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 500;

/// Files with lines over [`COLUMNS`]: a count and a path each line.
const LONG_LINES: &str = include_str!("long-lines.txt");

/// Functions over [`FUNCTION_LINES`], as `path:name`, and their length.
const LONG_FUNCTIONS: &[(&str, usize)] = &[
    ("crates/hls/src/check/tests.rs:that_break", 78),
    ("e2e/tests/ladder.rs:check", 82),
    ("e2e/tests/low_latency.rs:headers_ranges_and_tags", 119),
    ("e2e/tests/pass_through.rs:check", 77),
    ("edge/src/app.rs:build_handler", 75),
    ("origin/src/app.rs:run", 96),
    ("origin/src/metrics.rs:new", 171),
    (
        "origin/src/operator/alarms/tests.rs:what_the_report_says_becomes_alarms",
        90,
    ),
    ("origin/src/stream/run.rs:start", 73),
    ("src/probe/tests.rs:planted_faults_of_text_are_named", 128),
    ("src/up.rs:run", 83),
    ("transcoder/src/stitch.rs:publish", 83),
    ("transcoder/src/vod.rs:vod_file", 73),
];

/// Files over [`FILE_LINES`], and their length.
const LONG_FILES: &[(&str, usize)] = &[
    ("crates/encode/src/ladder/tests.rs", 533),
    ("crates/hls/src/rendition/mod.rs", 551),
    ("crates/hls/tests/packager.rs", 509),
    ("crates/media/src/codec/avc/tests.rs", 534),
    ("crates/media/src/timeline/tests/fill.rs", 550),
    ("crates/pairing/src/machine.rs", 566),
    ("crates/rtmp/src/server/session.rs", 508),
    ("e2e/tests/continuity.rs", 534),
    ("origin/src/stream/core.rs", 641),
];

/// Words of an older private vocabulary and what to write instead. Metric names and API fields that
/// operators read keep theirs, hence the exceptions of [`is_contract`].
const OLD_WORDS: &[(&str, &str)] = &[
    ("twin", "pairing, pair of origins"),
    ("twins", "pairing, pair of origins"),
    ("shelf", "segment_store"),
    ("shelved", "StoredStream"),
    ("remains.rs", "checkpoint.rs"),
    ("keep_house", "update_gauges"),
    ("go_on", "continue_after"),
    ("Office", "PeerConfig"),
    ("Withheld", "RestartHoldBack"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files git knows with one of these endings, relative to the root. Outside a checkout (an
/// archive of the sources) there is nothing to hold.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("a source file is UTF-8")
}

/// Holds what was found against a list that may only shrink.
fn compare(rule: &str, found: &BTreeMap<String, usize>, listed: &[(&str, usize)]) {
    let listed: BTreeMap<&str, usize> = listed.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, measure) in found {
        match listed.get(name.as_str()) {
            None => wrong.push(format!("{name}: {measure} ({rule})")),
            Some(allowed) if measure > allowed => {
                wrong.push(format!("{name}: {measure}, was {allowed} ({rule})"));
            }
            Some(allowed) if measure < allowed => {
                wrong.push(format!("{name}: now {measure}: write that into the list"));
            }
            Some(_) => {}
        }
    }
    for name in listed.keys().filter(|name| !found.contains_key(**name)) {
        wrong.push(format!("{name} keeps the rule now: take it off the list"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_fit_the_columns() {
    let mut found = BTreeMap::new();
    for path in files(&[".rs", ".ts", ".mjs", ".js", ".py", "Makefile"]) {
        let long = read(&path)
            .lines()
            .filter(|line| line.chars().count() > COLUMNS)
            .count();
        if long > 0 {
            found.insert(path.display().to_string(), long);
        }
    }
    let listed: Vec<(&str, usize)> = LONG_LINES
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(count, path)| (path, count.parse().expect("a count stands first")))
        .collect();
    compare("lines over 100 columns", &found, &listed);
}

#[test]
fn files_are_one_room() {
    let found = files(&[".rs", ".ts"])
        .into_iter()
        .map(|path| (path.display().to_string(), read(&path).lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .collect();
    compare("lines in a file, at most 500", &found, LONG_FILES);
}

/// The functions of formatted Rust: name, and lines from `fn` to the brace that closes it at the
/// same depth.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some(name) = function_name(line.trim_start()) else {
            continue;
        };
        let closes = format!("{indent}}}");
        let length = lines[at..]
            .iter()
            .position(|line| {
                **line == closes || line.trim_end().ends_with(';') && *line == lines[at]
            })
            .map_or(1, |end| end + 1);
        found.push((name, length));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line;
    for prefix in [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "async ",
        "unsafe ",
    ] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(name[..end].to_string())
}

#[test]
fn functions_fit_a_screen() {
    let mut found = BTreeMap::new();
    for path in files(&[".rs"]) {
        for (name, length) in functions(&read(&path)) {
            if length > FUNCTION_LINES {
                found.insert(format!("{}:{name}", path.display()), length);
            }
        }
    }
    compare("lines in a function, at most 70", &found, LONG_FUNCTIONS);
}

#[test]
fn a_function_is_measured_from_its_name_to_its_brace() {
    let text = "fn one() {\n    a();\n}\n\nimpl X {\n    pub async fn two(\n        &self,\n    ) {\n    }\n}\n";
    assert_eq!(
        functions(text),
        [("one".to_string(), 3), ("two".to_string(), 4)]
    );
}

/// Whether the word stands in a name that operators use: a metric, a field of the API, a file.
fn is_contract(line: &str, word: &str) -> bool {
    line.contains(&format!("origin_{word}_"))
        || line.contains(&format!("\"{word}\""))
        || line.contains(&format!("`{word}`"))
        || line.contains(&format!("state/{word}"))
        || line.contains(&format!("-{word}{{"))
        || line
            .trim_start()
            .trim_start_matches("pub ")
            .starts_with(&format!("{word}: "))
}

#[test]
fn old_words_do_not_come_back() {
    let mut found = Vec::new();
    for path in files(&[
        ".rs", ".ts", ".mjs", ".js", ".py", ".md", ".toml", ".yaml", "Makefile",
    ]) {
        if path.ends_with("tests/style.rs") || path.ends_with("CHANGELOG.md") {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            for (word, instead) in OLD_WORDS {
                if has_word(line, word) && !is_contract(line, word) {
                    found.push(format!(
                        "{}:{}: {word}: say {instead}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether `word` stands in `line` with neither a letter, a digit nor `_` beside it; a short plain
/// word in any case.
fn has_word(line: &str, word: &str) -> bool {
    let plain = word.chars().all(char::is_lowercase);
    let line = if plain {
        line.to_lowercase()
    } else {
        line.to_string()
    };
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[test]
fn imports_are_nested() {
    let mut found = Vec::new();
    for path in files(&[".rs"]) {
        let text = read(&path);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        // The block at the head of the file: later ones are inside modules and functions.
        for line in text.lines().take_while(|line| {
            line.is_empty()
                || [
                    "//",
                    "use ",
                    "pub use ",
                    "mod ",
                    "pub mod ",
                    "    ",
                    "}",
                    "#!",
                    "#[",
                    "pub(crate) mod ",
                ]
                .iter()
                .any(|start| line.starts_with(start))
        }) {
            let Some(path) = line.strip_prefix("use ") else {
                continue;
            };
            let krate = path.split("::").next().unwrap_or(path);
            if !["crate", "super", "self"].contains(&krate) {
                *seen.entry(krate.trim_end_matches(';')).or_default() += 1;
            }
        }
        for (krate, times) in seen.into_iter().filter(|(_, times)| *times > 1) {
            found.push(format!(
                "{}: {times} lines `use {krate}::…`, nest them",
                path.display()
            ));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The modules right below a crate's `src`: `(crate folder, module)`.
fn modules() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files(&[".rs"]) {
        let parts: Vec<String> = path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let Some(src) = parts.iter().position(|part| part == "src") else {
            continue;
        };
        let krate = parts[..src].join("/");
        if krate.starts_with("fuzz") || krate.is_empty() || parts.len() == src + 1 {
            continue;
        }
        let name = parts[src + 1].trim_end_matches(".rs").to_string();
        let entry = (krate, name);
        if !["lib", "main", "tests"].contains(&entry.1.as_str()) && !found.contains(&entry) {
            found.push(entry);
        }
    }
    found
}

#[test]
fn the_map_names_every_module() {
    let map = read(Path::new("ARCHITECTURE.md"));
    let mut missing = Vec::new();
    for (krate, module) in modules() {
        let row = map
            .lines()
            .find(|line| line.starts_with(&format!("| `{krate}` |")));
        match row {
            None => missing.push(format!("no row for `{krate}`")),
            Some(row) if !row.contains(&format!("`{module}`")) => {
                missing.push(format!("`{krate}`: `{module}`"));
            }
            Some(_) => {}
        }
    }
    missing.dedup();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md lacks:\n{}",
        missing.join("\n")
    );
}
