//! Recordings to VOD: pulls jobs, makes renditions.
