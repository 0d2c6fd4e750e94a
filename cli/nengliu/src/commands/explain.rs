//! `nengliu explain`: the formula with the numbers put in, and everything behind it.

use energy::index::Border;
use energy::source::MeterPart;
use energy::{BasisChoice, Class, Explanation, Explanations, Number};
use serde_json::json;

use super::source;
use crate::cli::ExplainArgs;
use crate::exit;

pub(crate) fn explain(args: &ExplainArgs) -> u8 {
    explained(args).map_or_else(|code| code, |()| exit::OK)
}

fn explained(args: &ExplainArgs) -> Result<(), u8> {
    let (plant, lake) = source::open(&args.source)?;
    let mut levels = args.figure.split('/');
    let (Some(table), Some(Ok(period))) = (levels.next(), levels.next().map(str::parse)) else {
        eprintln!("error EN-K003: `{}` is not the name of a figure", args.figure);
        eprintln!(
            "  try: a name such as table1/2018/total/equivalent; `nengliu kpi table1 --format json` gives them"
        );
        return Err(exit::CONFIG);
    };
    let no_figures = |e| source::no_figures(&e);
    let explanations = match table {
        "unit-product" | "unit_product" => {
            plant
                .unit_products(lake.as_ref(), period, BasisChoice::Both)
                .map_err(no_figures)?
                .explanations
        }
        _ => {
            plant.table1(lake.as_ref(), period, BasisChoice::Both).map_err(no_figures)?.explanations
        }
    };
    let found = energy::explain(&explanations, &args.figure);
    if found.is_empty() {
        return Err(unknown(&args.figure, &explanations));
    }
    let text = if args.json {
        format!("{}\n", json!({ "schema": "nengliu.explain.v1", "figures": found }))
    } else {
        found.iter().map(|one| in_words(one)).collect::<Vec<_>>().join("\n")
    };
    source::write(None, text.as_bytes())
}

fn unknown(figure: &str, explanations: &Explanations) -> u8 {
    eprintln!("error EN-K003: there is no figure `{figure}`");
    eprintln!("  try one of these:");
    for name in explanations.keys() {
        eprintln!("    {name}");
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
        let rows: Vec<String> = used
            .rows
            .iter()
            .map(|row| {
                format!(
                    "{} {} · {} · evidence {}",
                    row.rule_set, row.edition, row.notice, row.evidence
                )
            })
            .collect();
        line(format!("    {} kgce/{} ({})", used.kgce_per_unit, used.unit, rows.join("; ")));
    }
    if let Some(coverage) = &figure.coverage_percent {
        line(format!("  coverage     {coverage} %"));
    }
    if let Some(class) = figure.class {
        line(format!("  class        {}", class_name(class)));
    }
    for part in &one.meters {
        line(format!("  meter        {}", meter(part)));
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
    if let Some(note) = &figure.note {
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
        Class::Mixed => "mixed",
    }
}

/// A meter with the readings at both ends of the period.
fn meter(part: &MeterPart) -> String {
    let Some(energy) = &part.energy else {
        return format!("{} ({}): no reading", part.meter, part.point);
    };
    let ratios: Vec<String> = part.ratios.iter().map(|change| change.ratio.to_string()).collect();
    let value = energy.energy.as_ref().map_or_else(|| "unknown".to_owned(), Number::to_string);
    let end = |border: Option<&Border>, reading: Option<&Number>| {
        let reading = reading.map_or_else(|| "no reading".to_owned(), Number::to_string);
        border.map_or(reading.clone(), |border| format!("{reading} {}", place(border)))
    };
    let mut text = format!(
        "{} ({}): {value} {} (ratio {}); from {} to {}; {} of {} slots read",
        part.meter,
        part.point,
        part.unit,
        ratios.join(", "),
        end(energy.start.as_ref(), energy.start_reading.as_ref()),
        end(energy.end.as_ref(), energy.end_reading.as_ref()),
        energy.coverage.covered,
        energy.coverage.expected,
    );
    if let Some(in_gaps) = &energy.in_gaps {
        text = format!("{text}; {in_gaps} {} across slots without readings", part.unit);
    }
    text
}

fn place(border: &Border) -> String {
    match border {
        Border::Exact { at } => format!("read at {at}"),
        Border::Neighbours { before, after } => format!("between readings at {before} and {after}"),
        Border::Interpolated { before, after } => format!("estimated between {before} and {after}"),
        Border::Clipped { at } => format!("cut at the nearest reading {at}"),
    }
}
