//! Object store: a folder or S3.
