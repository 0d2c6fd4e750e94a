//! A TCP connection that can be cut and mended: a relay on loopback between a program and a peer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use crate::peers::free_tcp_port;

/// Bytes that one direction of one connection holds at most.
const BUFFER_BYTES: usize = 64 * 1024;

/// The relay. While it is cut, connections break and new ones are closed at once.
#[derive(Debug)]
pub struct Wire {
    tcp_port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: bool,
    closed: bool,
    connections: Vec<TcpStream>,
}

impl Wire {
    /// Relays connections on a port of its own to `peer_tcp_port`.
    pub fn to(peer_tcp_port: u16) -> Result<Self> {
        let tcp_port = free_tcp_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, tcp_port))
            .with_context(|| format!("cannot listen on port {tcp_port}"))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let relayed = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if lock(&relayed).closed {
                    return;
                }
                // A peer that is not there looks like a cut: the client's connection closes.
                let peer = TcpStream::connect((Ipv4Addr::LOCALHOST, peer_tcp_port));
                peer.and_then(|peer| join(&relayed, &client, &peer)).ok();
            }
        });
        Ok(Self { tcp_port, shared })
    }

    /// The port to connect to instead of the peer's.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// Breaks every connection, and every new one until it is mended.
    pub fn cut(&self) {
        let mut shared = lock(&self.shared);
        shared.cut = true;
        for connection in shared.connections.drain(..) {
            // Fails when the other side has closed it already.
            connection.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        lock(&self.shared).cut = false;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
        lock(&self.shared).closed = true;
        // Wakes the listener, so that its thread sees that it is over.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.tcp_port)).ok();
    }
}

/// Starts both directions, unless the wire is cut: then both ends close as they are dropped.
fn join(shared: &Mutex<Shared>, client: &TcpStream, peer: &TcpStream) -> std::io::Result<()> {
    let mut shared = lock(shared);
    if shared.cut {
        return Ok(());
    }
    for (from, to) in [(client, peer), (peer, client)] {
        shared.connections.push(from.try_clone()?);
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || relay(from, to));
    }
    Ok(())
}

/// Passes bytes on until one side ends, then ends the other.
fn relay(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Fails when it has ended already.
    to.shutdown(Shutdown::Both).ok();
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
