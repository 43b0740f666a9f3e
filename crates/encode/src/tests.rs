//! Tests the parts together, on small pictures that need no file.

pub(crate) mod blocks;
mod files;
