//! The numbered invariants: each that ARCHITECTURE.md names is cited in code and in a test, and no other number is.

use std::collections::BTreeSet;

use super::sources::RustFile;
use super::{INVARIANTS_TO_COME, Problem};

/// All rules about invariant numbers.
pub(super) fn check(architecture: &str, files: &[RustFile]) -> Vec<Problem> {
    let named = numbers(architecture);
    let (mut in_code, mut in_tests) = (BTreeSet::new(), BTreeSet::new());
    // The checker and its own tests cite numbers without asserting anything.
    for file in files.iter().filter(|file| !file.path.starts_with("xtask/")) {
        let (code, tests) = file.code_and_tests();
        in_code.extend(code.iter().flat_map(|line| numbers(line)));
        in_tests.extend(tests.iter().flat_map(|line| numbers(line)));
    }
    let mut problems = Vec::new();
    for number in &named {
        let to_come = INVARIANTS_TO_COME.iter().any(|(name, _)| name == number);
        let cited = in_code.contains(number) || in_tests.contains(number);
        let mut report = |text: &str| problems.push(Problem::new(number, text));
        match (to_come, cited) {
            (true, true) => report("is cited now: remove it from INVARIANTS_TO_COME in tidy.rs"),
            (true, false) => {}
            (false, _) => {
                if !in_code.contains(number) {
                    report("ARCHITECTURE.md names it, no code cites it: say where it is asserted");
                }
                if !in_tests.contains(number) {
                    report("ARCHITECTURE.md names it, no test cites it");
                }
            }
        }
    }
    for number in in_code.union(&in_tests).filter(|number| !named.contains(*number)) {
        problems
            .push(Problem::new(number, "is cited in code, but ARCHITECTURE.md does not name it"));
    }
    problems
}

/// Every `INV-<digits>` of a text.
fn numbers(text: &str) -> BTreeSet<String> {
    text.split("INV-")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .filter(|digits| !digits.is_empty())
        .map(|digits| format!("INV-{digits}"))
        .collect()
}
