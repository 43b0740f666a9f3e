//! Byte-level replays of encoders, the protocol's rules, and hostile peers.

mod hostile;
mod protocol;
mod replay;
mod wire;
