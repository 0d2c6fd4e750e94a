//! `[live]`: what is published for screens and other programs. Must never publish.

use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Problems, Table};
use live::LiveSettings;

use super::duration;

/// Fewest and most live messages a second.
const BUDGETS: RangeInclusive<u32> = 1..=100_000;
/// Shortest and longest time between two messages on one live topic.
const RATES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);

/// Reads the section.
pub(super) fn read(mut table: Table, embedded: bool, problems: &mut Problems) -> LiveSettings {
    let usual = LiveSettings::default();
    let enabled = table.or("enabled", true, problems);
    let prefix = table.optional::<String>("prefix", problems);
    let only = table.or("only", Vec::<String>::new(), problems);
    let budget = table.optional::<u32>("budget", problems);
    let rate = duration(&mut table, "rate", &RATES, problems).unwrap_or(usual.rate);
    let deadband = table.optional::<u32>("deadband", problems);
    let qos = table.optional::<u32>("qos", problems);
    let groups = table.or("groups", false, problems);
    if let Some(found) = budget.as_ref().filter(|found| !BUDGETS.contains(&found.value)) {
        let (least, most) = (BUDGETS.start(), BUDGETS.end());
        let message = format!("`budget`: expected {least} to {most}, found {}", found.value);
        problems.push(found.problem("EN-C002", message));
    }
    if let Some(found) = deadband.as_ref().filter(|found| found.value >= 100) {
        let message = format!("`deadband`: expected 0 to 99 percent, found {}", found.value);
        problems.push(found.problem("EN-C002", message));
    }
    if let Some(found) = qos.as_ref().filter(|found| found.value > 1) {
        let message = format!("`qos`: expected 0 or 1, found {}", found.value);
        problems.push(found.problem("EN-C002", message));
    }
    let mut levels = String::new();
    if let Some(found) = &prefix {
        let text = found.value.trim_matches('/');
        if text.is_empty() || text.contains(['+', '#', '$']) || text.starts_with("gw") {
            let message = format!("`prefix`: expected levels of a topic, found `{}`", found.value);
            problems.push(found.problem("EN-C015", message).help("for example plants/north"));
        } else if embedded {
            let message = "`prefix` belongs to a broker by `[broker] url` that is shared";
            let help = "leave it out: clients of the embedded broker read `v1/…`";
            problems.push(found.problem("EN-C015", message).help(help));
        }
        levels = format!("{text}/");
    }
    table.finish(problems);
    LiveSettings {
        enabled,
        prefix: levels,
        only,
        budget: budget.map_or(usual.budget, |found| found.value),
        rate,
        deadband: deadband.map_or(usual.deadband, |found| found.value.into()),
        at_least_once: qos.is_some_and(|found| found.value == 1),
        groups,
        expiry: usual.expiry,
    }
}
