//! Points whose dictionary was changed: each row keeps the meaning that its own frame had.

use super::*;

use energy::MeterReadings;

use crate::ReadError;

const DAY_US: i64 = 86_400_000_000;

fn dictionary_of(change: impl Fn(&mut PointInfo)) -> Arc<Dictionary> {
    let mut point = point();
    change(&mut point);
    Arc::new(Dictionary::new(vec![point]).unwrap())
}

/// A reading an hour for two days from `day` on, of `per_hour` hundredths each.
fn two_days(day: i64, begin: i64, per_hour: i64) -> Vec<(i64, Option<Value>)> {
    let hour = |at: i64| {
        let time = YEAR_START.0 + day * DAY_US + at * DAY_US / 24;
        (time, Some(Value::Decimal(begin + at * per_hour)))
    };
    (0..=48).map(hour).collect()
}

fn readings(snapshot: &Snapshot, plant: &Plant, day: &str) -> Result<MeterReadings, ReadError> {
    let view = LakeView::new(snapshot, None).unwrap();
    Ok(view.readings(plant, day.parse().unwrap())?.remove(0))
}

/// What a year of readings after two changes gives: the unit, the modulus, how many there are.
fn after(frames: &[Frame], plant_text: &str) -> (Unit, Option<String>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of_frames(folder.path(), frames);
    let found = readings(&snapshot, &plant(plant_text), "2018-01-03").unwrap();
    (found.unit, found.modulus.map(|modulus| modulus.to_string()), found.readings.len())
}

#[test]
fn a_stated_resolution_ends_the_complaint_about_doubles() {
    let doubles = dictionary_of(|point| point.value_type = ValueType::Float);
    let float = |&(time, _): &(i64, Option<Value>)| (time, Some(Value::Float(1.5)));
    let before: Frame = (doubles, two_days(0, 0, 0).iter().map(float).take(48).collect::<Vec<_>>());
    // Whichever of the two has the larger hash.
    for modulus in ["1000", "2000", "3000", "4000", "5000", "6000"] {
        let decimals = dictionary_of(|point| point.modulus = Some(modulus.parse().unwrap()));
        let now: Frame = (decimals, two_days(2, 0, 100));
        let folder = tempfile::tempdir().unwrap();
        let snapshot = lake_of_frames(folder.path(), &[before.clone(), now]);
        let found = readings(&snapshot, &plant(PLANT), "2018-01-03").unwrap();
        let energy = quantity(&plant(PLANT), &[found], "2018-01-03".parse().unwrap());
        assert_eq!(energy.exact().unwrap().to_string(), "24");
    }
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of_frames(folder.path(), &[before]);
    let error = readings(&snapshot, &plant(PLANT), "2018-01-01").unwrap_err();
    assert!(matches!(error, ReadError::NotExact { .. }), "{error}");
}

#[test]
fn a_corrected_unit_counts_from_the_frame_that_states_it() {
    let kwh = dictionary_of(|_| ());
    let mwh = dictionary_of(|point| point.unit = Unit::MegawattHour);
    let in_mwh = PLANT.replacen(
        "role = \"incoming\"\nunit = \"kWh\"",
        "role = \"incoming\"\nunit = \"MWh\"",
        1,
    );
    assert_ne!(in_mwh, PLANT);
    // In both orders, so that neither hash decides.
    for (one, two, one_text, two_text) in
        [(&kwh, &mwh, PLANT, in_mwh.as_str()), (&mwh, &kwh, in_mwh.as_str(), PLANT)]
    {
        let frames: Vec<Frame> = vec![
            (Arc::clone(one), two_days(0, 0, 1)[..48].to_vec()),
            (Arc::clone(two), two_days(2, 48, 1)[..48].to_vec()),
        ];
        let unit = two.points[0].unit;
        assert_eq!(after(&frames, two_text), (unit, None, 48));
        // The plant file still says the old unit: its own readings are all that it gets.
        assert_eq!(after(&frames, one_text), (one.points[0].unit, None, 48));
    }
}

#[test]
fn a_unit_that_was_changed_and_changed_back_is_printed_as_it_was() {
    let kwh = dictionary_of(|_| ());
    let mwh = dictionary_of(|point| point.unit = Unit::MegawattHour);
    let frames: Vec<Frame> = [&kwh, &mwh, &kwh]
        .into_iter()
        .zip(1..)
        .map(|(dictionary, at)| (Arc::clone(dictionary), vec![(at, Some(Value::Decimal(at)))]))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let lines = csv(&lake_of_frames(folder.path(), &frames), &RowFilter::default(), false);
    let units: Vec<&str> = lines.iter().map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(units, ["kWh", "MWh", "kWh"]);
}

/// The plant file states the right modulus, the device profile first a wrong one.
#[test]
fn a_corrected_modulus_ends_the_complaint_about_it() {
    let of = |text: &str| dictionary_of(|point| point.modulus = Some(text.parse().unwrap()));
    for wrong in ["1000", "2000", "3000", "4000", "5000", "6000"] {
        let frames: Vec<Frame> = vec![
            (of(wrong), two_days(0, 0, 1)[..48].to_vec()),
            (of("1000000"), two_days(2, 48, 1)),
        ];
        let (_, modulus, _) = after(&frames, PLANT);
        assert_eq!(modulus.as_deref(), Some("1000000"));
    }
}

/// A figure as of a commit does not change with what was said after it.
#[test]
fn as_of_a_commit_the_dictionary_of_then_is_meant() {
    let of = |text: &str| dictionary_of(|point| point.modulus = Some(text.parse().unwrap()));
    let frames: Vec<Frame> =
        vec![(of("1000"), two_days(0, 0, 1)), (of("2000"), two_days(2, 48, 1))];
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of_frames(folder.path(), &frames);
    for (commit, expected) in [(1, "1000"), (2, "2000")] {
        let view = LakeView::new(&snapshot, Some(CommitNumber(commit))).unwrap();
        let found = view.readings(&plant(PLANT), "2018-01-01".parse().unwrap()).unwrap();
        assert_eq!(found[0].modulus.unwrap().to_string(), expected);
    }
}
