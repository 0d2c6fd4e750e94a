//! The figure service: what it keeps, when it computes again, and how it finds the kind of a figure.

use super::*;
use crate::kpi::{KPIS, kpi};
use crate::{FigureService, PlantFiles};

const DAY: &str = "2018-01-01";

fn files(folder: &std::path::Path, text: &str) -> PlantFiles {
    let path = folder.join("plant.toml");
    std::fs::write(&path, text).unwrap();
    PlantFiles::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

fn day_of(per_hour: i64) -> Vec<(i64, Option<i64>)> {
    (0..=24).map(|at| (YEAR_START.0 + at * 3_600_000_000, Some(at * per_hour))).collect()
}

fn electricity(service: &FigureService, plant: &PlantFiles) -> (Arc<crate::KpiFigures>, String) {
    let table1 = kpi("table1").unwrap();
    let period = DAY.parse().unwrap();
    let answer = service.figures(plant, table1, period, BasisChoice::Both, &Cancel::default());
    let figures = answer.unwrap().figures;
    let value = figures.json["rows"][0]["quantity"]["value"].to_string();
    (figures, value)
}

#[test]
fn figures_are_kept_until_the_store_or_the_plant_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_of(&[day_of(100)]);
    let service = FigureService::new(Some(store.readings()));
    let plant = files(folder.path(), PLANT);
    let (first, value) = electricity(&service, &plant);
    assert_eq!(value, "\"24\"");
    let (again, _) = electricity(&service, &plant);
    assert!(Arc::ptr_eq(&first, &again), "nothing changed: nothing is computed");
    // A commit: the service sees the newest version by itself.
    let corrected = day_of(200).into_iter().map(|(time, value)| {
        let time = Timestamp(time);
        Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(value.unwrap()))
    });
    commit(&mut store, 2, &Arc::new(dictionary()), corrected.collect());
    let (second, value) = electricity(&service, &plant);
    assert_eq!(value, "\"48\"");
    assert!(!Arc::ptr_eq(&first, &second));
    // Another plant file, the same store.
    let doubled = files(folder.path(), &format!("{PLANT}\n[[meter.ratio]]\nct = 2\n"));
    assert_ne!(doubled.hash, plant.hash);
    assert_eq!(electricity(&service, &doubled).1, "\"96\"");
    assert_eq!(electricity(&service, &plant).1, "\"48\"");
    // As of a commit nothing moves.
    let then = FigureService::new(Some(store.readings())).as_of(Some(CommitNumber(1)));
    assert_eq!(electricity(&then, &plant).1, "\"24\"");
}

#[test]
fn explain_finds_the_kind_of_a_figure_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(&[day_of(100)]);
    let service = FigureService::new(Some(store.readings()));
    let plant = files(folder.path(), PLANT);
    let period: Period = DAY.parse().unwrap();
    for kind in KPIS {
        let answer =
            service.figures(&plant, *kind, period, BasisChoice::Both, &Cancel::default()).unwrap();
        for name in answer.figures.explanations.keys() {
            let found = service.explain(&plant, name, period, &Cancel::default()).unwrap();
            assert!(found.unwrap().figures.explanations.contains_key(name), "{name}");
        }
    }
    let nearest = service.explain(&plant, "table1/2018-01-01/none", period, &Cancel::default());
    let names = nearest.unwrap().unwrap_err();
    assert!(names.keys().all(|name| name.starts_with("table1/")), "{names:?}");
    let mut names: Vec<&str> = KPIS.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KPIS.len(), "each kind has a name of its own");
}

#[test]
fn what_was_declared_alone_needs_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let service = FigureService::new(None);
    let text = PLANT.split("[[meter]]").next().unwrap();
    let (figures, value) = electricity(&service, &files(folder.path(), text));
    assert_eq!(value, "null");
    assert!(figures.json["commit"].is_null());
}

/// A machine's counter of the day, a unit a minute: read over four days it is an open gap each midnight, named once.
#[test]
fn a_register_that_falls_each_midnight_and_a_place_without_devices_are_named_with_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let minute = |at: i64| (YEAR_START.0 + at * 60_000_000, Some(at.rem_euclid(1_440) * 100));
    let store = store_of(&[(-1_500..4_400).map(minute).collect()]);
    let service = FigureService::new(Some(store.readings()));
    let named = |text: &str| {
        let plant = files(folder.path(), text);
        let table1 = kpi("table1").unwrap();
        let period = "2018-01-02".parse().unwrap();
        let answer = service.figures(&plant, table1, period, BasisChoice::Both, &Cancel::default());
        let answer = answer.unwrap();
        let row = answer.figures.json["rows"][0]["quantity"].clone();
        let codes: Vec<&str> = answer.warnings.0.iter().map(|one| one.code).collect();
        (codes.join(" "), row["value"].to_string(), row["complete"].to_string())
    };
    let said = |found: (String, String, String), expected: (&str, &str, &str)| {
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), expected);
    };
    said(named(PLANT), ("EN-C107", "\"1439\"", "false"));
    let daily = format!("{PLANT}resets = \"daily\"\n");
    // Of the minute before midnight nobody knows.
    said(named(&daily), ("", "\"1439\"", "false"));
    let subject = "\nsite = \"nb-1\"\n[[subject]]\nid = \"press\"\nkind = \"line\"\nplace = \"pressing\"\n\n[[energy_kind]]";
    let placed = daily.replacen("\n[[energy_kind]]", subject, 1);
    said(named(&placed), ("EN-C108", "\"1439\"", "false"));
}
