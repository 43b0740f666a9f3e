//! Turns languages as containers write them (ISO 639-2) into those of playlists (BCP 47).

/// Codes of two letters, with theirs of three: BCP 47 wants the shortest (RFC 5646 §2.2.1).
const SHORT: &[(&str, &[&str])] = &[
    ("ar", &["ara"]),
    ("cs", &["cze", "ces"]),
    ("da", &["dan"]),
    ("de", &["ger", "deu"]),
    ("el", &["gre", "ell"]),
    ("en", &["eng"]),
    ("es", &["spa"]),
    ("fi", &["fin"]),
    ("fr", &["fre", "fra"]),
    ("he", &["heb"]),
    ("hi", &["hin"]),
    ("hu", &["hun"]),
    ("id", &["ind"]),
    ("it", &["ita"]),
    ("ja", &["jpn"]),
    ("ko", &["kor"]),
    ("nl", &["dut", "nld"]),
    ("no", &["nor"]),
    ("pl", &["pol"]),
    ("pt", &["por"]),
    ("ro", &["rum", "ron"]),
    ("ru", &["rus"]),
    ("sv", &["swe"]),
    ("th", &["tha"]),
    ("tr", &["tur"]),
    ("uk", &["ukr"]),
    ("vi", &["vie"]),
    ("zh", &["chi", "zho"]),
];

/// The language's shortest code; `None` for what is no language.
pub(super) fn bcp47(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_lowercase();
    let is_code = (2..=16).contains(&code.len())
        && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_code || matches!(code.as_str(), "und" | "unk" | "mul" | "zxx" | "mis") {
        return None;
    }
    let found = SHORT.iter().find(|(_, long)| long.contains(&code.as_str()));
    Some(found.map_or(code, |(short, _)| (*short).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codes_of_a_language_become_the_short_one() {
        for (from, to) in [
            ("ger", "de"),
            ("deu", "de"),
            ("ENG", "en"),
            ("de-AT", "de-at"),
        ] {
            assert_eq!(bcp47(from).as_deref(), Some(to));
        }
        assert_eq!(bcp47("gsw").as_deref(), Some("gsw"), "it has no short one");
        for nothing in ["und", "", "x", "de\"", "a language"] {
            assert_eq!(bcp47(nothing), None, "{nothing}");
        }
    }
}
