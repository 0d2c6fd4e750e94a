//! `nengliu query`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use analytics::query::{QueryError, QueryFormat, query as write_samples};
use config::FromToml;
use contract::points::described;
use contract::{Points, Request, RowChoice};
use energy::Period;
use jiff::tz::TimeZone;
use lake::Snapshot;
use model::{CommitNumber, Localized, Timestamp, text};
use program::Output;

use super::lake_error::{self, Wanted};
use super::{output, points, source};
use crate::cli::{QueryArgs, QueryFormatArg};
use crate::exit;

pub(crate) fn query(args: &QueryArgs) -> u8 {
    samples(args).map_or_else(|code| code, |()| exit::OK)
}

fn samples(args: &QueryArgs) -> Result<(), u8> {
    let format = match args.format {
        QueryFormatArg::Csv => QueryFormat::Csv,
        QueryFormatArg::Json => QueryFormat::Json,
        QueryFormatArg::Parquet => QueryFormat::Parquet,
        QueryFormatArg::Arrow => QueryFormat::Arrow,
    };
    match format {
        QueryFormat::Csv | QueryFormat::Json => {}
        QueryFormat::Parquet => output::not_to_a_terminal("Parquet", args.output.as_deref())?,
        QueryFormat::Arrow => {
            output::not_to_a_terminal("an Arrow stream", args.output.as_deref())?;
        }
    }
    let settings = source::settings(args.source.config.as_deref())?;
    let (of_settings, analytics) =
        settings.map_or((None, None), |settings| (Some(settings.lake), settings.analytics));
    let plant = args.plant.clone().or(analytics.map(|analytics| analytics.plant));
    let (from, to) = range(args, plant.as_deref())?;
    let lake = args.source.lake.clone().or(of_settings).unwrap_or_else(|| "lake".into());
    let snapshot = source::snapshot(&lake, args.source.as_of)?;
    let prefixes = &args.points;
    let request = Request {
        points: if prefixes.is_empty() { Points::All } else { Points::Prefixes(prefixes.clone()) },
        from,
        to,
        as_of: args.source.as_of.map(CommitNumber),
        choice: if args.all { RowChoice::All } else { RowChoice::Chosen },
        ..Request::default()
    };
    let mut out = output::written(Output::to(args.output.as_deref()).map(Some))?;
    let Some(out) = &mut out else { return Ok(()) };
    let queried = write_samples(&snapshot, &request, format, out);
    // It remembers why, whatever the writer of a format makes of it.
    out.flush().ok();
    if let Some(e) = out.failure() {
        return output::written(Err(e));
    }
    let queried = match queried {
        Ok(queried) => queried,
        Err(e) => {
            if let QueryError::Store(e) = &e
                && let Some(code) = lake_error::show_store(e.as_ref(), Wanted::Read)
            {
                return Err(code);
            }
            program::show_error("EN-L004", &e, "");
            return Err(exit::FAILED);
        }
    };
    let damage = source::damaged(&queried.damaged);
    if queried.rows == 0 && damage.is_none() {
        note_nothing(&snapshot, prefixes, &lake);
    }
    damage.map_or(Ok(()), Err)
}

/// Says why nothing was found, and what to type.
fn note_nothing(snapshot: &Snapshot, prefixes: &[String], lake: &Path) {
    let ids = described(snapshot).map(BTreeMap::into_keys);
    let ids: Vec<String> = ids.map(Iterator::collect).unwrap_or_default();
    let is_there = |prefix: &&String| ids.iter().any(|id| id.starts_with(prefix.as_str()));
    let lake = lake.display();
    let language = program::language();
    let missing: Vec<&String> = prefixes.iter().filter(|prefix| !is_there(prefix)).collect();
    for prefix in &missing {
        let near = points::meant(prefix, ids.iter().map(String::as_str));
        let near: Vec<String> = near.into_iter().map(|id| format!("`{id}`")).collect();
        let note = if near.is_empty() {
            text!(
                en: "note: no point begins with `{prefix}`; `nengliu points --lake {lake}` lists all",
                zh: "提示：没有以 `{prefix}` 开头的测点；`nengliu points --lake {lake}` 列出全部"
            )
        } else {
            let near = near.join(", ");
            text!(
                en: "note: no point begins with `{prefix}`; did you mean {near}? `nengliu points {prefix} --lake {lake}` lists more",
                zh: "提示：没有以 `{prefix}` 开头的测点；是否指 {near}？`nengliu points {prefix} --lake {lake}` 列出更多"
            )
        };
        program::tell!("{}", note.get(language));
    }
    if missing.is_empty() {
        let note = text!(
            en: "note: no reading in this range; `nengliu points --lake {lake}` shows the first and the last one of each point",
            zh: "提示：该范围内没有读数；`nengliu points --lake {lake}` 显示每个测点的首个和最新读数"
        );
        program::tell!("{}", note.get(language));
    }
}

/// The times between which samples are wanted. Texts without an offset are in the time zone of the plant file, else of this
/// host; which one it was is said.
fn range(
    args: &QueryArgs,
    plant: Option<&Path>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), u8> {
    let (from, to) = (args.from.as_deref(), args.to.as_deref());
    let local: Vec<&str> =
        from.into_iter().chain(to).filter(|text| with_offset(text).is_none()).collect();
    let zone = match (local.first(), plant) {
        (Some(_), Some(plant)) => source::time_zone(plant)?,
        _ => TimeZone::system(),
    };
    let range = times(from, to, &zone).map_err(|words| {
        program::show_words("EN-C009", words.get(program::language()), "");
        exit::CONFIG
    })?;
    if !local.is_empty() {
        let (texts, zone) = (local.join("`, `"), points::zone_name(&zone));
        let note = match plant {
            Some(_) => text!(
                en: "note: `{texts}` is in the time zone of the plant, {zone}",
                zh: "提示：`{texts}` 按工厂时区 {zone} 计"
            ),
            None => text!(
                en: "note: `{texts}` is in the time zone of this host, {zone}; name the plant file with --plant for that of the plant",
                zh: "提示：`{texts}` 按本机时区 {zone} 计；用 --plant 指定工厂文件即按工厂时区"
            ),
        };
        program::tell!("{}", note.get(program::language()));
    }
    Ok(range)
}

/// A time that states its offset.
fn with_offset(text: &str) -> Option<Timestamp> {
    Timestamp::from_item(config::Item::Text(text.to_owned())).ok()
}

/// A time with its offset, or a year, month, day or time of `zone`.
fn time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Some(time) = with_offset(text) {
        return Some(time);
    }
    if let Ok(period) = text.parse::<Period>() {
        return Some(period.span(zone).from);
    }
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let time = time.to_zoned(zone.clone()).ok()?;
    Some(Timestamp(time.timestamp().as_microsecond())).filter(|time| time.is_storable())
}

/// The times between which samples are wanted, or what is wrong with them.
fn times(
    from: Option<&str>,
    to: Option<&str>,
    zone: &TimeZone,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Localized> {
    let time = |option: &str, text: &str| {
        time(text, zone).ok_or_else(|| {
            text!(
                en: "`{option}`: expected a day such as `2026-10-01`, a month, a year, or a time such as `2026-10-01T08:00` or `2026-10-01T08:00:00+08:00`, found `{text}`",
                zh: "`{option}`：应为日期（如 `2026-10-01`）、月、年，或时间（如 `2026-10-01T08:00`、`2026-10-01T08:00:00+08:00`），实为 `{text}`"
            )
        })
    };
    let first = from.map(|text| time("--from", text)).transpose()?;
    let end = to.map(|text| time("--to", text)).transpose()?;
    if let (Some(from), Some(to)) = (from, to)
        && first >= end
    {
        return Err(text!(
            en: "`--from {from}` is not before `--to {to}`: the range is empty",
            zh: "`--from {from}` 不早于 `--to {to}`：范围为空"
        ));
    }
    Ok((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_named_by_their_option_and_in_order() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let times = |from: Option<&str>, to: Option<&str>| times(from, to, &zone);
        let (early, late) = ("2026-01-01T00:00:00+08:00", "2026-01-02T00:00:00+08:00");
        assert!(times(Some(early), Some(late)).is_ok());
        assert!(times(None, Some(early)).is_ok() && times(Some(late), None).is_ok());
        let check = |from: &str, to: &str, expected: &str| {
            let error = times(Some(from), Some(to)).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check("yesterday", late, "`--from`: expected a day such as");
        check(early, "2026-02-30", "`--to`: expected a day such as");
        check(late, early, "`--from 2026-01-02T00:00:00+08:00` is not before `--to 2026-01-01T");
        // The end is the first that is no longer wanted, so nothing could match.
        check(early, early, "`--from 2026-01-01T00:00:00+08:00` is not before `--to 2026-01-01T");
        check("2026-01", "2026-01-01", "`--from 2026-01` is not before");
    }

    /// First use, O14: a day was refused, while `kpi` takes one.
    #[test]
    fn a_day_a_month_a_year_and_a_local_time_are_taken_in_the_zone() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        for (local, expected) in [
            ("2026-10-01", "2026-10-01T00:00:00+08:00"),
            ("2026-10", "2026-10-01T00:00:00+08:00"),
            ("2026", "2026-01-01T00:00:00+08:00"),
            ("2026-10-01T08:30", "2026-10-01T08:30:00+08:00"),
            ("2026-10-01 08:30:15", "2026-10-01T08:30:15+08:00"),
            ("2026-10-01T00:00:00Z", "2026-10-01T08:00:00+08:00"),
        ] {
            assert_eq!(time(local, &zone), with_offset(expected), "{local}");
            assert!(with_offset(expected).is_some());
        }
        // Where clocks are put back, of two moments the first; where they are put forward, the one after the gap.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let check = |local, expected| assert_eq!(time(local, &berlin), with_offset(expected));
        check("2026-10-25T02:30", "2026-10-25T02:30:00+02:00");
        check("2026-03-29T02:30", "2026-03-29T03:30:00+02:00");
        for wrong in ["2026-13", "2026-02-29", "08:00", "", "9999999"] {
            assert_eq!(time(wrong, &zone), None, "{wrong}");
        }
    }
}
