//! Job queue: SQLite or SQS.
