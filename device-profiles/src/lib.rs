//! Device profiles: what a make and model offers. This crate loads and checks what all protocols share, and carries the
//! profiles themselves; what an address means is read by the protocol. It must never know a site, a port or a unit id.
//!
//! A profile is one TOML file, `<maker>/<model>.toml`:
//!
//! ```toml
//! maker = "Eastron"                 # as printed on the device
//! model = "SDM630-Modbus"
//! protocol = "modbus"               # whose keys the addresses are
//!
//! [[source]]                        # the documents that the facts come from
//! id = "manual"
//! title = "SDM630-Modbus V2 protocol, table 1"
//!
//! [modbus]                          # defaults and quirks; read by the protocol (see the crate `modbus`)
//! address_base = 0
//!
//! [[point]]
//! metric = "e_import"               # one level of a topic: a-z 0-9 _ -
//! unit = "kWh"                      # a unit of `model::Unit`
//! kind = "counter"                  # counter | gauge | state
//! scale = 1                         # one raw step in the unit; 1 unless stated
//! offset = 0                        # added after scaling; 0 unless stated
//! resolution = 0.01                 # the smallest real step: values are rounded to it and held exactly
//! modulus = "unknown"               # counters: the reading after which it starts again from 0
//! min = 0                           # the smallest and the largest plausible value, in the unit; what is outside is
//! max = 1000000                     # delivered as Uncertain and is no energy. [`PlausibleRange::of`] says what holds unless stated
//! source = "manual"                 # who says so …
//! unverified = true                 # … and that no document opened by us confirmed it
//! poll = "1min"                       # how often it is read, where that differs from the device's `poll`
//! history = true                    # the device remembers this point, and it is read back (not Modbus)
//! register = 72                     # the remaining keys are the address
//! ```
//!
//! Problem codes: GW-C039 poll interval, GW-C040 no such profile, GW-C041 no points, GW-C042 metric, GW-C043 unit,
//! GW-C044 kind, GW-C045 modulus, GW-C046 scale or resolution, GW-C047 source, GW-C048 protocol section, GW-C049 file, GW-C050 states,
//! GW-C053 plausible range.

mod embedded;
mod library;
mod load;
mod profile;
mod range;

pub use library::Library;
pub use load::{POLL_INTERVALS, load};
pub use profile::{DeviceProfile, PointSource, ProfilePoint};
pub use range::PlausibleRange;
