use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn record(name: &str, key: &str, sequencer: &str) -> String {
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1",
        "eventTime":"2026-11-02T12:34:56.000Z","eventName":"{name}",
        "userIdentity":{{"principalId":"A"}},"requestParameters":{{"sourceIPAddress":"1.2.3.4"}},
        "s3":{{"s3SchemaVersion":"1.0","configurationId":"c","bucket":{{"name":"b","arn":"arn"}},
        "object":{{"key":"{key}","size":1024,"eTag":"d41d","versionId":"v1","sequencer":"{sequencer}"}}}}}}"#
    )
}

fn created(records: &[String]) -> (Vec<ObjectCreated>, Vec<String>) {
    match parse(&format!(r#"{{"Records":[{}]}}"#, records.join(","))) {
        Message::Created { objects, ignored } => (objects, ignored),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_a_real_event() {
    let put = record(
        "ObjectCreated:CompleteMultipartUpload",
        "a/b+c%2Bd%C3%A9.mp4",
        "0055AED6",
    );
    let (objects, ignored) = created(&[put]);
    assert_eq!(
        objects,
        [ObjectCreated {
            bucket: "b".into(),
            key: "a/b c+dé.mp4".into(),
            size: Some(1024),
            etag: Some("d41d".into()),
            version_id: Some("v1".into()),
            sequencer: Some(Sequencer::new("0055AED6")),
        }]
    );
    assert_eq!(ignored, [""; 0]);
}

#[test]
fn a_test_message_is_no_event() {
    let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-02T12:00:00.000Z",
        "Bucket":"b","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw"}"#;
    assert_eq!(parse(body), Message::Test);
}

#[test]
fn what_is_not_from_s3_is_foreign() {
    for body in [
        "",
        "hello",
        "[]",
        "{}",
        "null",
        r#"{"Records":7}"#,
        r#"{"Event":"other"}"#,
    ] {
        assert_eq!(parse(body), Message::Foreign, "{body}");
    }
}

#[test]
fn records_of_no_use_are_named_and_the_others_kept() {
    let good = record("ObjectCreated:Put", "k", "01");
    let (objects, ignored) = created(&[
        record("ObjectRemoved:Delete", "k", "02"),
        good.replace("2.1", "3.0"),
        good.replace("aws:s3", "aws:sns"),
        r#"{"eventVersion":"2.1"}"#.into(),
        record("ObjectCreated:Put", "%FF", "01"),
        good.clone(),
        good.replace("\"2.1\"", "\"2.9\"").replace("\"k\"", "\"l\""),
    ]);
    assert_eq!(
        objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(),
        ["k", "l"]
    );
    assert_eq!(ignored.len(), 5, "{ignored:?}");
    assert!(ignored[0].contains("ObjectRemoved:Delete"), "{ignored:?}");
}

#[test]
fn of_one_key_the_newest_counts_whatever_its_place() {
    let at = |sequencer| record("ObjectCreated:Put", "k", sequencer);
    for order in [
        ["0055AED6", "0055AED6DC", "0055"],
        ["0055AED6DC", "0055", "0055AED6"],
    ] {
        let (objects, _) = created(&order.map(at));
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].sequencer, Some(Sequencer::new("0055aed6dc")));
    }
    assert_eq!(Sequencer::new("0A"), Sequencer::new("0a000"));
    assert!(Sequencer::new("0A1") > Sequencer::new("0A"));
}

#[test]
fn what_is_written_reads_back_for_any_key() {
    for key in ["recordings/stage-1/17.mp4", "a b+c/é%2F&=?#", "~!$'()*,;:@"] {
        let object = ObjectCreated {
            bucket: "file:///srv/ingest".into(),
            key: key.into(),
            size: Some(7),
            etag: Some("e".into()),
            version_id: None,
            sequencer: Some(Sequencer::new("17F")),
        };
        let body = object_created(&object, UNIX_EPOCH + Duration::from_millis(1_500));
        assert!(body.contains("1970-01-01T00:00:01.500Z"), "{body}");
        let Message::Created { objects, ignored } = parse(&body) else {
            panic!("{body}")
        };
        assert_eq!((objects, ignored.len()), (vec![object], 0));
    }
}
