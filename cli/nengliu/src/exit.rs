//! Exit codes. One meaning, one code.

/// Done, healthy.
pub(crate) const OK: u8 = 0;
/// Failed for a reason that has no code of its own.
pub(crate) const FAILED: u8 = 1;
/// A file or an argument is invalid.
pub(crate) const CONFIG: u8 = 3;
/// The broker cannot be reached or its port cannot be had.
pub(crate) const BROKER: u8 = 5;
/// Access denied, or in use by another program.
pub(crate) const ACCESS: u8 = 6;
/// The disk is full.
pub(crate) const DISK_FULL: u8 = 7;
/// The lake is damaged, or not one that this program reads.
pub(crate) const LAKE: u8 = 8;
/// Figures are there, but not all: a coefficient is missing.
pub(crate) const MISSING_COEFFICIENT: u8 = 9;
/// A task that the centre cannot do without has failed; a service manager starts the program again.
pub(crate) const TASK: u8 = 13;
