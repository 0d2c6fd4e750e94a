//! Gateway, centre and broker die by `kill -9` at random moments, and not a reading is lost or doubled. Must never count a
//! death that could not have cost anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter::{self, NODE, Reading};
use tests::ours::query;
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::opcua::{LiveClock, LiveNode, OpcUaPlant};
use tests::skip::long_runs;
use tests::steel::{READINGS, SteelYear, kwh};
use tests::wait::wait_until;

use crate::steel_year::{check_samples, check_year_and_months, plain};

/// Longest wait for a frame without a commit ack.
const FRAME_WITHIN: Duration = Duration::from_secs(30);
/// Longest time from the last death to the last commit ack.
const END_WITHIN: Duration = Duration::from_mins(15);

/// Who can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Victim {
    Gateway,
    Centre,
    Broker,
}

/// The processes of a line and their fate.
struct Line {
    gateway: Gateway,
    centre: Centre,
    /// `None` when the broker is the centre's own and dies with it.
    broker: Option<Mosquitto>,
    chance: StdRng,
    /// Deaths with frames that lacked a commit ack.
    deaths: BTreeMap<Victim, u32>,
}

impl Line {
    fn new(gateway: Gateway, centre: Centre, broker: Option<Mosquitto>) -> Self {
        let given = std::env::var("NENGLIU_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or_else(rand::random);
        eprintln!("seed {seed} (NENGLIU_SEED={seed} chooses the same victims and moments again)");
        let chance = StdRng::seed_from_u64(seed);
        Self { gateway, centre, broker, chance, deaths: BTreeMap::new() }
    }

    /// Lets one of these die, where each still lacks deaths to come to `each`; false when none does, or when all is read up to
    /// `end`.
    fn kill_one_of(&mut self, victims: &[Victim], each: u32, end: i64) -> bool {
        let lacks = |victim: &&Victim| self.deaths.get(victim).is_none_or(|count| *count < each);
        let lacking: Vec<Victim> = victims.iter().filter(lacks).copied().collect();
        if lacking.is_empty() {
            return false;
        }
        let victim = lacking[self.chance.random_range(0..lacking.len())];
        // The moment is chance, and then the next one at which a frame lacks its commit ack.
        let moment =
            Duration::from_millis(self.chance.random_range(0..if long_runs() { 300 } else { 900 }));
        std::thread::sleep(moment);
        let Some(before) = self.waiting(end) else { return false };
        match victim {
            Victim::Gateway => self.gateway.kill().unwrap(),
            Victim::Centre => self.centre.kill().unwrap(),
            Victim::Broker => self.broker.as_mut().unwrap().kill().unwrap(),
        }
        // Frames that were durable before the death and still lack their ack lacked it then.
        let counts = victim == Victim::Gateway
            || number(&self.gateway.status().unwrap(), "acked") < number(&before, "durable");
        *self.deaths.entry(victim).or_default() += u32::from(counts);
        std::thread::sleep(Duration::from_millis(self.chance.random_range(0..300)));
        match victim {
            Victim::Gateway => self.gateway.start_again().unwrap(),
            Victim::Centre => self.centre.start_again().unwrap(),
            Victim::Broker => self.broker.as_mut().unwrap().restart().unwrap(),
        }
        true
    }

    /// A status with frames that lack a commit ack, once the gateway has read something since its last start; none when all is
    /// read up to `end`.
    fn waiting(&mut self, end: i64) -> Option<Value> {
        let what = "a frame without a commit ack, or the end of reading back";
        let waits = |status: &Value| {
            number(status, "samples_appended") > 0
                && number(status, "acked") < number(status, "durable")
        };
        let is_read = |status: &Value| mark(status).is_some_and(|mark| mark >= end);
        let either = |status: &Value| waits(status) || is_read(status);
        let status = self.gateway.wait_for_status(what, FRAME_WITHIN, either).unwrap();
        waits(&status).then_some(status)
    }
}

/// Up to where the history of the meter is durable.
fn mark(status: &Value) -> Option<i64> {
    status["points"][0]["history_mark_ms"].as_i64()
}

fn number(status: &Value, key: &str) -> u64 {
    status["spool"][key].as_u64().unwrap()
}

/// The year is read back while everything dies, and is the year.
fn check_steel_year(test: &str, embedded: bool) {
    let Some(year) = SteelYear::load_or_skip(test).unwrap() else { return };
    // Reading back lasts 84 s undisturbed, in long runs 5 min: the line goes on within a second or two of each death, so there must be
    // time for enough of them.
    let (page, page_delay, each) = if long_runs() {
        (50, Duration::from_millis(450), 100..200)
    } else {
        (250, Duration::from_millis(600), 5..12)
    };
    let folder = tempfile::tempdir().unwrap();
    let server = one_meter::opcua_server(folder.path(), year.history(), page_delay).unwrap();
    let (broker, centre, url) = centre_and_broker(folder.path(), embedded);
    let uplink = format!("url = \"{url}\"");
    let reading = Reading { history: true, page };
    let started = Instant::now();
    let gateway = one_meter::opcua_gateway(folder.path(), &server, &uplink, reading).unwrap();
    let mut line = Line::new(gateway, centre, broker);
    let victims: &[Victim] = if embedded {
        &[Victim::Gateway, Victim::Centre]
    } else {
        &[Victim::Gateway, Victim::Centre, Victim::Broker]
    };
    let end = year.readings[READINGS - 1].at.as_millis();
    while line.kill_one_of(victims, each.end, end) {}
    let enough = |victim| line.deaths.get(victim).is_some_and(|count| *count >= each.start);
    assert!(victims.iter().all(enough), "reading back ended after {:?}", line.deaths);
    let killed = started.elapsed();
    let status = line.gateway.wait_for_history(end, END_WITHIN).unwrap();
    let took = started.elapsed();
    eprintln!(
        "{test}: {:?} in {} s, read back and committed after {} s",
        line.deaths,
        killed.as_secs(),
        took.as_secs()
    );
    assert!(took > Duration::from_secs(30), "reading back took {took:?}");
    assert_eq!(status["spool"]["samples_lost"], 0);

    let (plant, lake) = (one_meter::write_plant(folder.path()).unwrap(), line.centre.lake());
    check_samples(&lake, &year.history());
    // A page that a death cut off is read again: the same values, rows of their own.
    let rows = query::all_rows(&lake).unwrap();
    assert!(rows.len() >= READINGS);
    let readings: HashSet<_> = rows.iter().map(|row| (&row.time, &row.value)).collect();
    assert_eq!(readings.len(), READINGS);
    check_year_and_months(&one_meter::figures(&plant, &lake), &year);
}

fn centre_and_broker(folder: &Path, embedded: bool) -> (Option<Mosquitto>, Centre, String) {
    if embedded {
        let tcp_port = free_tcp_port().unwrap();
        let centre = Centre::start(folder, &format!("tcp_port = {tcp_port}")).unwrap();
        (None, centre, format!("mqtt://127.0.0.1:{tcp_port}"))
    } else {
        let broker = Mosquitto::start(folder).unwrap();
        let url = broker.url();
        let centre = one_meter::centre(folder, &url).unwrap();
        (Some(broker), centre, url)
    }
}

#[test]
fn the_steel_year_survives_the_deaths_of_gateway_centre_and_mosquitto() {
    let test = "kills::the_steel_year_survives_the_deaths_of_gateway_centre_and_mosquitto";
    check_steel_year(test, false);
}

#[test]
fn the_steel_year_survives_the_deaths_of_gateway_and_centre_with_the_embedded_broker() {
    let test =
        "kills::the_steel_year_survives_the_deaths_of_gateway_and_centre_with_the_embedded_broker";
    check_steel_year(test, true);
}

/// A quarter hour of the meter passes in this time.
const LIVE_INTERVAL: Duration = Duration::from_millis(30);
const QUARTER_HOUR_MS: i64 = 900_000;
/// 2018-01-01T00:00 in Seoul.
const LIVE_START_MS: i64 = 1_514_732_400_000;
/// Values that are under way between the server and the gateway's disk, at most: two seconds of them.
const UNDER_WAY_MAX: usize = 66;
/// Values before the gateway dies, so that two days of the meter are whole.
const GIVEN_BEFORE: usize = 3 * 96 + UNDER_WAY_MAX + 1;

#[test]
fn live_values_that_were_missed_are_gaps_and_nothing_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let node = LiveNode {
        id: NODE.to_owned(),
        interval: LIVE_INTERVAL,
        start: 100_000,
        step_max: 2_500,
        scale: 0.01,
        seed: 18,
        historize: false,
        clock: Some(LiveClock { start_ms: LIVE_START_MS, step_ms: QUARTER_HOUR_MS }),
    };
    let plant = OpcUaPlant { live: vec![node], ..OpcUaPlant::default() };
    let server = one_meter::serve_opcua(folder.path(), &plant).unwrap();
    let (broker, centre, url) = centre_and_broker(folder.path(), false);
    let uplink = format!("url = \"{url}\"");
    let reading = Reading { history: false, page: 1_000 };
    let gateway = one_meter::opcua_gateway(folder.path(), &server, &uplink, reading).unwrap();
    let mut line = Line::new(gateway, centre, broker);
    let each = if long_runs() { 100 } else { 5 };
    // While broker and centre die, the gateway goes on.
    while line.kill_one_of(&[Victim::Centre, Victim::Broker], each, i64::MAX) {}
    let mut given_before = 0;
    let days = || {
        given_before = server.given(NODE)?.len();
        Ok(given_before >= GIVEN_BEFORE)
    };
    wait_until("three days of the meter", FRAME_WITHIN, days).unwrap();
    while line.kill_one_of(&[Victim::Gateway], each, i64::MAX) {}
    // The subscription lives again: a last value after the last death, then all that is durable is committed.
    let given_after = server.given(NODE).unwrap().len();
    let (last_ms, _) = server.given(NODE).unwrap()[given_after - 1];
    let later = |status: &Value| status["points"][0]["source_time_ms"].as_i64() > Some(last_ms);
    line.gateway.wait_for_status("a value after the last death", FRAME_WITHIN, later).unwrap();
    assert!(line.gateway.terminate().unwrap().success());
    eprintln!("live: {:?}, {given_before} values before the gateway died", line.deaths);

    let lake = line.centre.lake();
    let samples = query::samples(&lake).unwrap();
    let given: HashMap<i64, i64> = server.given(NODE).unwrap().into_iter().collect();
    let mut times = HashSet::new();
    for sample in samples.iter().filter(|sample| sample.quality == "Good") {
        let time = sample.time_ms().unwrap();
        assert!(times.insert(time), "{} is there twice", sample.time);
        assert_eq!(Some(&sample.value), given.get(&time).map(|count| kwh(*count)).as_ref());
    }
    query::all_rows(&lake).unwrap();
    // Nothing is missed before the gateway dies, once it has subscribed; something is missed while it is dead.
    let first = times.iter().min().unwrap();
    let whole = given_before - UNDER_WAY_MAX;
    let time_of = |index: usize| LIVE_START_MS + QUARTER_HOUR_MS * i64::try_from(index).unwrap();
    let missed = |from: i64, to: i64| {
        given.keys().filter(|time| (from..to).contains(*time) && !times.contains(*time)).count()
    };
    assert!(*first < time_of(whole), "subscribed too late: {first}");
    assert_eq!(missed(*first, time_of(whole)), 0);
    assert!(missed(time_of(whole), time_of(given_after)) > 0);
    check_gaps_are_shown(folder.path(), &lake, &given, &times);
}

/// Each day of Table 1 is covered as far as its quarter hours have a reading at both borders.
fn check_gaps_are_shown(
    folder: &Path,
    lake: &Path,
    given: &HashMap<i64, i64>,
    times: &HashSet<i64>,
) {
    let plant = one_meter::write_plant(folder).unwrap();
    let figures = one_meter::figures(&plant, lake);
    let day_ms = 96 * QUARTER_HOUR_MS;
    let (mut whole, mut with_gaps) = (0, 0);
    let last = *times.iter().max().unwrap();
    let days = (last - LIVE_START_MS) / day_ms;
    for day in 0..days.min(31) {
        let from = LIVE_START_MS + day * day_ms;
        let is_read = |slot: i64| times.contains(&(from + slot * QUARTER_HOUR_MS));
        let covered = (0..96).filter(|slot| is_read(*slot) && is_read(slot + 1)).count();
        let found = figures.electricity(&format!("2018-01-{:02}", day + 1)).unwrap();
        let permille = covered * 1_000 / 96;
        let coverage = format!("{}.{}", permille / 10, permille % 10);
        assert_eq!(found.coverage, Some(coverage), "day {}: {found:?}", day + 1);
        whole += usize::from(covered == 96);
        with_gaps += usize::from(covered < 96);
        if is_read(0) && is_read(96) {
            let energy = given[&(from + day_ms)] - given[&from];
            assert_eq!(found.energy, Some(plain(energy)), "day {}: {found:?}", day + 1);
        }
    }
    assert!(whole > 0 && with_gaps > 0, "{whole} whole days, {with_gaps} with gaps");
}
