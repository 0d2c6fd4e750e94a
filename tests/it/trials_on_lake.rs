//! Trials 02, 03 and 17 on a real lake, through commits and merges, and the program: what a register did within a slot
//! counts, and readings that are not used are named. Must never use the store in memory: other tests do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::conformance::plant::Plant as Source;
use lake::{Lake, LakeOptions};
use model::dictionary::{DisplayName, Place};
use model::{
    Dictionary, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind, Quality, Sample,
    Timestamp, Unit, Value, ValueType,
};
use tests::ours::figures::{Figures, row};

/// The day of the trials, in the plant's time zone.
const DAY: &str = "2026-11-20";
/// An hour before it in Shanghai, as the trials' servers begin.
const FIRST: Timestamp = Timestamp(1_795_100_400_000_000);
const HOURS: i64 = 26;
const SECOND: i64 = 1_000_000;
/// More than two merges take, so that the figures are computed over merged files and over single ones.
const COMMITS: usize = 40;
const UNCERTAIN_SUB_NORMAL: Quality = Quality(0x4095_0000);

/// A register: name, exponent, modulus, seconds between two readings, quality, and its digits.
struct Register {
    name: &'static str,
    exponent: i8,
    modulus: Option<&'static str>,
    every_s: i64,
    quality: Quality,
    digits: fn(i64) -> i64,
}

const fn register(name: &'static str, every_s: i64, digits: fn(i64) -> i64) -> Register {
    Register { name, exponent: 0, modulus: None, every_s, quality: Quality::GOOD, digits }
}

const fn wrapping(name: &'static str, digits: fn(i64) -> i64) -> Register {
    Register { modulus: Some("65536"), ..register(name, 10, digits) }
}

/// 1 kWh an hour; at 10:20 it goes on from a reading that is so many thousandths lower.
fn lost(minute: i64, thousandths: i64) -> i64 {
    let cut = 60 + 10 * 60 + 20;
    1_000_000 + minute * 1_000 / 60 - if minute >= cut { thousandths } else { 0 }
}

/// 1 kWh a minute in hundredths, from the readings of trials fig-03 and fig-14 on; at 10:15 it jumps.
fn jumping(quarter: i64, jump: i64) -> i64 {
    let at = 1 + 10 * 4 + 4;
    80_994_000 + quarter * 1_500 + if quarter >= at { jump } else { 0 }
}

const REGISTERS: [Register; 15] = [
    wrapping("wrap_72k", |i| i * 800 % 65_536),
    wrapping("wrap_63k", |i| i * 700 % 65_536),
    wrapping("wrap_20k", |i| i * 222 % 65_536),
    wrapping("wrap_4k", |i| i * 50 % 65_536),
    // A home meter that counts in 23 bits: it goes through its modulus five times in a slot.
    Register { modulus: Some("8388608"), ..register("wrap_home", 10, |i| i * 500_000 % 8_388_608) },
    register("batch", 10, |i| i % 45),
    Register { exponent: -3, ..register("lost_03", 60, |i| lost(i, 300)) },
    Register { exponent: -3, ..register("lost_04", 60, |i| lost(i, 400)) },
    Register { exponent: -3, ..register("lost_06", 60, |i| lost(i, 600)) },
    Register { exponent: -3, ..register("lost_2", 60, |i| lost(i, 2_000)) },
    Register { quality: UNCERTAIN_SUB_NORMAL, ..register("uncertain", 30, |i| i) },
    Register { exponent: -2, ..register("fig_03", 900, |i| jumping(i, 0)) },
    Register { exponent: -2, ..register("fig_14", 900, |i| jumping(i, 80_000_000)) },
    Register { exponent: -2, ..register("fig_14_word", 900, |i| jumping(i, 6_553_600)) },
    Register { exponent: -2, ..register("fig_14_small", 900, |i| jumping(i, 100_000)) },
];

fn point(register: &Register) -> PointInfo {
    PointInfo {
        id: PointId::new(format!("acme/nb-1/m/{}", register.name)).unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "m".into(),
        metric: register.name.into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: register.exponent },
        modulus: register.modulus.map(|modulus| modulus.parse().unwrap()),
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    }
}

/// All readings in the order of their time.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (index, register) in (0..).zip(&REGISTERS) {
        samples.extend((0..HOURS * 3_600 / register.every_s).map(|at| {
            let time = Timestamp(FIRST.0 + at * register.every_s * SECOND);
            let value = Value::Decimal((register.digits)(at));
            Sample::new(PointIndex(index), time, time, register.quality, value)
        }));
    }
    samples.sort_by_key(|sample| sample.source_time);
    samples
}

/// A lake that got these readings in many commits, maintained as a centre does.
async fn write_lake(folder: &Path) -> PathBuf {
    let dir = folder.join("lake");
    let dictionary = Arc::new(Dictionary::new(REGISTERS.iter().map(point).collect()).unwrap());
    let source = Source {
        gateway: GatewayId::new("gw-1").unwrap(),
        log_id: LogId([1; 16]),
        dictionary: Arc::clone(&dictionary),
    };
    let options = LakeOptions::new(nengliu_gateway::host().clock);
    let mut lake = Lake::open(&dir, options).await.unwrap();
    lake.put_dictionary(&dictionary).await.unwrap();
    let samples = samples();
    let chunks = samples.chunks(samples.len().div_ceil(COMMITS));
    for (sequence, chunk) in (1..).zip(chunks) {
        let draft = source.draft(sequence - 1, vec![source.frame_of(sequence, chunk.to_vec())]);
        lake.commit(draft).await.unwrap();
        lake.maintain().await.unwrap();
    }
    lake.close().await;
    let log = fs::read_dir(dir.join("_delta_log")).unwrap();
    let entries = log.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    let merges = entries.filter(|text| text.contains("\"remove\"")).count();
    assert!(merges >= 1, "files were merged");
    dir
}

/// The plant file of the trials: one register is all that the enterprise buys.
fn plant(folder: &Path, register: &str, more: &str) -> PathBuf {
    let path = folder.join(format!("plant_{register}.toml"));
    let text = format!(
        "[plant]\nname = \"one register\"\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
         rule_set = \"GB/T 2589\"\nedition = \"2020\"\n\n\
         [[energy_kind]]\nid = \"electricity\"\nname = \"electricity\"\nunit = \"kWh\"\n\n\
         [[meter]]\nid = \"m\"\npoint = \"acme/nb-1/m/{register}\"\nenergy_kind = \"electricity\"\n\
         role = \"incoming\"\nunit = \"kWh\"\n{more}"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn trials_02_03_and_17_have_their_right_figures_on_a_lake_that_was_merged() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lake = runtime.block_on(write_lake(folder.path()));
    let check = |register: &str, more: &str, expected: Option<&str>, complete: bool| {
        let plant = plant(folder.path(), register, more);
        let figures = Figures { plant: &plant, lake: Some(&lake) };
        let found = figures.electricity(DAY).unwrap();
        assert_eq!(found.energy.as_deref(), expected, "{register}: {found:?}");
        assert_eq!(found.complete, complete, "{register}: {found:?}");
    };
    check("wrap_72k", "", Some("6912000"), true);
    check("wrap_63k", "", Some("6048000"), true);
    check("wrap_20k", "", Some("1918080"), true);
    check("wrap_4k", "", Some("432000"), true);
    check("wrap_home", "", Some("4320000000"), true);
    // Without a modulus nobody knows what was between 44 and 0; what rose is known.
    check("batch", "", Some("8448"), false);
    // The fall is an open gap: the register climbs on from there and does not return.
    for lost in ["lost_03", "lost_04", "lost_06", "lost_2"] {
        check(lost, "", Some("23.983"), false);
    }

    let path = plant(folder.path(), "uncertain", "");
    let figures = Figures { plant: &path, lake: Some(&lake) };
    let told = format!("2880 readings are {UNCERTAIN_SUB_NORMAL} and were not used");
    let table = figures.kpi("table1", DAY, "equivalent").unwrap();
    let json: serde_json::Value = serde_json::from_str(&table.output).unwrap();
    let quantity = &row(&json, "electricity").unwrap()["quantity"];
    assert!(quantity["value"].is_null(), "{quantity:#}");
    assert!(quantity.to_string().contains(&told), "{quantity:#}");
    let explained = figures.explain(&format!("table1/{DAY}/electricity/quantity")).unwrap();
    assert!(explained.to_string().contains(&told), "{explained:#}");
    check("uncertain", "accept_uncertain = true\n", Some("2880"), true);
}

/// Trials fig-03 and fig-14 with relatives, through the program: what a person typed at another meter, and a register that
/// jumps.
#[test]
fn trials_fig_03_and_fig_14_have_their_right_figures() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lake = runtime.block_on(write_lake(folder.path()));
    let check = |register: &str, more: &str, expected: (&str, bool), told: &[&str]| {
        let plant = plant(folder.path(), register, more);
        let figures = Figures { plant: &plant, lake: Some(&lake) };
        let found = figures.electricity(DAY).unwrap();
        assert_eq!(
            (found.energy.as_deref().unwrap(), found.complete),
            expected,
            "{register} {more}"
        );
        let name = format!("table1/{DAY}/electricity/quantity");
        let explained = figures.explain(&name).unwrap().to_string();
        for words in told {
            assert!(explained.contains(words), "no `{words}` in {explained}");
        }
    };
    let event = |at: &str, old: &str, new: &str| {
        format!(
            "[[meter.replacement]]\nat = {DAY}T{at}+08:00\nold_final = {old}\nnew_initial = {new}\n"
        )
    };
    let not_applied =
        ["not_applied", "the register goes on without it, from 810600 at 2026-11-20 10:00"];
    check("fig_03", &event("10:07:00", "912345.00", "12.00"), ("1440", true), &not_applied);
    check("fig_03", &event("10:07:00", "4711", "12.00"), ("1440", true), &["not_applied"]);
    check("fig_03", &event("23:50:00", "912345.00", "700000"), ("1440", true), &["not_applied"]);
    let bound =
        ["\"per_hour\":\"1200\"", "own_rates", "implausible", "810600", "rise_per_hour_max"];
    for jump in ["fig_14", "fig_14_word", "fig_14_small"] {
        check(jump, "", ("1425", false), &bound);
    }
    let stated = ("801440", true);
    check("fig_14", "rise_per_hour_max = 4000000\n", stated, &["stated"]);
    let strike = "[[strike]]\nmeter = \"m\"\nfrom = 2026-11-20T10:15:00\nto = 2026-11-22T00:00:00\nreason = \"spare meter\"\n";
    check("fig_14", strike, ("600", false), &["spare meter", "\"readings\":59"]);
}
