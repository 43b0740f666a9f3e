//! One encoder, two origins, and a viewer who keeps what it plays.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod encoder;
pub mod keeper;
pub mod pair;
