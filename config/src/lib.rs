//! Reads TOML and CSV files of ours into tables that remember where each value stood, and collects *all* problems of a file.
//!
//! serde stops at the first wrong value and forgets places inside flattened tables; a technician at a switchboard
//! wants the whole list at once. So a section is read key by key: [`Table::required`] and [`Table::optional`] note
//! a [`Problem`] and go on, [`Table::finish`] names the keys that nobody asked for. Must never know what a key means.
//!
//! What the files of gateway and centre both hold has its one reader here: sizes, durations, passwords, URLs of brokers.

mod broker_url;
pub mod csv_table;
mod file;
mod problem;
pub mod reference;
mod secret;
mod shown;
mod table;
mod value;

pub use broker_url::{BrokerUrl, BrokerUrlFault, without_credentials};
pub use file::{TEXT_BYTES_MAX, read_bytes, read_help, read_text};
pub use problem::{CellPlace, Problem, Problems, SourceFile};
pub use secret::{Secret, SecretError, read_secret};
pub use table::{Spanned, Table, meant, nearest, suggested};
pub use value::{ByteSize, FromToml, Item, written};
