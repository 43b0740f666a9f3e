//! 360° bars, grid, timecode and tone, published over RTMP.

#![forbid(unsafe_code)]

pub mod blocks;
mod calendar;
mod console;
mod glyphs;
mod paint;
pub mod picture;
pub mod scene;
pub mod sphere;
