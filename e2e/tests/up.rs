//! Everything in one process, as a machine of a cloud runs it.

use std::{fs, process::Command, time::Duration};

use e2e::{Process, binary, free_port, imds::Imds};

/// The configured metadata service is asked, and its notice ends all roles in order.
#[tokio::test]
async fn a_notice_ends_a_process_with_all_roles() {
    let folder = tempfile::tempdir().expect("a folder");
    let imds = Imds::start("i-1", "eu-central-1");
    let here = folder.path().display();
    let local = || format!("127.0.0.1:{}", free_port());
    let page = local();
    let text = format!(
        "[origin]\nrtmp_listen = \"{}\"\nhttp_listen = \"{}\"\nadmin_listen = \"{}\"\n\
         state = \"{here}/state\"\n[edge]\nlisten = \"{page}\"\nadmin_listen = \"{}\"\n\
         [edge.drain]\nmetadata = \"{}\"\n[transcoder]\nadmin_listen = \"{}\"\n\
         [store]\ningest = \"file://{here}/ingest\"\negress = \"file://{here}/egress\"\n\
         [jobs]\nqueue = \"sqlite://{here}/jobs\"\n",
        local(),
        local(),
        local(),
        local(),
        imds.url,
        local(),
    );
    let config = folder.path().join("panocast.toml");
    fs::write(&config, text).expect("config is written");
    let mut command = Command::new(binary("panocast"));
    command.args(["up", "--no-test-source", "--config"]);
    let mut process = Process::start(folder.path(), "up", command.arg(&config));
    process
        .until_ok("the page answers", &format!("http://{page}/"))
        .await;
    process
        .until("metadata is asked", async |_| {
            (imds.asked() > 0).then_some(())
        })
        .await;
    imds.interrupt(Duration::from_secs(60));
    let status = process.wait("the notice ends it").await;
    let output = process.output();
    assert!(status.success(), "{output}");
    assert!(output.contains("spot notice (terminate)"), "{output}");
    assert!(output.contains("edge ended"), "{output}");
}
