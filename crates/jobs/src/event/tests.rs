use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn record(name: &str, key: &str, sequencer: &str) -> String {
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1",
        "eventTime":"2026-11-02T12:34:56.000Z","eventName":"{name}",
        "userIdentity":{{"principalId":"A"}},"requestParameters":{{"sourceIPAddress":"1.2.3.4"}},
        "s3":{{"s3SchemaVersion":"1.0","configurationId":"c","bucket":{{"name":"b","arn":"arn"}},
        "object":{{"key":"{key}","size":1024,"eTag":"d41d","versionId":"v1",
        "sequencer":"{sequencer}"}}}}}}"#
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

fn keys(body: &str) -> Vec<String> {
    match parse(body) {
        Message::Created { objects, .. } => objects.into_iter().map(|o| o.key).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

fn reasons(body: &str) -> Vec<String> {
    match parse(body) {
        Message::Created { objects, ignored } if objects.is_empty() => ignored,
        other => panic!("{body}: {other:?}"),
    }
}

fn notification() -> Value {
    let put = record("ObjectCreated:Put", "a+b%2Bc.mp4", "01");
    serde_json::from_str(&format!("{{\"Records\":[{put}]}}")).unwrap()
}

fn through_sns(message: &Value) -> Value {
    serde_json::json!({
        "Type": "Notification", "MessageId": "1", "Subject": "Amazon S3 Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": message.to_string(),
        "Timestamp": "2026-11-02T12:34:56.000Z", "SignatureVersion": "1",
    })
}

fn from_eventbridge(key: &str) -> Value {
    serde_json::json!({
        "version": "0", "id": "17793124", "detail-type": "Object Created", "source": "aws.s3",
        "account": "1", "time": "2026-11-02T12:34:56Z", "region": "eu-west-1",
        "resources": ["arn:aws:s3:::b"],
        "detail": {
            "version": "0", "bucket": { "name": "b" },
            "object": {
                "key": key, "size": 5, "etag": "b57f", "version-id": "IYV3",
                "sequencer": "0062E99A",
            },
            "request-id": "C3D", "requester": "1", "source-ip-address": "1.2.3.4",
            "reason": "CompleteMultipartUpload",
        },
    })
}

#[test]
fn what_sns_delivers_is_what_s3_sent() {
    let bare = notification();
    assert_eq!(keys(&bare.to_string()), ["a b+c.mp4"], "raw delivery");
    let wrapped = through_sns(&bare).to_string();
    assert_eq!(parse(&wrapped), parse(&bare.to_string()));
    let test =
        serde_json::json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" });
    assert_eq!(parse(&through_sns(&test).to_string()), Message::Test);
    let of_people = through_sns(&serde_json::json!("hello")).to_string();
    assert_eq!(parse(&of_people), Message::Foreign);
}

#[test]
fn a_subscription_that_waits_is_told_and_not_followed() {
    let body = serde_json::json!({
        "Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        "Token": "2336", "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Confirm",
    });
    let told = reasons(&body.to_string());
    assert!(told[0].contains("open https://sns."), "{told:?}");
    let gone = serde_json::json!({ "Type": "UnsubscribeConfirmation", "TopicArn": "t" });
    assert_eq!(reasons(&gone.to_string()).len(), 1);
}

#[test]
fn eventbridges_keys_are_not_encoded() {
    for key in ["a b.mp4", "a+b.mp4", "100%.mp4", "a%20b.mp4", "é/ü.mp4"] {
        let event = from_eventbridge(key);
        let expected = ObjectCreated {
            bucket: "b".into(),
            key: key.into(),
            size: Some(5),
            etag: Some("b57f".into()),
            version_id: Some("IYV3".into()),
            sequencer: Some(Sequencer::new("0062E99A")),
        };
        let created = Message::Created {
            objects: vec![expected],
            ignored: Vec::new(),
        };
        assert_eq!(parse(&event.to_string()), created);
        let detail_alone = event["detail"].to_string();
        assert_eq!(parse(&detail_alone), created, "InputPath $.detail");
        assert_eq!(parse(&through_sns(&event).to_string()), created);
        let as_a_string = serde_json::json!(event.to_string()).to_string();
        assert_eq!(
            parse(&as_a_string),
            created,
            "an input transformer's string"
        );
    }
}

#[test]
fn eventbridges_other_events_are_named() {
    let event = from_eventbridge("a.mp4").to_string();
    for (from, to, words) in [
        ("Object Created", "Object Deleted", "Object Deleted"),
        ("aws.s3", "aws.ec2", "aws.ec2"),
        ("\"key\"", "\"name\"", "no bucket or key"),
    ] {
        let told = reasons(&event.replace(from, to));
        assert!(told[0].contains(words), "{told:?}");
    }
    let deleted = from_eventbridge("a.mp4")["detail"]
        .to_string()
        .replace("CompleteMultipartUpload", "DeleteObject");
    assert_eq!(parse(&deleted), Message::Foreign, "no word says what it is");
}

#[test]
fn other_stores_write_alike() {
    let minio = |name: &str| {
        format!(
            r#"{{"EventName":"{name}","Key":"images/in/a b.mp4","Records":[{{"eventVersion":"2.0",
            "eventSource":"minio:s3","awsRegion":"","eventTime":"2026-10-26T11:18:32Z",
            "eventName":"{name}","userIdentity":{{"principalId":"S"}},
            "s3":{{"s3SchemaVersion":"1.0","configurationId":"Config",
            "bucket":{{"name":"images","ownerIdentity":{{"principalId":"S"}},
            "arn":"arn:aws:s3:::images"}},
            "object":{{"key":"in%2Fa+b%2Bc.mp4","size":629648,"eTag":"b7ce",
            "contentType":"video/mp4","userMetadata":{{"content-type":"video/mp4"}},
            "versionId":"","sequencer":"15612487A9DF732C"}}}},
            "source":{{"host":"","port":"","userAgent":"MinIO"}}}}]}}"#
        )
    };
    let body = minio("s3:ObjectCreated:CompleteMultipartUpload");
    let (objects, ignored) = match parse(&body) {
        Message::Created { objects, ignored } => (objects, ignored),
        other => panic!("{other:?}"),
    };
    assert_eq!((objects.len(), ignored.len()), (1, 0), "{ignored:?}");
    assert_eq!(
        (&*objects[0].bucket, &*objects[0].key),
        ("images", "in/a b+c.mp4")
    );
    assert_eq!(objects[0].version_id, None);
    let access_format = body.replace("\"Records\"", "\"Event\"");
    assert_eq!(keys(&access_format), ["in/a b+c.mp4"]);
    for name in ["s3:ObjectCreated:PutTagging", "s3:ObjectAccessed:Get"] {
        assert!(
            reasons(&minio(name))[0].contains("not a creation"),
            "{name}"
        );
    }
    let ceph = r#"{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","awsRegion":"z",
        "eventTime":"2026-11-22T13:47:35.124724Z","eventName":"s3:ObjectCreated:Put",
        "s3":{"s3SchemaVersion":"1.0","bucket":{"name":"b","arn":"arn:aws:s3:z::b","id":"5"},
        "object":{"key":"in/a+b 100%.mp4","size":"1024","eTag":"\"37b5\"","versionId":"null",
        "sequencer":"","metadata":[],"tags":[]}},"eventId":"","opaqueData":"me"}]}"#;
    let Message::Created { objects, .. } = parse(ceph) else {
        panic!("{ceph}")
    };
    let expected = ObjectCreated {
        bucket: "b".into(),
        key: "in/a+b 100%.mp4".into(),
        size: Some(1024),
        etag: Some("37b5".into()),
        version_id: None,
        sequencer: None,
    };
    assert_eq!(objects, [expected], "Ceph's keys are not encoded");
    let brief = r#"{"Records":[{"eventSource":"ceph:s3","eventName":"ObjectCreated:Put",
        "s3":{"bucket":{"name":"b"},"object":{"key":"k.mp4"}}}]}"#;
    assert_eq!(keys(brief), ["k.mp4"]);
}

#[test]
fn envelopes_end_somewhere() {
    let mut body = notification().to_string();
    for _ in 0..20 {
        body = serde_json::json!(body).to_string();
    }
    assert_eq!(parse(&body), Message::Foreign);
}

#[test]
fn nothing_panics() {
    let seeds = [
        notification().to_string(),
        through_sns(&notification()).to_string(),
        from_eventbridge("k").to_string(),
    ];
    // Each byte of each shape is replaced by what JSON takes apart: every field is at some time
    // another type, empty, or gone.
    for seed in &seeds {
        for at in 0..seed.len() {
            for byte in ["", "0", "\"", "{"] {
                let (Some(before), Some(after)) = (seed.get(..at), seed.get(at + 1..)) else {
                    continue;
                };
                let _ = parse(&format!("{before}{byte}{after}"));
            }
        }
    }
}
