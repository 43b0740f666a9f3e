//! `panocast-edge`.
fn main() {}
