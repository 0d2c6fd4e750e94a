//! Reads `[[strike]]`: readings of a time that are put aside, until the section is deleted. Must never look at readings.

use config::{Item, Problems, Spanned, Table};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{PointId, Timestamp, text};

use super::read::{Defaults, optional_id};
use super::{CODE_PLANT, CODE_REFERENCE, Plant, Strike};
use crate::id::MeterId;

/// A strike whose meter is not looked up yet.
pub(super) struct StrikeDraft {
    meter: Option<Spanned<MeterId>>,
    point: Option<Spanned<PointId>>,
    strike: Strike,
}

/// Reads one `[[strike]]`.
pub(super) fn strike(
    table: &mut Table,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<StrikeDraft> {
    let meter = optional_id::<MeterId>(table, "meter", problems);
    let point = table.optional::<String>("point", problems).and_then(|text| {
        match PointId::new(text.value.clone()) {
            Ok(point) => Some(text.map(|_| point)),
            Err(wrong) => {
                problems.push(text.problem(CODE_PLANT, format!("`point`: {wrong}")));
                None
            }
        }
    });
    let from = time(table, "from", defaults, problems);
    let to = time(table, "to", defaults, problems);
    let reason = table.required::<String>("reason", problems);
    if meter.is_some() == point.is_some() {
        let message = text!(
            en: "a strike names either `meter` or `point`",
            zh: "剔除区间须且只须填写 `meter` 或 `point` 之一",
        );
        problems.push(table.problem(CODE_PLANT, message));
        return None;
    }
    let (from, to, reason) = (from?, to?, reason?);
    if from.value >= to.value {
        let message = text!(
            en: "`to` is not after `from`: the readings from `from` on and before `to` are struck out",
            zh: "`to` 应晚于 `from`：剔除的是 `from` 起、`to` 之前的读数",
        );
        problems.push(to.problem(CODE_PLANT, message));
        return None;
    }
    if reason.value.trim().is_empty() {
        let message = text!(
            en: "`reason` is empty: expected why these readings do not count",
            zh: "`reason` 为空：请说明剔除这些读数的原因",
        );
        problems.push(reason.problem(CODE_PLANT, message));
    }
    let strike = Strike { from: from.value, to: to.value, reason: reason.value };
    Some(StrikeDraft { meter, point, strike })
}

/// Takes a time with its offset, or one of the plant's time zone.
fn time(
    table: &mut Table,
    key: &'static str,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<Spanned<Timestamp>> {
    let item = table.required::<Item>(key, problems)?;
    let found = match &item.value {
        Item::Time(text) | Item::Text(text) => instant(text, &defaults.time_zone),
        _ => None,
    };
    if found.is_none() {
        let shown = item.value.describe();
        problems.push(item.problem(
            CODE_PLANT,
            text!(
                en: "`{key}`: expected a time such as `2026-11-28T19:30:00` in the plant's time zone, or with its offset, found {shown}",
                zh: "`{key}`：应为时间，如 `2026-11-28T19:30:00`（工厂所在时区），或带时差，实为 {shown}",
            ),
        ));
    }
    found.map(|time| item.map(|_| time))
}

fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(time.as_microsecond()));
    }
    let local: DateTime = text.parse().ok()?;
    Some(Timestamp(local.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()))
}

/// Gives each meter its strikes.
pub(super) fn check(plant: &mut Plant, drafts: Vec<StrikeDraft>, problems: &mut Problems) {
    for StrikeDraft { meter, point, strike } in drafts {
        let struck = plant.meters.iter_mut().find(|one| {
            meter.as_ref().is_some_and(|id| id.value == one.id)
                || point.as_ref().is_some_and(|point| point.value == one.point.value)
        });
        match (struck, &meter, &point) {
            (Some(struck), ..) => struck.strikes.push(strike),
            (None, Some(id), _) => {
                let known = super::check::texts(plant.meters.iter().map(|meter| &meter.id));
                problems.push(super::check::unknown(id, "meter", &known));
            }
            (None, None, Some(point)) => {
                let name = point.value.as_str();
                let known: Vec<&str> =
                    plant.meters.iter().map(|meter| meter.point.value.as_str()).collect();
                let message = text!(
                    en: "no meter has the point `{name}`",
                    zh: "没有计量表使用测点 `{name}`",
                );
                let problem = point.problem(CODE_REFERENCE, message);
                problems.push(problem.help(config::meant(name, &known, "points of meters:")));
            }
            (None, None, None) => {}
        }
    }
    for meter in &mut plant.meters {
        meter.strikes.sort_by_key(|strike| (strike.from, strike.to));
    }
}
