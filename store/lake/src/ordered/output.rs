//! Puts rows of many row groups into batches of the contract's columns. Knows nothing of order: rows come in it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch, StringArray,
    UInt32Array,
};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;
use contract::{Request, StoreError, column};

use super::part::Loaded;

/// Pieces shorter than this on average are picked row by row.
const PIECE_ROWS_MIN: usize = 16;

struct Piece {
    point: Arc<str>,
    loaded: Arc<Loaded>,
    start: usize,
    end: usize,
}

/// Rows for the next batch.
pub(super) struct Output {
    schema: SchemaRef,
    pieces: Vec<Piece>,
    rows: usize,
}

impl Output {
    pub(super) fn new(request: &Request) -> Self {
        Self { schema: request.schema(), pieces: Vec::new(), rows: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows of one point.
    pub(super) fn push(
        &mut self,
        point: &Arc<str>,
        loaded: &Arc<Loaded>,
        start: usize,
        end: usize,
    ) {
        if start >= end {
            return;
        }
        self.rows += end - start;
        match self.pieces.last_mut() {
            Some(last)
                if last.end == start
                    && Arc::ptr_eq(&last.loaded, loaded)
                    && last.point == *point =>
            {
                last.end = end;
            }
            _ => {
                let (point, loaded) = (Arc::clone(point), Arc::clone(loaded));
                self.pieces.push(Piece { point, loaded, start, end });
            }
        }
    }

    /// The batch of what was added.
    pub(super) fn take(&mut self) -> Result<RecordBatch, StoreError> {
        let pieces = std::mem::take(&mut self.pieces);
        self.rows = 0;
        let columns = self.schema.fields().iter().map(|field| {
            if field.name() == column::POINT {
                return points_of(&pieces);
            }
            let found = column_of(&pieces, field.name())?;
            match found.as_dictionary_opt::<Int32Type>() {
                Some(words) => words_of(words),
                None => Ok(found),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, StoreError>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn column_of(pieces: &[Piece], name: &str) -> Result<ArrayRef, StoreError> {
    let of = |loaded: &Loaded| {
        let found = loaded.batch.column_by_name(name).cloned();
        found.ok_or_else(|| StoreError::from(format!("column `{name}` was not read")))
    };
    let rows: usize = pieces.iter().map(|piece| piece.end - piece.start).sum();
    if let [piece] = pieces {
        return Ok(of(&piece.loaded)?.slice(piece.start, rows));
    }
    if rows >= PIECE_ROWS_MIN * pieces.len() {
        let slices: Vec<ArrayRef> = pieces
            .iter()
            .map(|piece| Ok(of(&piece.loaded)?.slice(piece.start, piece.end - piece.start)))
            .collect::<Result<_, StoreError>>()?;
        let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
        return Ok(concat(&slices)?);
    }
    let mut places: HashMap<*const Loaded, usize> = HashMap::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(rows);
    for piece in pieces {
        let next = arrays.len();
        let place = *places.entry(Arc::as_ptr(&piece.loaded)).or_insert(next);
        if place == next {
            arrays.push(of(&piece.loaded)?);
        }
        picked.extend((piece.start..piece.end).map(|row| (place, row)));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&arrays, &picked)?)
}

/// Points come in order, so each is named once.
fn points_of(pieces: &[Piece]) -> Result<ArrayRef, StoreError> {
    let mut names: Vec<&str> = Vec::new();
    let mut keys: Vec<i32> = Vec::new();
    for piece in pieces {
        if names.last().is_none_or(|last| **last != *piece.point) {
            names.push(&piece.point);
        }
        let key = i32::try_from(names.len() - 1)?;
        keys.resize(keys.len() + piece.end - piece.start, key);
    }
    dictionary(keys.into(), names)
}

/// A few words, each that a row has named once. What was read together may hold many more.
fn words_of(found: &DictionaryArray<Int32Type>) -> Result<ArrayRef, StoreError> {
    let words = found.values().as_string::<i32>();
    let mut names: Vec<&str> = Vec::new();
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut keys: Vec<i32> = Vec::with_capacity(found.len());
    let mut last: Option<(i32, i32)> = None;
    for of in found.keys().values() {
        let key = if let Some((_, key)) = last.filter(|(one, _)| one == of) {
            key
        } else {
            let word = words.value(usize::try_from(*of)?);
            let next = i32::try_from(names.len())?;
            let key = *known.entry(word).or_insert(next);
            if key == next {
                names.push(word);
            }
            key
        };
        last = Some((*of, key));
        keys.push(key);
    }
    dictionary(keys.into(), names)
}

fn dictionary(keys: Int32Array, words: Vec<&str>) -> Result<ArrayRef, StoreError> {
    let keys: PrimitiveArray<Int32Type> = keys;
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(StringArray::from(words)))?))
}

/// The last row of each point in a batch. They are copied out, so that the batch is let go: whoever keeps the last row of
/// every point would otherwise keep every row.
pub(crate) fn ends_of_points(
    batch: &RecordBatch,
) -> Result<Vec<(String, RecordBatch)>, arrow_schema::ArrowError> {
    let Some(points) = batch.column_by_name(column::POINT) else { return Ok(Vec::new()) };
    let Some(points) = points.as_dictionary_opt::<Int32Type>() else { return Ok(Vec::new()) };
    let names = points.values().as_string::<i32>();
    let keys = points.keys().values();
    let mut ends = Vec::new();
    let mut places = Vec::new();
    for (row, key) in (0_u32..).zip(keys) {
        if keys.get(row as usize + 1) != Some(key) {
            let name = usize::try_from(*key).map(|key| names.value(key)).unwrap_or_default();
            ends.push(name.to_owned());
            places.push(row);
        }
    }
    let last = take_record_batch(batch, &UInt32Array::from(places))?;
    Ok(ends.into_iter().enumerate().map(|(row, name)| (name, last.slice(row, 1))).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_last_rows_of_a_batch_do_not_keep_the_batch() {
        let rows = 16_384;
        let points: DictionaryArray<Int32Type> =
            (0..rows).map(|row| if row < 9_000 { "a" } else { "b" }).collect();
        let numbers: Int32Array = (0..rows).collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![(column::POINT, Arc::new(points)), (column::SEQ, Arc::new(numbers))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let ends = ends_of_points(&batch).unwrap();
        let last = |row: &RecordBatch| row.column(1).as_primitive::<Int32Type>().value(0);
        let found: Vec<_> = ends.iter().map(|(name, row)| (name.as_str(), last(row))).collect();
        assert_eq!(found, [("a", 8_999), ("b", 16_383)]);
        let held: usize = ends.iter().map(|(_, row)| row.get_array_memory_size()).sum();
        assert!(held < batch.get_array_memory_size() / 20, "{held}");
    }
}
