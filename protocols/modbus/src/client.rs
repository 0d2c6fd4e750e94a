//! One request at a time over one link, so that no late reply ever becomes a value. Must never know a point.
//!
//! Modbus RTU has no transaction id, and a converter between TCP and RTU may put the newest id on an old reply, so a
//! reply that comes after its time-out looks like the reply to the next request. Therefore:
//!
//! 1. Each call has a time limit, and after *any* error nothing that the old call left behind is used: a TCP connection
//!    is dropped, a serial line is drained until it has been silent for the whole time limit.
//! 2. A serial line on which bytes wait before a request is drained first: they are late.
//! 3. A unit that left a request unanswered is *out of step*. Before it is believed again it must answer a probe: a
//!    request for another number of values than any that it still owes. Devices answer in order, so whoever answers the
//!    probe with values owes nothing older. A refusal has no such number: it may be a late one, and then the reply to the
//!    probe is still to come. So the next probe must differ from the refused one, too; when none does, what is still to
//!    come is waited out.
//! 4. Unit, function and number of values of each reply are checked, the first two by the library.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use driver::{Backoff, SerialLine, SerialSettings, jitter};
use model::host::Clock;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{ProtocolError, Response, Slave};

use crate::address::Area;
use crate::error::{LinkError, Refusal, RequestError};
use crate::request::Request;
use crate::settings::{Link, PortSettings};

/// Shortest time that a TCP connection may take to open.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Wait before the first and before any later try to open a link again.
const REOPEN_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A line that is still not silent after so many time limits is closed and opened again.
const DRAIN_LIMITS: u32 = 10;
/// Unanswered requests that are remembered for each unit; the oldest is forgotten first.
const UNANSWERED_MAX: usize = 16;

/// The link of a port, with what is owed on it.
pub(crate) struct Client {
    port: String,
    settings: PortSettings,
    clock: Arc<dyn Clock>,
    line: Option<Line>,
    backoff: Backoff,
    next_open: Duration,
    last_frame: Duration,
    unanswered: HashMap<u8, VecDeque<Request>>,
}

/// An open link.
struct Line {
    context: Context,
    serial: Option<SerialLine>,
}

impl Client {
    /// A client of a link that is not yet open.
    pub(crate) fn new(port: String, settings: PortSettings, clock: Arc<dyn Clock>) -> Self {
        let backoff = Backoff::new(REOPEN_WAITS.0, REOPEN_WAITS.1);
        let (next_open, last_frame) = (Duration::ZERO, Duration::ZERO);
        let unanswered = HashMap::new();
        Self { port, settings, clock, line: None, backoff, next_open, last_frame, unanswered }
    }

    /// The name of the port.
    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    /// Tries of a request to a device that answered last time.
    pub(crate) fn tries(&self) -> u32 {
        u32::from(self.settings.retries) + 1
    }

    /// Whether the link is a serial line.
    pub(crate) fn is_serial(&self) -> bool {
        matches!(self.settings.link, Link::Serial(_))
    }

    /// Reads registers or bits (as 0 and 1) of a unit, after making sure that it is in step.
    pub(crate) async fn read(
        &mut self,
        unit: u8,
        request: Request,
        probes: &[Request],
        gap: Duration,
    ) -> Result<Vec<u16>, RequestError> {
        // Ends: each refused probe leaves one less that differs from all that is owed.
        while let Some(owed) = self.unanswered.get(&unit) {
            let Some(probe) = next_probe(probes, owed) else { break };
            let differs = !owed.iter().any(|owed| owed.may_be_mistaken_for(probe));
            match self.ask(unit, probe, gap).await {
                // What it answers does not matter, only that it answers this.
                Ok(_) => {}
                Err(RequestError::Refused(refusal)) if refusal.is_from_converter() => {
                    return Err(refusal.into());
                }
                Err(RequestError::Refused(_)) if differs => {
                    self.note_unanswered(unit, probe);
                    continue;
                }
                Err(RequestError::Refused(_)) => self.wait_out().await,
                Err(error) => return Err(error),
            }
            self.unanswered.remove(&unit);
        }
        self.ask(unit, request, gap).await
    }

    /// Lets pass what may still come: a serial line is drained; what comes for a TCP connection finds it closed.
    async fn wait_out(&mut self) {
        if self.is_serial() {
            self.drain().await;
        } else {
            self.line = None;
            tokio::time::sleep(self.settings.timeout).await;
        }
    }

    /// One request and its reply.
    async fn ask(
        &mut self,
        unit: u8,
        request: Request,
        gap: Duration,
    ) -> Result<Vec<u16>, RequestError> {
        self.open().await?;
        self.keep_gap(gap).await;
        let limit = self.time_limit(request);
        let Some(line) = &mut self.line else { return Err(closed().into()) };
        if line.serial.as_ref().is_some_and(|serial| !serial.take_stray().is_empty()) {
            self.drain().await;
        }
        let Some(line) = &mut self.line else { return Err(closed().into()) };
        line.context.set_slave(Slave(unit));
        let outcome = match timeout(limit, line.context.call(library_request(request))).await {
            Err(_elapsed) => Err(LinkError::Timeout { timeout: limit }),
            Ok(Err(error)) => Err(link_error(error, line.serial.is_some())),
            Ok(Ok(Err(exception))) => Ok(Err(Refusal(exception))),
            Ok(Ok(Ok(response))) => values(response, request).map(Ok),
        };
        self.last_frame = self.clock.monotonic();
        match outcome {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(refusal)) => {
                if refusal.is_from_converter() {
                    // The device behind it may still answer, and the converter may then pass that on as the reply to
                    // the next request.
                    self.note_unanswered(unit, request);
                }
                Err(refusal.into())
            }
            Err(error) => {
                self.note_unanswered(unit, request);
                let broken = matches!(error, LinkError::Broken(_));
                match &self.line {
                    Some(Line { serial: Some(_), .. }) if !broken => self.drain().await,
                    _ => self.line = None,
                }
                Err(error.into())
            }
        }
    }

    fn note_unanswered(&mut self, unit: u8, request: Request) {
        let unanswered = self.unanswered.entry(unit).or_default();
        unanswered.push_back(request);
        if unanswered.len() > UNANSWERED_MAX {
            unanswered.pop_front();
        }
    }

    /// How long the reply to `request` may take, with its way over the wire.
    fn time_limit(&self, request: Request) -> Duration {
        // A request has 8 bytes; a reply has 5 and its values.
        self.settings.timeout + self.settings.link.wire_time(13 + u32::from(request.reply_bytes()))
    }

    /// The silence before a request.
    ///
    /// # Source
    /// MODBUS over Serial Line V1.02, §2.5.1.1: frames are separated by at least 3.5 characters; above 19 200 Bd by a
    /// fixed 1.750 ms.
    async fn keep_gap(&mut self, gap: Duration) {
        let frame_gap = match &self.settings.link {
            Link::Tcp { .. } => Duration::ZERO,
            Link::Serial(serial) if serial.baud > 19_200 => Duration::from_micros(1_750),
            link @ Link::Serial(_) => link.wire_time(7) / 2,
        };
        let gap = gap.max(self.settings.gap).max(frame_gap);
        let silent = self.clock.monotonic().saturating_sub(self.last_frame);
        if let Some(rest) = gap.checked_sub(silent).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest).await;
        }
    }

    /// Waits until a serial line is silent, and forgets what the library has half read; closes a line that is never
    /// silent.
    async fn drain(&mut self) {
        let silence = self.settings.timeout;
        let Some(Line { serial: Some(serial), .. }) = &mut self.line else { return };
        if serial.drain(silence, silence * DRAIN_LIMITS).await.is_ok() {
            let context = rtu::attach(serial.clone());
            self.line = Some(Line { context, serial: Some(serial.clone()) });
        } else {
            self.line = None;
        }
    }

    /// Opens the link if it is not open and if it is time to try.
    async fn open(&mut self) -> Result<(), LinkError> {
        if self.line.is_some() {
            return Ok(());
        }
        let link = self.settings.link.clone();
        let now = self.clock.monotonic();
        if let Some(wait) = self.next_open.checked_sub(now).filter(|wait| !wait.is_zero()) {
            return Err(LinkError::Waiting { link, wait });
        }
        let opened = match &link {
            Link::Tcp { host, tcp_port } => self.open_tcp(host, *tcp_port).await,
            Link::Serial(serial) => self.open_serial(serial).await,
        };
        match opened {
            Ok(opened) => {
                self.backoff.reset();
                self.line = Some(opened);
                Ok(())
            }
            Err(source) => {
                let wait = self.backoff.after_failure(jitter(self.clock.as_ref()));
                self.next_open = self.clock.monotonic() + wait;
                Err(LinkError::Open { link, source })
            }
        }
    }

    async fn open_tcp(&mut self, host: &str, tcp_port: u16) -> io::Result<Line> {
        let limit = self.settings.timeout.max(CONNECT_TIMEOUT_MIN);
        let stream = timeout(limit, TcpStream::connect((host, tcp_port)))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        // A request is one small segment; waiting to fill it would only delay it.
        stream.set_nodelay(true)?;
        Ok(Line { context: tcp::attach(stream), serial: None })
    }

    async fn open_serial(&mut self, settings: &SerialSettings) -> io::Result<Line> {
        let mut serial = SerialLine::open(settings)?;
        // Replies to whoever used the line before must not be taken for ours.
        let silence = self.settings.timeout;
        serial.drain(silence, silence * DRAIN_LIMITS).await?;
        Ok(Line { context: rtu::attach(serial.clone()), serial: Some(serial) })
    }
}

/// The probe whose reply cannot be one of those that are owed; when all could, the one asked for longest ago.
fn next_probe(probes: &[Request], unanswered: &VecDeque<Request>) -> Option<Request> {
    let owed_last = |probe: &&Request| {
        unanswered.iter().rposition(|request| request.may_be_mistaken_for(**probe))
    };
    // `None` sorts before any position, and the first of equals is taken.
    probes.iter().min_by_key(owed_last).copied()
}

/// What a TCP connection really breaks with.
fn is_of_network(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, NotConnected, TimedOut,
    };
    matches!(
        kind,
        BrokenPipe
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}

fn closed() -> LinkError {
    LinkError::Broken(io::ErrorKind::NotConnected.into())
}

fn library_request(request: Request) -> tokio_modbus::Request<'static> {
    let Request { start, count, .. } = request;
    match request.area {
        Area::Coil => tokio_modbus::Request::ReadCoils(start, count),
        Area::Discrete => tokio_modbus::Request::ReadDiscreteInputs(start, count),
        Area::Holding => tokio_modbus::Request::ReadHoldingRegisters(start, count),
        Area::Input => tokio_modbus::Request::ReadInputRegisters(start, count),
    }
}

fn link_error(error: tokio_modbus::Error, serial: bool) -> LinkError {
    match error {
        tokio_modbus::Error::Transport(source) => match source.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
                if serial || source.raw_os_error().is_none() =>
            {
                LinkError::Garbled(source)
            }
            _ if serial || is_of_network(source.kind()) => LinkError::Broken(source),
            // At the end of a TCP stream the library reports the last error of the thread, whatever that was about.
            _ => LinkError::Broken(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the other side closed it",
            )),
        },
        tokio_modbus::Error::Protocol(ProtocolError::HeaderMismatch { .. }) => {
            LinkError::Foreign { found: "its transaction or unit id is another".to_owned() }
        }
        tokio_modbus::Error::Protocol(ProtocolError::FunctionCodeMismatch { request, .. }) => {
            LinkError::Foreign { found: format!("not of function {}", request.value()) }
        }
    }
}

/// The values of a response, exactly as many as were asked for.
fn values(response: Response, request: Request) -> Result<Vec<u16>, LinkError> {
    let wrong = |found: usize| LinkError::Count { expected: request.count, found };
    match (request.area, response) {
        (Area::Holding, Response::ReadHoldingRegisters(words))
        | (Area::Input, Response::ReadInputRegisters(words)) => {
            if words.len() == usize::from(request.count) {
                Ok(words)
            } else {
                Err(wrong(words.len()))
            }
        }
        (Area::Coil, Response::ReadCoils(bits))
        | (Area::Discrete, Response::ReadDiscreteInputs(bits)) => {
            // Bits come in whole bytes; the last one is filled up.
            if bits.len() != usize::from(request.reply_bytes()) * 8 {
                return Err(wrong(bits.len()));
            }
            let wanted = bits.into_iter().take(usize::from(request.count));
            Ok(wanted.map(u16::from).collect())
        }
        _ => Err(LinkError::Foreign { found: "values of another area".to_owned() }),
    }
}
