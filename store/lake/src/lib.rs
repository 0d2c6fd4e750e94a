//! The embedded store: a Delta Lake table in a directory, written by one process and read by any. Knows nothing of MQTT, a
//! gateway's protocol or what a figure is.
//!
//! ```text
//! <dir>/_delta_log/                         the table's log: one entry per commit, and checkpoints
//! <dir>/_data/<level>-<commit>-<n>.parquet  rows; level 0 as committed, higher levels merged
//! <dir>/<level>-<commit>-<n>.parquet        links to the live files among them, for readers of `*.parquet`
//! <dir>/_nengliu/lock                       held by the writer, names its process
//! <dir>/_nengliu/head                       version and seal of the newest entry
//! <dir>/_nengliu/damaged.json               data files in quarantine; not there when there are none
//! <dir>/_nengliu/dictionaries/              <hash>.json, what the point indexes of frames mean
//! <dir>/_nengliu/points.parquet             the points with their descriptions, first and last readings; made again if missing
//! <dir>/_nengliu/set-aside/                 what stood where a link to a live file belongs, and was none
//! ```
//!
//! Rows and watermarks become durable in one log entry: the watermarks are Delta *application transactions*
//! (`wm/{gateway}/{log_id}`, `gen/…`, `lost-frames/…`, `lost-samples/…`, and `commit`), and so is what rows mean:
//! `dict/{gateway}/{log_id}/{sequence}/{hash}` = commit, where a log begins to follow a dictionary; programs that do
//! not know it read the table without it. A commit returns only after its file, its log entry and both directories are
//! fsynced (INV-5), and doing it twice changes nothing (INV-4).
//!
//! Every byte proves itself: an entry by its seal and the seal of the one before it (`entry`), a checkpoint by its own,
//! the end of the log by the head, a data file by checksums that begin in the log (`lake_files`), a
//! dictionary by its hash. What does not is named and left alone; nothing is deleted unless the log proves that it was
//! never committed.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

pub mod lake;
pub mod maintain;
pub mod snapshot;

mod append;
mod chain;
mod check;
mod checkpoint;
mod entry;
mod head;
mod history;
mod log;
mod open;
mod ordered;
pub mod points;
mod readings;
mod store;

#[cfg(test)]
mod tests;

use lake_files::{
    dictionaries, disk, facts, file, lock, merge, quarantine, regular, rows, suspects, verified,
    view,
};

pub use contract::{
    AdmittedFrame, CommitDraft, Committed, DictionaryUse, DraftError, DraftFault, LogKey,
    LostFrames, LostRows, Watermark, WatermarkMove,
};
pub use dictionaries::KeptDictionaries;
pub use lake::{Keep, Lake, LakeOptions};
pub use lake_files::disk::free_bytes;
pub use lake_files::{
    Damage, LakeError, RowGroup, Selection, Unnamed, damage, error, schema, selection,
};
pub use maintain::Maintained;
pub use points::PointsTable;
pub use snapshot::{FileRows, LiveFile, OpenFile, Scan, Snapshot};
pub use suspects::Suspects;
