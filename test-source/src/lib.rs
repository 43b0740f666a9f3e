//! 360° bars, grid, timecode and tone, published over RTMP.
