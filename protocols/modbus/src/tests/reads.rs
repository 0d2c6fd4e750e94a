//! Well-behaved peers, and devices that refuse some of their addresses.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Quality, Sample, Value};

use super::peer::{Act, Asked, register, tcp};
use super::support::{Running, TestDevice, planned, port_spec};

const POLL: Duration = Duration::from_millis(20);

/// A profile with u16 points named `r<register>`.
pub(super) fn words(options: &str, area: &str, registers: impl IntoIterator<Item = u16>) -> String {
    let mut text = format!(
        "maker = \"m\"\nmodel = \"m\"\nprotocol = \"modbus\"\n[modbus]\narea = \"{area}\"\n{options}\n"
    );
    for register in registers {
        let head = "unit = \"V\"\nkind = \"gauge\"\nunverified = true";
        let metric = format!("metric = \"r{register}\"");
        writeln!(text, "[[point]]\n{metric}\n{head}\nregister = {register}").unwrap();
    }
    text
}

async fn run_one(
    profile: &str,
    script: impl Fn(usize, Asked) -> Act + Send + Sync + 'static,
) -> (Running, super::peer::Log) {
    let (tcp_port, log) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"200ms\"");
    let device = TestDevice { id: "dev", keys: "unit = 3", profile, poll: POLL };
    (Running::start(planned(port_spec(&keys, &[device]))), log)
}

#[tokio::test]
async fn reads_every_register_of_a_poll_with_its_own_value() {
    let profile = words("type = \"u16\"", "input", 0..200);
    let (mut running, log) = run_one(&profile, |_, _| Act::Answer).await;
    let samples = running.next().await;
    assert_eq!(samples.len(), 200);
    for sample in &samples {
        let expected = register(3, 4, u16::try_from(sample.point.0).unwrap());
        assert_eq!(sample.value, Some(Value::Decimal(i64::from(expected))), "{sample:?}");
        assert_eq!((sample.quality, sample.source_time), (Quality::GOOD, sample.gateway_time));
        assert!(sample.source_time.is_storable());
    }
    running.stop().await;
    let asked: Vec<(u16, u16)> =
        log.lock().unwrap().iter().take(2).map(|asked| (asked.start, asked.count)).collect();
    assert_eq!(asked, [(0, 125), (125, 75)]);
}

#[tokio::test]
async fn reads_bits_of_coils() {
    let profile = words("", "coil", 3..20);
    let (mut running, log) = run_one(&profile, |_, _| Act::Answer).await;
    let samples = running.next().await;
    for (sample, at) in samples.iter().zip(3..) {
        assert_eq!(sample.value, Some(Value::Bool(register(3, 1, at) & 1 == 1)), "{at}");
    }
    assert_eq!(log.lock().unwrap()[0], Asked { unit: 3, function: 1, start: 3, count: 17 });
    running.stop().await;
}

/// A device that does not know register `bad`.
fn without(bad: u16) -> impl Fn(usize, Asked) -> Act + Send + Sync + 'static {
    move |_, asked| {
        let covers = (asked.start..asked.start + asked.count).contains(&bad);
        if covers { Act::Exception(2) } else { Act::Answer }
    }
}

#[tokio::test]
async fn one_wrong_address_does_not_take_its_neighbours() {
    let profile = words("type = \"u16\"", "holding", 0..20);
    let (mut running, log) = run_one(&profile, without(13)).await;
    for _ in 0..3 {
        let samples = running.next().await;
        assert_eq!(samples.len(), 20);
        for sample in &samples {
            let at = u16::try_from(sample.point.0).unwrap();
            if at == 13 {
                assert_eq!((sample.quality, &sample.value), (Quality::BAD_NODE_ID_UNKNOWN, &None));
            } else {
                let expected = Value::Decimal(i64::from(register(3, 3, at)));
                assert_eq!(sample.value, Some(expected), "{at}");
            }
        }
    }
    let asked = log.lock().unwrap().len();
    running.until(|_| true).await;
    let a_poll = log.lock().unwrap().len() - asked;
    assert!(a_poll <= 6, "the refused register is not asked at every poll: {a_poll} requests");
    let codes = running.heard.partly_codes_of("dev");
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == Some("GW-M204")), "{codes:?}");
    assert_eq!(running.heard.codes_of("dev"), [""; 0], "it answers");
    running.stop().await;
}

/// Trial 08: meters that answer "device failure" or "illegal function" for a register that they do not have.
#[tokio::test]
async fn a_hole_costs_its_own_point_whatever_the_exception() {
    let profile = words("type = \"u16\"", "holding", 0..10);
    for code in [1, 2, 3, 4, 7, 8, 9, 0x80] {
        for hole in [0, 5, 9] {
            let refuses = move |_, asked: Asked| {
                let covers = (asked.start..asked.start + asked.count).contains(&hole);
                if covers { Act::Exception(code) } else { Act::Answer }
            };
            let (mut running, log) = run_one(&profile, refuses).await;
            for _ in 0..2 {
                let samples = running.next().await;
                let bad: Vec<u32> =
                    samples.iter().filter(|s| s.quality.is_bad()).map(|s| s.point.0).collect();
                assert_eq!((samples.len(), bad), (10, vec![u32::from(hole)]), "exception {code}");
            }
            let asked = log.lock().unwrap().len();
            assert!(asked <= 9 + 3 * 5, "split once and remembered: {asked} requests");
            let told = running.heard.parts.lock().unwrap()[0].1.clone().unwrap();
            assert!(told.message.contains("its other points are still read"), "{}", told.message);
            running.stop().await;
        }
    }
}

/// Bits are read by other functions, and a device has more holes than one: also at the end of what is asked, and beside
/// another. With it a limit on the length, refused with the same code.
#[tokio::test]
async fn each_hole_of_several_costs_its_own_point_in_each_area() {
    const HOLES: [u16; 4] = [3, 4, 17, 39];
    for (area, options) in [("coil", ""), ("discrete", ""), ("input", "type = \"u16\"")] {
        let profile = words(options, area, 0..40);
        for count_max in [40, 16] {
            let refuses = move |_, asked: Asked| {
                let covers = |hole: &u16| (asked.start..asked.start + asked.count).contains(hole);
                let refused = asked.count > count_max || HOLES.iter().any(covers);
                if refused { Act::Exception(4) } else { Act::Answer }
            };
            let (mut running, log) = run_one(&profile, refuses).await;
            for _ in 0..2 {
                let samples = running.next().await;
                let bad = samples.iter().filter(|sample| sample.quality.is_bad());
                let bad: Vec<u32> = bad.map(|sample| sample.point.0).collect();
                assert_eq!((samples.len(), bad), (40, HOLES.map(u32::from).to_vec()), "{area}");
            }
            let before = log.lock().unwrap().len();
            assert_eq!(good(&running.next().await), 36, "{area}");
            let again = log.lock().unwrap().len() - before;
            assert!(again <= 20, "{area}: {again} requests once the holes are known");
            running.stop().await;
        }
    }
}

/// A limit on the length, said by "device failure".
#[tokio::test]
async fn a_limit_on_the_length_costs_no_point_whatever_the_exception() {
    let profile = words("type = \"u16\"", "input", 0..100);
    for code in [1, 4] {
        let weak = move |_, asked: Asked| {
            if asked.count > 10 { Act::Exception(code) } else { Act::Answer }
        };
        let (mut running, log) = run_one(&profile, weak).await;
        assert_eq!(good(&running.next().await), 100);
        let asked = log.lock().unwrap().len();
        assert_eq!(good(&running.next().await), 100);
        let again = log.lock().unwrap().len() - asked;
        assert!(again <= 2 * 16, "{again} requests once the limit is known");
        running.stop().await;
    }
}

/// What refuses everything is a device in trouble: its points come back with it, and it is not asked one by one at each
/// poll.
#[tokio::test]
async fn a_device_in_trouble_is_not_split_at_each_poll_and_comes_back_at_once() {
    let profile = words("type = \"u16\"", "input", 0..20);
    let trouble = Arc::new(AtomicBool::new(true));
    let in_trouble = Arc::clone(&trouble);
    let script = move |_, _| {
        if in_trouble.load(Ordering::Relaxed) { Act::Exception(4) } else { Act::Answer }
    };
    let (mut running, log) = run_one(&profile, script).await;
    for _ in 0..20 {
        let samples = running.next().await;
        assert!(samples.iter().all(|sample| sample.quality == Quality::BAD_DEVICE_FAILURE));
    }
    let asked = log.lock().unwrap().len();
    assert!(asked <= 39 + 25, "{asked} requests in 20 polls");
    trouble.store(false, Ordering::Relaxed);
    running.next().await;
    assert_eq!(good(&running.next().await), 20, "no clock was put forward");
    running.stop().await;
}

/// A register that firmware brings later, or a module that is plugged in.
#[tokio::test]
async fn a_register_that_appears_later_is_found() {
    let profile = words("type = \"u16\"", "holding", 0..10);
    let there = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&there);
    let script = move |_, asked: Asked| {
        let covers = (asked.start..asked.start + asked.count).contains(&4);
        if covers && !known.load(Ordering::Relaxed) { Act::Exception(4) } else { Act::Answer }
    };
    let (mut running, _) = run_one(&profile, script).await;
    assert_eq!(good(&running.next().await), 9);
    there.store(true, Ordering::Relaxed);
    assert_eq!(good(&running.next().await), 9, "not asked at each poll");
    running.put_forward(Duration::from_secs(61));
    running.until(|samples| good(samples) == 10).await;
    running.stop().await;
}

/// Some devices give the next registers that they have where a request spans a gap: then each value would be another's.
#[tokio::test]
async fn no_request_spans_a_gap_that_the_profile_does_not_allow() {
    let profile = words("type = \"u16\"", "holding", [0, 1, 3, 4]);
    let (mut running, log) = run_one(&profile, |_, _| Act::Answer).await;
    assert_eq!(good(&running.next().await), 4);
    let asked: Vec<(u16, u16)> =
        log.lock().unwrap().iter().take(2).map(|asked| (asked.start, asked.count)).collect();
    assert_eq!(asked, [(0, 2), (3, 2)]);
    running.stop().await;
}

/// Trial 14: power each second, counters each minute.
#[tokio::test]
async fn points_of_two_intervals_are_read_at_two_intervals() {
    let mut profile = words("type = \"u16\"", "holding", [0, 1, 2]);
    // The last point is a counter of its own interval.
    profile.push_str("poll = \"1min\"\n");
    let (mut running, log) = run_one(&profile, |_, _| Act::Answer).await;
    let fast = running.next().await;
    assert_eq!(fast.iter().map(|sample| sample.point.0).collect::<Vec<_>>(), [0, 1]);
    let slow = running.next().await;
    assert_eq!(slow.iter().map(|sample| sample.point.0).collect::<Vec<_>>(), [2]);
    for _ in 0..10 {
        assert_eq!(running.next().await.len(), 2);
    }
    running.put_forward(Duration::from_mins(1));
    running.until(|samples| samples.len() == 1 && samples[0].point.0 == 2).await;
    let asked = log.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.start + asked.count <= 2 || asked.count == 1));
    assert_eq!(asked.iter().filter(|asked| asked.start == 2).count(), 2);
    running.stop().await;
}

/// A counter of each hour is not lost for an hour because the device was away at the full one.
#[tokio::test]
async fn a_slow_point_that_was_missed_is_soon_read() {
    let mut profile = words("type = \"u16\"", "holding", [0, 1]);
    profile.push_str("poll = \"1h\"\n");
    let script = |n: usize, asked: Asked| {
        if asked.start == 1 && n < 4 { Act::Silent } else { Act::Answer }
    };
    let (mut running, _) = run_one(&profile, script).await;
    let of_slow = |samples: &[Sample]| samples.iter().find(|s| s.point.0 == 1).map(|s| s.quality);
    running.until(|samples| of_slow(samples) == Some(Quality::BAD_TIMEOUT)).await;
    running.put_forward(Duration::from_secs(61));
    running.until(|samples| of_slow(samples) == Some(Quality::GOOD)).await;
    running.stop().await;
}

#[tokio::test]
async fn a_refusal_that_was_a_passing_fault_is_forgotten() {
    let profile = words("type = \"u16\"", "input", 0..4);
    let noisy = |n: usize, _| if n < 8 { Act::Exception(2) } else { Act::Answer };
    let (mut running, _) = run_one(&profile, noisy).await;
    let samples = running.next().await;
    assert!(samples.iter().all(|sample| sample.quality == Quality::BAD_NODE_ID_UNKNOWN));
    running.put_forward(Duration::from_secs(61));
    let samples = running.until(|samples| samples.iter().all(|s| s.quality.is_good())).await;
    assert_eq!(samples.len(), 4);
    let told = running.heard.partly_codes_of("dev");
    assert_eq!((told.first(), told.last()), (Some(&Some("GW-M204")), Some(&None)), "{told:?}");
    running.stop().await;
}

/// A controller of 20 registers that does not know the 13th, and knows none while it is being programmed; it is read
/// until the 13th is tried only every so many minutes.
async fn long_wrong(programmed: Arc<AtomicBool>) -> Running {
    let profile = words("type = \"u16\"", "holding", 0..20);
    let known = without(13);
    let script = move |n: usize, asked| {
        if programmed.load(Ordering::Relaxed) { Act::Exception(2) } else { known(n, asked) }
    };
    let (mut running, log) = run_one(&profile, script).await;
    let tried_anew = || log.lock().unwrap().iter().filter(|asked| asked.count == 20).count();
    for (times, minutes) in [(1, 2), (2, 4), (3, 8), (4, 0)] {
        running.until(|samples| good(samples) == 19 && tried_anew() == times).await;
        running.put_forward(Duration::from_mins(minutes));
    }
    running
}

/// Reads until all but the wrong register is good, which takes seconds and not minutes.
async fn soon_good(running: &mut Running) {
    for _ in 0..200 {
        if good(&running.next().await) == 19 {
            return;
        }
    }
    panic!("still silenced");
}

fn good(samples: &[Sample]) -> usize {
    samples.iter().filter(|sample| sample.quality.is_good()).count()
}

#[tokio::test]
async fn a_passing_refusal_does_not_silence_what_was_good() {
    let programmed = Arc::new(AtomicBool::new(false));
    let mut running = long_wrong(Arc::clone(&programmed)).await;
    programmed.store(true, Ordering::Relaxed);
    running.until(|samples| good(samples) == 0).await;
    programmed.store(false, Ordering::Relaxed);
    soon_good(&mut running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_passing_refusal_while_addresses_are_tried_anew_is_soon_forgotten() {
    let programmed = Arc::new(AtomicBool::new(false));
    let mut running = long_wrong(Arc::clone(&programmed)).await;
    programmed.store(true, Ordering::Relaxed);
    running.put_forward(Duration::from_hours(1));
    running.until(|samples| good(samples) == 0).await;
    // The round that tries them anew is over, and has taught.
    running.next().await;
    programmed.store(false, Ordering::Relaxed);
    running.put_forward(Duration::from_secs(61));
    soon_good(&mut running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_device_that_refuses_long_reads_is_read_in_parts() {
    let profile = words("type = \"u16\"", "input", 0..100);
    let weak = |_, asked: Asked| if asked.count > 30 { Act::Exception(3) } else { Act::Answer };
    let (mut running, _) = run_one(&profile, weak).await;
    let samples = running.next().await;
    assert_eq!(samples.iter().filter(|sample| sample.quality.is_good()).count(), 100);
    running.stop().await;
}

#[tokio::test]
async fn each_refusal_has_its_quality() {
    let profile = words("type = \"u16\"", "input", 0..1);
    for (code, quality) in [
        (1, Quality::BAD_NOT_SUPPORTED),
        (2, Quality::BAD_NODE_ID_UNKNOWN),
        (4, Quality::BAD_DEVICE_FAILURE),
        (6, Quality::BAD_RESOURCE_UNAVAILABLE),
        (11, Quality::BAD_TIMEOUT),
        (77, Quality::BAD_DEVICE_FAILURE),
    ] {
        let (mut running, _) = run_one(&profile, move |_, _| Act::Exception(code)).await;
        let samples = running.next().await;
        assert_eq!((samples.len(), samples[0].quality), (1, quality), "exception {code}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_port_without_devices_waits_for_its_end() {
    let running = Running::start(planned(port_spec("address = \"tcp://127.0.0.1:9\"", &[])));
    running.stop().await;
}

/// What cannot be stored was Bad without a word; a text in another encoding was said to be a fault of the line.
#[tokio::test]
async fn a_value_that_cannot_be_used_is_named_with_its_register() {
    let check = async |options: &str, key: &str, expected: &str| {
        let profile = words(options, "holding", [40]) + key;
        // Its first byte begins no text, and eight bytes from it on are more than is stored.
        let (mut running, _) = run_one(&profile, |_, _| Act::Answer).await;
        let samples = running.next().await;
        assert!(samples.iter().all(|sample| sample.quality.is_bad()), "{samples:?}");
        let (_, told) = running.heard.parts.lock().unwrap()[0].clone();
        let told = told.expect("it is named");
        assert_eq!(told.code, "GW-M205");
        assert!(told.message.contains(expected), "{}", told.message);
        running.stop().await;
    };
    let at = |register: u16| super::peer::register(3, 3, register);
    assert!(at(40) >= 0x8000 && at(40) >> 8 != 0xFF, "{:04X}", at(40));
    let wide = (40..44).fold(0_u64, |bits, register| bits << 16 | u64::from(at(register)));
    let expected = format!("dev: holding register 40 (u64) holds {wide}, outside of");
    check("type = \"u64\"", "", &expected).await;
    let [high, low] = at(40).to_be_bytes();
    let expected = format!("holds no UTF-8 text: it begins with the bytes {high:02X} {low:02X}");
    check("type = \"text\"", "length = 1\n", &expected).await;
}
