//! `nengliu kpi` and `nengliu explain`. Must never compute a figure.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Ran, run};

/// Where figures come from.
#[derive(Debug, Clone, Copy)]
pub struct Figures<'a> {
    /// The plant file.
    pub plant: &'a Path,
    /// The lake; `None` when everything is declared.
    pub lake: Option<&'a Path>,
}

impl Figures<'_> {
    /// Runs `nengliu kpi TABLE --period … --basis … --format json` to its end, whatever that is.
    pub fn kpi(&self, table: &str, period: &str, basis: &str) -> Result<Ran> {
        self.run(&["kpi", table, "--period", period, "--basis", basis, "--format", "json"])
    }

    /// Table 1, which must come out whole.
    pub fn table1(&self, period: &str, basis: &str) -> Result<Value> {
        let ran = self.kpi("table1", period, basis)?;
        ensure!(ran.code == Some(0), "`kpi table1 --period {period}` ended with {ran:?}");
        serde_json::from_str(&ran.output).context("Table 1 is not JSON")
    }

    /// The row of electricity of Table 1 in 当量值.
    pub fn electricity(&self, period: &str) -> Result<Electricity> {
        let table = self.table1(period, "equivalent")?;
        let row = row(&table, "electricity")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Electricity {
            energy: text(&row["quantity"]["value"]),
            unit: text(&row["quantity"]["unit"]),
            tce: text(&row["converted"]["equivalent"]["tce"]["value"]),
            coverage: text(&row["quantity"]["coverage_percent"]),
            class: text(&row["quantity"]["class"]),
            complete: row["quantity"]["complete"] == true,
        })
    }

    /// Runs `nengliu explain FIGURE --json`.
    pub fn explain(&self, figure: &str) -> Result<Value> {
        let ran = self.run(&["explain", figure, "--json"])?;
        ensure!(ran.code == Some(0), "`explain {figure}` ended with {ran:?}");
        serde_json::from_str(&ran.output).context("the explanation is not JSON")
    }

    /// Runs `nengliu` with these arguments and with the places of the figures.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--plant", self.plant.to_str().context("a path is text")?]);
        if let Some(lake) = self.lake {
            arguments.extend(["--lake", lake.to_str().context("a path is text")?]);
        }
        run("nengliu", arguments)
    }
}

/// What the row of electricity says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electricity {
    /// Quantity as an exact decimal.
    pub energy: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Tonnes of coal equivalent, 当量值.
    pub tce: Option<String>,
    /// Coverage in percent.
    pub coverage: Option<String>,
    /// How it was found.
    pub class: Option<String>,
    /// Whether nothing is missing.
    pub complete: bool,
}

/// The row of a kind in Table 1.
pub fn row<'a>(table: &'a Value, kind: &str) -> Result<&'a Value> {
    let rows = table["rows"].as_array().context("Table 1 has `rows`")?;
    let found = rows.iter().find(|row| row["kind"] == kind);
    found.with_context(|| format!("no row of `{kind}` in {table:#}"))
}
