//! The embedded store: a Delta Lake table in a directory, written by one process and read by any. Must never know
//! MQTT, a gateway's protocol or what a figure is.
//!
//! ```text
//! <dir>/_delta_log/                   the table's log: one entry per commit, a checkpoint every 100
//! <dir>/<level>-<commit>-<n>.parquet  rows; level 0 as committed, higher levels merged
//! <dir>/_nengliu/lock                 held by the writer, names its process
//! <dir>/_nengliu/dictionaries/        <hash>.json, what the point indexes of frames mean
//! ```
//!
//! Rows and watermarks become durable in one log entry: the watermarks are Delta *application transactions*
//! (`wm/{gateway}/{log_id}`, `gen/…`, `lost-frames/…`, `lost-samples/…`, and `commit`), and so is what rows mean:
//! `dict/{gateway}/{log_id}/{sequence}/{hash}` = commit, where a log begins to follow a dictionary; programs that do
//! not know it read the table without it. A commit returns only after its file, its log entry and both directories are
//! fsynced (INV-5), and doing it twice changes nothing (INV-4).

pub mod error;
pub mod lake;
pub mod maintain;
pub mod schema;
pub mod snapshot;

mod dictionaries;
mod disk;
mod file;
mod lock;
mod log;
mod merge;
mod open;
mod rows;
mod storage;
mod store;

#[cfg(test)]
mod tests;

pub use contract::{
    AdmittedFrame, CommitDraft, Committed, DictionaryUse, DraftError, DraftFault, LogKey,
    Watermark, WatermarkMove,
};
pub use error::LakeError;
pub use lake::{Lake, LakeOptions};
pub use maintain::Maintained;
pub use snapshot::Snapshot;
