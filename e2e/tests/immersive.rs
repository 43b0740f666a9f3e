//! How the picture lies on the sphere, from config to every reader; and where people look in it, from the player to the
//! operator's page.

use std::{fs, path::Path, process::Command};

use e2e::{Origin, Process, edge::Edge, free_port, peer::Ffmpeg, run};
use serde_json::Value;

const VR180: &str = r#"
record = false
[[origin.ladder]]
width = 160
bitrate = "100k"
[origin.streams.dome.immersive]
projection = "half-equirectangular"
stereo = "side-by-side"
yaw = 30.0
"#;

/// What ffprobe says of the init segment that a media playlist names.
async fn side_data(origin: &Origin, folder: &Path, rendition: &str) -> Vec<Value> {
    let base = format!("/hls/dome/{rendition}/");
    let playlist = origin
        .text_when(&format!("{base}index.m3u8"), |text| {
            text.contains("#EXTINF")
        })
        .await;
    let map = playlist
        .split("#EXT-X-MAP:URI=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let init = origin
        .get(&format!("{base}{}", map.expect("an init segment")))
        .await;
    let path = folder.join(format!("{rendition}.mp4"));
    fs::write(&path, &init.body).expect("the init segment is written");
    let shown = [
        "-v",
        "error",
        "-show_entries",
        "stream_side_data",
        "-of",
        "json",
    ];
    let path = path.display().to_string();
    let report = run("ffprobe", &[&shown[..], &[&path]].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let list = report["streams"][0]["side_data_list"].as_array();
    list.cloned().unwrap_or_default()
}

#[tokio::test]
async fn what_config_says_of_the_sphere_reaches_every_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::start(folder.path(), VR180).await;
    let encoder = Ffmpeg {
        size: "640x320",
        ..Ffmpeg::default()
    };
    let _encoder = encoder.publish(folder.path(), "ffmpeg", &origin.publish_url("dome"));
    let spatial = origin
        .text_when("/hls/dome.spatial.m3u8", |text| {
            text.contains("160p") || text.contains("80p")
        })
        .await;
    let variants = spatial.matches("#EXT-X-STREAM-INF").count();
    let labels = spatial
        .matches("REQ-VIDEO-LAYOUT=\"CH-STEREO/PROJ-HEQU\"")
        .count();
    assert!(
        spatial.contains("#EXT-X-VERSION:12") && variants == 2 && labels == variants,
        "{spatial}"
    );
    let web = origin.text_when("/hls/dome.m3u8", |_| true).await;
    assert!(
        !web.contains("REQ-VIDEO-LAYOUT") && web.contains("#EXT-X-VERSION:6"),
        "{web}"
    );
    let info: Value =
        serde_json::from_str(&origin.text_when("/hls/dome/info.json", |_| true).await)
            .expect("JSON");
    let said = (&info["projection"], &info["stereo"], &info["yaw"]);
    assert_eq!(
        said,
        (
            &"half-equirectangular".into(),
            &"side-by-side".into(),
            &30.0.into()
        )
    );
    for rendition in ["source", "80p"] {
        let found = side_data(&origin, folder.path(), rendition).await;
        let of = |kind: &str| {
            found
                .iter()
                .find(|one| one["side_data_type"] == kind)
                .cloned()
        };
        let eyes = of("Stereo 3D").unwrap_or_default();
        let sphere = of("Spherical Mapping").unwrap_or_default();
        assert_eq!(eyes["type"], "side by side", "{rendition}: {found:?}");
        assert_eq!(
            sphere["projection"], "tiled equirectangular",
            "{rendition}: {found:?}"
        );
        assert_eq!(sphere["yaw"], 30, "{rendition}: {found:?}");
    }
    origin.assert_sound().await;
}

#[tokio::test]
async fn the_operator_sees_where_viewers_look_and_sends_a_publisher_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.with_file_name("player").join("dist");
    assert!(
        page.join("index.html").is_file(),
        "the page is built: run make page"
    );
    let (rtmp, http, admin) = (free_port(), free_port(), free_port());
    let edge = Edge::start(
        folder.path(),
        "edge",
        &[http],
        &format!("player = \"{}\"", page.display()),
    )
    .await;
    let settings = format!(
        "record = false\nladder = []\n[origin.operator]\nedges = [\"{}\"]\nplayer = \"{}\"\n",
        edge.admin_url(""),
        edge.url("/")
    );
    let origin = Origin::start_on(folder.path(), &settings, rtmp, http, admin).await;
    let mut encoder =
        Ffmpeg::default().publish(folder.path(), "ffmpeg", &origin.publish_url("harbour"));
    origin.text_when("/hls/harbour.m3u8", |_| true).await;
    let mut command = Command::new("node");
    command
        .arg(root.join("browser/operator.mjs"))
        .arg(format!("http://127.0.0.1:{admin}/"))
        .arg(edge.url("/?url=/hls/harbour.m3u8#yaw=90"));
    let mut browser = Process::start(folder.path(), "browser", &mut command);
    let status = browser.wait("the operator's page was used").await;
    assert!(status.success(), "{}", browser.output());
    let said = browser.output();
    let read: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(read["problems"], serde_json::json!([]), "{read:#}");
    assert_eq!(
        (&read["name"], &read["badge"]),
        (&"harbour".into(), &"Live".into())
    );
    let plots = read["plots"].as_array().expect("plots");
    assert!(
        plots
            .iter()
            .all(|plot| plot.as_str().is_some_and(|words| words.contains("between"))),
        "{plots:?}"
    );
    encoder.wait("the encoder was sent away").await;
    assert!(
        edge.metric("edge_viewer_views_total{pitch=\"0\",yaw=\"90\"}")
            .await
            > 0.0
    );
}
