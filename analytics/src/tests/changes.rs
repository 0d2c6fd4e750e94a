//! Points whose dictionary was changed: each row keeps the unit that its own frame stated.

use super::*;

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

fn meters(store: &MemoryStore, text: &str, day: &str) -> Result<Meters, ReadError> {
    let plant = plant(text);
    let view = StoreView::new(store.readings(), None).unwrap();
    let period: Period = day.parse().unwrap();
    Ok(view.meters(&plant, period.span(&plant.time_zone), &Cancel::default())?.meters)
}

/// The modulus of the only meter, and how many readings it has.
fn after(frames: &[Frame], text: &str) -> (Option<String>, u64) {
    let store = store_of_frames(frames);
    let found = meters(&store, text, "2018-01-03").unwrap();
    let index = found.index(&plant(text).meters[0].id).unwrap();
    (index.modulus().map(|modulus| modulus.to_string()), index.counts().used)
}

#[test]
fn a_stated_resolution_ends_the_complaint_about_doubles() {
    let doubles = dictionary_of(|point| point.value_type = ValueType::Float);
    let float = |&(time, _): &(i64, Option<Value>)| (time, Some(Value::Float(1.5)));
    let first = two_days(0, 0, 0);
    let before: Frame =
        (doubles, first.iter().take(48).map(|(time, _)| float(&(*time, None))).collect());
    let decimals = dictionary_of(|point| point.modulus = Some("6000".parse().unwrap()));
    let now: Frame = (decimals, two_days(2, 0, 100));
    let store = store_of_frames(&[before.clone(), now]);
    assert_eq!(figure(&store, &plant(PLANT), "2018-01-03").exact().unwrap().to_string(), "24");
    let store = store_of_frames(&[before]);
    let error = meters(&store, PLANT, "2018-01-01").unwrap_err();
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
        assert_eq!(after(&frames, two_text), (None, 48));
        // The plant file still says the old unit: its own readings of the day before are all that it gets.
        assert_eq!(after(&frames, one_text), (None, 24));
    }
    let alone = store_of_frames(&[(mwh, two_days(0, 0, 1))]);
    let error = meters(&alone, PLANT, "2018-01-01").unwrap_err();
    assert!(error.to_string().contains("expected readings in `kWh`"), "{error}");
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
    let lines = csv(store_of_frames(&frames).readings().as_ref(), &Request::default());
    let units: Vec<&str> = lines.iter().map(|line| line.split(',').nth(4).unwrap()).collect();
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
        let (modulus, _) = after(&frames, PLANT);
        assert_eq!(modulus.as_deref(), Some("1000000"));
    }
}

/// A figure as of a commit does not change with what was said after it.
#[test]
fn as_of_a_commit_the_dictionary_of_then_is_meant() {
    let of = |text: &str| dictionary_of(|point| point.modulus = Some(text.parse().unwrap()));
    let frames: Vec<Frame> =
        vec![(of("1000"), two_days(0, 0, 1)), (of("2000"), two_days(2, 48, 1))];
    let store = store_of_frames(&frames);
    let plant = plant(PLANT);
    let span = "2018-01-01".parse::<Period>().unwrap().span(&plant.time_zone);
    for (commit, expected) in [(1, "1000"), (2, "2000")] {
        let view = StoreView::new(store.readings(), Some(CommitNumber(commit))).unwrap();
        let found = view.meters(&plant, span, &Cancel::default()).unwrap().meters;
        let modulus = found.index(&plant.meters[0].id).unwrap().modulus().unwrap();
        assert_eq!(modulus.to_string(), expected);
    }
}

/// A device profile that was made finer: the readings before it keep their digits.
#[test]
fn readings_of_two_scales_are_taken_at_the_finer_one() {
    let finer = dictionary_of(|point| point.value_type = ValueType::Decimal { exponent: -4 });
    let coarse: Frame = (dictionary_of(|_| ()), two_days(0, 0, 100)[..48].to_vec());
    let fine: Frame = (finer, two_days(2, 480_000, 10_001).into_iter().collect());
    for frames in [[coarse.clone(), fine.clone()], [fine, coarse]] {
        let store = store_of_frames(&frames);
        let figure = figure(&store, &plant(PLANT), "2018-01-03");
        assert_eq!(figure.exact().unwrap().to_string(), "24.0024");
    }
}
