//! What people type and what registers do, through the whole reading of a store: events that the readings contradict, jumps,
//! strikes, and meters that were never read (trials fig-03 and fig-14, first use O1b and O13).

use super::*;
use crate::plant::{PlantFiles, PlantHash};

/// Kilowatt-hours a quarter of an hour, in the store's hundredths.
const QUARTER: i64 = 1_500;
const DAY: &str = "2018-01-02";

/// 1 kWh a minute over four days, with what `shown` makes of each reading (quarter, hundredths).
fn store(shown: impl Fn(i64, i64) -> i64) -> MemoryStore {
    let rows = (0..4 * 96).map(|quarter| {
        let time = YEAR_START.0 + quarter * SLOT_US;
        (time, Some(shown(quarter, 81_000_000 + quarter * QUARTER)))
    });
    store_of(&[rows.collect()])
}

fn found(store: &MemoryStore, more: &str) -> (String, bool) {
    let figure = figure(store, &plant(&format!("{PLANT}{more}")), DAY);
    (figure.exact().unwrap().to_string(), figure.complete)
}

fn replacement(at: &str) -> String {
    format!("[[meter.replacement]]\nat = {at}+09:00\nold_final = 912345.00\nnew_initial = 12.00\n")
}

/// 913 773 kWh were metered, complete.
#[test]
fn fig_03_an_event_of_another_meter_is_no_energy() {
    let store = store(|_, register| register);
    for at in ["2018-01-02T10:07:00", "2018-01-02T10:00:00", "2018-01-01T03:00:00"] {
        assert_eq!(found(&store, &replacement(at)), ("1440".to_owned(), true), "{at}");
    }
}

/// 801 440 kWh were metered, complete.
#[test]
fn fig_14_a_jump_is_no_energy() {
    let jump = |size: i64| store(move |at, register| register + if at >= 137 { size } else { 0 });
    for size in [80_000_000, 6_553_600, 100_000] {
        assert_eq!(found(&jump(size), ""), ("1425".to_owned(), false), "{size}");
    }
    // What is possible in a quarter of an hour is energy.
    assert_eq!(found(&jump(20_000), ""), ("1640".to_owned(), true));
}

/// A wrong word order for some minutes: 3 021 188 kWh were metered.
#[test]
fn o1b_a_commissioning_hour_is_no_energy() {
    for wild in [[-214_957_810, -283_770_610], [4_666_163_480, 4_731_699_480], [0, 0]] {
        let first = store(move |at, register| match at {
            96 | 97 => wild[usize::from(at == 97)],
            _ => register,
        });
        assert_eq!(found(&first, ""), ("1440".to_owned(), true), "{wild:?}");
        let rows = (96..4 * 96).map(|quarter| {
            let register = 81_000_000 + quarter * QUARTER;
            let shown = if quarter < 98 { wild[usize::from(quarter == 97)] } else { register };
            (YEAR_START.0 + quarter * SLOT_US, Some(shown))
        });
        let (energy, complete) = found(&store_of(&[rows.collect()]), "");
        assert_eq!((energy.as_str(), complete), ("1410", false), "{wild:?}");
    }
}

#[test]
fn what_is_struck_out_is_no_energy_and_comes_back_when_the_section_is_deleted() {
    // Another meter was read for an hour.
    let store =
        store(|at, register| if (140..144).contains(&at) { register + 10_000 } else { register });
    let strike = "[[strike]]\nmeter = \"main\"\nfrom = 2018-01-02T11:00:00\nto = 2018-01-02T12:00:00\nreason = \"wrong address\"\n";
    assert_eq!(found(&store, strike), ("1440".to_owned(), true));
    let by_point = strike.replace("meter = \"main\"", "point = \"acme/nb-1/main/e_import\"");
    assert_eq!(found(&store, &by_point), ("1440".to_owned(), true));
    // Times with their offset mean the same instants.
    let with_offset = strike.replace("11:00:00", "02:00:00Z").replace("12:00:00", "03:00:00Z");
    assert_eq!(found(&store, &with_offset), ("1440".to_owned(), true));
    let all = strike.replace("T11:00:00", "T00:00:00").replace("2018-01-02T12", "2018-01-03T12");
    let plant = plant(&format!("{PLANT}{all}"));
    assert_eq!(figure(&store, &plant, DAY).exact().unwrap().to_string(), "1440");
}

/// One meter that was never read blocked every figure.
#[test]
fn a_meter_that_was_never_read_costs_its_own_row() {
    let second = "\n[[energy_kind]]\nid = \"gas\"\nunit = \"m3\"\ncoefficient = \"natural_gas\"\n\n[[meter]]\nid = \"gas\"\n\
                  point = \"acme/nb-1/gas/e_import\"\nenergy_kind = \"gas\"\nrole = \"incoming\"\nunit = \"m3\"\n";
    let plant = plant(&format!("{PLANT}{second}"));
    let facts = Facts::read(&plant, &[]).unwrap();
    let files = PlantFiles { plant, facts, path: "plant.toml".into(), hash: PlantHash::default() };
    let store = store(|_, register| register);
    let view = StoreView::new(store.readings(), None).unwrap();
    let period = DAY.parse().unwrap();
    let metered = files.metered(Some(&view), period, &Cancel::default()).unwrap();
    let table =
        energy::table1(&files.inputs(&metered.meters, None), period, BasisChoice::Equivalent)
            .unwrap();
    let row = |kind: &str| {
        let row = table.rows.iter().find(|row| row.kind.as_str() == kind).unwrap();
        (row.quantity.exact().map(ToString::to_string), row.quantity.note())
    };
    assert_eq!(row("electricity").0.as_deref(), Some("1440"));
    let (energy, note) = row("gas");
    assert_eq!(energy, None);
    assert_eq!(
        note.as_deref(),
        Some("unknown: meter `gas`: no point `acme/nb-1/gas/e_import` has been read so far")
    );
    let told = metered.never_read.to_string();
    assert!(told.contains("the nearest first: `acme/nb-1/main/e_import`"), "{told}");
}
