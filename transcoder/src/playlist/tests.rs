use super::*;

fn rendition(name: &str, resolution: Option<(u32, u32)>, bytes: &[u64]) -> Rendition {
    let audio = resolution.is_none();
    let mut rendition = Rendition::new(&RenditionSlice {
        name: name.into(),
        codec: if audio { "mp4a.40.2" } else { "avc1.64001f" }.into(),
        resolution,
        frame_rate: resolution.map(|_| 30.0),
        channels: audio.then_some(2),
        timescale: 360_000,
        init: "init-1.mp4".into(),
        segments: Vec::new(),
    });
    let made = bytes.iter().zip(0..).map(|(bytes, number)| SegmentInfo {
        number,
        ticks: 2_160_000,
        bytes: *bytes,
    });
    rendition.segments = made.map(|made| (made, Arc::from("init-1.mp4"))).collect();
    rendition
}

#[test]
fn a_media_playlist_reads_as_written_here() {
    let mut rendition = rendition("640p", Some((1280, 640)), &[900_000, 800_000, 0, 700_000]);
    rendition.segments[3].1 = "init-2.mp4".into();
    rendition.segments[3].0.ticks = 12_012;
    let params = PlaylistParams {
        target_duration: rendition.target_duration(),
        discontinuities: vec![1],
        dates: vec![1_793_620_800_123_000, 1_793_620_900_000_000, 0, 0],
    };
    let text = render_media(&rendition, &params);
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-02T12:00:00.123Z\n#EXTINF:6.000000,\n0.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-02T12:01:40.000Z\n#EXTINF:6.000000,\n1.m4s\n\
         #EXT-X-GAP\n#EXTINF:6.000000,\n2.m4s\n\
         #EXT-X-MAP:URI=\"init-2.mp4\"\n#EXTINF:0.033367,\n3.m4s\n#EXT-X-ENDLIST\n"
    );
    let (rest, parsed) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
    assert!(rest.is_empty() && parsed.end_list);
    assert_eq!(parsed.segments.len(), 4);
    assert!(parsed.segments[1].discontinuity);
}

#[test]
fn a_multivariant_playlist_measures_peak_and_average_and_offers_sound_alone() {
    let renditions = [
        rendition("source", Some((3840, 1920)), &[9_000_000, 3_000_000]),
        rendition("audio", None, &[96_000, 96_000]),
    ];
    let text = render_multivariant(&renditions, 6, Immersive::default(), Flavour::Web);
    let (_, parsed) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
    assert!(parsed.independent_segments, "{text}");
    let top = &parsed.variants[0];
    assert_eq!(
        (top.bandwidth, top.average_bandwidth),
        (12_128_000, Some(8_128_000))
    );
    assert_eq!(top.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!(
        (top.uri.as_str(), top.audio.as_deref()),
        ("source/index.m3u8", Some("audio"))
    );
    let audio = &parsed.variants[1];
    assert_eq!(
        (audio.uri.as_str(), audio.bandwidth),
        ("audio/index.m3u8", 128_000)
    );
    assert_eq!((audio.resolution, audio.audio.as_deref()), (None, None));
    assert!(
        text.contains("org.panocast.projection\",VALUE=\"equirectangular"),
        "{text}"
    );
}

#[test]
fn spatial_players_are_told_the_layout_of_pictures_and_nothing_else_changes() {
    let renditions = [
        rendition("source", Some((3840, 3840)), &[9_000_000]),
        rendition("audio", None, &[96_000]),
    ];
    let immersive = Immersive {
        stereo: media::StereoLayout::TopBottom,
        ..Immersive::default()
    };
    let render = |flavour| render_multivariant(&renditions, 6, immersive, flavour);
    let (web, spatial) = (render(Flavour::Web), render(Flavour::Spatial));
    assert!(spatial.contains("#EXT-X-VERSION:12\n"), "{spatial}");
    assert!(!web.contains("REQ-VIDEO-LAYOUT"), "{web}");
    let layouts = spatial.matches(",REQ-VIDEO-LAYOUT=\"").count();
    assert_eq!(layouts, 1, "{spatial}");
    let uris = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.ends_with(".m3u8"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(uris(&spatial), uris(&web));
}

#[test]
fn sound_alone_needs_no_group() {
    let audio = [rendition("audio", None, &[9])];
    let text = render_multivariant(&audio, 6, Immersive::default(), Flavour::Web);
    assert!(!text.contains("EXT-X-MEDIA:"), "{text}");
    assert!(text.ends_with("\naudio/index.m3u8\n"), "{text}");
}

#[test]
fn thumbnails_name_their_place() {
    let sheet = |name: &str, at: &[f64]| Sheet {
        name: name.into(),
        size: (160, 80),
        columns: 2,
        at: at.to_vec(),
    };
    let sheets = [
        sheet("thumbnails-0.jpg", &[0.0, 2.0, 4.0]),
        sheet("thumbnails-1.jpg", &[3_606.5]),
    ];
    assert_eq!(
        render_thumbnails(&sheets, 3_610.0),
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nthumbnails-0.jpg#xywh=0,0,160,80\n\
         \n00:00:02.000 --> 00:00:04.000\nthumbnails-0.jpg#xywh=160,0,160,80\n\
         \n00:00:04.000 --> 01:00:06.500\nthumbnails-0.jpg#xywh=0,80,160,80\n\
         \n01:00:06.500 --> 01:00:10.000\nthumbnails-1.jpg#xywh=0,0,160,80\n"
    );
}
