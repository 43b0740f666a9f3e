//! Decodes, scales, reprojects, encodes and probes: the only crate that names FFmpeg.
//!
//! Coded media comes in and goes out as [`media::Track`] and [`media::AccessUnit`]; pictures in
//! between are [`Picture`]s. The work runs on threads of its own with bounded queues, never on the
//! caller's.
//!
//! The only crate with `unsafe`: FFmpeg is C. Each block says why it is sound.
//!
//! What this does not do: containers for delivery (cmaf), playlists (hls), sockets.

mod audio_decoder;
mod audio_transcoder;
mod color;
mod decode;
mod deinterlace;
mod downscale_half;
mod error;
mod h264;
mod log;
mod nal;
mod picture;
mod reproject;
mod rotation;
mod scale;
mod video_decoder;

pub mod audio;
pub mod file_demuxer;
pub mod ladder;
pub mod stills;
pub mod video;

pub use audio_decoder::{AudioDecoder, AudioFormat, AudioOutput, Samples};
pub use audio_transcoder::AudioTranscoder;
pub use error::Error;
pub use h264::{ENCODER_DEFAULT, ENCODERS, PRESET_LIVE, X264_PRESETS, available, check_available};
pub use ladder::Ladder;
pub use picture::{Picture, Plane, SIDE_PIXELS_MAX};
pub use reproject::Reprojection;
pub use rotation::Rotation;
pub use video_decoder::{TimedPicture, VideoDecoder};

/// Sends FFmpeg's log to tracing. Every entry point calls it; it costs nothing the second time.
pub fn init() {
    log::install();
}

#[cfg(test)]
mod tests;
