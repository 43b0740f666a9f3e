//! Decode, scale, reproject, encode and probe with FFmpeg.
