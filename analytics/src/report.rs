//! Figures as tables for people: rows of the form, and these as text, CSV or a workbook. Must never compute a figure.

mod across;
mod csv;
mod digits;
mod footnotes;
mod layout;
mod periods;
mod remarks;
mod rows;
mod table1;
mod text;
mod unit_product;
mod words;
mod xlsx;

pub use csv::{CsvError, csv};
pub use digits::Digits;
pub use layout::width;
pub use periods::{comparison, text_of_periods};
pub use rows::{Coefficient, Form, OnBasis, Part, Remark, Report, Row};
pub use table1::{intensity, table1};
pub use text::{BOTH_BASES_WIDTH, TextOptions, text};
pub use unit_product::unit_products;
pub use words::period;
pub use xlsx::{Traced, WorkbookError, xlsx};
