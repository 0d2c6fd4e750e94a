//! Reads `plant.toml` section by section, then lets [`super::check`] compare them. Must never stop at the first problem.

use std::sync::Arc;
use std::time::Duration;

use config::{Problems, SourceFile, Spanned, Table, meant};
use jiff::tz::TimeZone;
use model::{Decimal, PlaceInSite, Unit, text};

use super::check::{self, Draft, SubjectDraft};
use super::{
    Allocation, CODE_PLANT, CODE_UNIT, Plant, Product, Share, Subject, SubjectKind, kind, meter,
    row, strike,
};
use crate::coefficient::Registry;
use crate::id::SubjectId;
use crate::number::Number;

/// Three days: what the acceptance rules of the national online monitoring give for a repair before filling by hand.
const INTERPOLATION_MAX: Duration = Duration::from_hours(3 * 24);

/// The longest gap that may be interpolated over: further away from a period readings are not looked at.
pub const INTERPOLATION_MAX_MOST: Duration = Duration::from_hours(40 * 24);

/// What `[plant]` says and other sections take as their default.
pub(super) struct Defaults {
    pub(super) enterprise: SubjectId,
    pub(super) time_zone: TimeZone,
    pub(super) rule_set: Option<String>,
    pub(super) edition: Option<String>,
}

/// Reads a whole file.
pub(super) fn plant(file: &Arc<SourceFile>) -> Result<Plant, Problems> {
    let mut problems = Problems::default();
    let mut root = Table::parse(file, &mut problems);
    let head = root.required::<Table>("plant", &mut problems).and_then(|head| {
        let mut head = head.value;
        let read = header(&mut head, &mut problems);
        head.finish(&mut problems);
        read
    });
    let Some((mut plant, defaults)) = head else { return Err(problems) };
    let mut draft = Draft::default();
    for table in root.tables("subject", &mut problems) {
        draft.subjects.extend(section(table, &mut problems, |table, problems| {
            subject(table, &defaults, problems)
        }));
    }
    let mut rows = Vec::new();
    for table in root.tables("coefficient", &mut problems) {
        rows.extend(section(table, &mut problems, |table, problems| {
            row::coefficient(table, &defaults, &plant.coefficients, problems)
        }));
    }
    let kinds = root.tables("energy_kind", &mut problems);
    let kinds_given = kinds.len();
    for table in kinds {
        draft.kinds.extend(section(table, &mut problems, |table, problems| {
            kind::energy_kind(table, &defaults, problems)
        }));
    }
    for table in root.tables("meter", &mut problems) {
        draft.meters.extend(section(table, &mut problems, |table, problems| {
            meter::meter(table, &defaults, problems)
        }));
    }
    for table in root.tables("product", &mut problems) {
        draft.products.extend(section(table, &mut problems, product));
    }
    for table in root.tables("allocation", &mut problems) {
        draft.allocations.extend(section(table, &mut problems, allocation));
    }
    for table in root.tables("strike", &mut problems) {
        draft.strikes.extend(section(table, &mut problems, |table, problems| {
            strike::strike(table, &defaults, problems)
        }));
    }
    root.finish(&mut problems);
    plant.coefficients = row::registry(&rows, &mut problems);
    // A row whose energy kind could not be read fits none, and that is no fault of the row.
    let kinds_are_read = draft.kinds.len() == kinds_given;
    check::all(&mut plant, draft, &mut problems);
    if kinds_are_read {
        row::fit(&plant, &rows, &mut problems);
    }
    if problems.is_fatal() {
        return Err(problems);
    }
    plant.warnings = problems;
    Ok(plant)
}

fn section<T>(
    mut table: Table,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table, &mut Problems) -> Option<T>,
) -> Option<T> {
    let found = read(&mut table, problems);
    table.finish(problems);
    found
}

fn interpolation_max(table: &mut Table, problems: &mut Problems) -> Duration {
    let Some(found) = table.optional::<Duration>("interpolation_max", problems) else {
        return INTERPOLATION_MAX;
    };
    if found.value > INTERPOLATION_MAX_MOST {
        let days = INTERPOLATION_MAX_MOST.as_secs() / 86_400;
        let message = text!(
            en: "`interpolation_max`: expected at most {days} days: readings further from a period are not looked at",
            zh: "`interpolation_max`：最长 {days} 天，距时段更远的读数不参与计算",
        );
        problems.push(found.problem(CODE_PLANT, message));
    }
    found.value
}

fn header(table: &mut Table, problems: &mut Problems) -> Option<(Plant, Defaults)> {
    let name = table.or("name", String::new(), problems);
    let enterprise = id::<SubjectId>(table, "enterprise", problems);
    let site = optional_id::<SubjectId>(table, "site", problems).map(|site| site.value);
    let zone = table.required::<String>("time_zone", problems);
    let region = table.or("region", "CN".to_owned(), problems);
    let fact_files = table.or("facts", Vec::new(), problems);
    let rule_set = table.optional("rule_set", problems).map(|found| found.value);
    let edition = table.optional("edition", problems).map(|found| found.value);
    let gap = interpolation_max(table, problems);
    let zone = zone.and_then(|zone| time_zone(&zone, problems));
    let (enterprise, time_zone) = (enterprise?.value, zone?);
    let plant = Plant {
        subjects: vec![Subject {
            id: enterprise.clone(),
            kind: SubjectKind::Enterprise,
            name: name.clone(),
            parent: None,
            place: None,
        }],
        name,
        time_zone,
        region,
        enterprise: enterprise.clone(),
        site,
        interpolation_max_micros: i64::try_from(gap.as_micros()).unwrap_or(i64::MAX),
        kinds: Vec::new(),
        meters: Vec::new(),
        products: Vec::new(),
        allocations: Vec::new(),
        fact_files,
        coefficients: Registry::shipped(),
        warnings: Problems::default(),
    };
    let time_zone = plant.time_zone.clone();
    Some((plant, Defaults { enterprise, time_zone, rule_set, edition }))
}

fn time_zone(zone: &Spanned<String>, problems: &mut Problems) -> Option<TimeZone> {
    let found = TimeZone::get(&zone.value).ok();
    if found.is_none() {
        let message = format!("`plant.time_zone`: `{}` is not a time zone", zone.value);
        let help = "use an IANA name such as `Asia/Shanghai`";
        problems.push(zone.problem(CODE_PLANT, message).help(help));
    }
    found
}

fn subject(
    table: &mut Table,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<SubjectDraft> {
    let id = id::<SubjectId>(table, "id", problems);
    let kind = word::<SubjectKind>(table, "kind", problems);
    let name = table.or("name", String::new(), problems);
    let parent = optional_id::<SubjectId>(table, "parent", problems);
    let place = optional_word::<PlaceInSite>(table, "place", problems);
    let id = id?;
    // A wrong kind is said once; the subject is there all the same.
    let kind = kind.map_or(SubjectKind::Equipment, |kind| kind.value);
    let parent = parent.unwrap_or_else(|| id.clone().map(|_| defaults.enterprise.clone()));
    Some(SubjectDraft { id, kind, name, parent, place })
}

fn product(table: &mut Table, problems: &mut Problems) -> Option<Spanned<Product>> {
    let id = id(table, "id", problems);
    let name = table.or("name", String::new(), problems);
    let unit = unit(table, "unit", problems);
    let line = self::id(table, "line", problems);
    let weight = optional_positive(table, "weight", problems);
    let weight = weight.map(|weight| Number::from(weight.value));
    let (id, unit, line) = (id?, unit?.value, line?);
    Some(line.map(|line| Product { id: id.value, name, unit, line, weight }))
}

fn allocation(table: &mut Table, problems: &mut Problems) -> Option<Spanned<Allocation>> {
    let from = id(table, "from", problems);
    let energy_kind = id(table, "energy_kind", problems);
    let mut shares = Vec::new();
    let tables = table.tables("share", problems);
    if tables.is_empty() {
        let message = "`allocation` has no `[[allocation.share]]` with `to` and `weight`";
        problems.push(table.problem(CODE_PLANT, message).help("add one share for each receiver"));
    }
    for share in tables {
        shares.extend(section(share, problems, |share, problems| {
            let to = id(share, "to", problems);
            let weight = positive(share, "weight", problems);
            Some(Share { to: to?.value, weight: Number::from(weight?.value) })
        }));
    }
    if shares.is_empty() {
        return None;
    }
    let (from, energy_kind) = (from?, energy_kind?.value);
    Some(from.map(|from| Allocation { from, energy_kind, shares }))
}

/// Takes a text that a default may stand in for.
pub(super) fn text_or(
    table: &mut Table,
    key: &'static str,
    default: Option<&String>,
    problems: &mut Problems,
) -> Option<String> {
    match default {
        Some(default) => Some(table.or(key, default.clone(), problems)),
        None => table.required(key, problems).map(|found| found.value),
    }
}

/// Takes a text that must be there and is read as `T`.
pub(super) fn word<T>(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = table.required::<String>(key, problems)?;
    parsed(text, key, CODE_PLANT, problems)
}

/// Takes a text that may be there and is read as `T`.
pub(super) fn optional_word<T>(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = table.optional::<String>(key, problems)?;
    parsed(text, key, CODE_PLANT, problems)
}

pub(super) use optional_word as optional_id;
pub(super) use word as id;

/// Takes a unit.
pub(super) fn unit(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<Unit>> {
    let text = table.required::<String>(key, problems)?;
    match Unit::written(&text.value) {
        Some(unit) => Some(text.map(|_| unit)),
        None => parsed(text, key, CODE_UNIT, problems),
    }
}

/// Takes a decimal above zero.
pub(super) fn positive(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<Decimal>> {
    let found = table.required::<Decimal>(key, problems)?;
    above_zero(found, key, problems)
}

/// Takes a decimal above zero that may be absent.
pub(super) fn optional_positive(
    table: &mut Table,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<Decimal>> {
    let found = table.optional::<Decimal>(key, problems)?;
    above_zero(found, key, problems)
}

fn above_zero(
    found: Spanned<Decimal>,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<Decimal>> {
    if found.value.mantissa > 0 {
        return Some(found);
    }
    let message = format!("`{key}`: expected a number above zero, found `{}`", found.value);
    problems.push(found.problem(CODE_PLANT, message));
    None
}

fn parsed<T>(
    text: Spanned<String>,
    key: &'static str,
    code: &'static str,
    problems: &mut Problems,
) -> Option<Spanned<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match text.value.parse::<T>() {
        Ok(value) => Some(text.map(|_| value)),
        Err(wrong) => {
            let problem = text.problem(code, format!("`{key}`: {wrong}"));
            problems.push(if code == CODE_UNIT {
                let units: Vec<_> = Unit::ALL.iter().map(|unit| unit.symbol()).collect();
                problem.help(meant(&text.value, &units, "units:"))
            } else {
                problem
            });
            None
        }
    }
}
