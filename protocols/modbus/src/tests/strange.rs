//! Peers that treat their connections or their replies in a way of their own, as small devices and converters do: each is
//! read all the same. One test for each trial, named for what the user saw.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Quality, Sample, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::peer::{Asked, crc, pdu, register};
use super::reads::words;
use super::support::{Running, TestDevice, planned, port_spec};

const POLL: Duration = Duration::from_millis(50);

/// A device with a way of its own.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "ways that devices have in any combination")]
struct Strange {
    /// Closes a connection after so many replies.
    closes_after: Option<u32>,
    /// Closes it so much later than its last reply, and reads nothing in between.
    closes_late: Duration,
    /// Resets a connection instead of closing it.
    resets: bool,
    /// Closes a connection that is idle for so long.
    closes_idle: Option<Duration>,
    /// Throws away what comes within this time after a connection was opened.
    deaf: Duration,
    /// Puts this id into each reply.
    own_unit: Option<u8>,
    /// Sends so many bytes of a reply and closes, at the first requests.
    breaks_off: Arc<AtomicU32>,
    /// Sends each byte by itself.
    drips: bool,
    /// Serves so many connections at once, and closes others at once.
    connections_max: Option<u32>,
    /// Speaks RTU.
    rtu: bool,
    /// A line that brings back what is sent on it.
    echoes: bool,
    /// Noise before each reply.
    noise: &'static [u8],
    /// Bytes behind each reply.
    tail: &'static [u8],
    /// Sends each reply twice.
    twice: bool,
    /// Refuses these with this exception.
    refuses: Option<fn(Asked) -> Option<u8>>,
}

#[derive(Clone, Default)]
struct Seen {
    connections: Arc<AtomicU32>,
    open: Arc<AtomicU32>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Seen {
    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    fn counts(&self) -> Vec<u16> {
        self.asked.lock().unwrap().iter().map(|asked| asked.count).collect()
    }
}

impl Strange {
    async fn serve(self) -> (u16, Seen) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp_port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (device, seen) = (self.clone(), shared.clone());
                seen.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let open = seen.open.fetch_add(1, Ordering::Relaxed);
                    if device.connections_max.is_none_or(|max| open < max) {
                        device.connection(stream, &seen).await;
                    }
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        (tcp_port, seen)
    }

    async fn connection(self, mut stream: TcpStream, seen: &Seen) {
        let mut head = [0_u8; 12];
        let request = if self.rtu { &mut head[..8] } else { &mut head[..] };
        let hears_from = Instant::now() + self.deaf;
        let mut replies = 0;
        loop {
            let idle = self.closes_idle.unwrap_or(Duration::from_hours(1));
            match timeout(idle, stream.read_exact(request)).await {
                Ok(Ok(_)) => {}
                _ => return,
            }
            if Instant::now() < hears_from {
                continue;
            }
            let at = if self.rtu { 0 } else { 6 };
            let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
            let (unit, function) = (request[at], request[at + 1]);
            let asked = Asked { unit, function, start: word(at + 2), count: word(at + 4) };
            seen.asked.lock().unwrap().push(asked);
            let body = match self.refuses.and_then(|refuses| refuses(asked)) {
                Some(code) => vec![function | 0x80, code],
                None => pdu(asked),
            };
            let mut frame = if self.rtu { Vec::new() } else { vec![request[0], request[1], 0, 0] };
            if !self.rtu {
                frame.extend(u16::try_from(body.len() + 1).unwrap().to_be_bytes());
            }
            frame.push(self.own_unit.unwrap_or(unit));
            frame.extend(body);
            if self.rtu {
                frame.extend(crc(&frame));
            }
            let mut bytes = if self.echoes { request.to_vec() } else { Vec::new() };
            bytes.extend(self.noise);
            bytes.extend(frame.repeat(if self.twice { 2 } else { 1 }));
            bytes.extend(self.tail);
            let left = |left: u32| left.checked_sub(1);
            if self.breaks_off.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
                bytes.truncate(bytes.len() - 4);
                drop(stream.write_all(&bytes).await);
                return;
            }
            for piece in bytes.chunks(if self.drips { 1 } else { bytes.len() }) {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
                if self.drips {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            replies += 1;
            if self.closes_after.is_some_and(|max| replies >= max) {
                tokio::time::sleep(self.closes_late).await;
                if self.resets {
                    stream.set_zero_linger().unwrap();
                }
                return;
            }
        }
    }
}

/// Registers of two blocks.
const REGISTERS: [u16; 6] = [0, 1, 2, 100, 101, 102];

/// Reads a device with registers of two blocks.
async fn read(device: Strange, port_keys: &str, device_keys: &str) -> (Running, Seen) {
    let (tcp_port, seen) = device.serve().await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\n{port_keys}");
    let profile = words("type = \"u16\"", "holding", REGISTERS);
    let device = TestDevice { id: "meter", keys: device_keys, profile: &profile, poll: POLL };
    (Running::start(planned(port_spec(&keys, &[device]))), seen)
}

/// How many of the samples are good; each of those is right.
fn good(samples: &[Sample]) -> usize {
    good_of_unit(1, samples)
}

fn good_of_unit(unit: u8, samples: &[Sample]) -> usize {
    assert_eq!(samples.len(), REGISTERS.len());
    let right = |sample: &&Sample| {
        let expected = register(unit, 3, REGISTERS[sample.point.0 as usize]);
        let good = sample.quality.is_good();
        let value = Value::Decimal(i64::from(expected));
        assert!(!good || sample.value == Some(value), "a wrong value: {sample:?}");
        good
    };
    samples.iter().filter(right).count()
}

/// All values come, from some poll on at each of so many.
async fn comes_well(running: &mut Running, polls: usize) {
    running.until(|samples| good(samples) == REGISTERS.len()).await;
    for poll in 0..polls {
        assert_eq!(good(&running.next().await), REGISTERS.len(), "poll {poll}");
    }
}

#[tokio::test]
async fn a_device_that_closes_after_each_reply_is_read_at_each_poll() {
    let device = Strange { closes_after: Some(1), ..Strange::default() };
    let (mut running, seen) = read(device, "timeout = \"500ms\"", "unit = 1").await;
    comes_well(&mut running, 10).await;
    let before = seen.counts().len();
    comes_well(&mut running, 4).await;
    let asked = seen.counts().split_off(before);
    assert!(asked.iter().all(|count| *count == 3), "no probe is needed: {asked:?}");
    running.stop().await;
}

/// The next request is on its way when the connection is closed, each time: only who closes it first is served.
#[tokio::test]
async fn a_device_that_closes_a_moment_after_each_reply_is_read_at_each_poll() {
    let closes_late = Duration::from_millis(10);
    let device = Strange { closes_after: Some(1), closes_late, ..Strange::default() };
    let (mut running, _) = read(device, "timeout = \"500ms\"", "unit = 1").await;
    comes_well(&mut running, 10).await;
    running.stop().await;
}

#[tokio::test]
async fn a_device_that_closes_after_two_replies_is_read_at_each_poll() {
    let device = Strange { closes_after: Some(2), ..Strange::default() };
    let (mut running, _) = read(device, "timeout = \"500ms\"", "unit = 1").await;
    comes_well(&mut running, 10).await;
    running.stop().await;
    let device = Strange { closes_after: Some(3), ..Strange::default() };
    let (mut running, _) = read(device, "timeout = \"500ms\"", "unit = 1").await;
    comes_well(&mut running, 10).await;
    running.stop().await;
}

/// A converter has no transaction ids: its replies are told apart by a probe, which costs the only reply of a connection.
#[tokio::test]
async fn a_converter_that_closes_after_replies_is_read_at_each_poll() {
    for replies in [1, 2, 3] {
        let device = Strange { closes_after: Some(replies), rtu: true, ..Strange::default() };
        let keys = "framing = \"rtu\"\ntimeout = \"500ms\"";
        let (mut running, _) = read(device, keys, "unit = 1").await;
        comes_well(&mut running, 10).await;
        running.stop().await;
    }
}

/// Small TCP stacks send RST, which may overtake the reply before it: what was not heard is asked again.
#[tokio::test]
async fn a_device_that_resets_the_connection_after_each_reply_is_read_at_each_poll() {
    for rtu in [false, true] {
        let closes_late = Duration::from_millis(10);
        let device =
            Strange { closes_after: Some(1), closes_late, resets: true, rtu, ..Strange::default() };
        let framing = if rtu { "rtu" } else { "tcp" };
        let keys = format!("framing = \"{framing}\"\ntimeout = \"500ms\"");
        let (mut running, _) = read(device, &keys, "unit = 1").await;
        comes_well(&mut running, 10).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_device_that_closes_when_idle_is_read_without_probes() {
    // Between two polls, and not between two requests of one poll where the machine is busy.
    let device = Strange { closes_idle: Some(POLL * 3 / 5), ..Strange::default() };
    let (mut running, seen) = read(device, "timeout = \"500ms\"", "unit = 1").await;
    comes_well(&mut running, 20).await;
    let counts = seen.counts();
    let probes = counts.iter().filter(|count| **count != 3).count();
    assert!(probes <= counts.len() / 10, "{probes} probes of {}", counts.len());
    assert!(seen.connections() > 1, "it closed");
    running.stop().await;
}

#[tokio::test]
async fn a_device_that_is_deaf_after_connecting_is_read() {
    let device = Strange { deaf: Duration::from_millis(250), ..Strange::default() };
    let (mut running, seen) = read(device, "timeout = \"100ms\"", "unit = 1").await;
    comes_well(&mut running, 10).await;
    assert_eq!(seen.connections(), 1, "its connection is kept until it hears");
    running.stop().await;
}

#[tokio::test]
async fn a_device_that_is_deaf_and_closes_after_each_reply_is_read() {
    let deaf = Duration::from_millis(80);
    let device = Strange { deaf, closes_after: Some(1), ..Strange::default() };
    let (mut running, _) = read(device.clone(), "timeout = \"100ms\"", "unit = 1").await;
    running.until(|samples| good(samples) == REGISTERS.len()).await;
    running.until(|samples| good(samples) == REGISTERS.len()).await;
    running.stop().await;
    let keys = "timeout = \"500ms\"\nconnect_pause = \"120ms\"";
    let (mut running, seen) = read(device, keys, "unit = 1").await;
    comes_well(&mut running, 5).await;
    assert!(seen.counts().len() >= 12);
    running.stop().await;
}

#[tokio::test]
async fn a_reply_with_the_devices_own_unit_is_refused_and_named() {
    for own in [0, 255] {
        let device = Strange { own_unit: Some(own), ..Strange::default() };
        let (mut running, _) = read(device.clone(), "timeout = \"200ms\"", "unit = 1").await;
        for _ in 0..3 {
            assert_eq!(good(&running.next().await), 0);
        }
        let (_, fault) = running.heard.faults.lock().unwrap()[0].clone();
        assert_eq!(fault.code, "GW-M106");
        let text = format!("asked unit 1, unit {own} answered: set `unit = {own}`");
        assert!(fault.message.contains(&text), "{}", fault.message);
        running.stop().await;
        let keys = format!("unit = 1\nreply_unit = {own}");
        let (mut running, _) = read(device, "timeout = \"500ms\"", &keys).await;
        comes_well(&mut running, 3).await;
        running.stop().await;
    }
}

/// Whoever follows the advice reads the device, and each other unit id that is asked for is told apart from its own.
#[tokio::test]
async fn the_unit_that_a_refused_reply_names_is_the_one_to_set() {
    for (own, asked) in [(0, 1), (1, 7), (255, 254)] {
        let device = Strange { own_unit: Some(own), ..Strange::default() };
        let unit = format!("unit = {asked}");
        let (mut running, _) = read(device.clone(), "timeout = \"200ms\"", &unit).await;
        assert!(running.next().await.iter().all(|sample| sample.quality.is_bad()));
        let (_, fault) = running.heard.faults.lock().unwrap()[0].clone();
        running.stop().await;
        assert_eq!(fault.code, "GW-M106");
        let (_, advice) = fault.message.split_once("set `").unwrap();
        let (advice, _) = advice.split_once('`').unwrap();
        assert_eq!(advice, format!("unit = {own}"));
        let (mut running, _) = read(device, "timeout = \"500ms\"", advice).await;
        let samples = running.next().await;
        assert_eq!(good_of_unit(own, &samples), REGISTERS.len(), "{samples:?}");
        running.stop().await;
    }
}

/// Trial 12: unit ids that are reserved on a line are any other ids over TCP, also behind a converter.
#[tokio::test]
async fn a_device_of_each_unit_that_is_accepted_is_read() {
    for (rtu, units) in [(false, &[0, 247, 248, 254, 255][..]), (true, &[247, 248, 254])] {
        let framing = if rtu { "rtu" } else { "tcp" };
        for unit in units {
            let device = Strange { rtu, ..Strange::default() };
            let keys = format!("framing = \"{framing}\"\ntimeout = \"500ms\"");
            let (mut running, seen) = read(device, &keys, &format!("unit = {unit}")).await;
            let samples = running.next().await;
            assert_eq!(good_of_unit(*unit, &samples), REGISTERS.len(), "{framing} {unit}");
            assert!(seen.asked.lock().unwrap().iter().all(|asked| asked.unit == *unit));
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn rtu_frames_over_tcp_are_read() {
    let device = Strange { rtu: true, ..Strange::default() };
    let keys = "framing = \"rtu\"\ntimeout = \"500ms\"";
    let (mut running, seen) = read(device, keys, "unit = 1").await;
    comes_well(&mut running, 10).await;
    assert_eq!(seen.connections(), 1);
    running.stop().await;
}

#[tokio::test]
async fn rtu_frames_over_tcp_without_the_key_name_the_setting() {
    let device = Strange { rtu: true, ..Strange::default() };
    let (mut running, _) = read(device, "timeout = \"100ms\"", "unit = 1").await;
    assert_eq!(good(&running.next().await), 0);
    let (_, fault) = running.heard.faults.lock().unwrap()[0].clone();
    assert!(fault.message.contains("framing = \"rtu\""), "{}", fault.message);
    running.stop().await;
}

#[tokio::test]
async fn an_echo_is_taken_away() {
    for drips in [false, true] {
        let device = Strange { rtu: true, echoes: true, drips, ..Strange::default() };
        let keys = "framing = \"rtu\"\ntimeout = \"1s\"";
        let (mut running, _) = read(device, keys, "unit = 1").await;
        comes_well(&mut running, 5).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn noise_before_each_reply_costs_nothing() {
    let noise = &[0x00, 0x01, 0xFF];
    let device = Strange { rtu: true, noise, ..Strange::default() };
    let keys = "framing = \"rtu\"\ntimeout = \"1s\"";
    let (mut running, _) = read(device, keys, "unit = 1").await;
    comes_well(&mut running, 5).await;
    running.stop().await;
}

#[tokio::test]
async fn a_reply_that_comes_byte_by_byte_is_read() {
    for rtu in [false, true] {
        let device = Strange { drips: true, rtu, ..Strange::default() };
        let framing = if rtu { "rtu" } else { "tcp" };
        let keys = format!("framing = \"{framing}\"\ntimeout = \"1s\"");
        let (mut running, _) = read(device, &keys, "unit = 1").await;
        comes_well(&mut running, 3).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_device_that_breaks_off_replies_is_read_when_it_no_longer_does() {
    async fn trial(rtu: bool) {
        let breaks_off = Arc::new(AtomicU32::new(5));
        let device = Strange { breaks_off, rtu, ..Strange::default() };
        let framing = if rtu { "rtu" } else { "tcp" };
        let keys = format!("framing = \"{framing}\"\ntimeout = \"200ms\"");
        let (mut running, _) = read(device, &keys, "unit = 1").await;
        comes_well(&mut running, 3).await;
        running.stop().await;
    }
    tokio::join!(trial(false), trial(true));
}

#[tokio::test]
async fn a_device_of_two_connections_is_read_when_one_is_free() {
    let device = Strange { connections_max: Some(2), ..Strange::default() };
    let (tcp_port, _) = device.serve().await;
    let first = TcpStream::connect(("127.0.0.1", tcp_port)).await.unwrap();
    let second = TcpStream::connect(("127.0.0.1", tcp_port)).await.unwrap();
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"200ms\"");
    let profile = words("type = \"u16\"", "holding", REGISTERS);
    let meter = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    let mut running = Running::start(planned(port_spec(&keys, &[meter])));
    assert_eq!(good(&running.next().await), 0);
    let (_, fault) = running.heard.faults.lock().unwrap()[0].clone();
    assert_eq!(fault.code, "GW-M104");
    assert!(fault.message.contains("allows fewer connections"), "{}", fault.message);
    drop((first, second));
    comes_well(&mut running, 3).await;
    running.stop().await;
}

/// Well-formed replies without end, each for the next transaction: none was asked for.
#[tokio::test]
async fn a_flood_of_well_formed_replies_makes_no_value() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp_port = listener.local_addr().unwrap().port();
    let sent = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let frame = |id: u16| {
                    let id = id.to_be_bytes();
                    [id[0], id[1], 0, 0, 0, 9, 1, 3, 6, 0xDE, 0xAD, 0xBE, 0xEF, 0xDE, 0xAD]
                };
                let many: Vec<u8> = (0..u16::MAX).flat_map(frame).collect();
                while stream.write_all(&many).await.is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"100ms\"");
    let profile = words("type = \"u16\"", "holding", REGISTERS);
    let meter = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    let mut running = Running::start(planned(port_spec(&keys, &[meter])));
    for _ in 0..20 {
        let samples = running.next().await;
        assert!(samples.iter().all(|sample| sample.quality.is_bad()), "{samples:?}");
    }
    running.stop().await;
}

/// A gateway in front of serial devices that answers for a dead one with exception 11.
#[tokio::test]
async fn a_gateway_that_answers_for_a_dead_device_costs_the_others_nothing() {
    let refuses: fn(Asked) -> Option<u8> = |asked| (asked.unit == 9).then_some(11);
    let device = Strange { refuses: Some(refuses), ..Strange::default() };
    let (tcp_port, _) = device.serve().await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"500ms\"");
    let profile = words("type = \"u16\"", "holding", REGISTERS);
    let dead = TestDevice { id: "dead", keys: "unit = 9", profile: &profile, poll: POLL };
    let meter = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    let mut running = Running::start(planned(port_spec(&keys, &[meter, dead])));
    for _ in 0..10 {
        let samples = running.next().await;
        let (alive, dead) = samples.split_at(REGISTERS.len());
        assert_eq!(good(alive), REGISTERS.len());
        assert!(dead.iter().all(|sample| sample.quality == Quality::BAD_TIMEOUT), "{dead:?}");
    }
    assert_eq!(running.heard.codes_of("dead")[0], "GW-M101");
    running.stop().await;
}

/// rtu3: each request cost the whole time limit. Here that would be longer than any test waits.
#[tokio::test]
async fn bytes_behind_each_reply_cost_nothing() {
    for (tail, twice) in [(&[0][..], false), (&[0xFF, 0xFE, 0xFC], false), (&[], true)] {
        let device = Strange { rtu: true, tail, twice, ..Strange::default() };
        let keys = "framing = \"rtu\"\ntimeout = \"40s\"";
        let (mut running, seen) = read(device, keys, "unit = 1").await;
        for _ in 0..10 {
            assert_eq!(good(&running.next().await), REGISTERS.len());
        }
        running.stop().await;
        let counts = seen.counts();
        assert!(counts.iter().all(|count| *count == 3), "nothing but its requests: {counts:?}");
    }
}
