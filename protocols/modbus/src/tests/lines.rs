//! Lines with RTU frames that are noisy, late or used by others: noise costs replies and not the line, and no reply is taken
//! for another.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use model::{Sample, Value};
use tokio::task::JoinSet;

use super::peer::{Act, Asked, crc, register, rtu};
use super::reads::words;
use super::support::{Running, TestDevice, planned, port_spec, terminal_pair};

const POLL: Duration = Duration::from_millis(20);
/// Registers of blocks of one shape.
const STARTS: [u16; 3] = [0, 100, 200];
const BLOCK: u16 = 5;

fn registers() -> Vec<u16> {
    STARTS.into_iter().flat_map(|start| start..start + BLOCK).collect()
}

fn start(path: &str, timeout: &str) -> Running {
    let profile = words("type = \"u16\"", "holding", registers());
    let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    let keys = format!("path = \"{path}\"\nbaud = 115200\ntimeout = \"{timeout}\"");
    Running::start(planned(port_spec(&keys, &[device])))
}

/// How many values came; each is right.
fn good(samples: &[Sample]) -> usize {
    let registers = registers();
    assert_eq!(samples.len(), registers.len());
    let right = |sample: &&Sample| {
        let expected = i64::from(register(1, 3, registers[sample.point.0 as usize]));
        let value = sample.value.as_ref();
        assert!(value.is_none_or(|v| *v == Value::Decimal(expected)), "a wrong value: {sample:?}");
        value.is_some()
    };
    samples.iter().filter(right).count()
}

/// Sends `bytes` on a line at every `every`, as long as the line is there.
fn chatter(far_end: &std::fs::File, bytes: Vec<u8>, every: Duration) {
    let mut line = far_end.try_clone().unwrap();
    std::thread::spawn(move || {
        while line.write_all(&bytes).is_ok() {
            std::thread::sleep(every);
        }
    });
}

/// rtu2, rtu3: such a line "cannot be opened: timed out".
#[tokio::test]
async fn a_line_that_is_never_silent_is_read() {
    let mut of_another_master = vec![7, 3, 20];
    of_another_master.extend([0x11; 20]);
    of_another_master.extend(crc(&of_another_master));
    for bytes in [of_another_master, vec![0x55], vec![1, 3]] {
        let (path, far_end, _slave) = terminal_pair();
        chatter(&far_end, bytes.clone(), Duration::from_millis(60));
        rtu(far_end, Arc::new(|_, _| Act::Answer));
        let mut running = start(&path, "200ms");
        for _ in 0..3 {
            running.until(|samples| good(samples) == registers().len()).await;
        }
        assert!(!running.heard.codes_of("meter").contains(&"GW-M104"), "{bytes:?}");
        running.stop().await;
    }
}

/// Another master asks the same unit for as many registers, seldom or often: its replies are no values of ours.
#[tokio::test]
async fn a_reply_to_another_master_never_becomes_a_value() {
    async fn trial(every: Duration) {
        let mut foreign = vec![1, 3, 2 * u8::try_from(BLOCK).unwrap()];
        foreign.extend([0x11; 2 * BLOCK as usize]);
        foreign.extend(crc(&foreign));
        let (path, far_end, _slave) = terminal_pair();
        chatter(&far_end, foreign, every);
        rtu(far_end, Arc::new(|_, _| Act::Answer));
        let mut running = start(&path, "200ms");
        let mut values = 0;
        for _ in 0..60 {
            values += good(&running.next().await);
        }
        println!("{values} of {} values", 60 * registers().len());
        assert!(values > 10 * registers().len(), "{values}");
        running.stop().await;
    }
    let mut trials = JoinSet::new();
    // The last one is heard again only when its reply is no longer expected.
    for every_ms in [60, 300, 900] {
        trials.spawn(trial(Duration::from_millis(every_ms)));
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// A second client of a serial server: its reply came between a request and ours, which was taken for the next one of its
/// shape, and so on. So with an exception.
#[tokio::test]
async fn a_reply_to_another_master_inside_an_exchange_never_becomes_a_value() {
    async fn trial(overheard: Act, starts: &'static [u16], block: u16, every: usize) {
        let script = move |n: usize, _: Asked| {
            if n % every == every - 2 { overheard } else { Act::Late(THINKS_MS) }
        };
        let (path, far_end, _slave) = terminal_pair();
        rtu(far_end, Arc::new(script));
        let registers: Vec<u16> = starts.iter().flat_map(|start| *start..*start + block).collect();
        let profile = words("type = \"u16\"", "holding", registers.iter().copied());
        let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
        let keys = format!("path = \"{path}\"\nbaud = 115200\ntimeout = \"250ms\"");
        let mut running = Running::start(planned(port_spec(&keys, &[device])));
        let mut values = 0;
        for _ in 0..30 {
            let samples = running.next().await;
            if samples.iter().all(|sample| sample.value.is_none()) {
                // What cannot be told apart is not asked for until no other master's reply is expected.
                running.put_forward(Duration::from_secs(1));
            }
            for sample in samples {
                let expected = register(1, 3, registers[sample.point.0 as usize]);
                if let Some(value) = sample.value {
                    let expected = Value::Decimal(i64::from(expected));
                    assert_eq!(value, expected, "{overheard:?} {starts:?}: a wrong value");
                    values += 1;
                }
            }
        }
        println!("{overheard:?} {starts:?}: {values} of {} values", 30 * registers.len());
        assert!(values > 5 * registers.len(), "{overheard:?} {starts:?}: {values}");
        let told = running.heard.partly_codes_of("meter");
        assert!(told.contains(&Some("GW-M108")), "{overheard:?} {starts:?}: {told:?}");
        assert_eq!(running.heard.codes_of("meter"), [""; 0], "{overheard:?} {starts:?}");
        running.stop().await;
    }
    const THINKS_MS: u64 = 15;
    let mut trials = JoinSet::new();
    for overheard in [
        Act::Overheard(0, THINKS_MS),
        Act::OverheardException(THINKS_MS),
        // Not as many registers: it did end the exchange.
        Act::Overheard(3, THINKS_MS),
    ] {
        for every in [7, 8, 9] {
            trials.spawn(trial(overheard, &STARTS, BLOCK, every));
        }
        // These cannot be asked for in two pieces.
        trials.spawn(trial(overheard, &[0, 100], 1, 13));
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// rtu5: a reply that overtook others was taken for that of a later request of the same length.
#[tokio::test]
async fn a_late_reply_that_comes_out_of_order_never_becomes_a_value() {
    let script = |n: usize, asked: Asked| {
        if n % 9 == 8 && asked.count == BLOCK { Act::LateAlone(230) } else { Act::Answer }
    };
    let (path, far_end, _slave) = terminal_pair();
    rtu(far_end, Arc::new(script));
    let mut running = start(&path, "100ms");
    let mut values = 0;
    for _ in 0..40 {
        values += good(&running.next().await);
    }
    println!("{values} of {} values", 40 * registers().len());
    assert!(values > 13 * registers().len(), "{values}");
    running.stop().await;
}

/// A value of one point cannot be asked for in two pieces: until the late reply is past it has none.
#[tokio::test]
async fn a_late_reply_never_becomes_the_value_of_a_single_point() {
    let script = |n: usize, asked: Asked| match asked.start {
        0 if n % 5 == 4 => Act::LateAlone(230),
        _ => Act::Answer,
    };
    let (path, far_end, _slave) = terminal_pair();
    rtu(far_end, Arc::new(script));
    let profile = words("type = \"u16\"", "holding", [0, 100]);
    let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    let keys = format!("path = \"{path}\"\nbaud = 115200\ntimeout = \"100ms\"");
    let mut running = Running::start(planned(port_spec(&keys, &[device])));
    let mut values = 0;
    for _ in 0..60 {
        for sample in running.next().await {
            let expected = register(1, 3, [0, 100][sample.point.0 as usize]);
            if let Some(value) = sample.value {
                assert_eq!(value, Value::Decimal(i64::from(expected)), "a wrong value");
                values += 1;
            }
        }
    }
    println!("{values} of 120 values");
    assert!(values > 10, "{values}");
    running.stop().await;
}

/// slate3: ids, baud rate, A and B were suspected of a device that was only slow.
#[tokio::test]
async fn a_device_that_answers_too_late_is_told_as_that() {
    let (path, far_end, _slave) = terminal_pair();
    rtu(far_end, Arc::new(|_, _| Act::LateAlone(150)));
    let mut running = start(&path, "100ms");
    for _ in 0..20 {
        if running.heard.codes_of("meter").contains(&"GW-M107") {
            break;
        }
        assert_eq!(good(&running.next().await), 0);
        running.put_forward(Duration::from_secs(1));
    }
    let faults = running.heard.faults.lock().unwrap().clone();
    let told = faults.iter().find(|(_, fault)| fault.code == "GW-M107").expect("it is named");
    assert!(told.1.message.contains("Set `timeout = \"1s\"` at the port"), "{told:?}");
    running.stop().await;
}
