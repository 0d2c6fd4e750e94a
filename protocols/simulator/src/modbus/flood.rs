//! A Modbus TCP endpoint for measurements: any unit id, any float register, and a count of what was asked, taken on the
//! side of the device.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_modbus::server::Service;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_util::sync::CancellationToken;

use super::{REGISTERS_MAX, tcp};

/// What was asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodCount {
    /// Requests answered with values.
    pub requests: u64,
    /// Registers in those answers; two make a float.
    pub registers: u64,
    /// Requests refused with an exception.
    pub refused: u64,
    /// Connections accepted.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    registers: AtomicU64,
    refused: AtomicU64,
    connections: AtomicU64,
}

/// A running endpoint.
#[derive(Debug)]
pub struct Flood {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Flood {
    /// Serves `floats` floats, high word first, from register 0 on, to every unit id, over functions 3 and 4.
    ///
    /// Each answer differs from the one before, as those of a busy device do.
    ///
    /// # Errors
    /// When the address cannot be bound.
    #[expect(clippy::disallowed_methods, reason = "environment: the port of a simulated device")]
    pub async fn start(bind: SocketAddr, floats: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let stop = CancellationToken::new();
        let device =
            Device { registers: floats.saturating_mul(2), counters: Arc::clone(&counters) };
        let task = tokio::spawn(tcp::run(
            listener,
            move || {
                device.counters.connections.fetch_add(1, Ordering::Relaxed);
                device.clone()
            },
            stop.clone(),
        ));
        Ok(Self { address, counters, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    #[must_use]
    pub fn count(&self) -> FloodCount {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FloodCount {
            requests: load(&self.counters.requests),
            registers: load(&self.counters.registers),
            refused: load(&self.counters.refused),
            connections: load(&self.counters.connections),
        }
    }

    /// Stops serving and gives the last count.
    pub async fn stop(self) -> FloodCount {
        self.stop.cancel();
        let count = self.count();
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(%error, "the endpoint for measurements had ended");
        }
        count
    }
}

#[derive(Debug, Clone)]
struct Device {
    registers: u16,
    counters: Arc<Counters>,
}

impl Service for Device {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: SlaveRequest<'static>) -> Self::Future {
        let answer = match request.request {
            Request::ReadHoldingRegisters(first, count) => {
                self.words(first, count).map(Response::ReadHoldingRegisters)
            }
            Request::ReadInputRegisters(first, count) => {
                self.words(first, count).map(Response::ReadInputRegisters)
            }
            _ => Err(ExceptionCode::IllegalFunction),
        };
        if answer.is_err() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        ready(answer)
    }
}

impl Device {
    fn words(&self, first: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        if !(1..=REGISTERS_MAX).contains(&count) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        if u32::from(first) + u32::from(count) > u32::from(self.registers) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        let turn = self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.registers.fetch_add(u64::from(count), Ordering::Relaxed);
        let word = |register: u16| {
            // 16 bits of the turn are enough for a value that changes.
            let turn = u16::try_from(turn & 0xFFFF).unwrap_or(0);
            let float = (f32::from(register / 2) + f32::from(turn) / 64.0).to_bits().to_be_bytes();
            let half = usize::from(register % 2) * 2;
            u16::from_be_bytes([float[half], float[half + 1]])
        };
        Ok((first..first + count).map(word).collect())
    }
}
