//! `nengliu points`: what is in the lake, one line for each point; and which points a word may have meant. No rows are read:
//! the store knows the times.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use contract::points::kind;
use contract::{Cancel, Described, StoredPoint, stored_points};
use jiff::tz::TimeZone;
use model::{Language, PointInfo, Timestamp, text};
use serde_json::{Value, json};

use super::lake_error::{self, Wanted};
use super::{output, source};
use crate::cli::PointsArgs;
use crate::exit;

/// Points that are proposed for a word.
const MEANT_MAX: usize = 5;
/// Stands for what is not known.
const NONE: &str = "-";

pub(crate) fn points(args: &PointsArgs) -> u8 {
    listed(args).map_or_else(|code| code, |()| exit::OK)
}

fn listed(args: &PointsArgs) -> Result<(), u8> {
    let settings = source::settings(args.config.as_deref())?;
    let lake: PathBuf = args
        .lake
        .clone()
        .or_else(|| settings.as_ref().map(|settings| settings.lake.clone()))
        .unwrap_or_else(|| "lake".into());
    let plant = settings.and_then(|settings| settings.analytics).map(|analytics| analytics.plant);
    let snapshot = source::snapshot(&lake, None)?;
    let (points, damaged) = stored_points(&snapshot, &Cancel::default()).map_err(|e| {
        lake_error::show_store(e.as_ref(), Wanted::Read).unwrap_or_else(|| {
            program::show_error("EN-L004", e.as_ref(), "");
            exit::FAILED
        })
    })?;
    let wanted: Vec<&StoredPoint> =
        points.iter().filter(|point| is_meant(point, &args.pattern)).collect();
    if args.json {
        let all: Vec<Value> = wanted.iter().map(|point| as_json(point)).collect();
        output::print_line(crate::schema::points(json!({ "points": all })))?;
    } else {
        let zone = match plant {
            Some(plant) => source::time_zone(&plant)?,
            None => TimeZone::system(),
        };
        output::print(as_table(&wanted, &zone, program::language()))?;
    }
    if wanted.is_empty() {
        let count = points.len();
        let note = if args.pattern.is_empty() {
            text!(en: "note: the lake holds no point yet", zh: "提示：数据湖中还没有测点")
        } else {
            text!(
                en: "note: none of the {count} points matches; `nengliu points` without a pattern lists all",
                zh: "提示：{count} 个测点中没有匹配的；不带参数的 `nengliu points` 列出全部"
            )
        };
        program::tell!("{}", note.get(program::language()));
    }
    source::damaged(&damaged).map_or(Ok(()), Err)
}

/// Whether a point has all of these words in its id, name, place or unit. `*` stands for anything.
fn is_meant(point: &StoredPoint, words: &[String]) -> bool {
    let mut text = point.id.clone();
    if let Some(info) = point.described.as_ref().map(Described::info) {
        let name = &info.device_name;
        for more in [name.zh.as_str(), &name.en, &place(info), info.unit.symbol()] {
            text.push('\n');
            text.push_str(more);
        }
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.lines().any(|line| has(line, &word.to_lowercase())))
}

/// Whether a line has the parts of a pattern, one after the other.
fn has(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

/// The points that a word may have meant: those that have it in their id, else those with a level that is nearly it.
pub(super) fn meant<'a>(word: &str, ids: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    let lower = word.to_lowercase();
    let having = ids.clone().filter(|id| has(&id.to_lowercase(), &lower));
    let found: Vec<&str> = having.take(MEANT_MAX).collect();
    if !found.is_empty() {
        return found;
    }
    let levels: BTreeSet<&str> = ids.clone().flat_map(|id| id.split('/')).collect();
    let levels: Vec<&str> = levels.into_iter().collect();
    let last = lower.rsplit('/').find(|level| !level.is_empty()).unwrap_or_default();
    let Some(near) = config::nearest(last, &levels) else { return Vec::new() };
    ids.filter(|id| id.split('/').any(|level| level == near)).take(MEANT_MAX).collect()
}

/// Where its device stands in the site, which its id names.
fn place(info: &PointInfo) -> String {
    let levels = [info.place.area.as_deref(), info.place.line.as_deref()];
    levels.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// One line for each point: the day of its first reading and the minute of its last one, in `zone`.
fn as_table(points: &[&StoredPoint], zone: &TimeZone, language: Language) -> String {
    if points.is_empty() {
        return String::new();
    }
    let heads = match language {
        Language::English => ["point", "unit", "kind", "first", "last", "name, place"],
        Language::Chinese => ["测点", "单位", "类型", "首个读数", "最新读数", "名称，位置"],
    };
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(points.iter().map(|point| cells(point, zone, language)));
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = String::new();
    for line in lines {
        for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
            text.push_str(cell);
            if at + 1 < line.len() {
                text.extend(std::iter::repeat_n(' ', width - columns(cell) + 2));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let (count, zone) = (points.len(), zone_name(zone));
    let foot = text!(
        en: "{count} points; times in {zone}",
        zh: "共 {count} 个测点；时间为 {zone}"
    );
    writeln!(text, "{}", foot.get(language)).expect("writing to a String does not fail");
    text
}

fn cells(point: &StoredPoint, zone: &TimeZone, language: Language) -> [String; 6] {
    let time = |time: Option<Timestamp>, form: &str| {
        let time = time.and_then(|time| jiff::Timestamp::from_microsecond(time.0).ok());
        time.map_or_else(
            || NONE.to_owned(),
            |time| time.to_zoned(zone.clone()).strftime(form).to_string(),
        )
    };
    let first = time(point.times.map(|times| times.0), "%Y-%m-%d");
    let last = time(point.times.map(|times| times.1), "%Y-%m-%d %H:%M");
    let Some(described) = &point.described else {
        let none = || NONE.to_owned();
        return [point.id.clone(), none(), none(), first, last, none()];
    };
    let info = described.info();
    let (own, other) = match language {
        Language::English => (&info.device_name.en, &info.device_name.zh),
        Language::Chinese => (&info.device_name.zh, &info.device_name.en),
    };
    let name = if own.is_empty() { other } else { own };
    let (comma, place) = (text!(en: ", ", zh: "，"), place(info));
    let known: Vec<&str> =
        [name.as_str(), &place].into_iter().filter(|part| !part.is_empty()).collect();
    let mut shown = known.join(comma.get(language));
    if !described.is_current {
        shown.push_str(text!(en: " (no longer in use)", zh: "（已停用）").get(language));
    }
    let shown = if shown.is_empty() { NONE.to_owned() } else { shown };
    let (unit, kind) = (info.unit.symbol().to_owned(), kind(info.kind).to_owned());
    [point.id.clone(), unit, kind, first, last, shown]
}

/// Columns of a terminal that a text takes.
fn columns(text: &str) -> usize {
    // From here on: CJK and full-width characters, as wide as two letters.
    text.chars().map(|c| if c >= '\u{2E80}' { 2 } else { 1 }).sum()
}

/// A zone as people know it.
pub(super) fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().map_or_else(|| "local time".to_owned(), str::to_owned)
}

fn as_json(point: &StoredPoint) -> Value {
    let described = point.described.as_ref();
    let info = described.map(Described::info);
    let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let modulus = info.and_then(|info| info.modulus).map(|modulus| modulus.to_string());
    let place = info.map(|info| &info.place);
    json!({
        "point": point.id,
        "name_zh": given(info.map(|info| &info.device_name.zh)),
        "name_en": given(info.map(|info| &info.device_name.en)),
        "enterprise": place.map(|place| &place.enterprise),
        "site": place.map(|place| &place.site),
        "area": place.and_then(|place| place.area.as_ref()),
        "line": place.and_then(|place| place.line.as_ref()),
        "device": info.map(|info| &info.device),
        "metric": info.map(|info| &info.metric),
        "unit": info.map(|info| info.unit.symbol()),
        "kind": info.map(|info| kind(info.kind)),
        "type": info.map(|info| info.value_type.kind()),
        "modulus": modulus.and_then(|modulus| serde_json::from_str::<Value>(&modulus).ok()),
        "interval_ms": info.and_then(|info| info.interval_ms),
        "profile": info.and_then(|info| info.profile.as_ref()),
        "states": info.map(|info| &info.states).filter(|states| !states.is_empty()),
        "gateway": described.and_then(|described| described.gateway.as_ref()),
        "in_use": described.is_some_and(|described| described.is_current),
        "first_ts": point.times.map(|times| times.0.to_string()),
        "last_ts": point.times.map(|times| times.1.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = [
        "demo/plant-1/meter-main/e_import",
        "demo/plant-1/meter-main/p_total",
        "demo/plant-1/boiler/e_import",
        "demo/plant-1/lathe-1/state",
    ];

    #[test]
    fn a_word_names_the_points_that_it_may_have_meant() {
        let check = |word: &str, expected: &[usize]| {
            let expected: Vec<&str> = expected.iter().map(|at| IDS[*at]).collect();
            assert_eq!(meant(word, IDS.into_iter()), expected, "{word}");
        };
        check("meter-main", &[0, 1]);
        check("Meter", &[0, 1]);
        check("main/e", &[0]);
        check("demo/plant-1/boler", &[2]);
        check("plant*import", &[0, 2]);
        check("e_imprt", &[0, 2]);
        check("press", &[]);
    }

    #[test]
    fn every_line_of_the_table_fits_its_columns() {
        let time = Timestamp(1_790_784_000_000_000);
        let point = |id: &str| StoredPoint {
            id: id.to_owned(),
            described: None,
            times: Some((time, time)),
        };
        let (short, long) = (point("a/b/c"), point("a/b/much-longer"));
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        for language in [Language::English, Language::Chinese] {
            let text = as_table(&[&short, &long], &zone, language);
            let lines: Vec<&str> = text.lines().collect();
            let at = |line: &str, found: &str| columns(line.split_once(found).unwrap().0);
            let place = at(lines[1], "2026-10-01");
            assert_eq!(at(lines[2], "2026-10-01"), place, "{text}");
            let head = if language == Language::English { "first" } else { "首个读数" };
            assert_eq!(at(lines[0], head), place, "{text}");
            assert!(lines[3].contains("Asia/Shanghai"), "{text}");
        }
    }
}
