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
        assert_eq!(sample.value, Some(Value::Decimal(i64::from(register(3, 1, at) & 1))), "{at}");
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
                assert_eq!((sample.quality, sample.value), (Quality::BAD_NODE_ID_UNKNOWN, None));
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

#[tokio::test]
async fn a_refusal_that_was_a_passing_fault_is_forgotten() {
    let profile = words("type = \"u16\"", "input", 0..4);
    let noisy = |n: usize, _| if n < 8 { Act::Exception(2) } else { Act::Answer };
    let (mut running, _) = run_one(&profile, noisy).await;
    let samples = running.next().await;
    assert!(samples.iter().all(|sample| sample.quality == Quality::BAD_NODE_ID_UNKNOWN));
    running.skip(Duration::from_secs(61));
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
        running.skip(Duration::from_mins(minutes));
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
    running.skip(Duration::from_hours(1));
    running.until(|samples| good(samples) == 0).await;
    // The round that tries them anew is over, and has taught.
    running.next().await;
    programmed.store(false, Ordering::Relaxed);
    running.skip(Duration::from_secs(61));
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
