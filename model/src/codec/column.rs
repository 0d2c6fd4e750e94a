//! A column of integers: the first one, then what a simple forecast leaves over, Rice coded.
//!
//! The **order** says what the forecast is: 0 the value before, which always hits, so that nothing follows; 1 the value
//! before (delta); 2 the value before plus the step before (delta of delta; the first step is forecast as 0); 3 the
//! value before plus one step for all (a zigzag number), which always hits.

use super::CodecError;
use super::bits::{BitReader, BitWriter, RICE_MAX, rice_bits, unzigzag, zigzag};

const ORDER_BITS: u32 = 2;

const CONSTANT: u64 = 0;
const DELTA: u64 = 1;
const DELTA_OF_DELTA: u64 = 2;
const RAMP: u64 = 3;

/// What is known about the next column from those before it, in the same kind of thing.
#[derive(Debug, Default)]
pub(super) struct Guess {
    /// A first value near the next one; 0 when the columns have nothing to do with each other.
    first: i64,
    /// Place of the highest bit of the first value written last.
    top: u32,
}

impl Guess {
    /// Takes the first value of a column as a guess at that of the next one.
    pub(super) fn near(&mut self, column: &[i64]) {
        self.first = column.first().copied().unwrap_or(self.first);
    }
}

/// Appends a column. An empty one is nothing, a single value has no order.
pub(super) fn write(values: &[i64], guess: &mut Guess, out: &mut BitWriter) {
    let Some((&first, rest)) = values.split_first() else { return };
    out.number_like(zigzag(first.wrapping_sub(guess.first)), &mut guess.top);
    if rest.is_empty() {
        return;
    }
    if rest.iter().all(|&value| value == first) {
        return out.bits(CONSTANT, ORDER_BITS);
    }
    let steps = || values.iter().zip(rest).map(|(a, b)| b.wrapping_sub(*a));
    let deltas: Vec<u64> = steps().map(zigzag).collect();
    let mut step_before = 0;
    let seconds: Vec<u64> = steps()
        .map(|step| zigzag(step.wrapping_sub(std::mem::replace(&mut step_before, step))))
        .collect();
    if let [step, others @ ..] = deltas.as_slice()
        && !others.is_empty()
        && others.iter().all(|other| other == step)
    {
        out.bits(RAMP, ORDER_BITS);
        return out.number(*step);
    }
    let (k1, bits1) = best_parameter(&deltas);
    let (k2, bits2) = best_parameter(&seconds);
    let (order, k, residuals) =
        if bits1 <= bits2 { (DELTA, k1, deltas) } else { (DELTA_OF_DELTA, k2, seconds) };
    out.bits(order, ORDER_BITS);
    out.small(u64::from(k));
    for residual in residuals {
        out.rice(residual, k);
    }
}

/// The Rice parameter that costs least, and what it costs in bits. The search goes down from the mean, which a few
/// outliers can only push too high.
fn best_parameter(residuals: &[u64]) -> (u32, u64) {
    let cost = |k: u32| residuals.iter().map(|&z| rice_bits(z, k)).fold(0, u64::wrapping_add);
    let sum = residuals.iter().fold(0_u64, |sum, &z| sum.saturating_add(z));
    let mean = sum.checked_div(residuals.len() as u64).unwrap_or(0);
    let mut best = 64_u32.wrapping_sub(mean.leading_zeros()).min(RICE_MAX);
    let mut bits = cost(best);
    while let Some(k) = best.checked_sub(1) {
        let less = cost(k);
        if less >= bits {
            break;
        }
        (best, bits) = (k, less);
    }
    (best, bits)
}

/// Reads a column of `count` values into `out`, which is cleared first. `count` must be bounded by the caller.
pub(super) fn read(
    bits: &mut BitReader<'_>,
    count: usize,
    guess: &mut Guess,
    out: &mut Vec<i64>,
) -> Result<(), CodecError> {
    out.clear();
    let Some(rest) = count.checked_sub(1) else { return Ok(()) };
    let mut value = guess.first.wrapping_add(unzigzag(bits.number_like(&mut guess.top)?));
    out.reserve(count);
    out.push(value);
    if rest == 0 {
        return Ok(());
    }
    let order = bits.bits(ORDER_BITS)?;
    match order {
        CONSTANT => out.extend(std::iter::repeat_n(value, rest)),
        DELTA => {
            let k = read_parameter(bits)?;
            for _ in 0..rest {
                value = value.wrapping_add(unzigzag(bits.rice(k)?));
                out.push(value);
            }
        }
        DELTA_OF_DELTA => {
            let k = read_parameter(bits)?;
            let mut step = 0_i64;
            for _ in 0..rest {
                step = step.wrapping_add(unzigzag(bits.rice(k)?));
                value = value.wrapping_add(step);
                out.push(value);
            }
        }
        _ => {
            let step = unzigzag(bits.number()?);
            for _ in 0..rest {
                value = value.wrapping_add(step);
                out.push(value);
            }
        }
    }
    Ok(())
}

fn read_parameter(bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
    let k = u32::try_from(bits.small()?).ok().filter(|&k| k <= RICE_MAX);
    k.ok_or(CodecError::Damaged { what: "the parameter of a column" })
}
