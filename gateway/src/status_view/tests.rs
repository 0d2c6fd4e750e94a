//! The status of a gateway of 100 000 points is bounded and names the worst of them.

use model::dictionary::Place;
use model::{PointInfo, Sample, Value, fixtures};

use super::*;
use keeper::PointTableBuilder;

const DEVICES: u32 = 100;
const POINTS_OF_DEVICE: u32 = 1_000;

fn table() -> PointTable {
    let mut builder = PointTableBuilder::default();
    for device in 0..DEVICES {
        let point = |at: u32| PointInfo {
            id: PointId::new(format!("works/plant/meter-{device}/p{at}")).unwrap(),
            place: Place {
                enterprise: "works".into(),
                site: "plant".into(),
                area: None,
                line: None,
            },
            device: format!("meter-{device}"),
            metric: format!("p{at}"),
            ..fixtures::point("p", ValueType::Float)
        };
        builder.add_device((0..POINTS_OF_DEVICE).map(point).collect()).unwrap();
    }
    builder.finish().unwrap()
}

/// Every point has a Good sample but these, which have one of this quality or none.
fn last(others: &[(u32, Option<Quality>)]) -> LastSamples {
    let all = DEVICES * POINTS_OF_DEVICE;
    let mut last = LastSamples::new(usize::try_from(all).unwrap());
    let time = Timestamp(1_788_000_000_000_000);
    for at in 0..all {
        let other = others.iter().find(|(other, _)| *other == at).map(|(_, quality)| *quality);
        let Some(quality) = other.unwrap_or(Some(Quality::GOOD)) else { continue };
        let point = PointIndex(at);
        last.note(&if quality.is_bad() {
            Sample::without_value(point, time, time, quality)
        } else {
            Sample::new(point, time, time, quality, Value::Float(1.0))
        });
    }
    last
}

#[test]
fn of_100_000_points_the_worst_are_shown_and_all_are_counted() {
    let uncertain = Quality(0x4000_0000);
    let last = last(&[
        (7, Some(uncertain)),
        (1_500, None),
        (99_999, Some(Quality::BAD_TIMEOUT)),
        (50_000, Some(Quality::BAD_TIMEOUT)),
    ]);
    let table = table();
    let counts = |all, uncertain, bad, unread| PointCounts {
        all,
        good: all - uncertain - bad - unread,
        uncertain,
        bad,
        unread,
        implausible: 0,
    };
    let found = counted(&table, &last, POINTS_SHOWN_MAX);
    assert_eq!(found.all, counts(100_000, 1, 2, 1));
    assert_eq!(found.shown, [7, 1_500, 50_000, 99_999].map(PointIndex));
    assert_eq!(found.of_devices.len(), 100);
    for (device, bad, unread) in [(0, 0, 0), (1, 0, 1), (50, 1, 0), (99, 1, 0)] {
        let (name, found, first_bad) = found.of_devices[device];
        assert_eq!(name, format!("meter-{device}"));
        assert_eq!(found, counts(1_000, u64::from(device == 0), bad, unread));
        assert_eq!(first_bad, (bad > 0).then_some(Quality::BAD_TIMEOUT));
    }
    // What is worst comes first where not all fit.
    let found = counted(&table, &last, 3);
    assert_eq!(found.shown, [1_500, 50_000, 99_999].map(PointIndex));
    // All of them, where so many are asked for.
    assert_eq!(counted(&table, &last, usize::MAX).shown.len(), 100_000);
}

#[test]
fn what_cannot_be_right_is_counted_apart() {
    let implausible =
        [Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, Quality::UNCERTAIN_CONFIGURATION_ERROR];
    let last = last(&[
        (7, Some(implausible[0])),
        (8, Some(implausible[1])),
        (9, Some(Quality::UNCERTAIN)),
    ]);
    let table = table();
    let found = counted(&table, &last, POINTS_SHOWN_MAX);
    assert_eq!((found.all.uncertain, found.all.implausible), (3, 2));
    assert_eq!(found.of_devices[0].1.implausible, 2);
}

#[test]
fn a_gateway_that_reads_nothing_shows_a_bounded_number_of_points() {
    let table = table();
    let found = counted(&table, &LastSamples::new(100_000), POINTS_SHOWN_MAX);
    assert_eq!((found.all.unread, found.shown.len()), (100_000, POINTS_SHOWN_MAX));
}
