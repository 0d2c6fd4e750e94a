//! Reads the text of a profile and notes everything that is wrong with it. Must never know what an address means.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use config::{FromToml, Item, Problems, SourceFile, Spanned, Table, nearest, written};
use model::dictionary::{NAME_CHARS_MAX, STATES_MAX};
use model::unit::Dimension;
use model::{Decimal, PointKind, PointState, Unit, text};

use crate::profile::{DeviceProfile, PointSource, ProfilePoint};
use crate::range::PlausibleRange;

/// Shortest and longest interval at which a point can be read.
pub const POLL_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_hours(24);

/// Reads a profile. Notes *all* problems with their places; returns nothing when one of them is fatal.
pub fn load(id: &str, file: &Arc<SourceFile>, problems: &mut Problems) -> Option<DeviceProfile> {
    let mut found = Problems::default();
    let profile = draft(id, file, &mut found);
    let fatal = found.is_fatal();
    problems.append(found);
    (!fatal).then_some(profile)
}

/// Reads a profile as far as it goes, so that addresses can be checked beside a wrong unit. Nothing may run on it when
/// one of the problems is fatal.
pub(crate) fn draft(id: &str, file: &Arc<SourceFile>, problems: &mut Problems) -> DeviceProfile {
    let mut table = Table::parse(file, problems);
    let maker = table.required::<String>("maker", problems);
    let model = table.required::<String>("model", problems);
    let protocol = table.required::<String>("protocol", problems);
    let sources: Vec<PointSource> =
        table.tables("source", problems).into_iter().filter_map(|t| source(t, problems)).collect();
    let point_tables = table.tables("point", problems);
    if point_tables.is_empty() {
        let problem = table.problem("GW-C041", format!("profile `{id}` has no points"));
        problems.push(problem.help("add a `[[point]]` for each value that the device offers"));
    }
    let mut points = Vec::with_capacity(point_tables.len());
    let mut metrics = HashMap::new();
    for point_table in point_tables {
        points.extend(point(point_table, &sources, &mut metrics, problems).map(Arc::new));
    }
    let mut options = Table::empty(file);
    let sections = table.drain_tables();
    // Without `protocol` the only section is the one that was meant, so that the rest can be checked too.
    let only = sections.len() == 1;
    for (name, section) in sections {
        if protocol.as_ref().map_or(only, |protocol| protocol.value == name.value) {
            options = section;
        } else {
            let message = format!("`[{}]` is not a section that exists here", name.value);
            let of = protocol.as_ref().map_or("<protocol>", |protocol| protocol.value.as_str());
            problems.push(
                name.problem("GW-C048", message)
                    .help(format!("the section of this profile's protocol is `[{of}]`")),
            );
        }
    }
    table.finish(problems);
    DeviceProfile {
        id: id.to_owned(),
        // What is missing was noted; the points are checked all the same.
        maker: maker.map(|maker| maker.value).unwrap_or_default(),
        model: model.map(|model| model.value).unwrap_or_default(),
        protocol: protocol.map(|protocol| protocol.value).unwrap_or_default(),
        sources,
        options,
        points,
        file: Arc::clone(file),
    }
}

fn source(mut table: Table, problems: &mut Problems) -> Option<PointSource> {
    let id = table.required::<String>("id", problems);
    let title = table.required::<String>("title", problems);
    table.finish(problems);
    Some(PointSource { id: id?.value, title: title?.value })
}

fn point(
    mut table: Table,
    sources: &[PointSource],
    metrics: &mut HashMap<String, Spanned<String>>,
    problems: &mut Problems,
) -> Option<ProfilePoint> {
    let metric = table.required::<String>("metric", problems);
    if let Some(metric) = &metric {
        check_metric(metric, metrics, problems);
    }
    let unit = table.required::<String>("unit", problems).and_then(|text| unit_of(&text, problems));
    let kind = table.required::<String>("kind", problems).and_then(|text| kind_of(&text, problems));
    if let (Some(unit), Some(kind)) = (&unit, &kind) {
        check_fit(unit, kind.value, problems);
    }
    let modulus = modulus_of(&mut table, kind.as_ref(), problems);
    let states = states_of(&mut table, kind.as_ref(), problems);
    let scale = table.optional::<Decimal>("scale", problems);
    let resolution = table.optional::<Decimal>("resolution", problems);
    for (key, number) in [("scale", &scale), ("resolution", &resolution)] {
        let wrong = |number: &&Spanned<Decimal>| {
            number.value.mantissa == 0 || (key == "resolution" && number.value.mantissa < 0)
        };
        if let Some(number) = number.as_ref().filter(wrong) {
            // A meter may count the other way round.
            let expected = if key == "scale" { "other than 0" } else { "above 0" };
            let message =
                format!("`{key}`: expected a number {expected}, found `{}`", number.value);
            problems.push(number.problem("GW-C046", message).help("write one step, such as 0.01"));
        }
    }
    let offset = table.or("offset", Decimal::ZERO, problems);
    let counts_down = scale.as_ref().is_some_and(|scale| scale.value.mantissa < 0);
    let known = metric.as_ref().zip(unit.as_ref()).zip(kind.as_ref());
    let certain = known.map(|((metric, unit), kind)| {
        PlausibleRange::of(&metric.value, unit.value, kind.value, counts_down)
    });
    let range = range_of(&mut table, metric.as_ref(), certain.unwrap_or_default(), problems);
    let source = table.optional::<String>("source", problems);
    let unverified = table.or("unverified", false, problems);
    check_source(&table, source.as_ref(), unverified, sources, problems);
    let poll = table.optional::<Duration>("poll", problems);
    if let Some(poll) = poll.as_ref().filter(|poll| !POLL_INTERVALS.contains(&poll.value)) {
        let message = format!("`poll`: expected 20ms to 24h, found {}", written(poll.value));
        problems.push(poll.problem("GW-C039", message).help("such as \"1min\" for a counter"));
    }
    let history = table.optional::<bool>("history", problems);
    Some(ProfilePoint {
        metric: metric?.value,
        unit: unit.map_or(Unit::One, |unit| unit.value),
        kind: kind.map_or(PointKind::Gauge, |kind| kind.value),
        scale: scale.map_or(Decimal::ONE, |scale| scale.value),
        offset,
        resolution: resolution.map(|resolution| resolution.value),
        modulus,
        range,
        states,
        source: source.map(|source| source.value),
        unverified,
        poll: poll.map(|poll| poll.value),
        history: history.map(|history| history.value),
        address: table,
    })
}

fn check_metric(
    metric: &Spanned<String>,
    metrics: &mut HashMap<String, Spanned<String>>,
    problems: &mut Problems,
) {
    if let Err(error) = model::id::check_id(&metric.value) {
        let problem = metric.problem("GW-C042", format!("`metric`: {error}"));
        problems.push(problem.help("a metric is one level of a topic, such as `e_import`"));
    }
    if let Some(first) = metrics.insert(metric.value.clone(), metric.clone()) {
        let (line, _) = first.file.line_column(first.span.start);
        let message = format!("metric `{}` stands twice in this profile", metric.value);
        problems.push(
            metric
                .problem("GW-C042", message)
                .help(format!("the other is in line {line}; rename one")),
        );
    }
}

fn unit_of(text: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<Unit>> {
    match text.value.parse::<Unit>() {
        Ok(unit) => Some(text.clone().map(|_| unit)),
        Err(error) => {
            problems.push(text.problem("GW-C043", error.to_string()).help(near_units(&text.value)));
            None
        }
    }
}

/// The unit that was probably meant, else all of them.
fn near_units(text: &str) -> String {
    let plain = |text: &str| text.replace('³', "3").replace(' ', "").to_lowercase();
    let symbols: Vec<&str> = Unit::ALL.iter().map(|unit| unit.symbol()).collect();
    let same = symbols.iter().copied().find(|symbol| plain(symbol) == plain(text));
    let synonym = || match plain(text).as_str() {
        "c" | "degc" | "℃" | "celsius" => Some("°C"),
        "" | "none" | "bool" | "pf" => Some("1"),
        _ => None,
    };
    match same.or_else(synonym).or_else(|| nearest(text, &symbols)) {
        Some(symbol) => format!("did you mean `{symbol}`?"),
        None => format!("units: {}", symbols.join(", ")),
    }
}

fn kind_of(text: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<PointKind>> {
    let kind = match text.value.as_str() {
        "counter" => PointKind::Counter,
        "gauge" => PointKind::Gauge,
        "state" => PointKind::State,
        other => {
            let message = format!("`{other}` is not a kind of point");
            problems.push(text.problem("GW-C044", message).help(
                "counter: a register that only grows; gauge: a momentary value; state: one of a few",
            ));
            return None;
        }
    };
    Some(text.clone().map(|_| kind))
}

fn check_fit(unit: &Spanned<Unit>, kind: PointKind, problems: &mut Problems) {
    use Dimension::{ApparentEnergy, Count, Energy, Mass, Ratio, ReactiveEnergy, Time, Volume};
    let dimension = unit.value.dimension();
    let cumulative = matches!(
        dimension,
        Energy | ReactiveEnergy | ApparentEnergy | Volume | Mass | Count | Time
    );
    let help = match kind {
        PointKind::Counter if !cumulative => {
            "a counter counts energy, volume, mass, pieces or time; a momentary value is a `gauge`"
        }
        PointKind::State if !matches!(dimension, Ratio | Count) => {
            "a state is a number without dimension: unit `1`"
        }
        _ => return,
    };
    let name = if kind == PointKind::Counter { "counter" } else { "state" };
    let message = format!("a {name} cannot be measured in `{}`", unit.value);
    problems.push(unit.problem("GW-C044", message).help(help));
}

/// The modulus of a counter: a number, or `"unknown"`, which is said on purpose and therefore no problem.
fn modulus_of(
    table: &mut Table,
    kind: Option<&Spanned<PointKind>>,
    problems: &mut Problems,
) -> Option<Decimal> {
    let counter = kind.filter(|kind| kind.value == PointKind::Counter);
    let Some(item) = table.optional::<Item>("modulus", problems) else {
        if let Some(kind) = counter {
            let message = "this counter does not say at which reading it starts again from 0";
            problems.push(kind.problem("GW-C045", message).warning().help(
                "add `modulus = 1000000` (for six digits before the point) or `modulus = \"unknown\"`",
            ));
        }
        return None;
    };
    if kind.is_some() && counter.is_none() {
        let message = "only a counter has a modulus";
        problems
            .push(item.problem("GW-C045", message).help("remove it, or set `kind = \"counter\"`"));
    }
    if matches!(&item.value, Item::Text(text) if text == "unknown") {
        return None;
    }
    match Decimal::from_item(item.value.clone()) {
        Ok(modulus) if modulus.mantissa > 0 => Some(modulus),
        _ => {
            let found = item.value.describe();
            let message =
                format!("`modulus`: expected a number above 0 or `\"unknown\"`, found {found}");
            problems
                .push(item.problem("GW-C045", message).help("write it in the unit of the point"));
            None
        }
    }
}

/// `min` and `max`, each in the place of what is certain without it.
fn range_of(
    table: &mut Table,
    metric: Option<&Spanned<String>>,
    certain: PlausibleRange,
    problems: &mut Problems,
) -> PlausibleRange {
    let min = table.optional::<Decimal>("min", problems);
    let max = table.optional::<Decimal>("max", problems);
    if min.is_none() && max.is_none() {
        return certain;
    }
    let stated = |key: &Option<Spanned<Decimal>>| key.as_ref().map(|key| key.value);
    let range = PlausibleRange {
        min: stated(&min).or(certain.min),
        max: stated(&max).or(certain.max),
        or_zero: false,
    };
    let crossed = range.min.zip(range.max).filter(|(low, high)| low.is_above(*high));
    if let Some(((low, high), key)) = crossed.zip(max.as_ref().or(min.as_ref())) {
        let metric = metric.map_or("", |metric| metric.value.as_str());
        let message = text!(
            en: "plausible range of `{metric}`: expected `min` below `max`, found {low} and {high}",
            zh: "`{metric}` 的合理范围：`min` 应小于 `max`，实为 {low} 和 {high}"
        );
        problems.push(key.problem("GW-C053", message).help(text!(
            en: "state both `min` and `max`, in the unit of the point",
            zh: "请同时写明 `min` 和 `max`，采用该测点的单位"
        )));
    }
    range
}

/// The `[[point.states]]` of an enumeration.
fn states_of(
    table: &mut Table,
    kind: Option<&Spanned<PointKind>>,
    problems: &mut Problems,
) -> Vec<PointState> {
    let mut states: Vec<PointState> = Vec::new();
    for mut state in table.tables("states", problems) {
        let value = state.required::<i64>("value", problems);
        let mut name = |key: &'static str| {
            let name = state.optional::<String>(key, problems)?;
            let length = name.value.chars().count();
            if length > NAME_CHARS_MAX {
                let message = format!(
                    "`{key}`: expected at most {NAME_CHARS_MAX} characters, found {length}"
                );
                problems
                    .push(name.problem("GW-C050", message).help("a short name, such as `running`"));
            }
            Some(name.value)
        };
        let (zh, en) = (name("zh").unwrap_or_default(), name("en").unwrap_or_default());
        let place = state.problem("GW-C050", "a state has no name");
        state.finish(problems);
        let Some(value) = value else { continue };
        if zh.is_empty() && en.is_empty() {
            problems.push(place.help("add `zh = \"…\"` and `en = \"…\"`"));
        }
        if states.iter().any(|known| known.value == value.value) {
            let message = format!("state {} stands twice", value.value);
            problems.push(value.problem("GW-C050", message).help("give each value one name"));
            continue;
        }
        states.push(PointState { value: value.value, zh, en });
    }
    let (found, max) = (states.len(), STATES_MAX);
    if found > max {
        let message = format!("`states`: expected at most {max}, found {found}");
        problems.push(table.problem("GW-C050", message).help("name those that people must know"));
        states.truncate(max);
    }
    if let Some(kind) = kind.filter(|kind| kind.value != PointKind::State && found > 0) {
        let message = "only a point of `kind = \"state\"` has states";
        problems.push(kind.problem("GW-C050", message).help("set `kind = \"state\"`"));
    }
    states
}

/// A fact names its source or admits that it has none.
fn check_source(
    table: &Table,
    source: Option<&Spanned<String>>,
    unverified: bool,
    sources: &[PointSource],
    problems: &mut Problems,
) {
    let Some(source) = source else {
        if !unverified {
            let message = "this point names no source, so it must say `unverified = true`";
            problems.push(
                table
                    .problem("GW-C047", message)
                    .help("add `source = \"…\"` when a document says so, else `unverified = true`"),
            );
        }
        return;
    };
    if sources.iter().any(|known| known.id == source.value) {
        return;
    }
    let ids: Vec<&str> = sources.iter().map(|known| known.id.as_str()).collect();
    let problem = source.problem("GW-C047", format!("source `{}` is not defined", source.value));
    problems.push(match nearest(&source.value, &ids) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help("add a `[[source]]` with this id and the title of the document"),
    });
}

#[cfg(test)]
mod tests;
