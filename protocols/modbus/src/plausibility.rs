//! Whether the registers of a device mean what its profile says. Where values are not plausible, the words that came are
//! read in the other byte orders and one register lower and higher; the one reading that gives all points plausible values
//! is named. Nothing is asked of the device.
//!
//! One value proves nothing: in a wrong byte order about every fourth float lies within the limits of a voltage. So all
//! points of the device are judged together, and a value counts for a reading only where it could have spoken against it:
//!
//! | value | counts |
//! |---|---|
//! | outside of its plausible range, or a float that no meter measures | against |
//! | other than 0, of a point with a smallest and a largest plausible value that is no counter | for |
//! | 0, equal to all others, absent, of a counter, of a point without limits | neither |

use device_profiles::{DeviceProfile, ProfilePoint};
use model::{Decimal, Localized, PointKind, Value, ValueType};

use crate::address::{Address, Area, DataType, Order};
use crate::codec::{Form, Unusable, decode, gather};
use crate::request::{Point, Request};

/// Smallest value that counts for a reading, in the unit of its point: what is smaller is as good as 0.
const TELLING_MIN: f64 = 1e-6;
/// Values that must speak against the profile before its other values are doubted with no better reading at hand: one may
/// be a broken sensor.
const AGAINST_MIN: usize = 2;
/// Values from which on it is strange that all are equal.
const EQUAL_MIN: usize = 3;
/// Most digits of a float that was made of a decimal number, such as 231.9.
const DECIMAL_DIGITS_MAX: usize = 6;
/// Readings that are listed when there are several.
const CANDIDATES_MAX: usize = 3;
/// Registers of the longest number.
const WORDS_MAX: usize = 4;

/// What is known of a device beside its points.
#[derive(Debug, Clone)]
pub(crate) struct Meaning {
    pub(crate) profile: std::sync::Arc<DeviceProfile>,
    pub(crate) order32: Order,
    pub(crate) order64: Order,
    pub(crate) address_base: u8,
}

impl Meaning {
    pub(crate) fn of(&self, point: &Point) -> Option<&ProfilePoint> {
        self.profile.points.get(usize::from(point.at)).map(AsRef::as_ref)
    }
}

/// Another way to read the registers of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) order32: Option<Order>,
    pub(crate) order64: Option<Order>,
    /// Registers by which each address is higher.
    pub(crate) shift: i8,
    /// Input registers instead of holding registers, or the other way round.
    pub(crate) other_area: bool,
}

impl Reading {
    /// Keys of the profile that would have to change.
    fn changes(&self) -> usize {
        usize::from(self.order32.or(self.order64).is_some())
            + usize::from(self.shift != 0)
            + usize::from(self.other_area)
    }

    /// Where and how a point of the device is read then; nothing where there is no such register.
    fn address(&self, address: &Address, meaning: &Meaning) -> Option<Address> {
        let start = i32::from(address.start) + i32::from(self.shift);
        let order = match address.data_type.registers() {
            2 if address.order == meaning.order32 => self.order32,
            4 if address.order == meaning.order64 => self.order64,
            _ => None,
        };
        Some(Address {
            start: u16::try_from(start).ok()?,
            area: if self.other_area { address.area.other() } else { address.area },
            order: order.unwrap_or(address.order),
            ..*address
        })
    }

    /// Whether a point means something else then.
    pub(crate) fn affects(&self, point: &Point, meaning: &Meaning) -> bool {
        matches!(point.form, Form::Number(_))
            && self.address(&point.address, meaning) != Some(point.address)
    }
}

/// The registers of a device as they came last.
#[derive(Default)]
pub(crate) struct Words<'a>(Vec<(Area, u16, &'a [u16])>);

impl<'a> Words<'a> {
    pub(crate) fn new(answers: impl Iterator<Item = &'a (Request, Vec<u16>)>) -> Self {
        let of_registers = answers.filter(|(request, _)| !request.area.is_bits());
        let mut pieces: Vec<_> = of_registers
            .map(|(request, words)| (request.area, request.start, words.as_slice()))
            .collect();
        pieces.sort_by_key(|(area, start, _)| (*area, *start));
        Self(pieces)
    }

    fn word(&self, area: Area, register: u16) -> Option<u16> {
        let after = self.0.partition_point(|(of, start, _)| (*of, *start) <= (area, register));
        let (of, start, words) = self.0.get(after.checked_sub(1)?)?;
        let at = usize::from(register.checked_sub(*start)?);
        words.get(at).copied().filter(|_| *of == area)
    }

    /// The words of one value.
    fn of(&self, address: &Address) -> Option<([u16; WORDS_MAX], usize)> {
        let count = usize::from(address.count);
        let mut words = [0; WORDS_MAX];
        for (place, offset) in words.get_mut(..count)?.iter_mut().zip(0..) {
            *place = self.word(address.area, address.start.checked_add(offset)?)?;
        }
        Some((words, count))
    }
}

/// What one point says of a reading.
#[derive(Debug, Clone, PartialEq)]
enum Says {
    /// Its registers did not come.
    Unknown,
    Nothing,
    /// It could speak for the reading, and is as good as 0 without being it.
    Faint,
    Against,
    For {
        value: f64,
        /// It looks as if it was made of a decimal number.
        is_decimal: bool,
    },
}

/// What all points say of a reading.
#[derive(Debug, Clone, Default)]
struct Tally {
    against: usize,
    values: Vec<f64>,
    decimals: usize,
    unknown: usize,
    /// Values that are not 0 and count as such.
    faint: usize,
    /// Points that gave a number.
    numbers: usize,
}

/// A value that is not plausible, as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Implausible {
    pub(crate) metric: String,
    pub(crate) value: String,
    pub(crate) unit: &'static str,
    pub(crate) expected: Localized,
}

/// A reading that gives all points plausible values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) reading: Reading,
    /// What the value that is told would be.
    pub(crate) value: String,
    /// Values that speak for it.
    telling: usize,
    decimals: usize,
}

/// Why values of a device are not plausible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The first of them.
    pub(crate) first: Implausible,
    /// How many there are, of so many numbers.
    pub(crate) count: usize,
    pub(crate) numbers: usize,
    /// The readings under which all would be: one, or those between which nothing decides.
    pub(crate) candidates: Vec<Candidate>,
    /// Several values speak against the profile, and no more for it.
    pub(crate) is_majority: bool,
}

impl Verdict {
    /// Whether it says something of values that are plausible themselves.
    pub(crate) fn doubts_any(&self) -> bool {
        self.is_majority || !self.candidates.is_empty()
    }

    /// Whether a point may mean something else than the profile says.
    pub(crate) fn doubts(&self, point: &Point, meaning: &Meaning) -> bool {
        match self.candidates.as_slice() {
            [] => self.is_majority && matches!(point.form, Form::Number(_)),
            several => several.iter().any(|one| one.reading.affects(point, meaning)),
        }
    }
}

/// Looks whether the values of a device are plausible, and for the reading under which they would be. Nothing when all are.
pub(crate) fn judge(points: &[Point], words: &Words<'_>, meaning: &Meaning) -> Option<Verdict> {
    let as_is = Reading::default();
    let is_against = |point: &&Point| says(point, words, &as_is, meaning) == Says::Against;
    let mut against: Vec<&Point> = points.iter().filter(is_against).collect();
    against.sort_by_key(|point| point.at);
    let tally = tally(points, words, &as_is, meaning);
    let candidates = readings(points, meaning)
        .filter_map(|reading| candidate(reading, points, words, &against, meaning))
        .collect();
    let mut candidates = decided(candidates);
    // One that each of them gives a value: at the end of what was asked for the register beside it is not known.
    let value = |point: &Point, reading: &Reading| shown(point, words, reading, meaning);
    let known = |point: &&&Point| candidates.iter().all(|one| value(point, &one.reading).is_some());
    let first = against.iter().find(known).or(against.first())?;
    for one in &mut candidates {
        one.value = value(first, &one.reading).unwrap_or_else(|| "?".to_owned());
    }
    let profile = meaning.of(first)?;
    Some(Verdict {
        first: Implausible {
            metric: profile.metric.clone(),
            value: value(first, &as_is)?,
            unit: unit(profile),
            expected: profile.range.shown(),
        },
        count: tally.against,
        numbers: tally.numbers,
        candidates,
        is_majority: tally.against >= AGAINST_MIN && tally.against >= tally.values.len(),
    })
}

/// The readings that give a device plausible values of which nothing came, or only zeros: in the place of the verdict's
/// first value stands the first one that they give.
pub(crate) fn alternatives(
    points: &[Point],
    words: &Words<'_>,
    meaning: &Meaning,
) -> Option<(Implausible, Vec<Candidate>)> {
    let found = readings(points, meaning);
    let found = found.filter_map(|reading| candidate(reading, points, words, &[], meaning));
    let mut found = decided(found.collect());
    let best = found.first()?.reading;
    let telling = |point: &&Point| matches!(says(point, words, &best, meaning), Says::For { .. });
    let first = points.iter().filter(telling).min_by_key(|point| point.at)?;
    for one in &mut found {
        one.value = shown(first, words, &one.reading, meaning).unwrap_or_default();
    }
    let profile = meaning.of(first)?;
    let metric = profile.metric.clone();
    let (value, expected) = (String::new(), profile.range.shown());
    Some((Implausible { metric, value, unit: unit(profile), expected }, found))
}

/// Whether each number of a device is 0, among them a voltage or the frequency of the mains, and a counter. A meter that has
/// counted nothing and measures no voltage may be new and switched off; more often other registers are read than its own.
/// Nothing is lost by not using such a counter: it has counted nothing.
pub(crate) fn is_blank(points: &[Point], words: &Words<'_>, meaning: &Meaning) -> bool {
    let (mut is_powered, mut counts) = (false, false);
    for point in points {
        let (Form::Number(_), Some(profile)) = (point.form, meaning.of(point)) else { continue };
        match words.of(&point.address) {
            Some((words, count)) if words.iter().take(count).all(|word| *word == 0) => {}
            Some(_) => return false,
            None => continue,
        }
        is_powered |= profile.range.or_zero
            || (profile.unit.dimension() == model::unit::Dimension::Voltage
                && profile.kind == PointKind::Gauge);
        counts |= profile.kind == PointKind::Counter;
    }
    is_powered && counts
}

pub(crate) fn unit(profile: &ProfilePoint) -> &'static str {
    if profile.unit == model::Unit::One { "" } else { profile.unit.symbol() }
}

/// All readings but the one of the profile.
fn readings(points: &[Point], meaning: &Meaning) -> impl Iterator<Item = Reading> {
    let has = |registers: u16, order: Order| {
        let is_such = |point: &Point| {
            let address = &point.address;
            address.data_type.registers() == registers && address.order == order
        };
        points.iter().any(|point| matches!(point.form, Form::Number(_)) && is_such(point))
    };
    let (has32, has64) = (has(2, meaning.order32), has(4, meaning.order64));
    let mut orders = vec![(None, None)];
    for (order32, order64) in Order::COMMON32.into_iter().zip(Order::COMMON64) {
        let new32 = Some(order32).filter(|order| has32 && *order != meaning.order32);
        let new64 = Some(order64).filter(|order| has64 && *order != meaning.order64);
        for pair in [(new32, None), (None, new64), (new32, new64)] {
            if !orders.contains(&pair) {
                orders.push(pair);
            }
        }
    }
    orders.into_iter().flat_map(|(order32, order64)| {
        [(0, false), (-1, false), (1, false), (0, true), (-1, true), (1, true)]
            .map(|(shift, other_area)| Reading { order32, order64, shift, other_area })
            .into_iter()
            .filter(|reading| reading.changes() > 0)
    })
}

/// A reading that nothing speaks against, and enough for; `against` are the points that are wrong now.
fn candidate(
    reading: Reading,
    points: &[Point],
    words: &Words<'_>,
    against: &[&Point],
    meaning: &Meaning,
) -> Option<Candidate> {
    let Tally { against: still, values, decimals, unknown, faint, .. } =
        tally(points, words, &reading, meaning);
    let is_known = |point: &&&Point| says(point, words, &reading, meaning) != Says::Unknown;
    let known = against.iter().filter(is_known).count();
    let is_enough = values.len() > faint && values.len() >= unknown && known * 2 >= against.len();
    let first = values.first().copied().unwrap_or_default();
    let all_equal =
        values.len() >= EQUAL_MIN && values.iter().all(|value| value.to_bits() == first.to_bits());
    let is_one = still == 0 && is_enough && !all_equal;
    is_one.then(|| Candidate { reading, value: String::new(), telling: values.len(), decimals })
}

/// The one candidate that is right, or those between which nothing decides.
///
/// Registers H1 L1 H2 L2 … that are read one too low in order ABCD are also nearly right in order CDAB: the high word, which
/// counts, is of the same value. So values that look like decimal numbers decide, and more of them; then fewer changes.
fn decided(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by_key(|one| (std::cmp::Reverse(one.telling), one.reading.changes()));
    let is_better = |one: &Candidate, other: &Candidate| {
        let all_decimal = |one: &Candidate| one.decimals * 2 > one.telling;
        let clearly_more = one.telling >= other.telling.saturating_mul(2);
        let simpler = one.reading.changes() < other.reading.changes();
        let no_worse = one.telling >= other.telling;
        clearly_more
            || (all_decimal(one) && other.decimals * 2 <= other.telling)
            || (simpler && no_worse && all_decimal(one) == all_decimal(other))
    };
    let best = candidates.iter().find(|one| {
        candidates.iter().all(|other| one.reading == other.reading || is_better(one, other))
    });
    if let Some(best) = best {
        return vec![best.clone()];
    }
    candidates.sort_by_key(|one| (one.reading.changes(), std::cmp::Reverse(one.decimals)));
    candidates.truncate(CANDIDATES_MAX);
    candidates
}

fn tally(points: &[Point], words: &Words<'_>, reading: &Reading, meaning: &Meaning) -> Tally {
    let mut tally = Tally::default();
    for point in points.iter().filter(|point| matches!(point.form, Form::Number(_))) {
        tally.numbers += 1;
        match says(point, words, reading, meaning) {
            Says::Unknown => tally.unknown += 1,
            Says::Nothing => {}
            Says::Faint => tally.faint += 1,
            Says::Against => tally.against += 1,
            Says::For { value, is_decimal } => {
                tally.values.push(value);
                tally.decimals += usize::from(is_decimal);
            }
        }
    }
    tally
}

fn says(point: &Point, words: &Words<'_>, reading: &Reading, meaning: &Meaning) -> Says {
    let (Form::Number(scaling), Some(profile)) = (&point.form, meaning.of(point)) else {
        return Says::Nothing;
    };
    let Some(address) = reading.address(&point.address, meaning) else { return Says::Unknown };
    let Some((found, count)) = words.of(&address) else { return Says::Unknown };
    let found = found.get(..count).unwrap_or_default();
    match decode(found, &address, &point.form) {
        Ok((_, quality)) if !quality.is_good() => Says::Against,
        Ok((value, _)) => {
            let value = as_float(&value, scaling.value_type());
            let range = &profile.range;
            let is_telling = range.min.is_some() && range.max.is_some();
            match value.abs() {
                _ if !is_telling || profile.kind == PointKind::Counter => Says::Nothing,
                0.0 => Says::Nothing,
                ..TELLING_MIN => Says::Faint,
                _ => Says::For { value, is_decimal: is_decimal(found, &address) },
            }
        }
        Err(Unusable::OutOfRange { .. }) => Says::Against,
        Err(_) => Says::Nothing,
    }
}

/// The value of a point as people read it.
fn shown(point: &Point, words: &Words<'_>, reading: &Reading, meaning: &Meaning) -> Option<String> {
    let Form::Number(scaling) = &point.form else { return None };
    let address = reading.address(&point.address, meaning)?;
    let (found, count) = words.of(&address)?;
    let value = match decode(found.get(..count)?, &address, &point.form) {
        Ok((value, _)) => value,
        Err(Unusable::OutOfRange { found }) => return Some(found),
        Err(_) => return None,
    };
    let text = match (&value, scaling.value_type()) {
        (Value::Decimal(mantissa), ValueType::Decimal { exponent })
            if !address.data_type.is_float() =>
        {
            Decimal { mantissa: *mantissa, exponent }.to_string()
        }
        _ => model::rounded::rounded(as_float(&value, scaling.value_type())),
    };
    Some(model::rounded::grouped(&text))
}

fn as_float(value: &Value, value_type: ValueType) -> f64 {
    match (value, value_type) {
        (Value::Decimal(mantissa), ValueType::Decimal { exponent }) => {
            Decimal { mantissa: *mantissa, exponent }.to_f64()
        }
        (Value::Float(value), _) => *value,
        _ => 0.0,
    }
}

/// Whether a float has few digits: 231.9 has, and hardly a float of which half of the bits are another one's.
fn is_decimal(words: &[u16], address: &Address) -> bool {
    if address.data_type != DataType::F32 {
        return false;
    }
    let bits = u32::try_from(gather(words, address)).unwrap_or_default();
    let text = format!("{:e}", f32::from_bits(bits));
    let mantissa = text.split('e').next().unwrap_or_default();
    mantissa.chars().filter(char::is_ascii_digit).count() <= DECIMAL_DIGITS_MAX
}

#[cfg(test)]
mod tests;
