use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> PublishUrl {
    url.parse().unwrap()
}

#[test]
fn reads_host_port_app_stream_and_key() {
    let url = parse("rtmp://example.org/live/stage-left?key=s%3Dcret%26%25");
    assert_eq!(
        (url.host(), url.port(), url.app()),
        ("example.org", 1935, "live")
    );
    assert_eq!(url.stream(), "stage-left");
    assert_eq!(url.key().map(Secret::expose), Some("s=cret&%"));
    assert_eq!(url.tc_url(), "rtmp://example.org:1935/live");
    assert_eq!(url.publish_name(), "stage-left?key=s%3Dcret%26%25");

    let url = parse("rtmp://[::1]:1936/live/inner/test/");
    assert_eq!((url.host(), url.port()), ("::1", 1936));
    assert_eq!(
        (url.app(), url.stream(), url.key()),
        ("live/inner", "test", None)
    );
    assert_eq!(url.to_string(), "rtmp://[::1]:1936/live/inner/test");
}

#[test]
fn refuses_what_is_no_publish_url_without_repeating_it() {
    for (url, error) in [
        ("http://host/live/x", Error::Scheme),
        ("rtmp://host", Error::Path),
        ("rtmp://host/live", Error::Path),
        ("rtmp://host//x", Error::Path),
        ("rtmp:///live/x", Error::Host),
        ("rtmp://host:0/live/x", Error::Host),
        ("rtmp://host:99999/live/x", Error::Host),
        ("rtmp://[::1/live/x", Error::Host),
        ("rtmp://[::1]9/live/x", Error::Host),
        // Found by fuzzing: it would not have read back as it prints.
        ("rtmp://[[1]:06/live/foo,", Error::Host),
        ("rtmp://a]b/live/x", Error::Host),
    ] {
        assert_eq!(url.parse::<PublishUrl>(), Err(error), "{url}");
    }
    assert!(matches!(
        "x".repeat(3000).parse::<PublishUrl>(),
        Err(Error::TooLong(3000))
    ));
}

/// Found by fuzzing: with the port that it did not have, it printed as more than the limit.
#[test]
fn a_url_at_the_limit_reads_back_as_it_prints() {
    let url = format!("rtmp://h/live/{}", "x".repeat(URL_BYTES_MAX - 14));
    assert_eq!(url.len(), URL_BYTES_MAX);
    assert_eq!(parse(&url).to_string(), url);
}

#[test]
fn secrets_do_not_show() {
    let url = parse("rtmp://host/live/test?key=hunter2");
    assert!(!format!("{url:?} {url}").contains("hunter2"));
}

#[test]
fn keys_are_found_among_other_parameters() {
    let key = |query| key_in_query(query).map(|key| key.expose().to_owned());
    assert_eq!(key("a=b&key=x%20y+z&c"), Some("x y+z".to_owned()));
    assert_eq!(key("vhost=h?key=k"), Some("k".to_owned()));
    assert_eq!(key("key=100%"), Some("100%".to_owned()));
    assert_eq!(key("key=%zz%4"), Some("%zz%4".to_owned()));
    assert_eq!(key("key=%C3%A9"), Some("é".to_owned()));
    assert_eq!((key("key="), key("akey=1"), key("")), (None, None, None));
}

#[test]
fn stream_names_are_safe_in_paths() {
    for good in ["a", "stage-left_2", &"x".repeat(64)] {
        assert_eq!(check_stream_name(good), Ok(()));
    }
    assert_eq!(check_stream_name(""), Err(NameError::Empty));
    assert_eq!(
        check_stream_name(&"x".repeat(65)),
        Err(NameError::TooLong(65))
    );
    for (bad, character) in [
        ("..", '.'),
        ("a/b", '/'),
        ("a&key=1", '&'),
        ("é", 'é'),
        ("a\0", '\0'),
    ] {
        assert_eq!(check_stream_name(bad), Err(NameError::Character(character)));
    }
}

proptest! {
    #[test]
    fn keys_survive_the_way(key in ".{1,40}") {
        let url = PublishUrl::new("h", 1, "live", "s", Some(Secret::new(key.as_str())));
        let name = url.publish_name();
        let (stream, query) = split_query(&name);
        prop_assert_eq!(stream, "s");
        let read = query.and_then(key_in_query);
        prop_assert_eq!(read.as_ref().map(Secret::expose), Some(key.as_str()));
    }

    #[test]
    fn never_panics(url in "(rtmp://)?.{0,60}") {
        let _ = url.parse::<PublishUrl>();
    }
}
