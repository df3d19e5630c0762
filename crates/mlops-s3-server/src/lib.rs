//! An embeddable S3 server that keeps objects as files on disk.
