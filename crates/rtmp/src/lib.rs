//! Bytes to and from RTMP sessions, sans-IO.
