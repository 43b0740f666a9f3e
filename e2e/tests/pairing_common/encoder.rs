//! An encoder that encodes once and publishes over two connections, as OBS does with two outputs:
//! each connection starts when it likes, with a clock of its own that starts at zero and rounds to
//! milliseconds in its own way.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{publisher::Publisher, run};
use flv::{Tag, TagKind, file::Reader};
use test_source::blocks::{self, Luma, Stamp};

/// What an encoder makes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The stream's name.
    pub name: &'static str,
    /// Frames per seconds.
    pub rate: (u64, u64),
    /// Frames from keyframe to keyframe.
    pub gop: u32,
    /// When each connection starts, in milliseconds.
    pub starts_ms: [u64; 2],
    /// How long it lasts.
    pub seconds: u64,
}

/// Side of a stamped picture's block is four pixels then.
pub const STAMPED: (usize, usize) = (480, 240);

/// Unix time of a stamped broadcast's first picture.
const BROADCAST_MS: u64 = 1_800_000_000_000;

/// A connection that was lost is tried again after this.
const RECONNECT: Duration = Duration::from_millis(200);

/// One encoded access unit, with the encoder's exact time in microseconds.
#[derive(Clone)]
struct Coded {
    at_us: u64,
    tag: Tag,
}

/// What the encoder makes, once for all connections.
pub struct Encoded {
    headers: Vec<Tag>,
    media: Vec<Coded>,
    length: Duration,
}

impl Encoded {
    /// ffmpeg's moving test picture of `size`.
    pub fn test_picture(folder: &Path, shape: &Shape, size: &str) -> Arc<Self> {
        let (frames, seconds) = shape.rate;
        let picture = format!("testsrc2=s={size}:r={frames}/{seconds}");
        let path = path(folder, shape);
        let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", &picture];
        let coding = coding(shape, &path);
        arguments.extend(coding.iter().map(String::as_str));
        run("ffmpeg", &arguments);
        Self::read(&path, shape)
    }

    /// Grey pictures of the size [`STAMPED`] that carry their number in the test source's blocks.
    pub fn stamped(folder: &Path, shape: &Shape) -> Arc<Self> {
        let (frames, seconds) = shape.rate;
        let path = path(folder, shape);
        let (width, height) = STAMPED;
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "gray"])
            .args(["-s", &format!("{width}x{height}")])
            .args(["-r", &format!("{frames}/{seconds}"), "-i", "-"])
            .args(coding(shape, &path))
            .stdin(Stdio::piped())
            .spawn()
            .expect("ffmpeg starts");
        let mut input = ffmpeg.stdin.take().expect("a pipe");
        let mut picture = vec![128; width * height];
        for number in 0..shape.seconds * frames / seconds {
            paint(&mut picture, stamp(number, shape.rate));
            input.write_all(&picture).expect("ffmpeg reads");
        }
        drop(input);
        assert!(ffmpeg.wait().expect("ffmpeg ends").success());
        Self::read(&path, shape)
    }

    fn read(path: &str, shape: &Shape) -> Arc<Self> {
        let bytes = std::fs::read(path).expect("the file was made");
        let (frames, seconds) = shape.rate;
        let mut reader = Reader::new();
        reader.push(&bytes);
        let (mut headers, mut media) = (Vec::new(), Vec::new());
        let (mut video_units, mut audio_units) = (0, 0);
        while let Some(tag) = reader.next_tag().expect("ffmpeg writes valid FLV") {
            let second = tag.body.get(1).copied();
            let at_us = match tag.kind {
                TagKind::Script => None,
                _ if second == Some(0) => None,
                TagKind::Video if second == Some(2) => continue,
                TagKind::Video => {
                    video_units += 1;
                    Some((video_units - 1) * 1_000_000 * seconds / frames)
                }
                TagKind::Audio => {
                    audio_units += 1;
                    Some((audio_units - 1) * 1_000_000 * 1024 / 48_000)
                }
            };
            match at_us {
                Some(at_us) => media.push(Coded { at_us, tag }),
                None => headers.push(tag),
            }
        }
        media.sort_by_key(|coded| coded.at_us);
        Arc::new(Self {
            headers,
            media,
            length: Duration::from_secs(shape.seconds),
        })
    }

    /// Bits per second.
    pub fn bit_rate(&self) -> f64 {
        let bytes: usize = self.media.iter().map(|coded| coded.tag.body.len()).sum();
        bytes as f64 * 8.0 / self.length.as_secs_f64()
    }

    /// One of the encoder's connections: comes back after every loss, wherever the broadcast that
    /// `began` is then.
    pub async fn publish(self: Arc<Self>, url: String, began: Instant, start_ms: u64) {
        // Connections do not start at whole milliseconds of the encoder's clock.
        let mut from = Duration::from_micros(start_ms * 1000 + 377);
        while from < self.length {
            tokio::time::sleep_until((began + from).into()).await;
            if let Some(mut publisher) = connect(&url).await {
                self.send(&mut publisher, began).await;
            }
            from = began.elapsed() + RECONNECT;
        }
    }

    /// Everything from now on, until the connection is lost or the broadcast ends.
    pub async fn send(&self, publisher: &mut Publisher, began: Instant) {
        let zero_us = began.elapsed().as_micros() as u64;
        let mut lives = publisher.send(self.headers.clone()).await;
        for coded in self.media.iter().filter(|coded| coded.at_us >= zero_us) {
            if !lives {
                return;
            }
            let due = began + Duration::from_micros(coded.at_us);
            tokio::time::sleep_until(due.into()).await;
            let tag = Tag {
                timestamp_ms: ((coded.at_us - zero_us + 500) / 1000) as u32,
                ..coded.tag.clone()
            };
            lives = publisher.send([tag]).await;
        }
    }
}

/// `None` while nobody listens there.
async fn connect(url: &str) -> Option<Publisher> {
    let address = url.strip_prefix("rtmp://")?.split('/').next()?;
    tokio::net::TcpStream::connect(address).await.ok()?;
    Publisher::connect(url).await.ok()
}

/// The number, modulo 4096, of a stamped picture.
pub fn number(picture: &[u8]) -> Option<u16> {
    let (width, height) = STAMPED;
    let luma = Luma {
        data: picture,
        width,
        height,
        stride: width,
    };
    Some(blocks::read(luma, &media::Immersive::default())?.frame)
}

fn stamp(number: u64, (frames, seconds): (u64, u64)) -> Stamp {
    Stamp {
        unix_ms: BROADCAST_MS + number * 1000 * seconds / frames,
        frame: (number % 4096) as u16,
    }
}

/// The blocks as they lie in a mono equirectangular picture.
fn paint(picture: &mut [u8], stamp: Stamp) {
    let (width, _) = STAMPED;
    let side = width * 3 / 360;
    let (left, top) = (width * 156 / 360, width * 189 / 720);
    for (index, white) in stamp.blocks().into_iter().enumerate() {
        let (row, column) = (index / blocks::COLUMNS, index % blocks::COLUMNS);
        for line in 0..side {
            let from = (top + row * side + line) * width + left + column * side;
            picture[from..from + side].fill(if white { 235 } else { 16 });
        }
    }
}

fn path(folder: &Path, shape: &Shape) -> String {
    let path = folder.join(format!("{}.flv", shape.name));
    path.to_string_lossy().into_owned()
}

/// The second input, noise, and how both are coded: B-frames, keyframes exactly where they belong.
fn coding(shape: &Shape, path: &str) -> Vec<String> {
    let (gop, seconds) = (shape.gop, shape.seconds);
    let words = format!(
        "-f lavfi -i anoisesrc=a=0.1:r=48000 -t {seconds} -c:v libx264 -preset ultrafast -pix_fmt yuv420p \
         -bf 2 -b_strategy 0 -sc_threshold 0 -g {gop} -threads 1 -c:a aac -b:a 64k -f flv"
    );
    let words = words.split_whitespace().map(str::to_owned);
    words.chain([path.to_owned()]).collect()
}
