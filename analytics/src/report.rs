//! Figures as a grid of cells, and the grid as text, CSV or an Excel workbook. Must never compute a figure.

mod grid;
mod render;
mod table1;
mod unit_product;

pub use grid::{Cell, Grid};
pub use render::{RenderError, csv, text, xlsx};
pub use table1::{intensity, table1};
pub use unit_product::unit_products;
