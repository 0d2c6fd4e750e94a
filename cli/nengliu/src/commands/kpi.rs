//! `nengliu kpi`.

use std::path::Path;

use analytics::KpiFigures;
use analytics::report::{self, Digits, Report, TextOptions, Traced};
use contract::Cancel;
use energy::BasisChoice;
use model::{Localized, text};

use super::{output, source};
use crate::cli::{self, DigitsArg, KpiArgs, KpiFormat, SourceArgs};
use crate::{exit, schema};

mod periods;

pub(crate) fn kpi(args: &KpiArgs) -> u8 {
    figures(args).unwrap_or_else(|code| code)
}

fn figures(args: &KpiArgs) -> Result<u8, u8> {
    let format = output::format_of(args.format, args.output.as_deref())?;
    if format == KpiFormat::Xlsx {
        output::not_to_a_terminal("a workbook", args.output.as_deref())?;
    }
    let (plant, service) = source::open(&args.source)?;
    let zone = &plant.plant.time_zone;
    let period = periods::period(&args.period, zone)?;
    let wanted = match (&args.compare, args.by) {
        (Some(other), _) => vec![periods::period(other, zone)?, period],
        (None, Some(part)) => periods::parts(period, part)?,
        (None, None) => vec![period],
    };
    let mut answers = Vec::new();
    for period in wanted {
        let answer = service
            .figures(&plant, args.table.kpi(), period, basis(args.basis), &Cancel::default())
            .map_err(|e| source::no_figures(&e))?;
        answers.push(answer);
    }
    let damage = answers.iter().find_map(|answer| source::damaged(&answer.damaged));
    if let Some(last) = answers.last() {
        source::doubtful(&last.warnings);
    }
    let figures: Vec<&KpiFigures> = answers.iter().map(|answer| answer.figures.as_ref()).collect();
    if format == KpiFormat::Text && figures.iter().all(|one| one.report.is_empty()) {
        return Err(periods::nothing_known(period));
    }
    let bytes = written(args, format, &figures)?;
    output::write(args.output.as_deref(), &bytes)?;
    output::tell_written(args.output.as_deref(), format, bytes.len());
    let mut code = exit::OK;
    for KpiFigures { report, missing, .. } in figures {
        let of_one = match source::missing_coefficients(missing) {
            exit::OK => unknown_totals(report),
            code => code,
        };
        code = if code == exit::OK { of_one } else { code };
    }
    Ok(damage.unwrap_or(code))
}

fn written(args: &KpiArgs, format: KpiFormat, figures: &[&KpiFigures]) -> Result<Vec<u8>, u8> {
    let reports: Vec<&Report> = figures.iter().map(|one| &one.report).collect();
    let [first, ..] = reports.as_slice() else { return Ok(Vec::new()) };
    let compare = args.compare.is_some();
    match format {
        KpiFormat::Text => {
            let options = TextOptions {
                language: program::language(),
                width: usize::from(args.width.unwrap_or_else(output::terminal_width)),
                digits: match args.digits {
                    DigitsArg::Form => Digits::Form,
                    DigitsArg::All => Digits::All,
                },
                sources: args.notes,
            };
            let tables = if compare || args.by.is_some() {
                report::text_of_periods(&reports, options, compare)
            } else {
                report::text(first, options)
            };
            Ok(format!("{tables}{}", next_steps(args, first, options.width)).into_bytes())
        }
        KpiFormat::Json => {
            let json = match (figures, &args.compare, args.by) {
                ([one], None, None) => schema::kpi(one.json.clone()),
                _ => schema::kpi(periods::json(figures, compare)),
            };
            Ok(format!("{json}\n").into_bytes())
        }
        KpiFormat::Csv => report::csv(&reports).map_err(|e| not_rendered(&e)),
        KpiFormat::Xlsx => {
            let tables: Vec<Traced<'_>> = figures
                .iter()
                .map(|one| Traced { report: &one.report, explanations: &one.explanations })
                .collect();
            report::xlsx(&tables, program::language(), compare).map_err(|e| not_rendered(&e))
        }
    }
}

fn not_rendered(error: &dyn std::error::Error) -> u8 {
    program::show_error("EN-A004", error, "");
    exit::FAILED
}

/// Names the totals that have no value, and returns the exit code.
fn unknown_totals(report: &Report) -> u8 {
    let unknown: Vec<&str> = report.unknown_totals().map(|figure| figure.name.as_str()).collect();
    if unknown.is_empty() {
        return exit::OK;
    }
    let unknown = unknown.join(", ");
    let text = text!(
        en: "warning EN-K004: a total is unknown: {unknown}",
        zh: "警告 EN-K004：合计未知：{unknown}",
    );
    program::tell(text.get(program::language()));
    exit::UNKNOWN_TOTAL
}

/// What to run next.
fn next_steps(args: &KpiArgs, report: &Report, width: usize) -> String {
    let language = program::language();
    let source = source_arguments(&args.source);
    let (table, period) = (args.table.name(), &args.period);
    let kpi = format!("nengliu kpi {table} --period {period}");
    let mut steps: Vec<(Localized, String)> = Vec::new();
    let other = match args.basis {
        cli::BasisChoice::Equivalent => Some("equal-value"),
        cli::BasisChoice::EqualValue => Some("equivalent"),
        cli::BasisChoice::Both => None,
    };
    if let Some(other) = other {
        let label = text!(en: "Other basis", zh: "另一基准");
        steps.push((label, format!("{kpi} --basis {other}{source}")));
    }
    let figures = report.rows.iter().flat_map(|row| row.on.iter().map(|one| &one.figure));
    if let Some(figure) = figures.map(|figure| figure.name.as_str()).next() {
        let label = text!(en: "One figure", zh: "一个数字");
        steps.push((label, format!("nengliu explain {figure}{source}")));
    }
    let widest = steps.iter().map(|(label, _)| report::width(label.get(language))).max();
    let widest = widest.unwrap_or(0);
    let line = |(label, command): &(Localized, String)| {
        let label = label.get(language);
        let pad = " ".repeat(widest - report::width(label) + 2);
        if widest + 2 + report::width(command) > width {
            format!("{label}\n  {command}\n")
        } else {
            format!("{label}{pad}{command}\n")
        }
    };
    let mut lines: String = steps.iter().map(line).collect();
    lines.push_str(more_options(args).get(language));
    lines.push('\n');
    lines
}

/// What else this command can do.
fn more_options(args: &KpiArgs) -> Localized {
    let table = args.table.name();
    text!(
        en: "Also  --notes every source   --digits all every digit   -o {table}.xlsx a workbook to hand in",
        zh: "另可  --notes 出处全文   --digits all 全部位数   -o {table}.xlsx 可上报的工作簿",
    )
}

/// The arguments that say where figures come from, as they were typed.
fn source_arguments(source: &SourceArgs) -> String {
    let path = |name: &str, path: Option<&Path>| {
        path.map_or_else(String::new, |path| {
            format!(" {name} {}", quoted(&path.display().to_string()))
        })
    };
    let as_of = source.as_of.map_or_else(String::new, |commit| format!(" --as-of {commit}"));
    [
        path("-c", source.config.as_deref()),
        path("--plant", source.plant.as_deref()),
        path("--lake", source.lake.as_deref()),
        as_of,
    ]
    .concat()
}

/// A word of a command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

pub(super) fn basis(choice: cli::BasisChoice) -> BasisChoice {
    match choice {
        cli::BasisChoice::Equivalent => BasisChoice::Equivalent,
        cli::BasisChoice::EqualValue => BasisChoice::EqualValue,
        cli::BasisChoice::Both => BasisChoice::Both,
    }
}
