//! Which reading is named for words of a meter whose values are known, in each wrong order, base and area (trial O1).

use std::fmt::Write as _;
use std::sync::Arc;

use config::{Problems, SourceFile};
use driver::RawKind;
use model::{Language, PointIndex};

use super::*;
use crate::fault;
use crate::request::Limits;
use crate::settings::ProfileOptions;

/// What a meter holds: metric, unit, kind, type, value.
type Held = (&'static str, &'static str, &'static str, &'static str, f64);

/// A meter as it stands in a workshop: measured, so no value is round.
const MEASURED: [Held; 12] = [
    ("u_l1", "V", "gauge", "f32", 231.897_35),
    ("u_l2", "V", "gauge", "f32", 229.123_47),
    ("u_l3", "V", "gauge", "f32", 233.011_9),
    ("i_l1", "A", "gauge", "f32", 12.345_678),
    ("i_l2", "A", "gauge", "f32", 0.0),
    ("i_l3", "A", "gauge", "f32", 11.987_654),
    ("p_total", "W", "gauge", "f32", 5_512.345_6),
    ("pf_total", "1", "gauge", "f32", 0.934_512_3),
    ("f", "Hz", "gauge", "f32", 49.987_31),
    ("e_import", "kWh", "counter", "f32", 183_482.1),
    ("e_export", "kWh", "counter", "f32", 0.0),
    ("e_exact", "kWh", "counter", "u32", 1_834_821.0),
];

fn bytes(held: &Held) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the test's own numbers fit"
    )]
    match held.3 {
        "f32" => (held.4 as f32).to_be_bytes().to_vec(),
        "u32" => (held.4 as u32).to_be_bytes().to_vec(),
        "f64" => held.4.to_be_bytes().to_vec(),
        "u16" => (held.4 as u16).to_be_bytes().to_vec(),
        "i16" => (held.4 as i16).to_be_bytes().to_vec(),
        other => panic!("{other}"),
    }
}

/// The registers of a meter whose first value stands at `start`, in this order of 32 and 64 bits.
fn registers(meter: &[Held], start: u16, orders: (&str, &str)) -> Vec<(u16, u16)> {
    let mut words = Vec::new();
    for held in meter {
        let bytes = bytes(held);
        let letters = match bytes.len() {
            4 => orders.0,
            8 => orders.1,
            _ => "AB",
        };
        let wire: Vec<u8> =
            letters.bytes().map(|letter| bytes[usize::from(letter - b'A')]).collect();
        words.extend(wire.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
    }
    (start..).zip(words).collect()
}

/// The device as a profile of these keys reads it, its first value at `register`.
fn device(meter: &[Held], options: &str, register: u16) -> (Vec<Point>, Meaning) {
    let mut text = format!(
        "maker = \"m\"\nmodel = \"m\"\nprotocol = \"modbus\"\n[modbus]\narea = \"input\"\n{options}\n"
    );
    let mut next = register;
    for held in meter {
        let (metric, unit, kind, data_type, _) = held;
        write!(
            text,
            "[[point]]\nmetric = \"{metric}\"\nunit = \"{unit}\"\nkind = \"{kind}\"\ntype = \"{data_type}\"\n\
             unverified = true\nregister = {next}\n"
        )
        .unwrap();
        if *kind == "counter" {
            text += "modulus = \"unknown\"\n";
        }
        next += u16::try_from(bytes(held).len() / 2).unwrap();
    }
    let mut problems = Problems::default();
    let profile =
        device_profiles::load("acme/one", &SourceFile::new("p.toml", text), &mut problems);
    let profile = Arc::new(profile.unwrap_or_else(|| panic!("{problems}")));
    let options = ProfileOptions::read(profile.options.clone(), &mut problems);
    let point = |(at, point): (u16, &Arc<ProfilePoint>)| {
        let mut problems = Problems::default();
        let address =
            Address::read(point.address.clone(), &point.metric, &options, &mut problems).unwrap();
        let kind = if address.data_type.is_float() { RawKind::Float } else { RawKind::Integer };
        let form = Form::Number(driver::Scaling::new(point, kind).unwrap());
        Point { index: PointIndex(u32::from(at)), address, form, at }
    };
    let points = (0..).zip(&profile.points).map(point).collect();
    let meaning = Meaning {
        order32: options.order(DataType::F32),
        order64: options.order(DataType::F64),
        address_base: options.address_base,
        profile,
    };
    (points, meaning)
}

/// What came of the requests that a device is read by: the words of these registers, others being 0.
fn heard(points: &[Point], registers: &[(Area, Vec<(u16, u16)>)]) -> Vec<(Request, Vec<u16>)> {
    let mut points = points.to_vec();
    let blocks = crate::request::plan(&mut points, &Limits::default());
    let requests = blocks.into_iter().filter_map(|block| Request::covering(&points[block]));
    let mut answers = Vec::new();
    for asked in requests {
        for (area, words) in registers {
            let request = Request { area: *area, ..asked };
            let word = |at: u16| {
                let found = words.iter().find(|(register, _)| *register == request.start + at);
                found.map_or(0, |(_, word)| *word)
            };
            answers.push((request, (0..request.count).map(word).collect()));
        }
    }
    answers
}

/// What is told of a device that holds `on_the_wire` in its input registers.
fn verdict(points: &[Point], meaning: &Meaning, on_the_wire: Vec<(u16, u16)>) -> Option<Verdict> {
    let answers = heard(points, &[(Area::Input, on_the_wire)]);
    judge(points, &Words::new(answers.iter()), meaning)
}

fn told(verdict: &Verdict, meaning: &Meaning) -> String {
    fault::implausible("meter", verdict, meaning).message.to_string()
}

#[test]
fn each_wrong_order_is_named_by_the_right_one() {
    for (wire, wire64) in [("ABCD", ""), ("CDAB", ""), ("BADC", ""), ("DCBA", "")] {
        for order in ["ABCD", "CDAB", "BADC", "DCBA"] {
            let (points, meaning) = device(&MEASURED, &format!("order32 = \"{order}\""), 10);
            let verdict = verdict(&points, &meaning, registers(&MEASURED, 10, (wire, wire64)));
            if order == wire {
                assert_eq!(verdict, None, "{order}");
                continue;
            }
            let verdict = verdict.unwrap();
            let told = told(&verdict, &meaning);
            let expected =
                format!("read as {wire} it would be 231.8974 V: set `order32 = \"{wire}\"`");
            assert!(told.contains(&expected), "{order} on {wire}: {told}\n{verdict:#?}");
            assert!(points.iter().all(|point| verdict.doubts(point, &meaning)), "{order}");
        }
    }
}

/// The manual's numbers, which begin at 1, read as the wire's, and the other way round.
#[test]
fn a_wrong_base_is_named() {
    for (base, wire, fix) in [
        (0, 9, "V: set `address_base = 1`"),
        (1, 10, "V: set `address_base = 0`"),
        (0, 11, "V: raise each `register` by 1"),
        (1, 8, "V: lower each `register` by 1"),
    ] {
        for order in ["ABCD", "CDAB"] {
            let options = format!("address_base = {base}\norder32 = \"{order}\"");
            let (points, meaning) = device(&MEASURED, &options, 10);
            let on_the_wire = registers(&MEASURED, wire, (order, ""));
            // The register beside the block is there, but was not asked for.
            let verdict = verdict(&points, &meaning, on_the_wire).unwrap();
            let told = told(&verdict, &meaning);
            let how = if fix.contains("= 1") || fix.contains("lower") { "lower" } else { "higher" };
            assert!(told.contains(&format!("read one register {how} it would be 2")), "{told}");
            assert!(told.contains(fix), "{options} {wire}: {told}\n{verdict:#?}");
        }
    }
}

#[test]
fn sixty_four_bits_have_an_order_of_their_own() {
    let meter: Vec<Held> = MEASURED
        .iter()
        .map(
            |held| {
                if held.2 == "counter" { *held } else { (held.0, held.1, held.2, "f64", held.4) }
            },
        )
        .collect();
    let (points, meaning) = device(&meter, "order32 = \"CDAB\"", 0);
    let verdict = verdict(&points, &meaning, registers(&meter, 0, ("CDAB", "GHEFCDAB"))).unwrap();
    let told = told(&verdict, &meaning);
    assert!(told.contains("set `order64 = \"GHEFCDAB\"`"), "{told}");
    let counter = points.iter().find(|point| point.address.data_type == DataType::U32).unwrap();
    assert!(!verdict.doubts(counter, &meaning), "its order is another key");
}

#[test]
fn the_other_area_is_named_where_it_was_asked_for() {
    let (points, meaning) = device(&MEASURED, "order32 = \"CDAB\"", 0);
    let right = registers(&MEASURED, 0, ("CDAB", ""));
    // What stands in the input registers is something else.
    let other: Vec<(u16, u16)> = (0..60).map(|at| (at, 0x4A00 + at * 7)).collect();
    let answers = heard(&points, &[(Area::Input, other), (Area::Holding, right)]);
    let verdict = judge(&points, &Words::new(answers.iter()), &meaning).unwrap();
    let told = told(&verdict, &meaning);
    assert!(told.contains("from the other area it would be 231.8974 V"), "{told}\n{verdict:#?}");
}

/// A profile of another make: nothing fits, and nothing is named.
#[test]
fn where_nothing_fits_nothing_is_named_and_all_is_doubted() {
    let (points, meaning) = device(&MEASURED, "", 0);
    let nonsense: Vec<(u16, u16)> =
        (0..60).map(|at: u16| (at, at.wrapping_mul(40_503).rotate_left(3) | 0x8000)).collect();
    let verdict = verdict(&points, &meaning, nonsense).unwrap();
    assert_eq!(verdict.candidates, [], "{verdict:#?}");
    let told = told(&verdict, &meaning);
    assert!(told.contains("no other byte order"), "{told}");
    assert!(points.iter().all(|point| verdict.doubts(point, &meaning)));
}

/// One sensor that is broken says nothing of the counters beside it.
#[test]
fn one_value_that_is_off_does_not_doubt_the_others() {
    let mut meter = MEASURED;
    meter[7].4 = 1.000_2;
    let (points, meaning) = device(&meter, "", 0);
    let verdict = verdict(&points, &meaning, registers(&meter, 0, ("ABCD", ""))).unwrap();
    assert_eq!((verdict.count, verdict.numbers), (1, 12));
    assert!(verdict.candidates.is_empty() && !verdict.is_majority, "{verdict:#?}");
    assert!(!points.iter().any(|point| verdict.doubts(point, &meaning)));
    let told = told(&verdict, &meaning);
    let start = "`pf_total` of `meter` = 1.0002 is not plausible (expected -1 to 1; 1 of 12 values are not)";
    assert!(told.starts_with(start), "{told}");
}

/// Registers that are all 0, or all equal, are plausible in every order and prove none.
#[test]
fn zeros_and_equal_values_prove_nothing() {
    let (points, meaning) = device(&MEASURED, "order32 = \"CDAB\"", 0);
    let zeros: Vec<(u16, u16)> = Vec::new();
    assert_eq!(verdict(&points, &meaning, zeros), None);
    let answers = heard(&points, &[(Area::Input, Vec::new())]);
    assert!(is_blank(&points, &Words::new(answers.iter()), &meaning));
    let equal: Vec<(u16, u16)> =
        (0..24).map(|at| (at, if at % 2 == 0 { 0x3F00 } else { 0 })).collect();
    let verdict = verdict(&points, &meaning, equal).unwrap();
    assert_eq!(verdict.candidates, [], "{verdict:#?}");
}

/// 230.0, 50.0 and the like have a low word of 0.
#[test]
fn round_values_of_a_test_meter_are_told_apart_as_far_as_can_be() {
    let round: [Held; 5] = [
        ("u_l1", "V", "gauge", "f32", 231.9),
        ("i_l1", "A", "gauge", "f32", 12.3),
        ("p_total", "W", "gauge", "f32", 2_852.4),
        ("f", "Hz", "gauge", "f32", 50.02),
        ("e_import", "kWh", "counter", "f32", 18_348.2),
    ];
    let (points, meaning) = device(&round, "order32 = \"ABCD\"", 0);
    let verdict = verdict(&points, &meaning, registers(&round, 0, ("CDAB", ""))).unwrap();
    let told = told(&verdict, &meaning);
    let expected =
        "read as CDAB it would be 231.9 V: set `order32 = \"CDAB\"` in profile `acme/one`";
    assert!(told.contains(expected), "{told}\n{verdict:#?}");
    let chinese = fault::implausible("meter", &verdict, &meaning).message;
    let chinese = chinese.get(Language::Chinese);
    assert!(chinese.contains("按 CDAB 读取则为 231.9 V"), "{chinese}");
}

/// A profile that says `input` where the values stand in the holding registers, which read as zeros or are refused.
#[test]
fn values_in_the_other_area_are_found_where_the_own_one_gives_nothing() {
    let (points, meaning) = device(&MEASURED, "order32 = \"CDAB\"", 0);
    let right = registers(&MEASURED, 0, ("CDAB", ""));
    let answers = heard(&points, &[(Area::Holding, right)]);
    let found = alternatives(&points, &Words::new(answers.iter()), &meaning).unwrap();
    let told = fault::elsewhere("meter", &found, &meaning).message;
    let expected = "`u_l1` and the others would be plausible read from the other area (231.8974 V: swap `area = \"input\"`";
    assert!(told.contains(expected), "{told}");
    assert!(alternatives(&points, &Words::default(), &meaning).is_none());
}
