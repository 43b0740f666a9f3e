//! `panocast-origin`.
fn main() {}
