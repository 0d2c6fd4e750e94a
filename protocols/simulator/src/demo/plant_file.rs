//! The text of the demo's `plant.toml`: the plant as it is, and an illustrative equal value of electricity for each
//! year that the demo's months need.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::month::Month;

const PLANT: &str = include_str!("plant.toml");

/// The whole file, for the last two complete months.
pub(super) fn text(month: Month) -> String {
    let mut text = PLANT.to_owned();
    // GB/T 2589-2020 takes the coal rate of the year before.
    let years: BTreeSet<i16> = [month, month.before()].map(|month| month.year() - 1).into();
    for year in years {
        write!(text, "{}", equal_value(year)).expect("a string takes any text");
    }
    text
}

fn equal_value(year: i16) -> String {
    format!(
        r#"
[[coefficient]]
energy_kind = "electricity"
role = "equal_value"
value = 3.00
value_unit = "tce"
unit = "万kWh"
region = "CN"
data_year = {year}
coal_rate_kind = "gross"
notice = "示例: 不是公布值, 请改为主管部门公布的数值"
evidence = "illustrative"
"#
    )
}
