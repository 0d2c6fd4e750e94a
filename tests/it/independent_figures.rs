//! Figures of `nengliu kpi` against an independent calculator in Python (`tests/peers/energy_calculator.py` and
//! `register_calculator.py`), and faults that people type into right plants. Never computes an expected value in Rust.

use std::ffi::OsString;

use tests::peers::python;
use tests::programs::{program, workspace_root};
use tests::skip::long_runs;

/// What random plants may have besides what every plant has.
const FEATURES: [&str; 7] =
    ["generated", "stocks", "batches", "dated", "heat values", "products", "makers not stated"];

/// Kinds of typing faults of which some change a figure by more than 1 % and nothing is said; a kind of which all are seen
/// leaves this list.
const KNOWN_SILENT: [&str; 4] = [
    // Another digit in an output, by no more than months differ anyway.
    "digit_slip",
    // The ratio of the incoming meter: the bills of the year before are not compared with what it counts.
    "ratio_typed",
    // Both values are of a usual size for the row that they stand in now.
    "values_of_two_rows_swapped",
    // Nothing else in the files tells how the energy of shared equipment divides.
    "weight_of_key",
];

/// Kinds of which some are silent among 1 000 faults, and none is among the first 60.
const KNOWN_SILENT_OF_MANY: [&str; 5] = [
    "coefficient_digit_slip",
    "digits_swapped",
    "ratio_at_other_meter",
    "subject_of_meter",
    "unit_of_all_months",
];

/// Seeds of the plants and faults are 1 and what follows, so that a number in the output names the case.
fn many(short: usize, long: usize) -> OsString {
    if long_runs() { long } else { short }.to_string().into()
}

/// Runs a script to its end; its last lines name what differs.
fn check(script: &str, arguments: impl IntoIterator<Item = OsString>) {
    let mut command = python::script(script).unwrap();
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} ended with {}:\n{said}\n{errors}", output.status);
}

fn both_programs() -> [OsString; 2] {
    ["nengliu", "nengliu-gateway"].map(|name| program(name).unwrap().into())
}

fn owned(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Where the calculator is wrong, its agreement is worth nothing.
#[test]
fn the_calculator_agrees_with_the_worked_examples() {
    check("check_worked_examples.py", [workspace_root().join("examples").into()]);
    check("register_calculator.py", []);
}

#[test]
fn random_plants_have_the_figures_of_the_calculator() {
    let mut arguments = vec![program("nengliu").unwrap().into()];
    arguments.extend(["--plants".into(), many(40, 1000), "--features".into()]);
    arguments.extend(owned(&FEATURES));
    check("compare_figures.py", arguments);
}

#[test]
fn random_registers_have_the_energy_of_the_calculator() {
    let mut arguments = both_programs().to_vec();
    arguments.extend(["--meters".into(), many(60, 300)]);
    check("compare_registers.py", arguments);
}

/// Each is refused, flagged beside the figure, or changes nothing; no fault of another kind than the known ones is silent.
#[test]
fn typing_faults_are_refused_or_flagged_or_change_nothing() {
    let mut arguments = both_programs().to_vec();
    arguments.extend(["--faults".into(), many(60, 1000), "--known".into()]);
    arguments.extend(owned(&KNOWN_SILENT));
    if long_runs() {
        arguments.extend(owned(&KNOWN_SILENT_OF_MANY));
    }
    check("typing_faults.py", arguments);
}
