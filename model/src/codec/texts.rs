//! The text table of a batch: each text once, in the order of first use.

use std::collections::HashMap;

use crate::sample::{BATCH_TEXT_BYTES_MAX, Sample, Value};
use crate::text::{TEXT_BYTES_MAX, Text};

use super::CodecError;
use super::bits::{BitReader, BitWriter};

/// The texts of a batch that is being written.
#[derive(Debug, Default)]
pub(super) struct TextsWritten<'a> {
    places: HashMap<&'a Text, i64>,
    table: Vec<&'a Text>,
}

impl<'a> TextsWritten<'a> {
    /// The place of a text in the table.
    pub(super) fn place(&mut self, text: &'a Text) -> i64 {
        let next = i64::try_from(self.table.len()).unwrap_or(i64::MAX);
        let place = *self.places.entry(text).or_insert(next);
        if place == next {
            self.table.push(text);
        }
        place
    }

    /// Appends part 11 of the layout.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.number(self.table.len() as u64);
        for text in &self.table {
            let bytes = text.as_str().as_bytes();
            out.number(bytes.len() as u64);
            for &byte in bytes {
                out.bits(u64::from(byte), u8::BITS);
            }
        }
    }
}

/// Which samples of a batch that is being read have which text.
#[derive(Debug, Default)]
pub(super) struct TextsRead {
    /// Sample and place.
    uses: Vec<(usize, usize)>,
    /// Texts that were used so far.
    used: usize,
}

impl TextsRead {
    /// Notes that the sample at this position has the text at `place`.
    pub(super) fn used_by(&mut self, sample: usize, place: i64) -> Result<(), CodecError> {
        let wrong = CodecError::Damaged { what: "the place of a text" };
        let place = usize::try_from(place).ok().filter(|&place| place <= self.used).ok_or(wrong)?;
        self.used = self.used.max(place.saturating_add(1));
        self.uses.push((sample, place));
        Ok(())
    }

    /// Reads part 11 of the layout, and gives the samples their texts.
    pub(super) fn read(
        self,
        bits: &mut BitReader<'_>,
        samples: &mut [Sample],
    ) -> Result<(), CodecError> {
        let count = bits.count("texts", self.used)?;
        if count < self.used {
            return Err(CodecError::Damaged { what: "the number of texts" });
        }
        let mut table = Vec::with_capacity(count);
        let mut left = BATCH_TEXT_BYTES_MAX;
        for _ in 0..count {
            let length = bits.count("bytes in a text", TEXT_BYTES_MAX)?;
            let over = CodecError::TooMany {
                what: "bytes of text",
                found: (BATCH_TEXT_BYTES_MAX.saturating_add(1)) as u64,
                max: BATCH_TEXT_BYTES_MAX as u64,
            };
            left = left.checked_sub(length).ok_or(over)?;
            let bytes: Result<Vec<u8>, CodecError> = (0..length).map(|_| bits.byte()).collect();
            let text = String::from_utf8(bytes?).ok().and_then(|text| Text::new(text).ok());
            table.push(text.ok_or(CodecError::Damaged { what: "a text" })?);
        }
        for (sample, place) in self.uses {
            if let (Some(sample), Some(text)) = (samples.get_mut(sample), table.get(place)) {
                sample.value = Some(Value::Text(text.clone()));
            }
        }
        Ok(())
    }
}
