//! Damage to every file of a table.
