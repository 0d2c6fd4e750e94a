//! Device profiles: what a make and model offers. This crate loads and checks what all protocols share, and carries the
//! profiles themselves; what an address means is read by the protocol. It must never know a site, a port or a unit id.

mod profile;

pub use profile::{DeviceProfile, PointSource, ProfilePoint};
