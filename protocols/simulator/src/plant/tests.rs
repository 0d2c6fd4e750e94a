//! The plant's registers: exact, rising, balanced and the same each time.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::calendar::EPOCH;
use super::*;

const DAY: i64 = 86_400_000_000;

/// Summing four years takes a moment, so the cases share their plants.
static PLANTS: LazyLock<[Plant; 3]> = LazyLock::new(|| [0, 1, 2].map(Plant::new));

/// A time within the first four years, to the microsecond.
fn times() -> impl Strategy<Value = Timestamp> {
    (0..4 * 366 * DAY).prop_map(|micros| Timestamp(EPOCH.0 + micros))
}

fn main() -> &'static Meter {
    Meter::of("meter-main").unwrap()
}

proptest! {
    #[test]
    fn registers_never_fall(seed in 0..3_usize, a in times(), b in times()) {
        let plant = &PLANTS[seed];
        let (early, late) = (a.min(b), a.max(b));
        for meter in METERS {
            prop_assert!(plant.register(meter, early) <= plant.register(meter, late), "{}", meter.id);
        }
    }

    #[test]
    fn the_main_meter_is_the_sum_of_its_subs_at_every_moment(seed in 0..3_usize, at in times()) {
        let plant = &PLANTS[seed];
        let subs = METERS.iter().filter(|meter| meter.energy_kind == "electricity" && !meter.incoming);
        let sum: i64 = subs.map(|meter| plant.register(meter, at)).sum();
        prop_assert_eq!(plant.register(main(), at), sum);
    }

    #[test]
    fn slots_add_up_to_the_integral(seed in 0..3_usize, from in times(), slots in 1..300_i64) {
        let plant = &PLANTS[seed];
        let start = EPOCH.0 + (from.0 - EPOCH.0) / SLOT_MICROS * SLOT_MICROS;
        for meter in METERS {
            let end = |slot: i64| Timestamp(start + slot * SLOT_MICROS);
            let sum: i64 = (0..slots)
                .map(|slot| plant.integral(meter, end(slot), end(slot + 1)).mantissa)
                .sum();
            let whole = plant.integral(meter, end(0), end(slots));
            prop_assert_eq!(whole, Decimal { mantissa: sum, exponent: meter.exponent });
        }
    }

    #[test]
    fn power_is_the_slope_of_the_register(seed in 0..3_usize, at in times()) {
        let plant = &PLANTS[seed];
        let begin = Timestamp(EPOCH.0 + (at.0 - EPOCH.0) / SLOT_MICROS * SLOT_MICROS);
        let end = Timestamp(begin.0 + SLOT_MICROS);
        let mean = (plant.register(main(), end) - plant.register(main(), begin)) * 4;
        let power = plant.moment(What::Electric(main().sources, Electric::Power), at);
        prop_assert!((power - mean).abs() * 50 <= mean, "power {power}, slope {mean}");
    }
}

#[test]
fn a_plant_repeats_in_whatever_order_it_is_asked() {
    let plant = Plant::new(1);
    let days = [700, 3, 420, 421, 0, 1_200];
    for at in days.map(|day| Timestamp(EPOCH.0 + day * DAY + 12_345_678_901)) {
        for meter in METERS {
            assert_eq!(
                plant.register(meter, at),
                PLANTS[1].register(meter, at),
                "{} {at}",
                meter.id
            );
        }
    }
}

#[test]
fn a_month_is_of_the_size_of_a_small_works() {
    let plant = Plant::new(1);
    // October 2026 at UTC+8.
    let (from, to) = (Timestamp(1_790_784_000_000_000), Timestamp(1_793_462_400_000_000));
    let check = |id: &str, low: f64, high: f64| {
        let meter = Meter::of(id).unwrap();
        let integral = plant.integral(meter, from, to).to_f64();
        assert!(integral > low && integral < high, "{id}: {integral}");
    };
    check("meter-main", 80_000.0, 200_000.0);
    check("meter-gas", 15_000.0, 40_000.0);
    check("meter-steam", 500.0, 1_200.0);
    check("meter-own-steam", 1_200.0, 2_500.0);
    check("meter-water", 1_000.0, 6_000.0);
}

#[test]
fn seeds_differ() {
    let at = Timestamp(EPOCH.0 + 400 * DAY);
    assert_ne!(Plant::new(1).register(main(), at), Plant::new(2).register(main(), at));
}

#[test]
fn before_the_epoch_everything_stands_at_zero() {
    assert!(METERS.iter().all(|meter| Plant::new(1).register(meter, Timestamp(0)) == 0));
}
