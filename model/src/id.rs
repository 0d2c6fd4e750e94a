//! Identifiers and counts that must not be swapped for one another.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest identifier a technician may choose, in characters.
pub const ID_CHARS_MAX: usize = 40;
/// Longest [`PointId`], in characters: four identifiers and their separators.
pub const POINT_ID_CHARS_MAX: usize = 200;
/// Longest [`StoreId`], in characters.
pub const STORE_ID_CHARS_MAX: usize = 64;

/// A name that is not an identifier of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not an id: expected 1 to {chars_max} characters of {alphabet}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// The longest that is allowed.
    pub chars_max: usize,
    /// The characters that are allowed.
    pub alphabet: &'static str,
}

/// Says whether `text` may stand as one level of a topic: `[a-z0-9_-]{1,40}`.
///
/// # Errors
/// Names the text, the length and the alphabet when it may not.
pub fn check_id(text: &str) -> Result<(), IdError> {
    let fits = (1..=ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(IdError { text: text.to_owned(), chars_max: ID_CHARS_MAX, alphabet: "a-z 0-9 _ -" })
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as an identifier.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Name of one gateway; a level of the topics `gw/{gateway}/up` and `gw/{gateway}/ack`.
    #[doc(alias = "edge node")]
    GatewayId,
    check_id
);

text_id!(
    /// Name of one place that a gateway delivers to: an `[[uplink]]` of its configuration.
    #[doc(alias = "uplink")]
    DestinationId,
    check_id
);

impl Default for DestinationId {
    /// The destination of a gateway that has only one and gives it no name.
    fn default() -> Self {
        Self("centre".to_owned())
    }
}

text_id!(
    /// Identity of one store, as the store itself gives it (of a Delta table, its table id).
    StoreId,
    check_store_id
);

text_id!(
    /// Name of one point over all gateways, `enterprise/site/device/metric` unless configured otherwise.
    ///
    /// It comes from configuration and survives renaming or moving the device.
    #[doc(alias = "tag")]
    PointId,
    check_point_id
);

fn check_store_id(text: &str) -> Result<(), IdError> {
    let fits = (1..=STORE_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        let alphabet = "a-z A-Z 0-9 _ -";
        Err(IdError { text: text.to_owned(), chars_max: STORE_ID_CHARS_MAX, alphabet })
    }
}

fn check_point_id(text: &str) -> Result<(), IdError> {
    let fits =
        text.len() <= POINT_ID_CHARS_MAX && text.split('/').all(|level| check_id(level).is_ok());
    if fits {
        Ok(())
    } else {
        Err(IdError {
            text: text.to_owned(),
            chars_max: POINT_ID_CHARS_MAX,
            alphabet: "a-z 0-9 _ - in levels of at most 40, parted by /",
        })
    }
}

/// Position of a point in the dictionary that its frame names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PointIndex(pub u32);

/// Life of one spool: 128 random bits made when the spool is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl TryFrom<String> for LogId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let wrong =
            || IdError { text: text.clone(), chars_max: 32, alphabet: "0-9 a-f (32 of them)" };
        from_hex(&text).map(Self).ok_or_else(wrong)
    }
}

/// Reads exactly `2 * N` small hex digits: with a sign or capitals, one thing would have two names.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl From<LogId> for String {
    fn from(id: LogId) -> String {
        id.to_string()
    }
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The count after this one; stays at the largest there is.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

count!(
    /// Running number of a frame within one [`LogId`]: dense, from 1, never used twice (INV-2). 0 means "none yet".
    Sequence
);
/// A range of sequences, both ends included; in JSON `[first,last]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Sequence, Sequence)", into = "(Sequence, Sequence)")]
pub struct SequenceRange {
    /// First sequence.
    pub first: Sequence,
    /// Last sequence; not below `first`.
    pub last: Sequence,
}

impl SequenceRange {
    /// From `first` to `last`; `None` where that is no range of sequences.
    #[must_use]
    pub fn new(first: Sequence, last: Sequence) -> Option<Self> {
        (first.0 > 0 && first <= last).then_some(Self { first, last })
    }

    /// Whether `sequence` lies in the range.
    #[must_use]
    pub fn contains(&self, sequence: Sequence) -> bool {
        (self.first..=self.last).contains(&sequence)
    }
}

impl TryFrom<(Sequence, Sequence)> for SequenceRange {
    type Error = String;
    fn try_from((first, last): (Sequence, Sequence)) -> Result<Self, String> {
        let wrong = || format!("[{first},{last}] is not a range of sequences");
        Self::new(first, last).ok_or_else(wrong)
    }
}

impl From<SequenceRange> for (Sequence, Sequence) {
    fn from(range: SequenceRange) -> Self {
        (range.first, range.last)
    }
}

count!(
    /// How often a store went back to an earlier state of itself.
    Epoch
);
count!(
    /// Order in which the centre first committed each `log_id`, over all gateways, from 1.
    Generation
);
count!(
    /// Running number of ingest commits, from 1; each row carries the one that brought it.
    CommitNumber
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_levels_of_a_topic() {
        let check =
            |text: &str, fits: bool| assert_eq!(GatewayId::new(text).is_ok(), fits, "{text}");
        check("gw-01_a", true);
        check(&"a".repeat(ID_CHARS_MAX), true);
        check(&"a".repeat(ID_CHARS_MAX + 1), false);
        for text in ["", "A", "a b", "a/b", "+", "#", "号", "a\0"] {
            check(text, false);
        }
    }

    #[test]
    fn point_ids_are_paths_of_ids() {
        let check = |text: &str, fits: bool| assert_eq!(PointId::new(text).is_ok(), fits, "{text}");
        let level = "a".repeat(ID_CHARS_MAX);
        check("acme/north/m1/e_import", true);
        check("one", true);
        check(&[level.as_str(); 4].join("/"), true);
        check(&[level.as_str(); 5].join("/"), false);
        for text in ["", "/", "a/", "/a", "a//b", "a/B"] {
            check(text, false);
        }
    }

    #[test]
    fn a_log_has_one_name() {
        let log = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xAB, 0xCD, 0xFF]);
        assert_eq!(log.to_string(), "000102030405060708090a0b0cabcdff");
        assert_eq!(LogId::try_from(log.to_string()).unwrap(), log);
        let check = |text: &str| assert!(LogId::try_from(text.to_owned()).is_err(), "{text}");
        check("");
        check("000102030405060708090A0B0CABCDFF");
        check("000102030405060708090a0b0cabcdf");
        check("000102030405060708090a0b0cabcdff0");
        check("+0+1+2+3+4+5+6+7+8+9+a+b+c+d+e+f");
        check("号号号号号号号号号号12");
    }

    #[test]
    fn counts_stay_at_the_largest_there_is() {
        assert_eq!(Sequence(1).next(), Sequence(2));
        assert_eq!(Sequence(u64::MAX).next(), Sequence(u64::MAX));
    }
}
