//! What the rest of the program knows of a store. [`Store`] is the side that ingest writes; [`Readings`] is the side that
//! figures, queries and screens read. Must never name an engine, a file or a table format.
//!
//! An engine keeps the [`LogBook`] in the same transaction as the rows, so that a reading is stored exactly once, and
//! passes the `conformance` suite (feature `conformance`).

pub mod book;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod damage;
pub mod draft;
pub mod error;
#[cfg(feature = "conformance")]
pub mod memory;
pub mod points;
pub mod readings;
pub mod store;

pub use book::{DictionaryUse, LogBook, Plan};
pub use damage::{DamagedPart, LostFrames, LostRows, StoreDamage};
pub use draft::{AdmittedFrame, CommitDraft, Committed, LogKey, Watermark, WatermarkMove};
pub use error::{DraftError, DraftFault, StoreError};
pub use points::{Described, FirstAndLast, PointTimes, StoredPoint, stored_points};
pub use readings::{
    BoxedRows, Cancel, Cost, DamagedRange, Points, Readings, Request, RowChoice, Rows, column,
};
pub use store::{Dictionaries, Store};
