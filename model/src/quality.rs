//! Quality of a sample: OPC UA status codes, so that no second vocabulary is needed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An OPC UA `StatusCode`: Good, Uncertain or Bad in the two top bits, a sub-code below.
///
/// # Source
/// OPC 10000-4 §7.39 (`StatusCode`) and OPC 10000-6 annex A (numeric codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quality(pub u32);

/// The three severities of a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The value may be used.
    Good,
    /// The value is there, with a doubt.
    Uncertain,
    /// There is no value.
    Bad,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Quality {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The OPC UA name of a code that Nengliu itself gives; `None` for any other.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The value is good.
    GOOD = 0x0000_0000, "Good";
    /// The value is good; the server's queue overflowed before it (info bits set).
    GOOD_OVERFLOW = 0x0000_0480, "GoodOverflow";
    /// The value may be used with a doubt.
    UNCERTAIN = 0x4000_0000, "Uncertain";
    /// The value is outside of what is plausible for its point.
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x4094_0000, "UncertainEngineeringUnitsExceeded";
    /// Other values of the device show that it is read in another way than it is configured.
    UNCERTAIN_CONFIGURATION_ERROR = 0x420F_0000, "UncertainConfigurationError";
    /// The last value that could be read; the link is gone.
    UNCERTAIN_LAST_USABLE_VALUE = 0x4090_0000, "UncertainLastUsableValue";
    /// No value, for no more precise reason.
    BAD = 0x8000_0000, "Bad";
    /// A low-level failure of the link.
    BAD_COMMUNICATION_ERROR = 0x8005_0000, "BadCommunicationError";
    /// The device did not answer in time.
    BAD_TIMEOUT = 0x800A_0000, "BadTimeout";
    /// The device's answer could not be understood.
    BAD_DECODING_ERROR = 0x8007_0000, "BadDecodingError";
    /// The address is not one that the device knows.
    BAD_NODE_ID_UNKNOWN = 0x8034_0000, "BadNodeIdUnknown";
    /// The value does not fit the type or range of its point.
    BAD_OUT_OF_RANGE = 0x803C_0000, "BadOutOfRange";
    /// The device does not offer this function.
    BAD_NOT_SUPPORTED = 0x803D_0000, "BadNotSupported";
    /// The point is configured, but there is no link to its device.
    BAD_NOT_CONNECTED = 0x808A_0000, "BadNotConnected";
    /// The device itself reports a failure.
    BAD_DEVICE_FAILURE = 0x808B_0000, "BadDeviceFailure";
    /// The device is busy or cannot answer now.
    BAD_RESOURCE_UNAVAILABLE = 0x8004_0000, "BadResourceUnavailable";
    /// The configuration of the point is wrong.
    BAD_CONFIGURATION_ERROR = 0x8089_0000, "BadConfigurationError";
    /// The value is of another type than configured.
    BAD_TYPE_MISMATCH = 0x8074_0000, "BadTypeMismatch";
}

impl Quality {
    /// Good, Uncertain or Bad. The reserved fourth severity counts as Bad.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 >> 30 {
            0 => Severity::Good,
            1 => Severity::Uncertain,
            _ => Severity::Bad,
        }
    }

    /// Whether a sample of this quality has no value (INV-1).
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self.severity(), Severity::Bad)
    }

    /// Whether the value may be used without a doubt.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self.severity(), Severity::Good)
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.severity()) {
            (Some(name), _) => f.write_str(name),
            (None, Severity::Good) => write!(f, "Good(0x{:08X})", self.0),
            (None, Severity::Uncertain) => write!(f, "Uncertain(0x{:08X})", self.0),
            (None, Severity::Bad) => write!(f, "Bad(0x{:08X})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_top_bits_are_the_severity() {
        let check = |quality: Quality, severity: Severity, text: &str| {
            assert_eq!(quality.severity(), severity);
            assert_eq!(quality.is_bad(), severity == Severity::Bad);
            assert_eq!(quality.is_good(), severity == Severity::Good);
            assert_eq!(quality.to_string(), text);
        };
        check(Quality::GOOD, Severity::Good, "Good");
        check(Quality(1), Severity::Good, "Good(0x00000001)");
        check(Quality::GOOD_OVERFLOW, Severity::Good, "GoodOverflow");
        check(Quality(0x4000_0001), Severity::Uncertain, "Uncertain(0x40000001)");
        check(Quality::BAD_TIMEOUT, Severity::Bad, "BadTimeout");
        check(Quality(0xC000_0000), Severity::Bad, "Bad(0xC0000000)");
        check(Quality(u32::MAX), Severity::Bad, "Bad(0xFFFFFFFF)");
    }
}
