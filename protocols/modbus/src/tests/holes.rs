//! Devices that do not have all of the registers that are asked for, or give fewer at once, and say so in whatever way: each
//! costs its own point and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Sample, Value};
use tokio::task::JoinSet;

use super::peer::{Act, Asked, Log, register, rtu, tcp};
use super::reads::words;
use super::support::{Running, TestDevice, planned, port_spec, terminal_pair};

const POLL: Duration = Duration::from_millis(20);
/// All that a device may do instead of giving the values, beside exceptions that name the address.
const WAYS: [Act; 7] = [
    Act::Silent,
    Act::HangUp,
    Act::OneRegisterLess,
    Act::Exception(5),
    Act::Exception(6),
    Act::Exception(10),
    Act::Exception(11),
];
/// Registers of three requests.
const STARTS: [u16; 3] = [0, 100, 200];
const BLOCK: u16 = 10;

fn registers() -> Vec<u16> {
    STARTS.into_iter().flat_map(|start| start..start + BLOCK).collect()
}

fn covers(asked: Asked, register: u16) -> bool {
    (asked.start..asked.start + asked.count).contains(&register)
}

/// A device that does `way` where one of `holes` is asked for.
fn without(way: Act, holes: &'static [u16]) -> impl Fn(usize, Asked) -> Act + Send + Sync {
    move |_, asked| {
        if holes.iter().any(|hole| covers(asked, *hole)) { way } else { Act::Answer }
    }
}

async fn read(
    registers: &[u16],
    options: &str,
    script: impl Fn(usize, Asked) -> Act + Send + Sync + 'static,
) -> (Running, Log) {
    read_within("200ms", registers, options, script).await
}

async fn read_within(
    timeout: &str,
    registers: &[u16],
    options: &str,
    script: impl Fn(usize, Asked) -> Act + Send + Sync + 'static,
) -> (Running, Log) {
    let (tcp_port, log) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"{timeout}\"");
    let profile =
        words(&format!("type = \"u16\"\n{options}"), "holding", registers.iter().copied());
    let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
    (Running::start(planned(port_spec(&keys, &[device]))), log)
}

/// The registers without a value; each value is right.
fn bad(registers: &[u16], samples: &[Sample]) -> Vec<u16> {
    assert_eq!(samples.len(), registers.len(), "each point has its sample");
    let mut bad = Vec::new();
    for sample in samples {
        let at = registers[sample.point.0 as usize];
        match &sample.value {
            Some(value) => {
                let expected = Value::Decimal(i64::from(register(1, 3, at)));
                assert_eq!(*value, expected, "a wrong value: {sample:?}");
            }
            None => bad.push(at),
        }
    }
    bad.sort_unstable();
    bad
}

/// Reads until exactly `holes` have no value; rests are put behind.
async fn until_only(running: &mut Running, registers: &[u16], holes: &[u16]) {
    for _ in 0..400 {
        let found = bad(registers, &running.next().await);
        assert!(holes.iter().all(|hole| found.contains(hole)), "{found:?}");
        if found == holes {
            return;
        }
        running.put_forward(Duration::from_secs(1));
    }
    panic!("not found: {holes:?}, heard {:?}", running.heard.parts.lock().unwrap().last());
}

async fn hole_trial(way: Act, options: &'static str, holes: &'static [u16]) {
    let registers = registers();
    // Where each request has its hole nearly all that is asked costs the whole of it.
    let timeout = if way == Act::Silent && holes.len() == 3 { "75ms" } else { "200ms" };
    let script = without(way, holes);
    let (mut running, log) = read_within(timeout, &registers, options, script).await;
    until_only(&mut running, &registers, holes).await;
    for _ in 0..3 {
        assert_eq!(bad(&registers, &running.next().await), holes, "{way:?} {holes:?}");
    }
    let before = log.lock().unwrap().len();
    assert_eq!(bad(&registers, &running.next().await), holes, "{way:?} {holes:?}");
    let requests = log.lock().unwrap().len() - before;
    let most = if options.is_empty() { 8 + 6 * holes.len() } else { 45 };
    assert!(requests <= most, "{way:?} {holes:?}: {requests} requests a poll");
    let told = running.heard.partly_codes_of("meter");
    assert!(matches!(told.last(), Some(Some(code)) if code.starts_with("GW-M")), "{told:?}");
    running.stop().await;
}

/// m6, m2: 31 of 31 or 10 of 31 points were Bad for ever.
#[tokio::test]
async fn a_hole_costs_its_own_point_in_whatever_way_it_is_said() {
    let mut trials = JoinSet::new();
    for way in WAYS {
        for holes in [&[0][..], &[4], &[9], &[105], &[209], &[0, 100, 200], &[104, 105]] {
            trials.spawn(hole_trial(way, "", holes));
        }
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// m8: reading one by one did not help where the first point was the one that is not there.
#[tokio::test]
async fn a_hole_costs_its_own_point_where_each_is_read_by_itself() {
    let mut trials = JoinSet::new();
    for way in WAYS {
        for holes in [&[0][..], &[0, 1, 2], &[100]] {
            trials.spawn(hole_trial(way, "single_reads = true", holes));
        }
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// A line has no transaction ids, and each silence has its probe.
#[tokio::test]
async fn rtu_a_hole_costs_its_own_point() {
    for (way, hole) in [(Act::Silent, 4), (Act::OneRegisterLess, 0)] {
        let (path, far_end, _slave) = terminal_pair();
        let script = move |_: usize, asked| if covers(asked, hole) { way } else { Act::Answer };
        rtu(far_end, Arc::new(script));
        let registers = registers();
        let profile = words("type = \"u16\"", "holding", registers.iter().copied());
        let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
        let keys = format!("path = \"{path}\"\nbaud = 115200\ntimeout = \"100ms\"");
        let mut running = Running::start(planned(port_spec(&keys, &[device])));
        until_only(&mut running, &registers, &[hole]).await;
        running.stop().await;
    }
}

/// A poll group that is read seldom has no other request whose answer would show that the device is there: the whole of it was
/// silent for ever, and the device was blamed. So where it is the group that is read most often.
#[tokio::test]
async fn a_hole_or_a_limit_in_a_group_of_its_own_costs_no_other_point() {
    async fn trial(way: Act, in_seldom: bool, count_max: u16) {
        let often: Vec<u16> = (0..5).collect();
        let seldom: Vec<u16> = (120..140).collect();
        let hole = if in_seldom { 126 } else { 3 };
        let script = move |_, asked: Asked| {
            let fails = if count_max == 0 { covers(asked, hole) } else { asked.count > count_max };
            if fails { way } else { Act::Answer }
        };
        let (tcp_port, _) = tcp(Arc::new(script)).await;
        let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"100ms\"");
        let registers: Vec<u16> = often.iter().chain(&seldom).copied().collect();
        let mut profile = words("type = \"u16\"", "holding", registers.iter().copied());
        for register in &seldom {
            let head = format!("metric = \"r{register}\"");
            profile = profile.replace(&head, &format!("{head}\npoll = \"5s\""));
        }
        let device = TestDevice { id: "meter", keys: "unit = 1", profile: &profile, poll: POLL };
        let mut running = Running::start(planned(port_spec(&keys, &[device])));
        let holes: &[u16] = if count_max == 0 { &[hole] } else { &[] };
        let mut rounds = [0, 0];
        let mut is_well = [false, false];
        while is_well != [true, true] {
            let samples = running.next().await;
            let is_seldom = samples.len() == seldom.len();
            let first = usize::from(!is_seldom);
            rounds[first] += 1;
            let without_value = |sample: &&Sample| sample.value.is_none();
            for sample in samples.iter().filter(|sample| sample.value.is_some()) {
                let expected = register(1, 3, registers[sample.point.0 as usize]);
                assert_eq!(sample.value, Some(Value::Decimal(i64::from(expected))));
            }
            let bad: Vec<u16> = samples
                .iter()
                .filter(without_value)
                .map(|sample| registers[sample.point.0 as usize])
                .collect();
            let group: &[u16] = if is_seldom { &seldom } else { &often };
            let expected: Vec<u16> =
                holes.iter().copied().filter(|hole| group.contains(hole)).collect();
            is_well[first] = bad == expected;
            assert!(rounds[0] < 12, "{way:?} {in_seldom} {count_max}: {rounds:?} {bad:?}");
            running.put_forward(Duration::from_secs(1));
        }
        let blamed = running.heard.codes_of("meter");
        // One that gives one register at once answers nothing at all until that is found.
        assert!(blamed.is_empty() || count_max == 1, "{way:?} {in_seldom} {count_max}: {blamed:?}");
        println!("{way:?} {in_seldom} {count_max}: {rounds:?} rounds");
        running.stop().await;
    }
    let mut trials = JoinSet::new();
    for way in WAYS {
        trials.spawn(trial(way, true, 0));
        trials.spawn(trial(way, false, 0));
        trials.spawn(trial(way, true, 10));
    }
    trials.spawn(trial(Act::OneRegisterLess, true, 1));
    trials.spawn(trial(Act::Exception(11), true, 1));
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// m2, m3, m5: a limit that is told by silence and its like took all points for ever.
#[tokio::test]
async fn a_limit_on_the_length_costs_no_point_in_whatever_way_it_is_said() {
    async fn trial(way: Act, count_max: u16) {
        let registers: Vec<u16> = (0..60).collect();
        let script = move |_, asked: Asked| if asked.count > count_max { way } else { Act::Answer };
        let (mut running, log) = read(&registers, "", script).await;
        until_only(&mut running, &registers, &[]).await;
        let before = log.lock().unwrap().len();
        for _ in 0..3 {
            assert_eq!(bad(&registers, &running.next().await), [0; 0], "remembered: {way:?}");
        }
        let asked = log.lock().unwrap().len() - before;
        let most = 2 * usize::from(60 * 3 / count_max) + 12;
        assert!(asked <= most, "{way:?}: {asked} requests for a limit of {count_max}");
        running.stop().await;
    }
    let mut trials = JoinSet::new();
    for way in WAYS {
        for count_max in [1, 4, 16] {
            trials.spawn(trial(way, count_max));
        }
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// A device that is busy now and then, or loses replies, has no holes: no point stays away.
#[tokio::test]
async fn what_fails_now_and_then_is_no_hole() {
    async fn trial(way: Act) {
        let registers = registers();
        let well = Arc::new(AtomicBool::new(false));
        let is_well = Arc::clone(&well);
        let script = move |n: usize, _: Asked| {
            let fails = (n.wrapping_mul(2_654_435_761) >> 7) % 10 < 4;
            if fails && !is_well.load(Ordering::Relaxed) { way } else { Act::Answer }
        };
        let (mut running, log) = read(&registers, "", script).await;
        for _ in 0..30 {
            bad(&registers, &running.next().await);
            running.put_forward(Duration::from_secs(1));
        }
        well.store(true, Ordering::Relaxed);
        until_only(&mut running, &registers, &[]).await;
        // What was divided meanwhile is put together again.
        running.put_forward(Duration::from_hours(2));
        running.until(|samples| bad(&registers, samples).is_empty()).await;
        running.next().await;
        let before = log.lock().unwrap().len();
        assert_eq!(bad(&registers, &running.next().await), [0; 0]);
        let requests = log.lock().unwrap().len() - before;
        assert!(requests <= 2 * STARTS.len(), "{way:?}: {requests} requests");
        running.stop().await;
    }
    let mut trials = JoinSet::new();
    for way in [Act::Exception(6), Act::Exception(5), Act::Exception(11), Act::OneRegisterLess] {
        trials.spawn(trial(way));
    }
    while let Some(done) = trials.join_next().await {
        done.unwrap();
    }
}

/// A busy device is asked again at once, and all of it comes back with the first answer.
#[tokio::test]
async fn a_device_that_was_busy_for_long_comes_back_at_once() {
    let registers = registers();
    let busy = Arc::new(AtomicBool::new(true));
    let is_busy = Arc::clone(&busy);
    let script =
        move |_, _| if is_busy.load(Ordering::Relaxed) { Act::Exception(6) } else { Act::Answer };
    let (mut running, log) = read(&registers, "", script).await;
    for _ in 0..40 {
        assert_eq!(bad(&registers, &running.next().await), registers);
    }
    let asked = log.lock().unwrap().len();
    assert!(asked <= 3 * 40, "{asked} requests in 40 polls");
    busy.store(false, Ordering::Relaxed);
    running.next().await;
    assert_eq!(bad(&registers, &running.next().await), [0; 0], "no clock was put forward");
    running.stop().await;
}

/// Busy now and then is busy for one request, not for the round.
#[tokio::test]
async fn a_device_that_is_often_busy_costs_what_it_refuses() {
    let registers = registers();
    // About a third of all requests, by no rhythm of the rounds.
    let script = |n: usize, _: Asked| {
        if (n * 7 + n / 3) % 10 < 3 { Act::Exception(6) } else { Act::Answer }
    };
    let (mut running, _) = read(&registers, "", script).await;
    let mut values = 0;
    for _ in 0..60 {
        values += registers.len() - bad(&registers, &running.next().await).len();
    }
    println!("{values} of {} values", 60 * registers.len());
    assert!(values * 10 > 60 * registers.len() * 6, "{values}");
    running.stop().await;
}

/// A module that is plugged in later, where its registers were silence.
#[tokio::test]
async fn a_silent_register_that_appears_later_is_found_and_read_with_its_neighbours() {
    let registers = registers();
    let there = Arc::new(AtomicBool::new(false));
    let is_there = Arc::clone(&there);
    let script = move |_, asked| {
        let silent = covers(asked, 104) && !is_there.load(Ordering::Relaxed);
        if silent { Act::Silent } else { Act::Answer }
    };
    let (mut running, log) = read(&registers, "", script).await;
    until_only(&mut running, &registers, &[104]).await;
    there.store(true, Ordering::Relaxed);
    running.put_forward(Duration::from_hours(1));
    running.until(|samples| bad(&registers, samples).is_empty()).await;
    running.put_forward(Duration::from_hours(1));
    running.next().await;
    running.next().await;
    let before = log.lock().unwrap().len();
    running.next().await;
    let requests = log.lock().unwrap().len() - before;
    assert!(requests <= 2 * STARTS.len(), "one request a block again: {requests}");
    running.stop().await;
}

/// What a known hole costs: one request without an answer now and then.
#[tokio::test]
async fn a_hole_that_is_known_is_seldom_asked_for() {
    let registers = registers();
    let (mut running, log) = read(&registers, "", without(Act::Silent, &[4])).await;
    until_only(&mut running, &registers, &[4]).await;
    running.put_forward(Duration::from_secs(2));
    for _ in 0..3 {
        running.next().await;
        running.put_forward(Duration::from_secs(5));
    }
    let of_hole = || log.lock().unwrap().iter().filter(|asked| covers(**asked, 4)).count();
    let before = of_hole();
    for _ in 0..50 {
        assert_eq!(bad(&registers, &running.next().await), [4]);
    }
    assert!(of_hole() - before <= 3, "{} requests in 50 polls", of_hole() - before);
    running.stop().await;
}

/// Whoever answers well is asked nothing more than before: one request a block and poll.
#[tokio::test]
async fn a_device_that_answers_well_costs_one_request_a_block() {
    let registers = registers();
    let (mut running, log) = read(&registers, "", |_, _| Act::Answer).await;
    for _ in 0..20 {
        assert_eq!(bad(&registers, &running.next().await), [0; 0]);
    }
    running.stop().await;
    let asked = log.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.count == BLOCK));
    let starts: Vec<u16> = asked.iter().take(60).map(|asked| asked.start).collect();
    assert_eq!(starts, STARTS.repeat(20));
}

/// "Off, or A and B are swapped" was said of a device with 21 good points.
#[tokio::test]
async fn what_a_device_lacks_is_told_as_that() {
    for (way, expected) in [
        (
            Act::Exception(11),
            "exception 11, gateway target device failed to respond; it answers other",
        ),
        (Act::Silent, "for holding 100..=109; it answers other requests"),
        (
            Act::OneRegisterLess,
            "expected 10 values, found 9 for holding 100..=109; it was not used",
        ),
        (Act::HangUp, "the other side closed it when it was asked for holding 100..=109"),
    ] {
        let registers = registers();
        let (mut running, _) = read(&registers, "", without(way, &[105])).await;
        running.next().await;
        running.next().await;
        let told = running.heard.parts.lock().unwrap().clone();
        let messages = told.iter().filter_map(|(_, fault)| fault.as_ref());
        let messages: Vec<&str> = messages.map(|fault| &*fault.message).collect();
        assert!(messages.iter().any(|message| message.contains(expected)), "{messages:?}");
        assert!(messages.iter().all(|message| !message.contains("swapped")), "{messages:?}");
        assert_eq!(running.heard.codes_of("meter"), [""; 0], "it answers");
        running.stop().await;
    }
}
