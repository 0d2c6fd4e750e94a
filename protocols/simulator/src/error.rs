//! Why a simulated plant cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// What went wrong.
#[derive(Debug, Error)]
pub enum SimulatorError {
    /// A TCP port is taken, or the address is not ours.
    #[error(
        "the {what} server of the simulated plant cannot listen on `{address}`: use tcp port 0 for any free one"
    )]
    Bind {
        /// Which server.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No pseudo-terminal is to be had.
    #[error(
        "no pseudo-terminal for the serial line of the simulated plant: is `/dev/pts` mounted?"
    )]
    SerialLine {
        /// Why.
        source: io::Error,
    },
    /// The OPC UA server refused its configuration.
    #[error("the OPC UA server of the simulated plant cannot start: {reason}")]
    OpcUa {
        /// Why.
        reason: String,
    },
    /// A file of the demo cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
