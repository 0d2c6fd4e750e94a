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

/// Code of a prefix that is none, and what one looks like.
pub(crate) const PREFIX_CODE: &str = "EN-C015";
pub(crate) const PREFIX_HELP: &str = "for example plants/north";
/// Most characters of a prefix: a topic has at most 65 535 bytes, and six levels follow.
const PREFIX_CHARS_MAX: usize = 200;
/// Enterprise, site, area, line and device.
const PLACE_LEVELS_MAX: usize = 5;

/// The levels in front of `v1`, without slashes around them.
///
/// # Errors
/// Says what was expected.
pub(crate) fn read_prefix(text: &str) -> Result<&str, String> {
    let levels = text.trim_matches('/');
    let is_level = |level: &str| {
        let stays = |c: char| !c.is_whitespace() && !c.is_control() && !"+#$%".contains(c);
        !level.is_empty() && level.chars().all(stays)
    };
    if levels.chars().count() > PREFIX_CHARS_MAX {
        return Err(format!("expected at most {PREFIX_CHARS_MAX} characters"));
    }
    // Below `gw` gateways and the centre speak.
    if levels.split('/').all(is_level) && levels.split('/').next() != Some("gw") {
        return Ok(levels);
    }
    let found = text.escape_debug();
    Err(format!(
        "expected levels of a topic without spaces, + # $ % and `gw` as the first, found `{found}`"
    ))
}

/// Whether a gateway can be there.
fn check_place(place: &str) -> Result<(), String> {
    let levels = || place.split('/');
    let is_level = |level: &str| level == "_" || model::GatewayId::new(level).is_ok();
    if levels().count() <= PLACE_LEVELS_MAX && levels().all(is_level) {
        return Ok(());
    }
    Err(format!(
        "expected 1 to {PLACE_LEVELS_MAX} levels of a-z 0-9 _ - (1 to 40 characters each), found `{}`",
        place.escape_debug()
    ))
}

/// Reads the section.
pub(super) fn read(mut table: Table, embedded: bool, problems: &mut Problems) -> LiveSettings {
    let usual = LiveSettings::default();
    let enabled = table.or("enabled", true, problems);
    let prefix = table.optional::<String>("prefix", problems);
    let only = table.optional::<Vec<String>>("only", problems);
    for place in only.iter().flat_map(|found| &found.value) {
        if let (Some(found), Err(wrong)) = (&only, check_place(place)) {
            let message = format!("`only`: {wrong}");
            let help = "places as in gateway.toml and in the topics, for example acme/nb-1/melting";
            problems.push(found.problem("EN-C020", message).help(help));
        }
    }
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
        if let Err(wrong) = read_prefix(&found.value) {
            let message = format!("`prefix`: {wrong}");
            problems.push(found.problem(PREFIX_CODE, message).help(PREFIX_HELP));
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
        only: only.map(|found| found.value).unwrap_or_default(),
        budget: budget.map_or(usual.budget, |found| found.value),
        rate,
        deadband: deadband.map_or(usual.deadband, |found| found.value.into()),
        at_least_once: qos.is_some_and(|found| found.value == 1),
        groups,
        expiry: usual.expiry,
    }
}
