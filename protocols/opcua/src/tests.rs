//! A whole port against servers of others: asyncua, and what only says that it is a server. Each is a process or a task
//! on loopback.

mod dead_items;
mod hostile;
mod peer;
mod readings;
mod reads;
mod refusals;
mod revised;
mod support;
