//! The sample configurations in `deploy/config/` say what the programs do by default, key for key.

use std::path::PathBuf;

use service::config::File;

fn sample(name: &str) -> File {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/config")
        .join(name);
    File::open(Some(&path)).unwrap_or_else(|error| panic!("{error}"))
}

/// A sample that spells out every default must read back as the defaults.
fn same(role: &str, sample: &impl std::fmt::Debug, default: &impl std::fmt::Debug) {
    assert_eq!(
        format!("{sample:#?}"),
        format!("{default:#?}"),
        "the sample for {role} differs from the defaults"
    );
}

#[test]
fn the_whole_sample_changes_nothing() {
    let file = sample("panocast.toml");
    same(
        "origin",
        &origin::Config::load(&file).expect("usable"),
        &origin::Config::default(),
    );
    same(
        "edge",
        &edge::Config::load(&file).expect("usable"),
        &edge::Config::default(),
    );
    same(
        "transcoder",
        &transcoder::Config::load(&file).expect("usable"),
        &transcoder::Config::default(),
    );
    let source: test_source::Config = file.section("test-source").expect("usable");
    same("test source", &source, &test_source::Config::default());
}

#[test]
fn every_fleet_sample_is_usable() {
    origin::Config::load(&sample("origin.toml")).expect("origin.toml");
    edge::Config::load(&sample("edge.toml")).expect("edge.toml");
    transcoder::Config::load(&sample("transcoder.toml")).expect("transcoder.toml");
    let source: test_source::Config = sample("test-source.toml")
        .section("test-source")
        .expect("usable");
    source.check().expect("test-source.toml");
}
