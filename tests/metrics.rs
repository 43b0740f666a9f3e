//! `docs/ref/metrics.md` lists exactly the metrics the programs define, with kind, unit, labels and
//! help.
//!
//! `PANOCAST_WRITE_DOCS=1 cargo test --test metrics` writes the page.

use service::metrics::{Definition, Kind, Registry};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ref/metrics.md");

const HEAD: &str = "# Metrics

Prometheus text at `/metrics` of each role's admin listener. Written from the programs' own definitions by
`PANOCAST_WRITE_DOCS=1 cargo test --test metrics`; a test holds both equal. Labels are few and never name a viewer.
";

fn definitions() -> Vec<(&'static str, Vec<Definition>)> {
    let origin = Registry::new();
    let _ = (
        origin::metrics::Metrics::new(&origin),
        service::http::Metrics::new(&origin, "origin"),
    );
    let edge = Registry::new();
    let _ = (
        edge::metrics::Metrics::new(&edge),
        service::http::Metrics::new(&edge, "edge"),
    );
    let transcoder = Registry::new();
    let _ = transcoder::metrics::Metrics::new(&transcoder);
    vec![
        ("origin", origin.definitions()),
        ("edge", edge.definitions()),
        ("transcoder", transcoder.definitions()),
    ]
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (role, definitions) in definitions() {
        page.push_str(&format!(
            "\n## {role}\n\n| name | kind | unit | labels | what |\n|---|---|---|---|---|\n"
        ));
        for definition in definitions {
            let kind = match definition.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let (name, unit, help) = (definition.name, definition.unit, definition.help);
            let labels = definition.labels.join(", ");
            page.push_str(&format!(
                "| `{name}` | {kind} | {unit} | {labels} | {help} |\n"
            ));
        }
    }
    page
}

#[test]
fn the_reference_page_lists_every_metric() {
    let expected = page();
    if std::env::var_os("PANOCAST_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &expected).expect("page is written");
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(
        written, expected,
        "write the page anew: PANOCAST_WRITE_DOCS=1 cargo test --test metrics"
    );
}
