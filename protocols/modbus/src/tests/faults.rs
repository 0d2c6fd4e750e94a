//! Peers with every fault we know. The one rule: a value that comes out is the value that was asked for, and every poll
//! says something of every point.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Quality, Sample, Value};
use tokio::net::TcpListener;

use super::peer::{self, Act, Asked, Log, register, rtu, tcp};
use super::reads::words;
use super::support::{Running, TestDevice, planned, port_spec, terminal_pair};

const POLL: Duration = Duration::from_millis(20);
/// Registers of a device under test: blocks of the same shape, so that the reply to one fits the request of another.
const STARTS: [u16; 4] = [0, 100, 200, 300];
const BLOCK: u16 = 5;

fn registers() -> impl Iterator<Item = u16> {
    STARTS.into_iter().flat_map(|start| start..start + BLOCK)
}

fn profile() -> String {
    words("type = \"u16\"", "input", registers())
}

/// Checks the samples of one poll of `units`, and counts the good ones.
fn check(samples: &[Sample], units: &[u8]) -> usize {
    let of_unit = |unit: &u8| registers().map(|at| register(*unit, 4, at)).collect::<Vec<_>>();
    check_values(samples, &units.iter().flat_map(of_unit).collect::<Vec<_>>())
}

/// Checks the samples of one poll against what the registers of their points hold, and counts the good ones.
fn check_values(samples: &[Sample], expected: &[u16]) -> usize {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    for sample in samples {
        *seen.entry(sample.point.0).or_default() += 1;
        assert_eq!(sample.value.is_none(), sample.quality.is_bad(), "INV-1: {sample:?}");
        if let Some(value) = &sample.value {
            let expected = expected[sample.point.0 as usize];
            assert_eq!(*value, Value::Decimal(i64::from(expected)), "a wrong value: {sample:?}");
        }
    }
    assert_eq!(seen.len(), expected.len(), "every point has its sample");
    assert!(seen.values().all(|count| *count == 1), "and only one");
    samples.iter().filter(|sample| sample.quality.is_good()).count()
}

fn start(keys: &str, units: &[u8]) -> Running {
    let profile = profile();
    let keys_of: Vec<String> = units.iter().map(|unit| format!("unit = {unit}")).collect();
    let ids: Vec<String> = units.iter().map(|unit| format!("unit-{unit}")).collect();
    let devices: Vec<TestDevice<'_>> = ids
        .iter()
        .zip(&keys_of)
        .map(|(id, keys)| TestDevice { id, keys, profile: &profile, poll: POLL })
        .collect();
    Running::start(planned(port_spec(keys, &devices)))
}

/// A number that looks drawn, but is the same in every run.
fn drawn(n: usize) -> usize {
    (n.wrapping_mul(2_654_435_761) >> 7) % 1_000
}

/// One act in so many is a fault, each of `faults` in turn.
fn now_and_then(
    one_in: usize,
    faults: &'static [Act],
) -> impl Fn(usize, Asked) -> Act + Send + Sync + 'static {
    move |n, _| {
        if drawn(n).is_multiple_of(one_in) {
            faults[drawn(n + 17) % faults.len()]
        } else {
            Act::Answer
        }
    }
}

/// Polls until so many polls are checked; returns how many values were good.
async fn polls(running: &mut Running, count: usize, units: &[u8]) -> usize {
    let mut good = 0;
    for _ in 0..count {
        good += check(&running.next().await, units);
    }
    good
}

#[tokio::test]
async fn tcp_no_fault_of_a_peer_becomes_a_value() {
    const FAULTS: &[Act] = &[
        Act::Late(60),
        Act::Late(130),
        Act::Silent,
        Act::Exception(4),
        Act::ForgedTransaction,
        Act::WrongUnit,
        Act::WrongFunction,
        Act::OneRegisterLess,
        Act::OddByteCount,
        Act::Cut,
        Act::Drip,
        Act::Garbage,
        Act::Noise,
        Act::Twice,
        Act::HangUp,
    ];
    let (tcp_port, log) = tcp(Arc::new(now_and_then(6, FAULTS))).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"");
    let mut running = start(&keys, &[1, 2]);
    let good = polls(&mut running, 110, &[1, 2]).await;
    let asked = log.lock().unwrap().len();
    println!("110 polls, {asked} requests, {good} of {} values good", 110 * 40);
    assert!(good > 1_100, "{good}");
    running.stop().await;
}

/// The trial of the notes: every fifth reply is late, and stays in the socket.
#[tokio::test]
async fn tcp_a_late_reply_costs_its_poll_and_no_more() {
    let late = |n: usize, _| if n % 5 == 4 { Act::Late(80) } else { Act::Answer };
    let (tcp_port, _) = tcp(Arc::new(late)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"\nretries = 2");
    let mut running = start(&keys, &[1]);
    let good = polls(&mut running, 50, &[1]).await;
    assert!(good > 900, "{good} of 1000");
    running.stop().await;
}

/// A converter between TCP and RTU whose serial device is slower than our time limit, and which answers the newest
/// request on the newest connection with whatever the device says next.
#[tokio::test]
async fn tcp_a_converter_that_mixes_up_replies_gives_no_wrong_value() {
    let slow = |n: usize, _| if (20..26).contains(&(n % 40)) { Act::Late(70) } else { Act::Answer };
    let tcp_port = peer::converter(Arc::new(slow)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"");
    let mut running = start(&keys, &[1]);
    let good = polls(&mut running, 150, &[1]).await;
    println!("converter: {good} of {} values good", 150 * 20);
    assert!(good >= 100, "{good}");
    running.until(|samples| check(samples, &[1]) == 20).await;
    running.stop().await;
}

#[tokio::test]
async fn a_port_that_cannot_be_opened_says_so_and_comes_back() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp_port = reserved.local_addr().unwrap().port();
    drop(reserved);
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"");
    let mut running = start(&keys, &[1]);
    let samples = running.next().await;
    assert_eq!(check(&samples, &[1]), 0);
    assert!(samples.iter().all(|sample| sample.quality == Quality::BAD_NOT_CONNECTED));
    assert_eq!(running.heard.codes_of("unit-1")[0], "GW-M104");
    let listener = TcpListener::bind(("127.0.0.1", tcp_port)).await.unwrap();
    peer::serve(listener, Arc::new(|_, _| Act::Answer), Log::default());
    running.until(|samples| check(samples, &[1]) == 20).await;
    running.stop().await;
}

/// Registers of a device whose second block is as short as the shortest probe into the first.
const UNEVEN: [u16; 6] = [0, 1, 2, 3, 4, 300];

/// A device that is now and then slow, at least by so many milliseconds, and then refuses: each of its replies comes when
/// the next request is under way.
fn late_refusals(at_least_ms: u64) -> super::peer::Script {
    Arc::new(move |n, asked| match asked.count {
        5 if n > 4 && drawn(n).is_multiple_of(3) => {
            Act::LateException(6, at_least_ms + drawn(n + 1) as u64 % 24)
        }
        5 => Act::Answer,
        _ if asked.start == 0 => Act::Late(10),
        _ => Act::Answer,
    })
}

async fn late_refusal_trial(link: &str) {
    let profile = words("type = \"u16\"", "input", UNEVEN);
    let device = TestDevice { id: "unit-1", keys: "unit = 1", profile: &profile, poll: POLL };
    let keys = format!("{link}\ntimeout = \"30ms\"\nretries = 0");
    let mut running = Running::start(planned(port_spec(&keys, &[device])));
    let expected = UNEVEN.map(|at| register(1, 4, at));
    let mut good = 0;
    for _ in 0..60 {
        good += check_values(&running.next().await, &expected);
        // It is asked at every poll, however often it was silent.
        running.put_forward(Duration::from_mins(1));
    }
    println!("{link}: {good} of {} values good", 60 * expected.len());
    assert!(good > 30, "{good}");
    running.stop().await;
}

#[tokio::test]
async fn tcp_a_late_refusal_does_not_let_the_next_reply_become_a_value() {
    let tcp_port = peer::converter(late_refusals(34)).await;
    late_refusal_trial(&format!("address = \"tcp://127.0.0.1:{tcp_port}\"")).await;
}

#[tokio::test]
async fn rtu_a_late_refusal_does_not_let_the_next_reply_become_a_value() {
    let (path, far_end, _slave) = terminal_pair();
    // The line is drained before the next request.
    rtu(far_end, late_refusals(64));
    late_refusal_trial(&format!("path = \"{path}\"\nbaud = 115200")).await;
}

/// A device that refuses all that it is asked, and owes a reply, is in the end believed that it refuses.
#[tokio::test]
async fn a_device_that_refuses_everything_says_so_after_a_lost_reply() {
    let script = |n: usize, _| if n == 0 { Act::Silent } else { Act::Exception(2) };
    let (tcp_port, _) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"");
    let mut running = start(&keys, &[1]);
    let refused = |sample: &Sample| sample.quality == Quality::BAD_NODE_ID_UNKNOWN;
    running.until(|samples| check(samples, &[1]) == 0 && samples.iter().all(refused)).await;
    running.stop().await;
}

/// Whoever refuses all that is not its single register is read again after a reply that was lost.
#[tokio::test]
async fn a_single_register_comes_back_after_a_lost_reply() {
    let script = |n: usize, asked: Asked| match asked {
        Asked { start: 7, count: 1, .. } if n % 6 == 1 => Act::Silent,
        Asked { start: 7, count: 1, .. } => Act::Answer,
        _ => Act::Exception(2),
    };
    let (tcp_port, _) = tcp(Arc::new(script)).await;
    let profile = words("type = \"u16\"", "input", [7]);
    let device = TestDevice { id: "unit-1", keys: "unit = 1", profile: &profile, poll: POLL };
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"200ms\"");
    let mut running = Running::start(planned(port_spec(&keys, &[device])));
    for _ in 0..20 {
        assert_eq!(check_values(&running.next().await, &[register(1, 4, 7)]), 1);
    }
    running.stop().await;
}

fn asked_of(log: &Log, unit: u8) -> usize {
    log.lock().unwrap().iter().filter(|asked| asked.unit == unit).count()
}

#[tokio::test]
async fn a_dead_device_does_not_hold_up_the_others_and_comes_back() {
    let dead_until = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let dead = Arc::clone(&dead_until);
    let script = move |_: usize, asked: Asked| {
        let silent = asked.unit == 2 && dead.load(std::sync::atomic::Ordering::Relaxed);
        if silent { Act::Silent } else { Act::Answer }
    };
    let (tcp_port, log) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"100ms\"");
    let mut running = start(&keys, &[1, 2, 3]);
    let good = polls(&mut running, 60, &[1, 2, 3]).await;
    assert_eq!(good, 60 * 40, "the two others lose nothing");
    let tries = asked_of(&log, 2);
    assert!((3..=6).contains(&tries), "{tries} requests to the dead device in 60 polls");
    let faults = running.heard.faults.lock().unwrap().clone();
    let (device, fault) = &faults[0];
    assert_eq!((device.as_str(), fault.code), ("unit-2", "GW-M101"));
    let start = "unit-2 (port-1, id 2) did not answer: 2 of 2 requests timed out after 100 ms; other \
                 devices on port-1 answer";
    assert!(fault.message.starts_with(start), "{}", fault.message);
    dead_until.store(false, std::sync::atomic::Ordering::Relaxed);
    running.until(|samples| check(samples, &[1, 2, 3]) == 60).await;
    running.stop().await;
}

/// The time limit of a line whose peers are late by intent.
const HASTY: &str = "30ms";

async fn rtu_trial(
    name: &str,
    timeout: &str,
    units: &[u8],
    count: usize,
    script: impl Fn(usize, Asked) -> Act + Send + Sync + 'static,
) -> usize {
    let (path, far_end, _slave) = terminal_pair();
    let log = rtu(far_end, Arc::new(script));
    let keys = format!("path = \"{path}\"\nbaud = 115200\ntimeout = \"{timeout}\"");
    let mut running = start(&keys, units);
    let mut good = 0;
    for _ in 0..count {
        good += polls(&mut running, 1, units).await;
        // A unit that a busy machine made silent does not rest through all the other polls.
        running.put_forward(Duration::from_mins(1));
    }
    let asked = log.lock().unwrap().len();
    let all = count * 20 * units.len();
    println!("rtu {name}: {count} polls, {asked} requests, {good} of {all} values good");
    running.stop().await;
    good
}

#[tokio::test]
async fn rtu_reads_a_well_behaved_line() {
    // Nothing is late here but this machine.
    let good = rtu_trial("well", "2s", &[1, 2, 3], 50, |_, _| Act::Answer).await;
    assert_eq!(good, 50 * 60);
}

/// A converter that hears itself, and some that do so now and then.
#[tokio::test]
async fn rtu_a_line_that_echoes_is_read() {
    let good = rtu_trial("echo", "2s", &[1, 2], 10, |_, _| Act::Echo).await;
    assert_eq!(good, 10 * 40);
    let sometimes = |n: usize, _| if drawn(n).is_multiple_of(3) { Act::Echo } else { Act::Answer };
    let good = rtu_trial("echo now and then", "2s", &[1, 2], 10, sometimes).await;
    assert_eq!(good, 10 * 40);
}

#[tokio::test]
async fn rtu_a_late_reply_never_becomes_a_value() {
    let late = |n: usize, _| if n % 7 == 6 { Act::Late(45) } else { Act::Answer };
    let good = rtu_trial("late", HASTY, &[1, 2], 40, late).await;
    assert!(good > 400, "{good}");
}

/// Replies come after the line was drained, when the next requests are under way.
#[tokio::test]
async fn rtu_a_very_late_reply_never_becomes_a_value() {
    let very_late = |n: usize, _| {
        if n % 25 == 24 { Act::Late(75 + drawn(n) as u64 % 200) } else { Act::Answer }
    };
    let good = rtu_trial("very late", HASTY, &[1, 2], 60, very_late).await;
    assert!(good > 40, "{good}");
}

#[tokio::test]
async fn rtu_no_fault_of_a_line_becomes_a_value() {
    const FAULTS: &[Act] = &[
        Act::Late(40),
        Act::Late(70),
        Act::Late(150),
        Act::Silent,
        Act::Exception(6),
        Act::WrongUnit,
        Act::WrongFunction,
        Act::OneRegisterLess,
        Act::OddByteCount,
        Act::Cut,
        Act::Drip,
        Act::Garbage,
        Act::Noise,
        Act::Twice,
    ];
    let good = rtu_trial("all faults", HASTY, &[1, 2], 60, now_and_then(8, FAULTS)).await;
    assert!(good > 225, "{good}");
}

/// Some devices keep silent where others refuse: the other blocks must not suffer.
#[tokio::test]
async fn a_block_that_is_never_answered_does_not_take_the_others() {
    let script =
        |_: usize, asked: Asked| if asked.start == 100 { Act::Silent } else { Act::Answer };
    let (tcp_port, log) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"50ms\"");
    let mut running = start(&keys, &[1]);
    let good = polls(&mut running, 60, &[1]).await;
    assert!(good >= 60 * 15, "{good}");
    let tries = log.lock().unwrap().iter().filter(|asked| asked.start == 100).count();
    assert!(tries <= 8, "{tries} requests that are never answered in 60 polls");
    let told = running.heard.partly_codes_of("unit-1");
    assert!(!told.is_empty() && told.iter().all(|code| *code == Some("GW-M101")), "{told:?}");
    assert_eq!(running.heard.codes_of("unit-1"), [""; 0], "it answers");
    let message = running.heard.parts.lock().unwrap()[0].1.clone().unwrap().message;
    let which = "timed out after 50 ms for input 100..=104; it answers other requests. Likely";
    assert!(message.contains(which), "{message}");
    running.stop().await;
}
