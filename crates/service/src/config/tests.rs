use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edge {
    listen: String,
    origins: Vec<String>,
    drain: Drain,
    token: Option<Secret>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Drain {
    deadline: Duration,
    cache_memory: ByteSize,
}

fn refused(text: &str) -> String {
    match File::parse("edge.toml", text).and_then(|file| file.section::<Edge>("edge")) {
        Ok(edge) => panic!("accepted {edge:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn no_file_means_defaults() {
    assert_eq!(
        File::defaults().section::<Edge>("edge").unwrap(),
        Edge::default()
    );
    let file = File::parse("a.toml", "[origin]\nanything = 1\n").unwrap();
    assert_eq!(
        file.section::<Edge>("edge").unwrap(),
        Edge::default(),
        "others' keys are theirs"
    );
}

#[test]
fn a_section_reads_with_units() {
    let file = File::parse("a", "[edge]\nlisten='x'\n[edge.drain]\ndeadline='90s'\n").unwrap();
    let edge: Edge = file.section("edge").unwrap();
    assert_eq!(edge.drain.deadline, Duration::from_secs(90));
}

#[test]
fn unknown_keys_name_line_path_and_nearest() {
    let error = refused("[edge]\nlisten = \"x\"\n\n[edge.drain]\ndeadlin = \"2s\"\n");
    assert_eq!(
        error,
        "config edge.toml:5: key edge.drain.deadlin is unknown, did you mean deadline?; \
         the keys here are deadline, cache_memory"
    );
}

#[test]
fn unknown_sections_name_line_and_nearest() {
    let error = refused("[log]\n\n[egde]\n");
    assert!(error.starts_with("config edge.toml:3: section [egde] is unknown, did you mean edge?"));
}

#[test]
fn bad_values_name_line_path_and_form() {
    let error = refused("[edge.drain]\ncache_memory = \"2\"\n");
    assert!(
        error.starts_with("config edge.toml:2: edge.drain.cache_memory: cannot read"),
        "{error}"
    );
    let error = refused("[edge]\norigins = [\"a\", 3]\n");
    assert!(
        error.starts_with("config edge.toml:2: edge.origins[1]: "),
        "{error}"
    );
    let error = refused("[edge]\nlisten = \n");
    assert!(error.starts_with("config edge.toml:2: "), "{error}");
}

#[test]
fn own_checks_point_at_the_key_or_its_section() {
    let file = File::parse("e.toml", "[edge]\n[edge.drain]\ndeadline = \"1s\"\n").unwrap();
    let written = file.reject(
        "edge.drain.deadline",
        "= \"1s\" is below 10s; make it longer",
    );
    assert!(
        written
            .to_string()
            .starts_with("config e.toml:3: edge.drain.deadline = \"1s\"")
    );
    let default = file.reject("edge.drain.cache_memory", "is too small");
    assert!(
        default.to_string().starts_with("config e.toml:2: "),
        "{default}"
    );
}

#[test]
fn secrets_stay_out_of_debug_and_come_by_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "s3cret\n").unwrap();
    let text = format!("[edge]\ntoken = {{ file = {:?} }}\n", path);
    let edge: Edge = File::parse("e", text).unwrap().section("edge").unwrap();
    let token = edge.token.unwrap();
    assert!(token.matches(b"s3cret") && !token.matches(b"s3creT") && !token.matches(b"s3cret2"));
    assert_eq!(format!("{token:?}"), "Secret(…)");
    let error = refused("[edge]\ntoken = \"env:PANOCAST_SURELY_UNSET\"\n");
    assert!(
        error.contains("edge.toml:2") && error.contains("PANOCAST_SURELY_UNSET"),
        "{error}"
    );
    let error = refused("[edge]\ntoken = { file = \"/nonexistent/token\" }\n");
    assert!(error.contains("/nonexistent/token"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = File::open(Some(Path::new("/nonexistent/p.toml")))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read config /nonexistent/p.toml"),
        "{error}"
    );
}
