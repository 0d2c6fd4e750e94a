//! How a point's values become a column of integers, exactly.
//!
//! | form | values are |
//! |---|---|
//! | 0 | absent: every sample of the point is Bad |
//! | 1 | decimals; the integer is the mantissa, the dictionary has the power of ten |
//! | 2 | doubles by their 64 bits, in the order of the doubles |
//! | 3 | doubles that are floats, by their 32 bits, in the order of the floats |
//! | 4 + p, p ≤ 12 | doubles m / 10^p |
//! | 17 + p, p ≤ 9 | doubles that are the float nearest to m / 10^p: what a device's 32-bit register holds |
//! | 27 | bools; the integer is 0 or 1 |
//! | 28 | texts; the integer is the text's place in the table of texts |
//!
//! Version 1 of the layout has the forms up to 26.

use crate::sample::{Sample, Value};
use crate::text::Text;

pub(super) const PLACES_MAX: u8 = 12;
const FLOAT32_PLACES_MAX: u8 = 9;
/// Every integer up to here is a double.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;
/// A double that is the float nearest to m / 10^p is off that quotient by half a unit of the float's last place at most,
/// 2^-24 = 1 / 16 777 216 of itself; the rest is for the rounding of what is computed. Holds from the smallest normal
/// float on.
const NEAR_OF_SCALED: f64 = 1.0 / 16_777_000.0;
const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// How the integers of a column stand for values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    None,
    Decimal,
    Bits64,
    Bits32,
    Places64(u8),
    Places32(u8),
    Bool,
    Text,
}

/// The forms, the one that was used last first: points of a device repeat a few forms, each of which then has a small
/// rank. It starts with all forms in the order of the table; a new form is appended there.
pub(super) struct RecentForms(Vec<Form>);

impl RecentForms {
    /// The forms that a version of the layout has.
    pub(super) fn of(version: u8) -> Self {
        let places64 = (0..=PLACES_MAX).map(Form::Places64);
        let places32 = (0..=FLOAT32_PLACES_MAX).map(Form::Places32);
        let others = [Form::None, Form::Decimal, Form::Bits64, Form::Bits32];
        let second: &[Form] = if version > 1 { &[Form::Bool, Form::Text] } else { &[] };
        let second = second.iter().copied();
        Self(others.into_iter().chain(places64).chain(places32).chain(second).collect())
    }

    /// Rank of a form, which is then the first.
    pub(super) fn rank(&mut self, form: Form) -> u64 {
        let rank = self.0.iter().position(|&other| other == form).expect("all forms are listed");
        self.move_to_front(rank);
        rank as u64
    }

    /// Form at a rank, which is then the first.
    pub(super) fn at(&mut self, rank: u64) -> Option<Form> {
        let rank = usize::try_from(rank).ok()?;
        let form = self.0.get(rank).copied();
        self.move_to_front(rank);
        form
    }

    fn move_to_front(&mut self, rank: usize) {
        if let Some(front) = self.0.get_mut(..=rank) {
            front.rotate_right(1);
        }
    }
}

impl Form {
    /// The value that an integer of the column stands for; `None` if there is no such value, or another part holds it.
    pub(super) fn value(self, integer: i64) -> Option<Value> {
        match self {
            Self::None | Self::Text => None,
            Self::Decimal => Some(Value::Decimal(integer)),
            Self::Bool => match integer {
                0 => Some(Value::Bool(false)),
                1 => Some(Value::Bool(true)),
                _ => None,
            },
            _ => self.double(integer).map(Value::Float),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "`integer` checks the way back"
    )]
    pub(super) fn double(self, integer: i64) -> Option<f64> {
        match self {
            Self::None | Self::Decimal | Self::Bool | Self::Text => None,
            Self::Bits64 => Some(f64::from_bits(ordered64(integer).cast_unsigned())),
            Self::Bits32 => {
                let bits = ordered32(i32::try_from(integer).ok()?);
                Some(f64::from(f32::from_bits(bits.cast_unsigned())))
            }
            Self::Places64(places) => Some(integer as f64 / power(places)),
            Self::Places32(places) => Some(f64::from((integer as f64 / power(places)) as f32)),
        }
    }

    /// False only where [`Self::integer`] gives nothing for this double.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the nearest integer, which is far below 2^63; what is beyond is not ruled out"
    )]
    pub(super) fn may_hold(self, value: f64) -> bool {
        let (Self::Places64(places) | Self::Places32(places)) = self else { return true };
        let scaled = value * power(places);
        let nearest = (scaled + 0.5_f64.copysign(scaled)) as i64 as f64;
        let is_near = (scaled - nearest).abs() <= scaled.abs() * NEAR_OF_SCALED;
        is_near || value.abs() < f64::from(f32::MIN_POSITIVE)
    }

    /// The integer that stands for exactly this double; `None` if there is none.
    #[expect(clippy::cast_possible_truncation, reason = "the way back is checked bit for bit")]
    pub(super) fn integer(self, value: f64) -> Option<i64> {
        let integer = match self {
            Self::None | Self::Decimal | Self::Bool | Self::Text => return None,
            Self::Bits64 => ordered64(value.to_bits().cast_signed()),
            Self::Bits32 => i64::from(ordered32((value as f32).to_bits().cast_signed())),
            Self::Places64(places) | Self::Places32(places) => {
                let scaled = value * power(places);
                if scaled.abs() > MANTISSA_MAX {
                    return None;
                }
                (scaled + 0.5_f64.copysign(scaled)) as i64
            }
        };
        (self.double(integer)?.to_bits() == value.to_bits()).then_some(integer)
    }
}

fn power(places: u8) -> f64 {
    POWERS.get(usize::from(places)).copied().unwrap_or(1.0)
}

/// Bits of a double to an integer in the same order, and back: a small change of the value is a small difference.
fn ordered64(bits: i64) -> i64 {
    bits ^ (bits.wrapping_shr(63) & i64::MAX)
}

fn ordered32(bits: i32) -> i32 {
    bits ^ (bits.wrapping_shr(31) & i32::MAX)
}

/// Appends the values of one point as integers, in the form with the fewest digits that holds all of them.
/// `place` gives the place of a text in the table.
pub(super) fn write<'a>(
    point: &'a [Sample],
    out: &mut Vec<i64>,
    place: &mut impl FnMut(&'a Text) -> i64,
) -> Form {
    let values = || point.iter().filter_map(|sample| sample.value.as_ref());
    let form = match values().next() {
        None => return Form::None,
        Some(Value::Float(_)) => return write_doubles(point, out),
        Some(Value::Decimal(_)) => Form::Decimal,
        Some(Value::Bool(_)) => Form::Bool,
        Some(Value::Text(_)) => Form::Text,
    };
    out.extend(values().map(|value| match value {
        Value::Decimal(mantissa) => *mantissa,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => place(text),
        Value::Float(_) => unreachable!("the rules allow one kind of value for a point"),
    }));
    form
}

fn write_doubles(point: &[Sample], out: &mut Vec<i64>) -> Form {
    let start = out.len();
    let first = point.iter().find_map(|sample| match sample.value {
        Some(Value::Float(value)) => Some(value),
        _ => None,
    });
    for form in FORMS_OF_DOUBLES {
        // Most forms are ruled out by one value, and this costs no division.
        if first.is_some_and(|value| !form.may_hold(value)) {
            continue;
        }
        let all = point.iter().all(|sample| match sample.value {
            Some(Value::Float(value)) => {
                form.integer(value).map(|integer| out.push(integer)).is_some()
            }
            _ => true,
        });
        if all {
            return form;
        }
        out.truncate(start);
    }
    unreachable!("the 64 bits of a double hold every double")
}

/// The forms for doubles, the one with the smallest integers first.
pub(super) const FORMS_OF_DOUBLES: [Form; 25] = [
    Form::Places64(0),
    Form::Places32(0),
    Form::Places64(1),
    Form::Places32(1),
    Form::Places64(2),
    Form::Places32(2),
    Form::Places64(3),
    Form::Places32(3),
    Form::Places64(4),
    Form::Places32(4),
    Form::Places64(5),
    Form::Places32(5),
    Form::Places64(6),
    Form::Places32(6),
    Form::Places64(7),
    Form::Places32(7),
    Form::Places64(8),
    Form::Places32(8),
    Form::Places64(9),
    Form::Places32(FLOAT32_PLACES_MAX),
    Form::Places64(10),
    Form::Places64(11),
    Form::Places64(PLACES_MAX),
    Form::Bits32,
    Form::Bits64,
];
