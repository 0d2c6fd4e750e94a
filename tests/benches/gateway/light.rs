//! A Modbus TCP device that answers 1 600 requests a second at next to no cost, which pymodbus cannot: every holding
//! register is half of a float that rises slowly. It counts the requests itself. Must never be used to test a driver.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

/// The bits of 230.0 as an f32: a register pair that counts up from here is a float that rises slowly.
const BITS_OF_230: u32 = 0x4366_0000;

pub(crate) struct LightServer {
    tcp_port: u16,
    requests: Arc<AtomicU64>,
}

impl LightServer {
    /// Serves until the process ends, one thread for each connection.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let tcp_port = listener.local_addr().context("a listener has an address")?.port();
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        let started = Instant::now();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                // A connection that breaks is the gateway's to open again.
                thread::spawn(move || drop(serve(stream, started, &counted)));
            }
        });
        Ok(Self { tcp_port, requests })
    }

    pub(crate) fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// # Source
/// MODBUS Messaging on TCP/IP V1.0b §3.1.3 (header), MODBUS Application Protocol V1.1b3 §6.3 (read holding registers).
fn serve(mut stream: TcpStream, started: Instant, requests: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0_u8; 12];
    loop {
        stream.read_exact(&mut request)?;
        let [t0, t1, .., unit, _, s0, s1, c0, c1] = request;
        let (start, count) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([c0, c1]).min(125));
        let bytes = u8::try_from(2 * count).unwrap_or(u8::MAX);
        let mut reply = Vec::with_capacity(9 + usize::from(bytes));
        reply.extend_from_slice(&[t0, t1, 0, 0, 0, bytes.saturating_add(3), unit, 3, bytes]);
        let seconds = u32::try_from(started.elapsed().as_secs()).unwrap_or(u32::MAX);
        for register in (start..).take(usize::from(count)) {
            let pace = 100 + 37 * u32::from(register / 2 % 50);
            let [high, low] = words(BITS_OF_230.wrapping_add(seconds.wrapping_mul(pace)));
            reply.extend_from_slice(&(if register % 2 == 0 { high } else { low }).to_be_bytes());
        }
        stream.write_all(&reply)?;
        requests.fetch_add(1, Ordering::Relaxed);
    }
}

fn words(bits: u32) -> [u16; 2] {
    let [a, b, c, d] = bits.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}
