//! One request at a time over one link, so that no late reply ever becomes a value. Must never know a point.
//!
//! Modbus RTU has no transaction id, and a converter between TCP and RTU may put the newest id on an old reply, so a
//! reply that comes after its time-out looks like the reply to the next request. Therefore:
//!
//! 1. Each request has a time limit, and after *any* error nothing that it left behind is used: a connection of Modbus
//!    TCP is dropped, a link with RTU frames is drained until it has been silent for the whole time limit, or for twice
//!    that long where it is never silent. One that has not answered anything since it was opened is kept for a while:
//!    some devices are deaf at first.
//! 2. A link on which bytes wait before a request is emptied or dropped first: they are noise, or late.
//! 3. A unit that left a request unanswered is *out of step*. Before it is believed again it must answer a probe: a
//!    request for another number of values than any that it still owes. Devices answer in order, so whoever answers the
//!    probe with values owes nothing older. A refusal has no such number: it may be a late one, and then the reply to the
//!    probe is still to come. So the next probe must differ from the refused one, too; when none does, what is still to
//!    come is waited out. A request that was never sent, since the connection was found closed, is not owed.
//!    With RTU frames this is not enough where replies overtake one another, as on a radio link or behind a server with
//!    queues: for [`LATE_LIMITS`] time limits after a request was sent without a reply, its unit is asked nothing to which
//!    that reply would fit, unless the reply came meanwhile. What comes later than that and out of order is not told
//!    apart.
//!    A second master on the line (or a second client of a serial server that passes all on to all) is no better: its
//!    replies look like ours. Whole replies that nobody asked for are its: for as long, nothing is asked to which they
//!    would fit, and for hours nothing where the same points can be asked for in two pieces. One that comes between a
//!    request and its reply is taken for that; then more comes than was asked for, the last reply at the end. So each
//!    round is listened to for a while before its samples are handed over, and a reply too many makes all of its shape in
//!    the round Bad ([`Answers`]). An exception may be another master's, too: before a request of the same shape, or
//!    always where another master was heard, the reply is awaited that would come then.
//!    What this guarantees: a value that is another master's is handed over only if our own reply does not come at all (as
//!    when both masters send at once, and the device hears only one of them), or comes later behind it than the round is
//!    listened to, which is as long as the slowest of the last replies took ([`Client::end_round`]).
//! 4. Unit, function and number of values of each reply are checked, and its CRC or its transaction.
//! 5. How a device treats its connections is learned, since it must be obeyed before the next request: that it closes
//!    them after so many replies, and that it is deaf for so long after they were opened. What it ignores before and
//!    after its first reply is what it does not like, and no deafness.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use driver::{Backoff, SerialLine, SerialSettings, jitter};
use model::host::Clock;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answers::Answers;
use crate::doubts::Doubts;
use crate::error::{LinkError, RequestError};
use crate::exchange::{Beside, Exchange, Failure, closed};
use crate::habits::Habits;
use crate::link::{OpenLink, Stray};
use crate::noise::Noise;
use crate::request::{Point, Request};
use crate::settings::{Link, PortSettings};
use crate::wire::{Asked, Framing};

mod overheard;

/// Shortest time that a TCP connection may take to open.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Wait before the first and before any later try to open a link again.
const REOPEN_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A line that is still not silent after so many time limits is noisy: it is used all the same.
const DRAIN_LIMITS: u32 = 2;
/// Silence after which noise on a line is over, beside the time of four characters.
const QUIET: Duration = Duration::from_millis(20);
/// Time limits after which a reply with RTU frames is no longer expected.
const LATE_LIMITS: u32 = 4;
/// Unanswered requests that are remembered for each unit, the oldest forgotten first, and of a connection before its first
/// reply.
const UNANSWERED_MAX: usize = 16;
/// How long a connection that has answered nothing yet is kept.
const DEAF_MAX: Duration = Duration::from_secs(10);
/// Requests in a row without an answer after which a TCP connection with RTU frames is opened again.
const SILENT_REQUESTS_MAX: u32 = 3;

/// A device as it is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit<'a> {
    /// Its id.
    pub(crate) id: u8,
    /// The id that its replies carry.
    pub(crate) reply_id: u8,
    /// Requests by which it can show that it is in step.
    pub(crate) probes: &'a [Request],
    /// Requests that it may leave unanswered whatever was before: a probe does not ask for what they ask for.
    pub(crate) avoid: &'a [Request],
    /// Silence that it needs before each request.
    pub(crate) gap: Duration,
}

/// How points are asked for.
pub(crate) enum Way {
    /// By one request.
    Whole,
    /// By two requests, cut as near to the middle as can be.
    Pieces(Request, Request),
    /// Not before so long.
    Later(Duration),
}

/// The link of a port, with what is owed on it.
pub(crate) struct Client {
    port: String,
    settings: PortSettings,
    clock: Arc<dyn Clock>,
    link: Option<OpenLink>,
    backoff: Backoff,
    next_open: Duration,
    last_frame: Duration,
    transaction: u16,
    unanswered: HashMap<u8, VecDeque<Request>>,
    doubts: Doubts,
    /// The replies of this round.
    answers: Answers,
    /// How long replies with RTU frames take: the slowest one of the last rounds.
    slowest: Duration,
    /// The last request, where it was refused, and when.
    refused: Option<(u8, Request, Duration)>,
    /// A unit has just answered a probe.
    in_step: bool,
    /// The request on which the other side closed the connection last.
    closed_on: Option<Request>,
    habits: Habits,
    /// Whether the line brings back what is sent on it.
    echo: Option<bool>,
    noise: Noise,
}

impl Client {
    /// A client of a link that is not yet open.
    pub(crate) fn new(port: String, settings: PortSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            habits: Habits::new(port.clone(), settings.connect_pause),
            noise: Noise::new(port.clone()),
            port,
            link: None,
            backoff: Backoff::new(REOPEN_WAITS.0, REOPEN_WAITS.1),
            next_open: Duration::ZERO,
            last_frame: Duration::ZERO,
            // Whoever floods us with replies does not know which one is asked for next.
            transaction: u16::try_from(jitter(clock.as_ref()) & 0xFFFF).unwrap_or_default(),
            unanswered: HashMap::new(),
            doubts: Doubts::new(Arc::clone(&clock)),
            answers: Answers::default(),
            slowest: Duration::ZERO,
            refused: None,
            in_step: false,
            closed_on: None,
            echo: None,
            settings,
            clock,
        }
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

    /// How its frames are cut.
    pub(crate) fn framing(&self) -> Framing {
        self.settings.framing
    }

    /// Whether a unit has answered a probe since this was asked last.
    pub(crate) fn take_in_step(&mut self) -> bool {
        std::mem::take(&mut self.in_step)
    }

    /// How long a device may think.
    pub(crate) fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Whether a unit must show that it is in step before it is asked anything.
    pub(crate) fn must_probe(&self, unit: u8) -> bool {
        self.unanswered.contains_key(&unit)
    }

    /// Asks a unit to show that it is in step; whether it did stands in [`Self::take_in_step`].
    pub(crate) async fn probe(&mut self, unit: Unit<'_>) {
        // Why it did not is told by the request that it left unanswered.
        drop(self.bring_in_step(unit).await);
    }

    /// How the points of `run`, which `request` covers, are asked for without taking a foreign reply for theirs.
    pub(crate) fn way(&self, unit: u8, request: Request, run: &[Point]) -> Way {
        if !self.doubts.avoids(unit, request) {
            return Way::Whole;
        }
        let middle = run.len() / 2;
        let mut cuts: Vec<usize> = (1..run.len()).collect();
        cuts.sort_by_key(|cut| cut.abs_diff(middle));
        let mut soonest: Option<Duration> = None;
        for cut in cuts {
            let Some((first, second)) = run.split_at_checked(cut) else { continue };
            let pieces = Request::covering(first).zip(Request::covering(second));
            let Some((first, second)) = pieces else { continue };
            if self.doubts.is_foreign(unit, first) || self.doubts.is_foreign(unit, second) {
                continue;
            }
            match self.doubts.wait(unit, first).max(self.doubts.wait(unit, second)) {
                None => return Way::Pieces(first, second),
                Some(wait) => soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait))),
            }
        }
        // Pieces that only wait for a late reply are better than the whole, to which another master's would fit.
        match soonest {
            Some(wait) if self.doubts.is_foreign(unit, request) => Way::Later(wait),
            _ => Way::Whole,
        }
    }

    /// Reads registers or bits (as 0 and 1) of a unit, after making sure that it is in step.
    pub(crate) async fn read(
        &mut self,
        unit: Unit<'_>,
        request: Request,
    ) -> Result<Vec<u16>, RequestError> {
        self.bring_in_step(unit).await?;
        self.check_doubts(unit.id, request)?;
        let reused = self.link.as_ref().is_some_and(|link| link.replies > 0);
        match self.ask(unit, request, false).await {
            // It was closed while the request was on its way, after it had served others.
            Err(RequestError::Link(LinkError::Broken(_))) if reused => {
                self.bring_in_step(unit).await?;
                self.check_doubts(unit.id, request)?;
                self.ask(unit, request, false).await
            }
            answer => answer,
        }
    }

    /// # Errors
    /// `Doubtful` when a late reply could be taken for the one to this request.
    fn check_doubts(&self, unit: u8, request: Request) -> Result<(), LinkError> {
        self.doubts.wait(unit, request).map_or(Ok(()), |wait| Err(LinkError::Doubtful { wait }))
    }

    async fn bring_in_step(&mut self, unit: Unit<'_>) -> Result<(), RequestError> {
        // Ends: each refused probe leaves one less that differs from all that is owed.
        while let Some(owed) = self.unanswered.get(&unit.id) {
            let waits = |probe: &Request| self.doubts.wait(unit.id, *probe).is_some();
            let mut clear: Vec<Request> =
                unit.probes.iter().copied().filter(|probe| !waits(probe)).collect();
            // Those last to which another master's reply would fit.
            clear.sort_by_key(|probe| self.doubts.is_foreign(unit.id, *probe));
            let Some(probe) = next_probe(&clear, owed, unit.avoid) else {
                match unit.probes.first() {
                    Some(probe) => self.check_doubts(unit.id, *probe)?,
                    None => break,
                }
                continue;
            };
            let differs = !owed.iter().any(|owed| owed.may_be_mistaken_for(probe));
            match self.ask(unit, probe, true).await {
                // What it answers does not matter, only that it answers this.
                Ok(_) => self.in_step = true,
                Err(RequestError::Refused(refusal)) if refusal.is_from_converter() => {
                    return Err(refusal.into());
                }
                Err(RequestError::Refused(_)) if differs => {
                    self.note_unanswered(unit.id, probe);
                    continue;
                }
                Err(RequestError::Refused(_)) => self.wait_out().await,
                Err(error) => return Err(error),
            }
            self.unanswered.remove(&unit.id);
        }
        Ok(())
    }

    /// Lets pass what may still come: RTU frames are drained; what comes for a connection of Modbus TCP finds it closed.
    async fn wait_out(&mut self) {
        if self.framing() == Framing::Rtu {
            self.drain().await;
        } else {
            self.link = None;
            tokio::time::sleep(self.settings.timeout).await;
        }
    }

    /// One request and its reply.
    async fn ask(
        &mut self,
        unit: Unit<'_>,
        request: Request,
        is_probe: bool,
    ) -> Result<Vec<u16>, RequestError> {
        self.await_refused(unit.id, request).await;
        self.make_ready(unit.gap).await?;
        self.transaction = self.transaction.wrapping_add(1);
        let asked = Asked {
            framing: self.framing(),
            transaction: self.transaction,
            unit: unit.id,
            reply_unit: unit.reply_id,
            request,
        };
        let limit = self.time_limit(request);
        let is_shared = self.framing() == Framing::Rtu && self.doubts.is_shared(None);
        let grace = is_shared.then(|| self.settling_time(2));
        let sent = self.clock.monotonic();
        let Some(link) = &mut self.link else { return Err(closed().into()) };
        let first_of_link = link.replies == 0;
        let (since_opened, tried_before) =
            (self.clock.monotonic().saturating_sub(link.opened), link.unanswered > 0);
        let last = link.last_heard.clone();
        link.last_sent = asked.frame();
        let mut beside = Beside::default();
        let exchange = Exchange { link, asked: &asked, limit, grace };
        let outcome = exchange.run(&mut self.echo, &mut beside).await;
        self.last_frame = self.clock.monotonic();
        let (outcome, foreign) = self.look_beside(&asked, outcome, beside, &last);
        if let (Ok(reply), Framing::Rtu) = (&outcome, asked.framing) {
            self.slowest = self.slowest.max(self.last_frame.saturating_sub(sent)).min(limit);
            self.note_answer(unit.id, request, (reply.is_err(), is_probe), &foreign);
        }
        let Some(link) = &mut self.link else { return Err(closed().into()) };
        match outcome {
            Ok(reply) => {
                link.replies = link.replies.saturating_add(1);
                self.doubts.note_in_time(unit.id);
                link.unanswered = 0;
                if first_of_link {
                    self.habits.note_first_reply(since_opened, tried_before);
                }
                if self.habits.closes_after(link.replies) {
                    self.link = None;
                }
                reply.map_err(|refusal| {
                    if refusal.is_from_converter() {
                        // The device behind it may still answer, and the converter may then pass that on as the reply
                        // to the next request.
                        self.note_unanswered(unit.id, request);
                        self.note_doubt(unit.id, request, sent, limit);
                    }
                    refusal.into()
                })
            }
            Err(mut failure) => {
                if failure.was_sent {
                    self.note_unanswered(unit.id, request);
                    // Whoever closes a connection has nothing more to say on it.
                    if !matches!(failure.error, LinkError::Broken(_)) {
                        self.note_doubt(unit.id, request, sent, limit);
                    }
                }
                self.after_failure(&failure, request, since_opened).await;
                if matches!(failure.error, LinkError::Timeout { .. })
                    && let Some(took) = self.doubts.late_by(unit.id)
                {
                    failure.error = LinkError::Late { timeout: limit, took };
                }
                Err(failure.error.into())
            }
        }
    }

    /// Takes care that nothing which the failed request left behind is used.
    async fn after_failure(&mut self, failure: &Failure, request: Request, since_opened: Duration) {
        let (framing, serial) = (self.framing(), self.is_serial());
        let Some(link) = &mut self.link else { return };
        link.unanswered = link.unanswered.saturating_add(1);
        let silent = matches!(failure.error, LinkError::Timeout { .. });
        if silent && link.replies == 0 {
            if link.ignored.len() < UNANSWERED_MAX {
                link.ignored.push(request);
            }
        } else if silent && link.ignored.iter().any(|ignored| ignored.overlaps(request)) {
            self.habits.note_ignored_again();
        }
        if let LinkError::Broken(_) = failure.error {
            // One request that is always met so is a request that it does not like, and no habit.
            if failure.nothing_came && self.closed_on.replace(request) != Some(request) {
                self.habits.note_closed(link.replies);
            }
            self.link = None;
        } else if framing == Framing::Rtu {
            if silent && !serial && link.unanswered >= SILENT_REQUESTS_MAX {
                self.link = None;
            } else {
                self.drain().await;
            }
        } else if silent && link.replies == 0 && since_opened < DEAF_MAX {
            if link.unanswered == 1 {
                self.habits.note_deaf();
            }
            link.late.push(self.transaction);
        } else {
            self.link = None;
        }
    }

    fn note_doubt(&mut self, unit: u8, request: Request, sent: Duration, limit: Duration) {
        if self.framing() == Framing::Rtu {
            self.doubts.note(unit, request, sent, sent + limit * LATE_LIMITS);
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

    /// An open link on which nothing waits, after the silence that is due.
    async fn make_ready(&mut self, gap: Duration) -> Result<(), LinkError> {
        self.open().await?;
        self.keep_gap(gap).await;
        let now = self.clock.monotonic();
        let Some(link) = &mut self.link else { return Err(closed()) };
        match link.stray() {
            Stray::Nothing => return Ok(()),
            Stray::Closed => {
                // After a whole reply, so nothing is owed.
                if now.saturating_sub(self.last_frame) < Duration::from_secs(1) {
                    self.habits.note_closed(link.replies);
                }
                self.link = None;
            }
            Stray::Bytes => {
                if self.settings.framing == Framing::Rtu {
                    self.hush().await;
                } else {
                    self.link = None;
                }
            }
        }
        self.open().await
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

    /// Waits until the link has been silent for the time limit, or for twice that long where it never is.
    async fn drain(&mut self) {
        let silence = self.settings.timeout;
        self.empty(silence, silence * DRAIN_LIMITS).await;
    }

    /// Waits until what is coming on the line has come.
    async fn hush(&mut self) {
        let quiet = QUIET + self.settings.link.wire_time(4);
        self.empty(quiet, self.settings.timeout.max(quiet)).await;
    }

    async fn empty(&mut self, silence: Duration, limit: Duration) {
        let Some(link) = &mut self.link else { return };
        let last = std::mem::take(&mut link.last_heard);
        match link.drain(silence, limit).await {
            Ok(drained) => {
                if drained.count > 0 {
                    self.note_unasked(&drained, &last);
                }
            }
            Err(_) => self.link = None,
        }
    }

    /// Opens the link if it is not open and if it is time to try.
    async fn open(&mut self) -> Result<(), LinkError> {
        if self.link.is_some() {
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
                self.echo = None;
                self.link = Some(opened);
                tokio::time::sleep(self.habits.pause()).await;
                Ok(())
            }
            Err(source) => {
                let wait = self.backoff.after_failure(jitter(self.clock.as_ref()));
                self.next_open = self.clock.monotonic() + wait;
                Err(LinkError::Open { link, source })
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "environment: the connection to a device")]
    async fn open_tcp(&mut self, host: &str, tcp_port: u16) -> io::Result<OpenLink> {
        let limit = self.settings.timeout.max(CONNECT_TIMEOUT_MIN);
        let stream = timeout(limit, TcpStream::connect((host, tcp_port)))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        // A request is one small segment; waiting to fill it would only delay it.
        stream.set_nodelay(true)?;
        Ok(OpenLink::tcp(stream, self.clock.monotonic()))
    }

    async fn open_serial(&mut self, settings: &SerialSettings) -> io::Result<OpenLink> {
        let mut link = OpenLink::serial(SerialLine::open(settings)?, self.clock.monotonic());
        // Replies to whoever used the line before must not be taken for ours. A line that is never silent is used, too:
        // noise costs replies.
        let silence = self.settings.timeout;
        let drained = link.drain(silence, silence * DRAIN_LIMITS).await?;
        if drained.count > 0 {
            self.note_unasked(&drained, &[]);
        }
        link.opened = self.clock.monotonic();
        Ok(link)
    }
}

/// The probe whose reply cannot be one of those that are owed; when all could, the one asked for longest ago. Of several
/// one that asks for other registers than what was left unanswered: those may be what the device keeps silent about.
fn next_probe(
    probes: &[Request],
    unanswered: &VecDeque<Request>,
    avoid: &[Request],
) -> Option<Request> {
    let owed_last = |probe: &&Request| {
        let same_kind = |request: &Request| request.may_be_mistaken_for(**probe);
        let same_place = |request: &Request| request.overlaps(**probe);
        let avoided = avoid.iter().any(same_place);
        (unanswered.iter().rposition(same_kind), avoided, unanswered.iter().rposition(same_place))
    };
    // `None` sorts before any position, and the first of equals is taken.
    probes.iter().min_by_key(owed_last).copied()
}
