use proptest::prelude::*;

use super::*;

fn media(file: MediaFile) -> Resource<'static> {
    Resource::Live(Live::Media {
        stream: "foo",
        rendition: "source",
        run_id: "k3x9",
        file,
    })
}

fn asset(file: AssetFile<'static>) -> Resource<'static> {
    Resource::Vod(Vod::Asset {
        asset: "foo-k3",
        file,
    })
}

/// Every URL of docs/ref/urls.md, as it stands there.
fn documented() -> Vec<(&'static str, Resource<'static>)> {
    let (stream, rendition) = ("foo", "audio");
    let multivariant = |spatial| Resource::Live(Live::Multivariant { stream, spatial });
    vec![
        ("/hls/index.json", Resource::Live(Live::Index)),
        ("/hls/foo.m3u8", multivariant(false)),
        ("/hls/foo.spatial.m3u8", multivariant(true)),
        ("/hls/foo/info.json", Resource::Live(Live::Info { stream })),
        (
            "/hls/foo/poster.jpg",
            Resource::Live(Live::Poster { stream }),
        ),
        (
            "/hls/foo/audio/index.m3u8",
            Resource::Live(Live::Playlist { stream, rendition }),
        ),
        ("/hls/foo/source/k3x9/init-7.mp4", media(MediaFile::Init(7))),
        (
            "/hls/foo/source/k3x9/1760000000.m4s",
            media(MediaFile::Segment(1_760_000_000)),
        ),
        (
            "/hls/foo/source/k3x9/1760000000.3.m4s",
            media(MediaFile::Part(1_760_000_000, 3)),
        ),
        ("/vod/index.json", Resource::Vod(Vod::Index)),
        (
            "/vod/foo-k3/index.m3u8",
            asset(AssetFile::Multivariant { spatial: false }),
        ),
        (
            "/vod/foo-k3/index.spatial.m3u8",
            asset(AssetFile::Multivariant { spatial: true }),
        ),
        (
            "/vod/foo-k3/audio/index.m3u8",
            asset(AssetFile::Playlist { rendition }),
        ),
        (
            "/vod/foo-k3/audio/init-00ab12cd.mp4",
            asset(AssetFile::Init {
                rendition,
                hash: 0x00ab_12cd,
            }),
        ),
        (
            "/vod/foo-k3/audio/0.m4s",
            asset(AssetFile::Segment {
                rendition,
                number: 0,
            }),
        ),
        ("/vod/foo-k3/info.json", asset(AssetFile::Info)),
        ("/vod/foo-k3/poster.jpg", asset(AssetFile::Poster)),
        ("/vod/foo-k3/thumbnails.vtt", asset(AssetFile::Thumbnails)),
        (
            "/vod/foo-k3/thumbnails-2.jpg",
            asset(AssetFile::ThumbnailSheet(2)),
        ),
        (
            "/vod/foo-k3/subtitles/en.vtt",
            asset(AssetFile::Other("subtitles/en.vtt")),
        ),
    ]
}

#[test]
fn every_documented_url_is_read_and_written() {
    for (path, resource) in documented() {
        assert_eq!(Resource::parse(path), Some(resource), "{path}");
        assert_eq!(resource.to_string(), path);
    }
}

#[test]
fn anything_else_names_nothing() {
    for path in [
        "",
        "/",
        "/index.html",
        "/hls/",
        "/hls/.m3u8",
        "/hls/a b.m3u8",
        "/hls/../etc/passwd",
        "/hls/foo/../bar/index.m3u8",
        "/hls/foo//index.m3u8",
        "/hls/foo/source/k3x9/01.m4s",
        "/hls/foo/source/k3x9/+1.m4s",
        "/hls/foo/source/k3x9/1.2.3.m4s",
        "/hls/foo/source/k3x9/init-99999999999.mp4",
        "/hls/foo/source/k3x9/99999999999999999999.m4s",
        "/hls/foo%2f/index.m3u8",
        "/HLS/foo.m3u8",
        "/vod/",
        "/vod/foo",
        "/vod/foo/",
        "/vod/foo/index",
        "/vod/foo/../bar/index.m3u8",
        "/vod/foo/.hidden.json",
        "/vod/foo//x.json",
        "/vod/é/index.m3u8",
    ] {
        assert_eq!(Resource::parse(path), None, "{path}");
    }
    assert!(!is_name(&"x".repeat(NAME_BYTES_MAX + 1)));
}

#[test]
fn a_recordings_key_is_its_path_without_the_first_slash() {
    let (asset, file) = ("foo-k3", AssetFile::Poster);
    assert_eq!(Vod::Asset { asset, file }.key(), "vod/foo-k3/poster.jpg");
    assert_eq!(Vod::Index.key(), "vod/index.json");
}

#[test]
fn playlists_of_recordings_name_the_files_beside_them() {
    let rendition = "source";
    let hash = 0xab;
    let init = AssetFile::Init { rendition, hash };
    assert_eq!(init.file_name(), "init-000000ab.mp4");
    let segment = AssetFile::Segment {
        rendition,
        number: 7,
    };
    assert_eq!(segment.file_name(), "7.m4s");
}

/// Resolves a reference as RFC 3986 §5.2 does, for the forms that playlists use.
fn resolve(base: &str, reference: &str) -> String {
    let mut folder = base.rsplit_once('/').unwrap().0;
    let mut rest = reference;
    while let Some(up) = rest.strip_prefix("../") {
        folder = folder.rsplit_once('/').unwrap().0;
        rest = up;
    }
    format!("{folder}/{rest}")
}

proptest! {
    #[test]
    fn every_url_that_is_written_is_read_back(
        stream in "[A-Za-z0-9_-]{1,64}",
        rendition in "[A-Za-z0-9_-]{1,64}",
        run_id in "[A-Za-z0-9_-]{1,64}",
        number: u32, msn: u64, part: u64, spatial: bool,
    ) {
        let (stream, rendition, run_id) = (&*stream, &*rendition, &*run_id);
        let files = [MediaFile::Init(number), MediaFile::Segment(msn), MediaFile::Part(msn, part)];
        let live = [
            Live::Index,
            Live::Multivariant { stream, spatial },
            Live::Info { stream },
            Live::Poster { stream },
            Live::Playlist { stream, rendition },
        ];
        let media = files.map(|file| Live::Media { stream, rendition, run_id, file });
        let vod = [
            AssetFile::Multivariant { spatial },
            AssetFile::Playlist { rendition },
            AssetFile::Init { rendition, hash: number },
            AssetFile::Segment { rendition, number },
            AssetFile::Info,
            AssetFile::Poster,
            AssetFile::Thumbnails,
            AssetFile::ThumbnailSheet(number),
        ];
        let vod = vod.map(|file| Vod::Asset { asset: stream, file });
        let all = live.into_iter().chain(media).map(Resource::Live)
            .chain(vod.into_iter().chain([Vod::Index]).map(Resource::Vod));
        for resource in all {
            let path = resource.to_string();
            prop_assert_eq!(Resource::parse(&path), Some(resource), "{}", path);
        }
    }

    #[test]
    fn a_path_that_is_read_is_written_as_it_was(
        path in "/(hls|vod)/[a-c0-2./_-]{0,24}(m3u8|m4s|mp4|json)?",
    ) {
        if let Some(resource) = Resource::parse(&path) {
            prop_assert_eq!(resource.to_string(), path);
        }
    }

    #[test]
    fn references_lead_to_what_they_mean(
        stream in "[A-Za-z0-9_-]{1,64}",
        rendition in "[A-Za-z0-9_-]{1,64}",
        other in "[A-Za-z0-9_-]{1,64}",
        run_id in "[A-Za-z0-9_-]{1,64}",
        number: u32, msn: u64, part: u64, spatial: bool,
    ) {
        let (stream, rendition, other, run_id) = (&*stream, &*rendition, &*other, &*run_id);
        let multivariant = Live::Multivariant { stream, spatial }.to_string();
        let playlist = Live::Playlist { stream, rendition };
        let down = Reference::Rendition { stream: Some(stream), rendition }.to_string();
        prop_assert_eq!(resolve(&multivariant, &down), playlist.to_string());
        let across = Reference::Sibling { rendition: other }.to_string();
        let sibling = Live::Playlist { stream, rendition: other };
        prop_assert_eq!(resolve(&playlist.to_string(), &across), sibling.to_string());
        for file in [MediaFile::Init(number), MediaFile::Segment(msn), MediaFile::Part(msn, part)] {
            let media = Live::Media { stream, rendition, run_id, file };
            let reference = Reference::Media { run_id, file }.to_string();
            prop_assert_eq!(resolve(&playlist.to_string(), &reference), media.to_string());
        }
        let asset = |file| Vod::Asset { asset: stream, file }.to_string();
        let down = Reference::Rendition { stream: None, rendition }.to_string();
        prop_assert_eq!(
            resolve(&asset(AssetFile::Multivariant { spatial }), &down),
            asset(AssetFile::Playlist { rendition })
        );
    }

    #[test]
    fn nothing_panics(path in ".{0,80}", query in ".{0,80}") {
        let _ = Resource::parse(&path);
        let _ = Resource::parse(&format!("/hls/{path}"));
        let _ = Resource::parse(&format!("/vod/{path}"));
        let _ = Directives::parse(&query);
    }

    #[test]
    fn directives_have_one_spelling(
        msn: u64, part in proptest::option::of(any::<u64>()), skip in 0..3_u8,
        noise in "[a-z]{0,5}=[a-z0-9]{0,5}",
    ) {
        let skip = [None, Some(Skip::Yes), Some(Skip::V2)][usize::from(skip)];
        let directives = Directives { msn: Some(msn), part, skip };
        let text = directives.to_string();
        prop_assert_eq!(Directives::parse(&text), Ok(directives));
        let mut pairs: Vec<&str> = text.split('&').collect();
        pairs.reverse();
        let other = format!("{}&{noise}", pairs.join("&"));
        prop_assert_eq!(Directives::parse(&other).map(|found| found.to_string()), Ok(text));
    }
}

#[test]
fn directives_are_read_strictly() {
    let parse = Directives::parse;
    let at = |msn, part| Directives {
        msn,
        part,
        skip: None,
    };
    assert_eq!(parse(""), Ok(Directives::default()));
    assert!(parse("CMCD=x&session=_HLS_msn").unwrap().is_empty());
    assert_eq!(
        parse("_HLS_msn=5&_HLS_part=0&x=%20"),
        Ok(at(Some(5), Some(0)))
    );
    assert_eq!(
        parse("_HLS_msn=007"),
        Ok(at(Some(7), None)),
        "a decimal-integer may have leading zeros"
    );
    assert_eq!(parse("_HLS_skip=v2").unwrap().skip, Some(Skip::V2));
    assert_eq!(parse("_HLS_part=1"), Err(DirectiveError::PartWithoutMsn));
    for bad in ["", "+5", "-1", "5x", "18446744073709551616", "%35"] {
        let found = parse(&format!("_HLS_msn={bad}"));
        assert_eq!(found, Err(DirectiveError::Number("_HLS_msn")), "{bad}");
    }
    assert_eq!(
        parse("_HLS_msn=18446744073709551615").unwrap().msn,
        Some(u64::MAX)
    );
    assert_eq!(parse("_HLS_skip=NO"), Err(DirectiveError::Skip));
    for name in ["_HLS_msn=1&_HLS_msn", "_HLS_msn=1&_HLS_part=1&_HLS_part"] {
        let found = parse(&format!("{name}=2"));
        assert!(matches!(found, Err(DirectiveError::Twice(_))), "{name}");
    }
    assert!(parse("_HLS_push=1&_HLS_pathway=a").is_ok());
}
