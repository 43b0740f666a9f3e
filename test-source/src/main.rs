//! `panocast-test-source`.
fn main() {}
