//! How the picture lies on the sphere, from config to every reader; and where people look in it,
//! from the player to the operator's page.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

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

const SHAPES: &str = r#"
record = false
[[origin.ladder]]
width = 240
bitrate = "100k"
projection = "eac"
[origin.streams.camera]
ladder = [{ width = 320, bitrate = "100k", projection = "equirectangular" }]
immersive = { projection = "dual-fisheye" }
"#;

/// The newest init segment that a media playlist names, written to a file.
async fn init(origin: &Origin, folder: &Path, stream: &str, rendition: &str) -> PathBuf {
    let base = format!("/hls/{stream}/{rendition}/");
    let playlist = origin
        .text_when(&format!("{base}index.m3u8"), |text| {
            text.contains("#EXTINF")
        })
        .await;
    let map = playlist
        .split("#EXT-X-MAP:URI=\"")
        .skip(1)
        .last()
        .and_then(|rest| rest.split('"').next());
    let init = origin
        .get(&format!("{base}{}", map.expect("an init segment")))
        .await;
    let path = folder.join(format!("{stream}-{rendition}.mp4"));
    fs::write(&path, &init.body).expect("the init segment is written");
    path
}

/// What ffprobe says of it.
async fn side_data(origin: &Origin, folder: &Path, stream: &str, rendition: &str) -> Vec<Value> {
    let path = init(origin, folder, stream, rendition).await;
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
        let found = side_data(&origin, folder.path(), "dome", rendition).await;
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
    origin.assert_healthy().await;
}

/// An equirectangular source with an equi-angular rung, and a camera that does not stitch with an
/// equirectangular one.
#[tokio::test]
async fn a_rung_may_lie_on_the_sphere_in_another_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = Origin::start(folder.path(), SHAPES).await;
    let encoder = || Ffmpeg {
        size: "640x320",
        ..Ffmpeg::default()
    };
    let _faces = encoder().publish(folder.path(), "faces", &origin.publish_url("faces"));
    let _camera = encoder().publish(folder.path(), "camera", &origin.publish_url("camera"));
    let spatial = origin
        .text_when("/hls/faces.spatial.m3u8", |text| text.contains("/160p/"))
        .await;
    let layout = |rendition: &str| {
        let url = format!("faces/{rendition}/index.m3u8");
        let mut lines = spatial.lines();
        let before = lines.position(|line| line == url).expect("a variant") - 1;
        let line = spatial.lines().nth(before).unwrap_or_default();
        (line.contains("PROJ-EQUI"), line.contains("240x160"))
    };
    assert_eq!(layout("source"), (true, false), "{spatial}");
    assert_eq!(layout("160p"), (false, true), "{spatial}");
    let info = async |stream: &str| -> Value {
        let url = format!("/hls/{stream}/info.json");
        serde_json::from_str(&origin.text_when(&url, |_| true).await).expect("JSON")
    };
    let faces = info("faces").await;
    assert_eq!(faces["projection"], "equirectangular");
    let eac = serde_json::json!([{ "width": 240, "height": 160, "projection": "eac" }]);
    assert_eq!(faces["rungs"], eac);
    // No public box has a word for it.
    let found = side_data(&origin, folder.path(), "faces", "160p").await;
    let is_sphere = |one: &Value| one["side_data_type"] == "Spherical Mapping";
    assert!(!found.iter().any(is_sphere), "{found:?}");
    let own = init(&origin, folder.path(), "faces", "160p").await;
    let own = fs::read(own).expect("an init segment");
    let marked = |mark: &[u8]| own.windows(mark.len()).any(|bytes| bytes == mark);
    assert!(marked(b"panocast.proj.v1") && marked(b"eac"));

    origin
        .text_when("/hls/camera.m3u8", |text| text.contains("/160p/"))
        .await;
    let camera = info("camera").await;
    assert_eq!(camera["projection"], "dual-fisheye");
    assert_eq!(camera["rungs"][0]["projection"], "equirectangular");
    let found = side_data(&origin, folder.path(), "camera", "160p").await;
    let sphere = found.iter().find(|one| is_sphere(one));
    assert_eq!(
        sphere.expect("a sphere")["projection"],
        "equirectangular",
        "{found:?}"
    );
    origin.assert_healthy().await;
}

/// Neither RTMP nor OBS has a field for it, but an encoder may say it in its metadata, and an
/// operator later; what config says of the very stream counts more than the encoder's word.
#[tokio::test]
async fn an_encoder_and_an_operator_may_say_how_the_picture_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "record = false\nladder = []\n\
                    [origin.streams.fixed]\nimmersive = { projection = \"cubemap\" }\n";
    let origin = Origin::start(folder.path(), settings).await;
    let publish = |stream: &str| {
        let mut command = Ffmpeg::default().encoder();
        command.args(["-metadata", "projection=half-equirectangular"]);
        command.args(["-metadata", "stereo_layout=top-bottom", "-f", "flv"]);
        command.arg(origin.publish_url(stream));
        Process::start(folder.path(), stream, &mut command)
    };
    let _encoders = [publish("said"), publish("fixed")];
    let info = async |stream: &str, wanted: &str| {
        let wanted = |text: &str| text.contains(wanted);
        let url = format!("/hls/{stream}/info.json");
        let text = origin.text_when(&url, wanted).await;
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let said = info("said", "half-equirectangular").await;
    assert_eq!(said["stereo"], "top-bottom");
    let found = side_data(&origin, folder.path(), "said", "source").await;
    assert!(
        found.iter().any(|one| one["type"] == "top and bottom"),
        "{found:?}"
    );
    let fixed = info("fixed", "live").await;
    assert_eq!(
        (&fixed["projection"], &fixed["stereo"]),
        (&"cubemap".into(), &"mono".into())
    );

    let url = format!(
        "http://127.0.0.1:{}/api/streams/said/immersive",
        origin.admin
    );
    let wrong = e2e::send("PUT", &url, &[], r#"{"yaw": 500}"#)
        .await
        .expect("an answer");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(wrong.text().contains("-180 to 180"), "{}", wrong.text());
    let body = r#"{"projection": "equirectangular", "yaw": -45}"#;
    let right = e2e::send("PUT", &url, &[], body).await.expect("an answer");
    assert_eq!(right.status, 200, "{}", right.text());
    assert_eq!(info("said", "-45").await["stereo"], "mono");
    // The init segment follows with the next segment, under another name.
    let before = found;
    let after = e2e::until("a new init segment", Duration::from_secs(20), async || {
        let now = side_data(&origin, folder.path(), "said", "source").await;
        (now != before).then_some(now)
    })
    .await;
    let sphere = after
        .iter()
        .find(|one| one["side_data_type"] == "Spherical Mapping");
    let sphere = sphere.expect("a sphere");
    assert_eq!(
        (&sphere["projection"], &sphere["yaw"]),
        (&"equirectangular".into(), &(-45).into())
    );
    origin.assert_healthy().await;
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
