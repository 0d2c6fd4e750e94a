//! A stream of bits, lowest bit of each byte first: numbers, runs and Rice codes.

use super::CodecError;

/// So many ones stand for "a plain number follows": an outlier costs at most 90 bits, whatever k was chosen.
pub(super) const ESCAPE: u32 = 20;
/// Largest Rice parameter.
pub(super) const RICE_MAX: u32 = 63;

const LENGTH_BITS: u32 = 6;
/// Parameter for small things: places of top bits, parameters.
const SMALL: u32 = 1;
/// Parameter for the two parts of a run.
const RUN: u32 = 2;
const WORD_BITS: u32 = 32;

/// The lowest `count` bits set, for `count` < 64.
const fn low_bits(count: u32) -> u64 {
    1_u64.wrapping_shl(count).wrapping_sub(1)
}

/// Place of the highest set bit; 0 for 0 and 1.
const fn top_bit(value: u64) -> u32 {
    63_u32.saturating_sub(value.leading_zeros())
}

/// Bits that [`BitWriter::number`] takes.
const fn number_bits(value: u64) -> u32 {
    let top = top_bit(value);
    LENGTH_BITS.wrapping_add(if top == 0 { 1 } else { top })
}

/// Bits that [`BitWriter::rice`] takes.
pub(super) fn rice_bits(value: u64, k: u32) -> u64 {
    let ones = value.wrapping_shr(k);
    if ones < u64::from(ESCAPE) {
        ones.wrapping_add(1).wrapping_add(u64::from(k))
    } else {
        u64::from(ESCAPE.wrapping_add(number_bits(value)))
    }
}

/// Small numbers of either sign as small numbers: 0, -1, 1, -2 … become 0, 1, 2, 3 …
pub(super) fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ value.wrapping_shr(63)).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    value.wrapping_shr(1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

fn at_most(found: u64, what: &'static str, max: usize) -> Result<usize, CodecError> {
    let count = usize::try_from(found).ok().filter(|&count| count <= max);
    count.ok_or(CodecError::TooMany { what, found, max: max as u64 })
}

/// Writes bits after bytes.
pub(super) struct BitWriter {
    out: Vec<u8>,
    word: u64,
    filled: u32,
}

impl BitWriter {
    pub(super) fn after(out: Vec<u8>) -> Self {
        Self { out, word: 0, filled: 0 }
    }

    /// At most 32 bits.
    fn short(&mut self, value: u64, count: u32) {
        self.word |= value.wrapping_shl(self.filled);
        self.filled = self.filled.wrapping_add(count);
        if self.filled >= WORD_BITS {
            let [a, b, c, d, ..] = self.word.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.word = self.word.wrapping_shr(WORD_BITS);
            self.filled = self.filled.wrapping_sub(WORD_BITS);
        }
    }

    /// The lowest `count` bits of `value`, at most 64; those above must be zero.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        if count > WORD_BITS {
            self.short(value & low_bits(WORD_BITS), WORD_BITS);
            self.short(value.wrapping_shr(WORD_BITS), count.wrapping_sub(WORD_BITS));
        } else {
            self.short(value, count);
        }
    }

    pub(super) fn number(&mut self, value: u64) {
        let top = top_bit(value);
        self.short(u64::from(top), LENGTH_BITS);
        if top == 0 { self.short(value, 1) } else { self.bits(value & low_bits(top), top) }
    }

    pub(super) fn rice(&mut self, value: u64, k: u32) {
        let ones = value.wrapping_shr(k);
        if ones >= u64::from(ESCAPE) {
            self.short(low_bits(ESCAPE), ESCAPE);
            return self.number(value);
        }
        let ones = u32::try_from(ones).unwrap_or(ESCAPE);
        self.short(low_bits(ones), ones.wrapping_add(1));
        self.bits(value & low_bits(k), k);
    }

    /// A small number that need not be small.
    pub(super) fn small(&mut self, value: u64) {
        self.rice(value, SMALL);
    }

    /// A number that is likely about as large as the last one written with the same `top`.
    pub(super) fn number_like(&mut self, value: u64, top: &mut u32) {
        let before = std::mem::replace(top, top_bit(value));
        let change = i64::from(*top).wrapping_sub(i64::from(before));
        self.small(zigzag(change));
        let count = (*top).max(1);
        self.bits(value & low_bits(count), count);
    }

    /// Runs of equal things, each written as what `code` makes of it.
    pub(super) fn runs<T: PartialEq>(
        &mut self,
        values: impl Iterator<Item = T>,
        mut code: impl FnMut(T) -> u64,
    ) {
        let mut values = values.peekable();
        while let Some(value) = values.next() {
            let mut repeats = 0_u64;
            while values.next_if_eq(&value).is_some() {
                repeats = repeats.wrapping_add(1);
            }
            self.rice(code(value), RUN);
            self.rice(repeats, RUN);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let bytes = self.word.to_le_bytes();
        self.out.extend(bytes.iter().take(self.filled.div_ceil(8) as usize));
        self.out
    }
}

/// Reads what [`BitWriter`] wrote; every length is checked before it is believed.
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    word: u64,
    filled: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, word: 0, filled: 0 }
    }

    /// Fills the word with at least 33 bits, or with all that is left. Bits above `filled` stay zero.
    fn refill(&mut self) {
        if self.filled > WORD_BITS {
            return;
        }
        if let Some((chunk, rest)) = self.rest.split_first_chunk() {
            self.word |= u64::from(u32::from_le_bytes(*chunk)).wrapping_shl(self.filled);
            self.filled = self.filled.wrapping_add(WORD_BITS);
            self.rest = rest;
            return;
        }
        for &byte in self.rest {
            self.word |= u64::from(byte).wrapping_shl(self.filled);
            self.filled = self.filled.wrapping_add(8);
        }
        self.rest = &[];
    }

    fn skip(&mut self, count: u32) -> Result<(), CodecError> {
        self.filled = self.filled.checked_sub(count).ok_or(CodecError::Truncated)?;
        self.word = self.word.wrapping_shr(count);
        Ok(())
    }

    /// At most 32 bits.
    fn short(&mut self, count: u32) -> Result<u64, CodecError> {
        self.refill();
        let value = self.word & low_bits(count);
        self.skip(count)?;
        Ok(value)
    }

    /// At most 64 bits.
    pub(super) fn bits(&mut self, count: u32) -> Result<u64, CodecError> {
        if count <= WORD_BITS {
            return self.short(count);
        }
        let low = self.short(WORD_BITS)?;
        Ok(low | self.short(count.wrapping_sub(WORD_BITS))?.wrapping_shl(WORD_BITS))
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.short(u8::BITS)?.to_le_bytes()[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, CodecError> {
        match self.short(LENGTH_BITS)? {
            0 => self.short(1),
            top => {
                let top = u32::try_from(top).unwrap_or(RICE_MAX);
                Ok(1_u64.wrapping_shl(top) | self.bits(top)?)
            }
        }
    }

    pub(super) fn rice(&mut self, k: u32) -> Result<u64, CodecError> {
        self.refill();
        let ones = self.word.trailing_ones();
        if ones >= ESCAPE {
            self.skip(ESCAPE)?;
            return self.number();
        }
        self.skip(ones.wrapping_add(1))?;
        Ok(u64::from(ones).wrapping_shl(k) | self.bits(k)?)
    }

    pub(super) fn small(&mut self) -> Result<u64, CodecError> {
        self.rice(SMALL)
    }

    pub(super) fn number_like(&mut self, top: &mut u32) -> Result<u64, CodecError> {
        let place = i64::from(*top).wrapping_add(unzigzag(self.small()?));
        let place = u32::try_from(place).ok().filter(|&place| place < u64::BITS);
        *top = place.ok_or(CodecError::Damaged { what: "the size of a number" })?;
        let low = self.bits((*top).max(1))?;
        Ok(if *top == 0 { low } else { low | 1_u64.wrapping_shl(*top) })
    }

    /// A number that counts `what` and may be at most `max`.
    pub(super) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, CodecError> {
        at_most(self.number()?, what, max)
    }

    /// Runs that cover exactly `total` things; hands over each value and how many things it covers.
    pub(super) fn runs(
        &mut self,
        total: usize,
        mut each: impl FnMut(u64, usize) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let mut left = total;
        while left > 0 {
            left = left.wrapping_sub(1);
            let value = self.rice(RUN)?;
            let repeats = at_most(self.rice(RUN)?, "repeats in a run", left)?;
            left = left.wrapping_sub(repeats);
            each(value, repeats.wrapping_add(1))?;
        }
        Ok(())
    }

    /// Nothing but the zeros that fill up the last byte may be left.
    pub(super) fn finish(mut self) -> Result<(), CodecError> {
        self.refill();
        if self.filled >= 8 || self.word != 0 { Err(CodecError::Trailing) } else { Ok(()) }
    }
}
