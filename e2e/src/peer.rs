//! Command lines of the encoders that scenarios publish with.

use std::{path::Path, process::Command};

use crate::Process;

/// ffmpeg making a moving test picture and a tone, in real time.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    /// `320x160`.
    pub size: &'static str,
    /// `30`, `30000/1001`.
    pub rate: &'static str,
    /// Frames from keyframe to keyframe.
    pub gop: u32,
    /// B-frames in a row.
    pub b_frames: u32,
    /// How long; `None` goes on until it is ended.
    pub seconds: Option<u32>,
}

impl Default for Ffmpeg {
    fn default() -> Self {
        Self {
            size: "320x160",
            rate: "30",
            gop: 30,
            b_frames: 0,
            seconds: None,
        }
    }
}

impl Ffmpeg {
    /// The command.
    pub fn command(&self, url: &str) -> Command {
        let mut command = self.encoder();
        command.args(["-f", "flv", url]);
        command
    }

    /// One encoder that publishes to all `urls`, and comes back to each after every loss.
    pub fn tee(&self, urls: &[String]) -> Command {
        let options = "f=fifo:fifo_format=flv:drop_pkts_on_overflow=1:attempt_recovery=1\
                       :recover_any_error=1:recovery_wait_time=1:restart_with_keyframe=1";
        let outputs: Vec<String> = urls.iter().map(|url| format!("[{options}]{url}")).collect();
        let mut command = self.encoder();
        command.args(["-map", "0:v", "-map", "0:a", "-flags", "+global_header"]);
        command.args(["-f", "tee", &outputs.join("|")]);
        command
    }

    /// The command without its output.
    pub fn encoder(&self) -> Command {
        let source = format!(
            "testsrc2=s={}:r={}[out0];sine=f=440:r=48000[out1]",
            self.size, self.rate
        );
        let (gop, b_frames) = (self.gop.to_string(), self.b_frames.to_string());
        let mut command = Command::new("ffmpeg");
        command.args([
            "-hide_banner",
            "-nostats",
            "-re",
            "-f",
            "lavfi",
            "-i",
            &source,
        ]);
        command.args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-threads",
            "1",
            "-pix_fmt",
            "yuv420p",
        ]);
        command.args([
            "-g",
            &gop,
            "-bf",
            &b_frames,
            "-sc_threshold",
            "0",
            "-c:a",
            "aac",
            "-b:a",
            "96k",
        ]);
        if let Some(seconds) = self.seconds {
            command.args(["-t", &seconds.to_string()]);
        }
        command
    }

    /// Publishes to `url`.
    pub fn publish(&self, folder: &Path, name: &str, url: &str) -> Process {
        Process::start(folder, name, &mut self.command(url))
    }
}

/// GStreamer publishing a test picture and a tone for `seconds` through `sink` (an element with its
/// properties).
pub fn gstreamer(sink: &str, seconds: u32) -> Command {
    let video = format!("num-buffers={}", seconds * 30);
    // 1024 samples each, as AAC frames.
    let audio = format!("num-buffers={}", seconds * 48_000 / 1024);
    let pipeline = format!(
        "videotestsrc is-live=true {video} ! video/x-raw,format=I420,width=320,height=160,framerate=30/1 \
         ! x264enc speed-preset=ultrafast threads=1 key-int-max=30 ! h264parse \
         ! flvmux name=mux streamable=true ! {sink} \
         audiotestsrc is-live=true samplesperbuffer=1024 {audio} ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! mux."
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-e").args(pipeline.split_whitespace());
    command
}
