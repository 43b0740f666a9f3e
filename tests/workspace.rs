//! The workspace keeps its shape: dependency edges between our crates are exactly those of
//! ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every crate of ours with the crates of ours it may depend on (dev-dependencies aside).
const EDGES: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("flv", &["media"]),
    ("rtmp", &["flv"]),
    ("cmaf", &["media"]),
    ("contract", &["media"]),
    ("urls", &[]),
    ("hls", &["media", "cmaf", "urls"]),
    ("pairing", &["media", "hls", "urls"]),
    ("encode", &["media"]),
    ("store", &[]),
    ("jobs", &[]),
    ("service", &[]),
    ("testkit", &["media", "flv", "rtmp", "cmaf", "hls"]),
    (
        "origin",
        &[
            "media", "contract", "rtmp", "flv", "encode", "cmaf", "hls", "urls", "pairing",
            "store", "jobs", "service",
        ],
    ),
    (
        "transcoder",
        &[
            "media", "contract", "encode", "cmaf", "hls", "urls", "store", "jobs", "service",
        ],
    ),
    ("edge", &["service", "store", "urls"]),
    (
        "test-source",
        &["media", "encode", "flv", "rtmp", "service"],
    ),
    (
        "panocast",
        &[
            "origin",
            "edge",
            "transcoder",
            "test-source",
            "service",
            "store",
            "jobs",
            "hls",
        ],
    ),
    ("e2e", &["media", "flv", "rtmp", "cmaf", "hls", "service"]),
];

/// Crates that hold no clock, file, socket or runtime: they may not even link one.
const PURE: &[&str] = &[
    "media", "contract", "flv", "rtmp", "cmaf", "hls", "urls", "pairing",
];

/// A library that one crate alone may name, with the reason.
const ONLY_IN: &[(&str, &[&str])] = &[
    // Its chunk reader panics on legal input, so all use of it stays where bytes are checked first.
    ("rml_rtmp", &["rtmp"]),
    // Unsafe and version-dependent: one crate knows FFmpeg.
    ("ffmpeg-next", &["encode"]),
    ("mp4-atom", &["cmaf"]),
    ("aws-sdk-s3", &["store"]),
    ("aws-sdk-sqs", &["jobs"]),
    // Very large: what an edge or a worker is made of does not wait for it.
    ("aws-sdk-ec2", &["origin"]),
];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata");
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_documented_edges() {
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let dependencies = dependencies();
    assert_eq!(
        ours,
        dependencies.keys().map(String::as_str).collect(),
        "EDGES lists every crate"
    );
    for (name, allowed) in EDGES {
        for dependency in dependencies[*name]
            .iter()
            .filter(|d| ours.contains(d.as_str()))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}: add the edge to ARCHITECTURE.md and here only with a reason"
            );
        }
    }
}

#[test]
fn pure_crates_link_no_runtime() {
    let dependencies = dependencies();
    for name in PURE {
        for banned in ["tokio", "hyper", "socket2", "tracing", "rand", "service"] {
            assert!(
                !dependencies[*name].contains(banned),
                "{name} is sans-IO and must not depend on {banned}"
            );
        }
    }
}

#[test]
fn wrapped_libraries_are_named_by_one_crate() {
    for (name, names) in dependencies() {
        for (library, owners) in ONLY_IN {
            assert!(
                !names.contains(*library) || owners.contains(&name.as_str()),
                "only {owners:?} may depend on {library}, not {name}"
            );
        }
    }
}
