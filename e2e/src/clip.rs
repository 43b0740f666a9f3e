//! A short coded clip as FLV tags, for scenarios that write a publisher's clock themselves.

use std::path::Path;

use flv::{Tag, TagKind, file::Reader};

use crate::run;

/// Tags of a clip that starts with a keyframe at 0 ms and can be sent again and again.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Metadata and sequence headers.
    pub headers: Vec<Tag>,
    /// Access units in the order they were written.
    pub media: Vec<Tag>,
    /// From one turn to the next.
    pub length_ms: u32,
}

impl Clip {
    /// Has ffmpeg make one: `size` as `320x160`, whole `seconds` at 25 frames a second, a
    /// keyframe each second.
    pub fn make(folder: &Path, size: &str, seconds: u32) -> Self {
        let path = folder
            .join(format!("clip-{size}-{seconds}.flv"))
            .to_string_lossy()
            .into_owned();
        let source = format!("testsrc2=s={size}:r=25[out0];sine=f=440:r=48000[out1]");
        let length = seconds.to_string();
        let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", &source, "-t", &length];
        arguments.extend([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "25",
        ]);
        arguments.extend(["-bf", "0", "-sc_threshold", "0", "-threads", "1"]);
        arguments.extend(["-c:a", "aac", "-b:a", "96k", "-f", "flv", &path]);
        run("ffmpeg", &arguments);
        Self::read(
            &std::fs::read(&path).expect("the clip was made"),
            seconds * 1000,
        )
    }

    fn read(bytes: &[u8], length_ms: u32) -> Self {
        let mut reader = Reader::new();
        reader.push(bytes);
        let (mut headers, mut media) = (Vec::new(), Vec::new());
        while let Some(tag) = reader.next_tag().expect("ffmpeg writes valid FLV") {
            match tag.kind {
                TagKind::Script => headers.push(tag),
                // Both codecs say in their second byte whether a sequence header follows.
                _ if tag.body.get(1) == Some(&0) => headers.push(tag),
                // The end of the sequence is not for a clip that goes on.
                TagKind::Video if tag.body.get(1) == Some(&2) => {}
                // What does not fit into one turn would overlap the next.
                _ if tag.timestamp_ms >= length_ms => {}
                _ => media.push(tag),
            }
        }
        Self {
            headers,
            media,
            length_ms,
        }
    }

    /// The headers stamped with a time.
    pub fn headers_at(&self, timestamp_ms: u32) -> impl Iterator<Item = Tag> + '_ {
        self.headers.iter().map(move |tag| Tag {
            timestamp_ms,
            ..tag.clone()
        })
    }

    /// `turns` turns of the clip, the first starting at `start_ms` of the publisher's 32-bit clock.
    pub fn turns(&self, start_ms: u32, turns: u32) -> impl Iterator<Item = Tag> + '_ {
        (0..turns).flat_map(move |turn| {
            let offset = start_ms.wrapping_add(turn * self.length_ms);
            self.media.iter().map(move |tag| Tag {
                timestamp_ms: tag.timestamp_ms.wrapping_add(offset),
                ..tag.clone()
            })
        })
    }
}
