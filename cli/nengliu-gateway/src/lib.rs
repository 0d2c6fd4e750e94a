//! The composition root of the edge: which protocols a gateway speaks, the real clock and chance, and how problems are
//! shown. `nengliu demo` runs the same gateway in its own process. Must never know a store or polars.

/// What a long-running program tells unless `RUST_LOG` says otherwise. The OPC UA library reports every refused
/// handshake several times over; our own faults say the same once, with what to do.
pub const DEFAULT_LOG: &str = "info,opcua_client=off,opcua_crypto=off,opcua_core=off,opcua_types=off,opcua_server=off,mqtt5=warn,\
     buoyant_kernel=error,deltalake_core=error";
/// What a command that only answers tells.
pub const QUIET_LOG: &str = "warn,opcua_client=off,opcua_crypto=off,opcua_core=off,opcua_types=off,opcua_server=off,mqtt5=error,\
     buoyant_kernel=error,deltalake_core=error";

pub mod commands;
mod host;
mod load;
mod render;

pub use host::{SystemClock, SystemEntropy, host};
pub use load::{LoadError, load, protocols};
pub use render::{problems_as_json, render_problem, render_problems};
