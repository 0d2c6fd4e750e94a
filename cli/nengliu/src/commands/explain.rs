//! `nengliu explain`: the formula with the numbers put in, and everything behind it.

use contract::Cancel;
use energy::coefficient::{Role, Rule};
use energy::index::{Border, OWN_RATE_TIMES, Shown, Verdict};
use energy::plant::{EnergyKind, Plant};
use energy::source::MeterPart;
use energy::{
    Aside, Basis, BoundSource, Class, Coefficient, EventFinding, Explanation, Explanations,
    GapCause, MissingCoefficient, Number, PutAside, Resolved, Segment,
};
use model::Timestamp;
use serde_json::json;

use super::{output, source};
use crate::cli::ExplainArgs;
use crate::{exit, schema};

pub(crate) fn explain(args: &ExplainArgs) -> u8 {
    explained(args).unwrap_or_else(|code| code)
}

fn explained(args: &ExplainArgs) -> Result<u8, u8> {
    let (plant, service) = source::open(&args.source)?;
    let Some(Ok(period)) = args.figure.split('/').nth(1).map(str::parse) else {
        program::tell!("error EN-K003: `{}` is not the name of a figure", args.figure);
        program::tell!(
            "  try: a name such as table1/2018/total/equivalent; `nengliu kpi table1 --format json` gives them"
        );
        return Err(exit::CONFIG);
    };
    let answer = service
        .explain(&plant, &args.figure, period, &Cancel::default())
        .map_err(|e| source::no_figures(&e))?
        .map_err(|nearest| unknown(&args.figure, &nearest))?;
    let damage = source::damaged(&answer.damaged);
    source::doubtful(&answer.warnings);
    let found = energy::explain(&answer.figures.explanations, &args.figure);
    let missing = answer.figures.missing.clone();
    let missing = needed(&plant.plant, &found, missing);
    let text = if args.json {
        let object = json!({ "figures": found, "missing_coefficients": missing });
        format!("{}\n", schema::explain(object))
    } else {
        found.iter().map(|one| in_words(one)).collect::<Vec<_>>().join("\n")
    };
    output::print(text)?;
    let code = source::missing_coefficients(&missing);
    Ok(damage.unwrap_or(code))
}

/// Of the coefficients that are missing, those that these figures need.
fn needed(
    plant: &Plant,
    found: &[&Explanation],
    missing: Vec<MissingCoefficient>,
) -> Vec<MissingCoefficient> {
    let without =
        found.iter().filter(|one| one.figure.value.is_none() && one.coefficients.is_empty());
    let wanted: Vec<(Basis, &EnergyKind)> = without
        .filter_map(|one| {
            // A conversion is named after its kind.
            let kinds = plant.kinds.iter();
            let named = |kind: &&EnergyKind| {
                one.figure.name.split('/').any(|part| *part == *kind.id.to_string())
            };
            Some((one.figure.basis?, kinds.clone().find(named)?))
        })
        .collect();
    let is_needed = |one: &MissingCoefficient| {
        wanted.iter().any(|(basis, kind)| {
            let of_kind = kind.coefficient == one.key.energy_kind
                // By enthalpy it is the coefficient of heat.
                || (kind.steam.is_some() && one.key.energy_kind == "heat");
            let equal_value = one.key.role == Role::EqualValue;
            of_kind && (!equal_value || *basis == Basis::EqualValue)
        })
    };
    missing.into_iter().filter(is_needed).collect()
}

fn unknown(figure: &str, explanations: &Explanations) -> u8 {
    program::tell!("error EN-K003: there is no figure `{figure}`");
    program::tell!("  try one of these:");
    for name in explanations.keys() {
        program::tell!("    {name}");
    }
    exit::CONFIG
}

fn in_words(one: &Explanation) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line =
        |line: String| writeln!(text, "{line}").expect("writing to a String does not fail");
    let figure = &one.figure;
    let value = figure.value.as_ref().map_or_else(|| "—".to_owned(), ToString::to_string);
    line(format!("{} = {value} {}", figure.name, figure.unit));
    line(format!("  formula      {}", one.formula));
    line(format!("  period       {}", figure.period));
    if let Some(basis) = figure.basis {
        line(format!("  basis        {basis}"));
    }
    if let Some(set) = &figure.coefficient_set {
        line(format!("  coefficients set {set}"));
    }
    for used in &one.coefficients {
        line(format!("    {}", coefficient(used)));
        for conversion in &used.conversions {
            line(format!("    1 {} = {} {}", conversion.from, conversion.factor, conversion.to));
        }
    }
    if let Some(coverage) = &figure.coverage_percent {
        line(format!("  coverage     {coverage} %"));
    }
    if let Some(class) = figure.class {
        line(format!("  class        {}", class_name(class)));
    }
    for part in &one.meters {
        line(format!("  meter        {}", meter(part)));
        if let Some(bound) = bound(part) {
            line(format!("    {bound}"));
        }
        for event in events(part) {
            line(format!("    {event}"));
        }
    }
    for fact in &one.declared {
        line(format!(
            "  declared     {} {} = {} ({})",
            fact.measure, fact.period, fact.written, fact.place
        ));
    }
    for other in &one.not_counted {
        line(format!(
            "  not counted  {} (difference {}): {}",
            other.value, other.difference, other.reason
        ));
    }
    if let Some(note) = figure.note() {
        line(format!("  note         {note}"));
    }
    if let Some(commit) = one.commit {
        line(format!("  as of        ingest commit {commit}"));
    }
    if !one.inputs.is_empty() {
        line(format!("  made from    {}", one.inputs.join(", ")));
    }
    text
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Metered => "metered: differences of readings",
        Class::Rollover => "rollover: derived from the modulus",
        Class::Estimated => "estimated: interpolated over a gap",
        Class::Declared => "declared",
        Class::Assumed => "assumed: declared as a forecast, or with a part that is one",
        Class::Mixed => "mixed",
    }
}

/// `0.61 kgce/kg × 100 t of 2023-01 (GB/T 2589 2020 · 化验单 · evidence measured)`
fn coefficient(used: &Resolved) -> String {
    let rows: Vec<String> = used.rows.iter().map(|row| coefficient_row(row)).collect();
    let rule = match &used.rule {
        Rule::SingleValue => "single_value: the one value of both bases; ".to_owned(),
        Rule::Enthalpy { steam_kj_per_kg, feed_kj_per_kg } => {
            format!("by enthalpy {steam_kj_per_kg} − {feed_kj_per_kg} kJ/kg; ")
        }
        Rule::Row | Rule::Mean | Rule::Excluded => String::new(),
    };
    let part = used.part.as_ref().map_or_else(String::new, |part| {
        let batch =
            part.batch.as_ref().map_or_else(String::new, |batch| format!(", batch {batch}"));
        format!(" × {} {} of {}{batch}", part.quantity, part.unit, part.period)
    });
    format!("{} kgce/{}{part} ({rule}{})", used.kgce_per_unit, used.unit, rows.join("; "))
}

fn coefficient_row(row: &Coefficient) -> String {
    let year = row.data_year.map_or_else(String::new, |year| format!(" · data year {year}"));
    let (set, edition) = (&row.rule_set, &row.edition);
    let heat = match (&row.kj_per_kgce, &row.heat_value, &row.heat_unit) {
        (Some(kj), Some(heat), Some(unit)) => format!(" · {heat} {unit} ÷ {kj} kJ/kgce"),
        _ => String::new(),
    };
    format!("{set} {edition}{year} · {}{heat} · evidence {}", row.notice, row.evidence)
}

/// A meter with the readings at both ends of the period.
fn meter(part: &MeterPart) -> String {
    let not_used = part.not_used.iter().fold(String::new(), |text, one| format!("{text}; {one}"));
    let Some(energy) = &part.energy else {
        return format!("{} ({}): no reading{not_used}", part.meter, part.point);
    };
    if energy.energy.is_none() {
        let found = energy.found.as_ref();
        let found = found.map_or_else(|| "no reading".to_owned(), ToString::to_string);
        return format!("{} ({}): unknown; {found}{not_used}", part.meter, part.point);
    }
    let value = energy.energy.as_ref().map_or_else(|| "unknown".to_owned(), Number::to_string);
    let end = |border: Option<&Border>, reading: Option<&Number>| {
        let reading = reading.map_or_else(|| "no reading".to_owned(), Number::to_string);
        border.map_or(reading.clone(), |border| format!("{reading} {}", place(border)))
    };
    let mut text = format!(
        "{} ({}): {value} {}; from {} to {}; {} of {} slots read",
        part.meter,
        part.point,
        part.unit,
        end(energy.start.as_ref(), energy.start_reading.as_ref()),
        end(energy.end.as_ref(), energy.end_reading.as_ref()),
        energy.coverage.covered,
        energy.coverage.expected,
    );
    if let Some(in_gaps) = &energy.in_gaps {
        text = format!("{text}; {in_gaps} {} across slots without readings", part.unit);
    }
    if energy.resets > 0 {
        let every = part.resets.map_or("", energy::resets::ResetInterval::word);
        let unread = seconds(energy.unread_before_resets_us);
        let times =
            if energy.resets == 1 { "once".to_owned() } else { format!("{} times", energy.resets) };
        text = format!("{text}; set back to zero {times} ({every})");
        if energy.unread_before_resets_us > 0 {
            text = format!(
                "{text}, what was counted in the {unread} between the last readings and the resets is not known and not in it"
            );
        }
    }
    text + &not_used
}

fn seconds(micros: i64) -> String {
    format!("{} s", micros / 1_000_000)
}

/// What happened to a meter in the period, in the order of time: with it the energy can be computed again by hand.
fn events(part: &MeterPart) -> Vec<String> {
    let mut events: Vec<(Timestamp, String)> = Vec::new();
    events.extend(part.segments.iter().map(|segment| (segment.from, run(part, segment))));
    events.extend(part.replacements.iter().map(|one| {
        let text = format!(
            "replaced at {}: the old meter ended at {}, the new one began at {}",
            one.at, one.old_final, one.new_initial
        );
        (one.at, text)
    }));
    let gaps = part.energy.iter().flat_map(|energy| &energy.open_gaps);
    events.extend(gaps.map(|gap| {
        let why = match gap.cause {
            GapCause::Fell => "the register fell",
            GapCause::Implausible => "the register rose by more than is plausible",
            GapCause::Unclear => "how much the register counted is not clear",
        };
        let text = format!(
            "open gap from {} to {}: no energy is known; {why}, from {} to {}",
            gap.from, gap.to, gap.from_reading, gap.to_reading
        );
        (gap.from, text)
    }));
    events.extend(part.put_aside.iter().map(|run| (run.from, aside(run))));
    events.extend(part.findings.iter().map(|one| (one.typed, finding(one))));
    // A replacement comes before the run that it begins.
    events.sort_by_key(|(at, text)| (*at, !text.starts_with("replaced")));
    events.into_iter().map(|(_, text)| text).collect()
}

/// `10 readings from … to … put aside: the register fell again`
fn aside(run: &PutAside) -> String {
    let why = match &run.why {
        Aside::RoseAgain => "the register rose again",
        Aside::FellAgain => "the register fell again",
        Aside::BelowZero => "no counter is below zero",
        Aside::Struck(reason) => return format!("{}: struck out, {reason}", readings(run)),
    };
    format!("{}: {why}", readings(run))
}

fn readings(run: &PutAside) -> String {
    match run.readings {
        1 => format!("1 reading at {} put aside", run.from),
        many => format!("{many} readings from {} to {} put aside", run.from, run.to),
    }
}

/// What became of a replacement that the readings do not fit where it was typed.
fn finding(one: &EventFinding) -> String {
    let typed = format!(
        "replacement typed for {} (the old meter ended at {}, the new one began at {})",
        one.typed, one.old_final, one.new_initial
    );
    let shown = |side: &Option<Shown>| {
        side.as_ref().map_or_else(
            || "no reading".to_owned(),
            |shown| format!("{} at {}", shown.value, shown.at),
        )
    };
    let (before, after) = (shown(&one.before), shown(&one.after));
    match (one.verdict, one.placed) {
        (Verdict::Placed, Some(placed)) => {
            format!("{typed} counts at {placed}: it fits only between {before} and {after}")
        }
        (Verdict::NotApplied, _) => {
            format!("{typed} is not applied: the register goes on without it, {before}, {after}")
        }
        _ => format!("{typed} contradicts the readings {before} and {after}: open gap"),
    }
}

/// The bound that steps of the register were compared with, and where it comes from.
fn bound(part: &MeterPart) -> Option<String> {
    let bound = part.bound.as_ref()?;
    let why = match (bound.source, &bound.own_rate) {
        (BoundSource::Stated, _) => "as the plant file states".to_owned(),
        (BoundSource::OwnRates, Some(own)) => {
            format!("{OWN_RATE_TIMES} times {own}, what it reaches in three quarters of an hour")
        }
        (BoundSource::Floor, Some(own)) => {
            format!("the least bound; it reaches {own} in three quarters of an hour")
        }
        _ => "as for any meter: too few readings for a bound of its own".to_owned(),
    };
    Some(format!("energy up to {} {} in an hour ({why})", bound.per_hour, part.unit))
}

/// `(end − start + rollovers × modulus) × ratio = energy`.
fn run(part: &MeterPart, segment: &Segment) -> String {
    let Segment { from, to, start_reading, end_reading, ratio, rollovers, energy } = segment;
    let through = match (&part.modulus, rollovers) {
        (_, 0) => String::new(),
        (Some(modulus), count) => format!(" + {count} × modulus {modulus}"),
        (None, count) => format!(" + {count} × modulus"),
    };
    let unit = part.unit;
    format!(
        "{from} to {to}: ({end_reading} − {start_reading}{through}) × ratio {ratio} = {energy} {unit}"
    )
}

fn place(border: &Border) -> String {
    match border {
        Border::Exact { at } => format!("read at {at}"),
        Border::Neighbours { before, after } => format!("between readings at {before} and {after}"),
        Border::Interpolated { before, after } => format!("estimated between {before} and {after}"),
        Border::Reset { at, before } => {
            format!(
                "where the register was set back to zero, {at}; last read before that at {before}"
            )
        }
        Border::Clipped { at } => format!("cut at the nearest reading {at}"),
    }
}

#[cfg(test)]
mod tests;
