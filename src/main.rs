//! \`panocast\`: everything on one machine.
fn main() {}
