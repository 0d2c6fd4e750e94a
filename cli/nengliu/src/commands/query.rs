//! `nengliu query`.

use std::io::Write as _;

use analytics::query::{QueryError, QueryFormat, query as write_samples};
use config::FromToml;
use contract::{Points, Request, RowChoice};
use model::{CommitNumber, Timestamp};
use program::Output;

use super::lake_error::{self, Wanted};
use super::{output, source};
use crate::cli::{QueryArgs, QueryFormatArg};
use crate::exit;

pub(crate) fn query(args: &QueryArgs) -> u8 {
    samples(args).map_or_else(|code| code, |()| exit::OK)
}

fn samples(args: &QueryArgs) -> Result<(), u8> {
    let format = match args.format {
        QueryFormatArg::Csv => QueryFormat::Csv,
        QueryFormatArg::Json => QueryFormat::Json,
        QueryFormatArg::Parquet => QueryFormat::Parquet,
        QueryFormatArg::Arrow => QueryFormat::Arrow,
    };
    match format {
        QueryFormat::Csv | QueryFormat::Json => {}
        QueryFormat::Parquet => output::not_to_a_terminal("Parquet", args.output.as_deref())?,
        QueryFormat::Arrow => {
            output::not_to_a_terminal("an Arrow stream", args.output.as_deref())?;
        }
    }
    let (from, to) = times(args.from.as_deref(), args.to.as_deref()).map_err(|words| {
        program::show_words("EN-C009", &words, "");
        exit::CONFIG
    })?;
    let lake = match &args.source.lake {
        Some(lake) => Some(lake.clone()),
        None => source::settings(args.source.config.as_deref())?.map(|settings| settings.lake),
    };
    let lake = lake.unwrap_or_else(|| "lake".into());
    let snapshot = source::snapshot(&lake, args.source.as_of)?;
    let points = &args.points;
    let request = Request {
        points: if points.is_empty() { Points::All } else { Points::Prefixes(points.clone()) },
        from,
        to,
        as_of: args.source.as_of.map(CommitNumber),
        choice: if args.all { RowChoice::All } else { RowChoice::Chosen },
        ..Request::default()
    };
    let mut out = output::written(Output::to(args.output.as_deref()).map(Some))?;
    let Some(out) = &mut out else { return Ok(()) };
    let queried = write_samples(&snapshot, &request, format, out);
    // It remembers why, whatever the writer of a format makes of it.
    out.flush().ok();
    if let Some(e) = out.failure() {
        return output::written(Err(e));
    }
    let queried = match queried {
        Ok(queried) => queried,
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
    let damage = source::damaged(&queried.damaged);
    if queried.rows == 0 {
        program::tell!(
            "note: no sample matches; `nengliu query --lake {}` shows all",
            lake.display()
        );
    }
    damage.map_or(Ok(()), Err)
}

/// The times between which samples are wanted, or what is wrong with them.
fn times(
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
    let time = |option: &str, text: &str| {
        Timestamp::from_item(config::Item::Text(text.to_owned()))
            .map_err(|found| format!("`{option}`: expected {}, found {found}", Timestamp::EXPECTED))
    };
    let first = from.map(|text| time("--from", text)).transpose()?;
    let end = to.map(|text| time("--to", text)).transpose()?;
    if let (Some(from), Some(to)) = (from, to)
        && first >= end
    {
        return Err(format!("`--from {from}` is not before `--to {to}`: the range is empty"));
    }
    Ok((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_named_by_their_option_and_in_order() {
        let (early, late) = ("2026-01-01T00:00:00+08:00", "2026-01-02T00:00:00+08:00");
        assert!(times(Some(early), Some(late)).is_ok());
        assert!(times(None, Some(early)).is_ok() && times(Some(late), None).is_ok());
        let check = |from: &str, to: &str, expected: &str| {
            let error = times(Some(from), Some(to)).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check("yesterday", late, "`--from`: expected a time with its offset");
        check(early, "2026-01-02", "`--to`: expected a time with its offset");
        check(late, early, "`--from 2026-01-02T00:00:00+08:00` is not before `--to 2026-01-01T");
        // The end is the first that is no longer wanted, so nothing could match.
        check(early, early, "`--from 2026-01-01T00:00:00+08:00` is not before `--to 2026-01-01T");
    }
}
