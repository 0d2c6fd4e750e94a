//! What a data file of the lake is: its columns, its name, the checksums that prove its bytes, how rows become a file,
//! how files are merged, and how each is read only after its bytes were verified; where everything of a table lies, who
//! may write it, and which of its files are known to be damaged. Must never know what stands in the table's log.

pub mod damage;
pub mod dictionaries;
pub mod disk;
pub mod error;
pub mod facts;
pub mod file;
pub mod lock;
pub mod merge;
pub mod points;
pub mod quarantine;
pub mod regular;
pub mod rows;
pub mod schema;
pub mod selection;
pub mod suspects;
pub mod verified;
pub mod view;

pub use damage::Damage;
pub use error::{LakeError, Unnamed};
pub use selection::Selection;
pub use verified::RowGroup;
