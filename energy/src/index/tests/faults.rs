//! Random typing faults in the replacements of a right plant file: each is found, flagged beside the figure, or changes less
//! than one part in a hundred of it.

use super::*;

const MINUTE: i64 = 60_000_000;
const CASES: u64 = 120;

/// A random number generator that needs no crate: the same cases each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A meter over four days that was exchanged on the second or third.
struct Exchanged {
    readings: Vec<Reading>,
    at: Timestamp,
    old_final: i64,
    new_initial: i64,
    energy: i64,
}

/// A works by day, standby by night, and what the register shows.
fn exchanged(random: &mut Random) -> Exchanged {
    let from = time("2024-03-09 00:00");
    let every = [1, 5, 15, 60][usize::try_from(random.below(4)).unwrap()];
    let (night, by_day) = (1 + random.below(5), 10 + random.below(200));
    let at = Timestamp(from.0 + (24 * 60 + random.below(24 * 60)) * MINUTE);
    let mut old = random.below(900_000) + 1_000;
    let new_initial = if random.below(2) == 0 { 0 } else { random.below(2_000) };
    let (mut register, mut energy, mut is_new) = (old, 0, false);
    let mut readings = Vec::new();
    for minute in 0..4 * 24 * 60 {
        let now = Timestamp(from.0 + minute * MINUTE);
        if !is_new && now >= at {
            (old, register, is_new) = (register, new_initial, true);
        }
        if minute % every == 0 {
            readings.push(Reading { time: now, ..reading("00:00", register) });
        }
        let works = (7 * 60..18 * 60).contains(&(minute % (24 * 60)));
        // Each minute night or day, as of a load that goes on and off.
        let rise = if works { random.below(2 * by_day) } else { random.below(2 * night) } / 10;
        register += rise;
        if (24 * 60..2 * 24 * 60).contains(&minute) {
            energy += rise;
        }
    }
    Exchanged { readings, at, old_final: old, new_initial, energy }
}

fn event(at: Timestamp, old_final: i64, new_initial: i64) -> String {
    format!(
        "[[meter.replacement]]\nat = {at}\nold_final = {old_final}\nnew_initial = {new_initial}\n"
    )
}

/// A number with a slip of the keyboard: another digit, two swapped, one too many or too few.
fn slipped(random: &mut Random, number: i64) -> i64 {
    let mut digits: Vec<u8> = number.to_string().into_bytes();
    let at = usize::try_from(random.below(i64::try_from(digits.len()).unwrap())).unwrap();
    match random.below(4) {
        0 => digits[at] = b'0' + u8::try_from(random.below(10)).unwrap(),
        1 if at > 0 => digits.swap(at, at - 1),
        2 => digits.insert(at, b'0' + u8::try_from(random.below(10)).unwrap()),
        _ => drop(digits.remove(at)),
    }
    String::from_utf8(digits).unwrap().parse().unwrap_or(0)
}

/// Whether the figure of the day has a note about the indexes that were typed.
fn rests_on_typed(lines: &str, readings: &[Reading]) -> bool {
    let plant = plant("Asia/Shanghai", lines);
    let of_meter = MeterReadings {
        meter: plant.meters[0].id.clone(),
        exponent: 0,
        unit: Unit::KilowattHour,
        modulus: None,
        readings: readings.to_vec(),
    };
    let meters = crate::Meters::build(&plant, &[of_meter]).unwrap();
    let facts = crate::Facts::read(&plant, &[]).unwrap();
    let inputs = crate::Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
    let period = "2024-03-10".parse().unwrap();
    let table = crate::table1(&inputs, period, crate::BasisChoice::Equivalent).unwrap();
    let note = table.rows[0].quantity.note();
    note.is_some_and(|note| note.contains("rest on the indexes typed"))
}

#[test]
fn no_random_fault_in_a_replacement_is_silent() {
    let mut random = Random(20_240_310);
    let span = from_to("2024-03-10 00:00", "2024-03-11 00:00");
    let mut silent = Vec::new();
    let (mut right, mut flagged) = (0, 0);
    for case in 0..CASES {
        let one = exchanged(&mut random);
        let Exchanged { at, old_final, new_initial, .. } = one;
        let hours = 1 + random.below(60);
        let (lines, fault) = match case % 8 {
            0 => (event(at, old_final, new_initial), "none"),
            1 => (event(Timestamp(at.0 + hours * 60 * MINUTE), old_final, new_initial), "late"),
            2 => (event(Timestamp(at.0 - hours * 60 * MINUTE), old_final, new_initial), "early"),
            3 => (event(Timestamp(at.0 + 8 * 60 * MINUTE), old_final, new_initial), "time zone"),
            4 => (event(at, slipped(&mut random, old_final), new_initial), "old final"),
            5 => (event(at, old_final, slipped(&mut random, new_initial + 10)), "new initial"),
            6 => (event(at, random.below(900_000), random.below(2_000)), "another meter"),
            _ => (String::new(), "forgotten"),
        };
        let index = streamed_of(&meter(&lines), &one.readings);
        let energy = index.energy(span);
        let noted = rests_on_typed(&lines, &one.readings);
        let found = energy.energy.as_ref().map_or(0, |energy| energy.to_string().parse().unwrap());
        if (found - one.energy).abs() * 100 <= one.energy {
            right += 1;
        } else if !energy.complete || !index.findings(span).is_empty() || noted {
            flagged += 1;
        } else {
            silent.push((fault, found, one.energy, lines.clone()));
        }
        if fault == "none" {
            assert!(energy.complete && found == one.energy, "{lines} {found} {}", one.energy);
        }
    }
    assert!(
        silent.is_empty(),
        "{right} right, {flagged} flagged, {} silent: {silent:#?}",
        silent.len()
    );
    assert!(right > 0 && flagged > 0);
}
