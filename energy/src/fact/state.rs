//! What is stated of a fact beside its value: whether it has happened, and at which prices money is counted. Must never
//! compare periods.

use std::fmt;
use std::str::FromStr;

use model::{Localized, text};
use serde::{Serialize, Serializer};

/// Whether a fact has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 实际: it has.
    #[default]
    Actual,
    /// 预计: it is expected, as in the last column of Table 1.
    Forecast,
}

/// A text that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a status: expected `actual` (实际) or `forecast` (预计)")]
pub struct StatusError {
    /// What was given.
    pub text: String,
}

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        match text.to_ascii_lowercase().as_str() {
            "actual" | "实际" => Ok(Self::Actual),
            "forecast" | "预计" | "预测" => Ok(Self::Forecast),
            _ => Err(StatusError { text: text.to_owned() }),
        }
    }
}

/// The prices that money is counted at. Values at different prices are not compared: a rise of prices would look like
/// less energy per 万元.
#[doc(alias = "不变价")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceBase {
    /// 当年价: those of the period itself.
    Current,
    /// 不变价: those of this year.
    Constant(i16),
}

/// A text that is no price base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a price base: expected `current` (当年价) or the year of constant prices such as `2020` (2020年不变价)"
)]
pub struct PriceBaseError {
    /// What was given.
    pub text: String,
}

impl PriceBase {
    /// As it is printed beside a figure.
    #[must_use]
    pub fn text(self) -> Localized {
        match self {
            Self::Current => text!(en: "at current prices", zh: "按当年价"),
            Self::Constant(year) => {
                text!(en: "at constant prices of {year}", zh: "按{year}年不变价")
            }
        }
    }
}

impl FromStr for PriceBase {
    type Err = PriceBaseError;

    /// `current`, `当年价`, `现价`; `2020`, `2020年不变价`, `2020不变价`
    fn from_str(text: &str) -> Result<Self, PriceBaseError> {
        if matches!(text.to_ascii_lowercase().as_str(), "current" | "当年价" | "当年价格" | "现价")
        {
            return Ok(Self::Current);
        }
        let year = text.trim_end_matches("价格").trim_end_matches("不变价").trim_end_matches('年');
        let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        let year = if is_year { year.parse().ok() } else { None };
        year.map(Self::Constant).ok_or_else(|| PriceBaseError { text: text.to_owned() })
    }
}

impl fmt::Display for PriceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Constant(year) => write!(f, "{year}"),
        }
    }
}

impl Serialize for PriceBase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_languages_are_read() {
        let base = |text: &str| text.parse::<PriceBase>().ok();
        for text in ["current", "Current", "当年价", "现价"] {
            assert_eq!(base(text), Some(PriceBase::Current), "{text}");
        }
        for text in ["2020", "2020年不变价", "2020不变价", "2020年"] {
            assert_eq!(base(text), Some(PriceBase::Constant(2020)), "{text}");
        }
        for text in ["", "不变价", "20", "constant", "2020.5", "２０２０"] {
            assert_eq!(base(text), None, "{text}");
        }
        assert_eq!("预计".parse(), Ok(Status::Forecast));
        assert_eq!("Actual".parse(), Ok(Status::Actual));
        assert!("plan".parse::<Status>().is_err());
    }
}
