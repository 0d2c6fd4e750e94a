//! `nengliu query`. Must never choose among rows: that is the program's rule.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::run;

/// One sample as `query` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample {
    /// The point.
    pub point: String,
    /// Source time, UTC.
    pub time: String,
    /// Exact decimal; empty for a Bad sample.
    pub value: String,
    /// `Good`, `Uncertain` or `Bad`.
    pub quality: String,
    /// Generation and sequence, of `--all`.
    pub from: Option<(u64, u64)>,
}

impl Sample {
    /// Source time in microseconds.
    pub fn time_us(&self) -> Result<i64> {
        let time: jiff::Timestamp =
            self.time.parse().with_context(|| format!("`{}` is no time", self.time))?;
        Ok(time.as_microsecond())
    }

    /// Source time in milliseconds; fails when it is finer.
    pub fn time_ms(&self) -> Result<i64> {
        let micros = self.time_us()?;
        ensure!(micros % 1_000 == 0, "`{}` is finer than a millisecond", self.time);
        Ok(micros / 1_000)
    }
}

/// One sample per point and source time, by the reader's rule.
pub fn samples(lake: &Path) -> Result<Vec<Sample>> {
    read(lake, &[])
}

/// Every row; fails when two share an identity (INV-4).
pub fn all_rows(lake: &Path) -> Result<Vec<Sample>> {
    let rows = read(lake, &["--all"])?;
    let mut seen = HashSet::new();
    for row in &rows {
        ensure!(seen.insert((&row.point, &row.time, row.from)), "this row is there twice: {row:?}");
    }
    Ok(rows)
}

fn read(lake: &Path, more: &[&str]) -> Result<Vec<Sample>> {
    let lake = lake.to_str().context("a path is text")?;
    let ran = run("nengliu", ["query", "--lake", lake].into_iter().chain(more.iter().copied()))?;
    ensure!(ran.code == Some(0), "`query` ended with {:?}:\n{}", ran.code, ran.errors);
    let mut reader = csv::Reader::from_reader(ran.output.as_bytes());
    let column = |headers: &csv::StringRecord, name: &str| headers.iter().position(|h| h == name);
    let headers = reader.headers().context("`query` prints CSV")?.clone();
    let at = |name: &str| column(&headers, name).with_context(|| format!("no column `{name}`"));
    let (point, time, value, quality) = (at("point")?, at("ts")?, at("value")?, at("quality")?);
    let identity = column(&headers, "generation").zip(column(&headers, "seq"));
    let sample = |row: csv::StringRecord| -> Result<Sample> {
        let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
        let number = |at: usize| text(at).parse::<u64>().context("a count is a number");
        let from = identity.map(|(g, s)| anyhow::Ok((number(g)?, number(s)?))).transpose()?;
        Ok(Sample {
            point: text(point),
            time: text(time),
            value: text(value),
            quality: text(quality),
            from,
        })
    };
    reader.records().map(|row| sample(row.context("`query` prints CSV")?)).collect()
}
