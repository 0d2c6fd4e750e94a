//! `nengliu query`.

use std::io::Write as _;

use analytics::query::{QueryError, QueryFormat, query as write_samples};
use analytics::rows::RowFilter;
use config::FromToml;
use model::{CommitNumber, Timestamp};

use super::source;
use crate::cli::{QueryArgs, QueryFormatArg};
use crate::exit;

pub(crate) fn query(args: &QueryArgs) -> u8 {
    samples(args).map_or_else(|code| code, |()| exit::OK)
}

fn samples(args: &QueryArgs) -> Result<(), u8> {
    let (lake, _) = source::places(&args.source)?;
    let lake = lake.unwrap_or_else(|| "lake".into());
    let snapshot = source::snapshot(&lake)?;
    let filter = RowFilter {
        points: args.points.clone(),
        from: args.from.as_deref().map(time).transpose()?,
        to: args.to.as_deref().map(time).transpose()?,
        as_of: args.source.as_of.map(CommitNumber),
    };
    let format = match args.format {
        QueryFormatArg::Csv => QueryFormat::Csv,
        QueryFormatArg::Json => QueryFormat::Json,
        QueryFormatArg::Parquet => QueryFormat::Parquet,
    };
    let mut out = source::sink(args.output.as_deref())?;
    let count = match write_samples(&snapshot, &filter, args.all, format, &mut out) {
        Ok(count) => count,
        Err(QueryError::Write(e)) => return source::not_written(&e),
        Err(e) => {
            exit::show("EN-L004", &e, "");
            return Err(exit::FAILED);
        }
    };
    if let Err(e) = out.flush() {
        return source::not_written(&e);
    }
    if count == 0 {
        eprintln!("note: no sample matches; `nengliu query --lake {}` shows all", lake.display());
    }
    Ok(())
}

fn time(text: &str) -> Result<Timestamp, u8> {
    Timestamp::from_item(config::Item::Text(text.to_owned())).map_err(|found| {
        eprintln!("error EN-C009: expected {}, found {found}", Timestamp::EXPECTED);
        exit::CONFIG
    })
}
