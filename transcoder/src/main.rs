//! `panocast-transcoder`.
fn main() {}
