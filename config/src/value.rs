//! TOML values and the types they are read as: durations, sizes and exact decimals are text with units. Must never know
//! what a key means.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use model::{Decimal, Timestamp};
use toml::de::{DeInteger, DeValue};

use crate::problem::SourceFile;
use crate::table::{Spanned, Table};

/// A value of a file; numbers keep their digits, so that `0.1` stays exact.
#[derive(Debug, Clone)]
pub enum Item {
    /// A text.
    Text(String),
    /// An integer, with a radix of 10 written out.
    Integer(i64),
    /// A number with a point or a power, as written.
    Number(String),
    /// true or false.
    Boolean(bool),
    /// A date, time or both, as written.
    Time(String),
    /// A list; each with its place.
    List(Vec<Spanned<Item>>),
    /// A table.
    Table(Table),
}

impl Item {
    pub(crate) fn of(
        file: &Arc<SourceFile>,
        value: &DeValue<'_>,
        span: Range<usize>,
        path: &str,
    ) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or_else(|_| Self::Number(with_prefix(digits)), Self::Integer),
            DeValue::Float(digits) => Self::Number(digits.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Datetime(time) => Self::Time(time.to_string()),
            DeValue::Array(list) => Self::List(
                list.iter()
                    .enumerate()
                    .map(|(index, item)| Spanned {
                        value: Self::of(
                            file,
                            item.get_ref(),
                            item.span(),
                            &format!("{path}[{}]", index + 1),
                        ),
                        file: Arc::clone(file),
                        span: item.span(),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Self::Table(Table::of(file, table, span, format!("{path}."))),
        }
    }

    /// What it is, for "found …" in a message.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the text `{text}`"),
            Self::Integer(number) => format!("`{number}`"),
            Self::Number(digits) => format!("`{digits}`"),
            Self::Boolean(value) => format!("`{value}`"),
            Self::Time(text) => format!("the time `{text}`"),
            Self::List(list) => format!("a list of {}", list.len()),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// An integer that is too large, as written: its digits alone would be taken for decimal ones.
fn with_prefix(digits: &DeInteger<'_>) -> String {
    let prefix = match digits.radix() {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", digits.as_str())
}

/// A type that a value of a file can be read as.
pub trait FromToml: Sized {
    /// What is expected, for messages: "a duration such as `500ms`".
    const EXPECTED: &'static str;

    /// Reads it; the error says what was found instead.
    fn from_item(item: Item) -> Result<Self, String>;

    /// What to write instead of what cannot be read.
    fn help(_found: &Item) -> Option<String> {
        None
    }
}

impl FromToml for String {
    const EXPECTED: &'static str = "a text in quotes";
    fn from_item(item: Item) -> Result<Self, String> {
        match item {
            Item::Text(text) => Ok(text),
            other => Err(other.describe()),
        }
    }
}

impl FromToml for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_item(item: Item) -> Result<Self, String> {
        match item {
            Item::Boolean(value) => Ok(value),
            other => Err(other.describe()),
        }
    }
}

macro_rules! integers {
    ($($type:ty, $expected:literal;)*) => {$(
        impl FromToml for $type {
            const EXPECTED: &'static str = $expected;
            fn from_item(item: Item) -> Result<Self, String> {
                match &item {
                    Item::Integer(number) => <$type>::try_from(*number).map_err(|_| item.describe()),
                    _ => Err(item.describe()),
                }
            }
        }
    )*};
}

integers! {
    u8, "a whole number from 0 to 255";
    u16, "a whole number from 0 to 65535";
    u32, "a whole number from 0 to 4294967295";
    u64, "a whole number, not negative";
    i64, "a whole number";
}

impl FromToml for Decimal {
    const EXPECTED: &'static str = "a decimal number such as `0.01`";
    fn from_item(item: Item) -> Result<Self, String> {
        match &item {
            Item::Integer(number) => Ok(Self { mantissa: *number, exponent: 0 }),
            Item::Number(digits) | Item::Text(digits) => {
                digits.parse().map_err(|_| item.describe())
            }
            _ => Err(item.describe()),
        }
    }
}

impl FromToml for Duration {
    const EXPECTED: &'static str = "a duration such as `\"500ms\"`, `\"15min\"` or `\"1d\"`";
    fn from_item(item: Item) -> Result<Self, String> {
        let Item::Text(text) = &item else { return Err(item.describe()) };
        let (digits, unit) = split_unit(text);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(item.describe()),
        };
        let number: u64 = digits.parse().map_err(|_| item.describe())?;
        number.checked_mul(millis).map(Self::from_millis).ok_or_else(|| item.describe())
    }

    fn help(found: &Item) -> Option<String> {
        if let Item::Text(text) = found
            && let (digits, "m") = split_unit(text)
            && !digits.is_empty()
        {
            return Some(format!("a minute is `min`: `\"{digits}min\"`; a millisecond is `ms`"));
        }
        Some("a whole number and its unit: `ms`, `s`, `min`, `h` or `d`".to_owned())
    }
}

/// A duration as a file says it: `1h`, `90s`, `20ms`.
#[must_use]
pub fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = units.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

/// A number of bytes, `"64 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl std::fmt::Display for ByteSize {
    /// In the largest unit that gives a whole number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole =
            units.iter().find(|(bytes, _)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match whole {
            Some((bytes, unit)) => write!(f, "{} {unit}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl FromToml for ByteSize {
    const EXPECTED: &'static str = "a size such as `\"512 KiB\"`, `\"64 MiB\"` or `\"2 GiB\"`";
    fn from_item(item: Item) -> Result<Self, String> {
        let Item::Text(text) = &item else { return Err(item.describe()) };
        let (digits, unit) = split_unit(text);
        let bytes: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(item.describe()),
        };
        let number: u64 = digits.parse().map_err(|_| item.describe())?;
        number.checked_mul(bytes).map(Self).ok_or_else(|| item.describe())
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    (digits, unit.trim())
}

impl FromToml for Timestamp {
    const EXPECTED: &'static str = "a time with its offset such as `2018-01-01T00:00:00+09:00`";
    fn from_item(item: Item) -> Result<Self, String> {
        let (Item::Time(text) | Item::Text(text)) = &item else { return Err(item.describe()) };
        let time: jiff::Timestamp = text.parse().map_err(|_| item.describe())?;
        Ok(Self(time.as_microsecond()))
    }
}

impl FromToml for Item {
    const EXPECTED: &'static str = "a value";
    fn from_item(item: Item) -> Result<Self, String> {
        Ok(item)
    }
}

impl FromToml for Table {
    const EXPECTED: &'static str = "a table";
    fn from_item(item: Item) -> Result<Self, String> {
        match item {
            Item::Table(table) => Ok(table),
            other => Err(other.describe()),
        }
    }
}

impl<T: FromToml> FromToml for Vec<T> {
    const EXPECTED: &'static str = "a list";
    fn from_item(item: Item) -> Result<Self, String> {
        let Item::List(list) = item else { return Err(item.describe()) };
        list.into_iter()
            .map(|entry| {
                T::from_item(entry.value)
                    .map_err(|found| format!("{found} in the list where {} belongs", T::EXPECTED))
            })
            .collect()
    }
}
