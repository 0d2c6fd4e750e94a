//! `nengliu query`.

use std::io::Write as _;

use analytics::query::{QueryError, QueryFormat, query as write_samples};
use config::FromToml;
use contract::{Points, Request, RowChoice};
use model::{CommitNumber, Timestamp};

use super::lake_error::{self, Wanted};
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
    let points = &args.points;
    let request = Request {
        points: if points.is_empty() { Points::All } else { Points::Prefixes(points.clone()) },
        from: args.from.as_deref().map(time).transpose()?,
        to: args.to.as_deref().map(time).transpose()?,
        as_of: args.source.as_of.map(CommitNumber),
        choice: if args.all { RowChoice::All } else { RowChoice::Chosen },
        ..Request::default()
    };
    let format = match args.format {
        QueryFormatArg::Csv => QueryFormat::Csv,
        QueryFormatArg::Json => QueryFormat::Json,
        QueryFormatArg::Parquet => QueryFormat::Parquet,
        QueryFormatArg::Arrow => QueryFormat::Arrow,
    };
    let mut out = source::sink(args.output.as_deref())?;
    let queried = match write_samples(&snapshot, &request, format, &mut out) {
        Ok(queried) => queried,
        Err(QueryError::Write(e)) => return source::not_written(&e),
        Err(e) => {
            if let QueryError::Store(e) = &e
                && let Some(code) = lake_error::show_store(e.as_ref(), Wanted::Read)
            {
                return Err(code);
            }
            program::show_error("EN-L004", &e, "");
            return Err(exit::FAILED);
        }
    };
    if let Err(e) = out.flush() {
        return source::not_written(&e);
    }
    let damage = source::damaged(&queried.damaged);
    if queried.rows == 0 {
        eprintln!("note: no sample matches; `nengliu query --lake {}` shows all", lake.display());
    }
    damage.map_or(Ok(()), Err)
}

fn time(text: &str) -> Result<Timestamp, u8> {
    Timestamp::from_item(config::Item::Text(text.to_owned())).map_err(|found| {
        eprintln!("error EN-C009: expected {}, found {found}", Timestamp::EXPECTED);
        exit::CONFIG
    })
}
