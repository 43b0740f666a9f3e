//! The program `panocast-origin` as an operator meets it: configuration checked, mistakes named,
//! exit codes kept.

use std::{fs, process::Command};

fn check(config: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("origin.toml");
    fs::write(&path, config).expect("config is written");
    let done = Command::new(env!("CARGO_BIN_EXE_panocast-origin"))
        .arg("--check-config")
        .arg("--config")
        .arg(&path)
        .output()
        .expect("the program runs");
    let said = [done.stdout, done.stderr].concat();
    (
        done.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_good_file_is_called_usable() {
    let (code, said) = check("[origin.hls]\nsegment_target = \"4s\"\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("usable"), "{said}");
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_ends_with_64() {
    let (code, said) = check("[origin]\nrecord = true\n[origin.hls]\nsegment_targett = \"2s\"\n");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("origin.toml:4"), "{said}");
    assert!(said.contains("segment_target"), "{said}");
}

#[test]
fn a_value_out_of_range_says_the_range() {
    let (code, said) = check("[origin.hls]\npart_target = \"3s\"\n");
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("part_target") && said.contains("500ms"),
        "{said}"
    );
}
