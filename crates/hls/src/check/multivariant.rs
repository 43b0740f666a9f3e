//! Reads a multivariant playlist, and judges what it must not leave out.

use super::{
    Attributes, Findings, Rule, Violation,
    parse::{LINES_MAX, attributes},
};

/// A variant stream or an alternative rendition that has a playlist of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its playlist, as written.
    pub uri: String,
    /// Of EXT-X-STREAM-INF or EXT-X-MEDIA.
    pub attributes: Attributes,
}

impl Listed {
    /// A decimal attribute.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.attributes.get(name)?.parse().ok()
    }
}

/// What a multivariant playlist lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// EXT-X-STREAM-INF, in order.
    pub variants: Vec<Listed>,
    /// EXT-X-MEDIA with a URI.
    pub renditions: Vec<Listed>,
}

impl Multivariant {
    /// Whether `text` looks like one rather than like a media playlist.
    pub fn is_likely(text: &str) -> bool {
        text.lines()
            .any(|line| line.starts_with("#EXT-X-STREAM-INF:"))
    }
}

/// Reads a multivariant playlist and judges it.
pub fn check_multivariant(text: &str) -> (Multivariant, Vec<Violation>) {
    let mut findings = Findings::new("multivariant");
    let mut found = Multivariant::default();
    let mut groups = Vec::new();
    let mut variant = None;
    if !text.starts_with("#EXTM3U") {
        findings.add(Rule::MultivariantSyntax, "does not start with #EXTM3U");
    }
    for (index, line) in text.lines().take(LINES_MAX).enumerate() {
        let mut read = |value: &str| {
            attributes(value).unwrap_or_else(|reason| {
                let detail = format!("line {}: {reason}", index + 1);
                findings.add(Rule::MultivariantSyntax, detail);
                Attributes::new()
            })
        };
        if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            variant = Some(read(value));
        } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA:") {
            let attributes = read(value);
            let of = |name: &str| attributes.get(name).cloned().unwrap_or_default();
            groups.push((of("TYPE"), of("GROUP-ID")));
            if let Some(uri) = attributes.get("URI").cloned() {
                found.renditions.push(Listed { uri, attributes });
            }
        } else if !line.starts_with('#') && !line.is_empty() {
            match variant.take() {
                Some(attributes) => found.variants.push(Listed {
                    uri: line.to_owned(),
                    attributes,
                }),
                None => findings.add(
                    Rule::MultivariantSyntax,
                    format!("line {}: a URI without EXT-X-STREAM-INF", index + 1),
                ),
            }
        }
    }
    judge(&found, &groups, &mut findings);
    (found, findings.list)
}

fn judge(found: &Multivariant, groups: &[(String, String)], findings: &mut Findings) {
    if found.variants.is_empty() {
        findings.add(Rule::VariantsMissing, "nothing to play");
    }
    for variant in &found.variants {
        let uri = &variant.uri;
        if variant.number("BANDWIDTH").is_none_or(|rate| rate == 0) {
            findings.add(Rule::BandwidthMissing, format!("{uri} has no BANDWIDTH"));
        }
        if !variant.attributes.contains_key("CODECS") {
            findings.add(Rule::CodecsMissing, format!("{uri} has no CODECS"));
        }
        for kind in ["AUDIO", "VIDEO", "SUBTITLES"] {
            let Some(group) = variant.attributes.get(kind) else {
                continue;
            };
            if !groups.iter().any(|(of, name)| of == kind && name == group) {
                findings.add(Rule::GroupUnknown, format!("{uri}: {kind} group {group}"));
            }
        }
    }
}
