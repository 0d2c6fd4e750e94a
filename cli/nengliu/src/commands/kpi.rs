//! `nengliu kpi`.

use analytics::{KpiFigures, report};
use contract::Cancel;
use energy::BasisChoice;

use super::{output, source};
use crate::cli::{self, KpiArgs, KpiFormat};
use crate::{exit, schema};

pub(crate) fn kpi(args: &KpiArgs) -> u8 {
    figures(args).unwrap_or_else(|code| code)
}

fn figures(args: &KpiArgs) -> Result<u8, u8> {
    if args.format == KpiFormat::Xlsx {
        output::not_to_a_terminal("a workbook", args.output.as_deref())?;
    }
    let (plant, service) = source::open(&args.source)?;
    let period = source::period(&args.period)?;
    let answer = service
        .figures(&plant, args.table.kpi(), period, basis(args.basis), &Cancel::default())
        .map_err(|e| source::no_figures(&e))?;
    let damage = source::damaged(&answer.damaged);
    source::doubtful(&answer.warnings);
    let KpiFigures { grid, json, missing, .. } = answer.figures.as_ref();
    let bytes = match args.format {
        KpiFormat::Text => report::text(grid).into_bytes(),
        KpiFormat::Json => format!("{}\n", schema::kpi(json.clone())).into_bytes(),
        KpiFormat::Csv => report::csv(grid).map_err(|e| not_rendered(&e))?,
        KpiFormat::Xlsx => report::xlsx(grid).map_err(|e| not_rendered(&e))?,
    };
    output::write(args.output.as_deref(), &bytes)?;
    let code = source::missing_coefficients(missing);
    Ok(damage.unwrap_or(code))
}

fn not_rendered(error: &report::RenderError) -> u8 {
    program::show_error("EN-A004", error, "");
    exit::FAILED
}

pub(super) fn basis(choice: cli::BasisChoice) -> BasisChoice {
    match choice {
        cli::BasisChoice::Equivalent => BasisChoice::Equivalent,
        cli::BasisChoice::EqualValue => BasisChoice::EqualValue,
        cli::BasisChoice::Both => BasisChoice::Both,
    }
}
