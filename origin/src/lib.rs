//! RTMP ingest, ladder, packager, recorder, HTTP.
