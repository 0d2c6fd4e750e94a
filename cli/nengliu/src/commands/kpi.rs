//! `nengliu kpi`.

use analytics::report;
use energy::BasisChoice;
use serde_json::{Value, json};

use super::source;
use crate::cli::{self, KpiArgs, KpiFormat, KpiTable};
use crate::exit;

/// Name and version of the JSON; fields are only ever added.
const SCHEMA: &str = "nengliu.kpi.v1";

pub(crate) fn kpi(args: &KpiArgs) -> u8 {
    if args.format == KpiFormat::Xlsx && args.output.is_none() {
        eprintln!("error EN-A003: a workbook is no text for a terminal");
        eprintln!("  try: --output table1.xlsx");
        return exit::CONFIG;
    }
    figures(args).unwrap_or_else(|code| code)
}

fn figures(args: &KpiArgs) -> Result<u8, u8> {
    let (plant, lake) = source::open(&args.source)?;
    let period = source::period(&args.period)?;
    let basis = basis(args.basis);
    let no_figures = |e| source::no_figures(&e);
    let (grid, figures, missing) = match args.table {
        KpiTable::Table1 | KpiTable::Intensity => {
            let table = plant.table1(lake.as_ref(), period, basis).map_err(no_figures)?;
            let missing = table.missing_coefficients.clone();
            let grid = if args.table == KpiTable::Table1 {
                report::table1(&table)
            } else {
                report::intensity(&table)
            };
            (grid, json!(table), missing)
        }
        KpiTable::UnitProduct => {
            let products = plant.unit_products(lake.as_ref(), period, basis).map_err(no_figures)?;
            let missing = products.missing_coefficients.clone();
            (report::unit_products(&products), json!(products), missing)
        }
    };
    let bytes = match args.format {
        KpiFormat::Text => report::text(&grid).into_bytes(),
        KpiFormat::Json => format!("{}\n", with_schema(figures)).into_bytes(),
        KpiFormat::Csv => report::csv(&grid).map_err(|e| not_rendered(&e))?,
        KpiFormat::Xlsx => report::xlsx(&grid).map_err(|e| not_rendered(&e))?,
    };
    source::write(args.output.as_deref(), &bytes)?;
    Ok(source::missing_coefficients(&missing))
}

/// Figures as JSON, with the name and version of their form.
pub(super) fn with_schema(figures: Value) -> Value {
    let mut object = json!({ "schema": SCHEMA });
    if let (Some(object), Value::Object(figures)) = (object.as_object_mut(), figures) {
        object.extend(figures);
    }
    object
}

fn not_rendered(error: &report::RenderError) -> u8 {
    exit::show("EN-A004", error, "");
    exit::FAILED
}

pub(super) fn basis(choice: cli::BasisChoice) -> BasisChoice {
    match choice {
        cli::BasisChoice::Equivalent => BasisChoice::Equivalent,
        cli::BasisChoice::EqualValue => BasisChoice::EqualValue,
        cli::BasisChoice::Both => BasisChoice::Both,
    }
}
