//! Whether a store holds each row once. Must never compute a figure.

use contract::{Readings, Request, RowChoice, column};

use crate::columns::Columns;
use crate::query::QueryError;

/// Rows beyond the first of each identity (point, source time, generation, sequence): 0 in a sound store (INV-4).
pub fn rows_sharing_identity(readings: &dyn Readings) -> Result<u64, QueryError> {
    let columns = vec![column::POINT, column::TS, column::GENERATION, column::SEQ];
    let request = Request { choice: RowChoice::All, columns, ..Request::default() };
    let mut beyond = 0;
    let mut last: Option<(String, [i64; 3])> = None;
    for batch in readings.rows(&request).map_err(QueryError::Store)? {
        let batch = batch.map_err(QueryError::Store)?;
        let columns = Columns::new(&batch)?;
        let ts = columns.times(column::TS)?;
        let (generation, seq) = (columns.longs(column::GENERATION)?, columns.longs(column::SEQ)?);
        for (point, range) in columns.points() {
            for row in range {
                let rest = [ts.value(row), generation.value(row), seq.value(row)];
                match &mut last {
                    Some((known, before)) if known == point => {
                        beyond += u64::from(*before == rest);
                        *before = rest;
                    }
                    _ => last = Some((point.to_owned(), rest)),
                }
            }
        }
    }
    Ok(beyond)
}
