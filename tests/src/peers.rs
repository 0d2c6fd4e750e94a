//! The independent peers: each is somebody else's implementation, run as a child process on loopback with a port and
//! files of its own.

pub mod broker;
pub mod lake;
pub mod modbus;
pub mod opcua;
pub mod python;
pub mod serial;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Process;

/// How long a peer may take to be ready; asyncua with a year of history takes about 2 s on an idle machine.
pub const READY_WITHIN: Duration = Duration::from_mins(1);

/// A TCP port of loopback that was free a moment ago.
pub fn free_tcp_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    Ok(listener.local_addr().context("a listener has an address")?.port())
}

/// Waits until somebody accepts connections on the port.
fn wait_for_tcp_port(process: &mut Process, tcp_port: u16) -> Result<()> {
    process.wait_until(&format!("a listener on port {tcp_port}"), READY_WITHIN, |_| {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, tcp_port)).is_ok())
    })
}
