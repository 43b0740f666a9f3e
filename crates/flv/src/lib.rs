//! FLV tags to and from access units.
