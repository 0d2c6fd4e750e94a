//! Workbooks: the same figures give the same bytes, whenever and wherever they are written.

use super::*;

#[test]
fn the_same_figures_give_the_same_bytes() {
    for (name, kind) in [("table1-c1-b2", "table1"), ("unit-product", "unit-product")] {
        let made = || {
            let figures = figures(&example(name), kind, "2023");
            let table = Traced { report: &figures.report, explanations: &figures.explanations };
            report::xlsx(&[table], Language::Chinese, false).unwrap()
        };
        assert!(made() == made(), "{kind}");
    }
}
