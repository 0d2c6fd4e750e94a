//! Why a request brought no values: the link or the reply was bad, or the device itself refused. The two layers stay
//! apart. Must never know a point.

use std::time::Duration;

use model::Quality;
use thiserror::Error;

use crate::settings::Link;

/// Why a request brought no values.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// No reply that belongs to the request.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The device answered in order, and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What was wrong with the link or with the reply.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    /// The connection could not be opened.
    #[error("{link} cannot be opened")]
    Open {
        /// Where it should lead to.
        link: Link,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection could not be opened a moment ago, and the next try is not due yet.
    #[error("{link} is not open, the next try is due in {} ms", wait.as_millis())]
    Waiting {
        /// Where it should lead to.
        link: Link,
        /// Until the next try.
        wait: Duration,
    },
    /// No reply in time.
    #[error("no reply within {} ms", timeout.as_millis())]
    Timeout {
        /// How long it was waited for.
        timeout: Duration,
    },
    /// No reply in time, while others of this unit came later than that.
    #[error("no reply within {} ms, the last late one took {} ms", timeout.as_millis(), took.as_millis())]
    Late {
        /// How long it was waited for.
        timeout: Duration,
        /// How long the last reply took that came too late.
        took: Duration,
    },
    /// A reply that is late could be taken for the one to this request, which was not sent.
    #[error("a late reply may still come for {} ms", wait.as_millis())]
    Doubtful {
        /// Until it can be asked.
        wait: Duration,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    /// Bytes came that are no reply.
    #[error("the bytes received are not a Modbus reply: {why} ({bytes})")]
    Garbled {
        /// Why no reply can become of them.
        why: &'static str,
        /// What came.
        bytes: HeardBytes,
    },
    /// A reply to another request came.
    #[error("transaction {asked} was asked, transaction {found} was answered")]
    Transaction {
        /// The transaction of the request.
        asked: u16,
        /// That of the reply.
        found: u16,
    },
    /// Another unit answered.
    #[error("asked unit {asked}, unit {found} answered")]
    Unit {
        /// The unit id that the reply should carry.
        asked: u8,
        /// The one that it carries.
        found: u8,
    },
    /// The reply is one to another function.
    #[error("function {asked} was asked, function {found} was answered")]
    Function {
        /// The function of the request.
        asked: u8,
        /// That of the reply.
        found: u8,
    },
    /// The reply is shorter or longer than what was asked for.
    #[error("expected {expected} values, found {found}")]
    Count {
        /// Registers or bits asked for.
        expected: u16,
        /// Registers or bits received.
        found: usize,
    },
}

/// The first bytes of what came, and how many came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeardBytes {
    pub(crate) first: Vec<u8>,
    pub(crate) count: usize,
}

/// Bytes of what is no reply that are kept, to say what they are.
const HEARD_KEPT: usize = 32;
/// Those that are shown as hexadecimal digits.
const HEARD_SHOWN: usize = 8;

impl HeardBytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let first = bytes.iter().take(HEARD_KEPT).copied().collect();
        Self { first, count: bytes.len() }
    }

    /// `4f 9c 00 …`
    pub(crate) fn digits(&self) -> String {
        let shown: Vec<String> =
            self.first.iter().take(HEARD_SHOWN).map(|byte| format!("{byte:02x}")).collect();
        let more = if self.count > HEARD_SHOWN { " …" } else { "" };
        shown.join(" ") + more
    }
}

impl std::fmt::Display for HeardBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes: {}", self.count, self.digits())
    }
}

/// The device's own refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("exception {}, {}", self.code(), self.meaning())]
pub(crate) struct Refusal(pub(crate) u8);

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// There was no usable answer: ask again.
    Retry,
    /// The port is down; the client opens it again in its own time.
    Reconnect,
    /// The device answered and refused: asking the same again at once brings the same.
    GiveUp,
    /// It was not asked, and can be later.
    Wait,
}

impl Refusal {
    /// The exception code.
    pub(crate) fn code(self) -> u8 {
        self.0
    }

    /// What it means.
    ///
    /// # Source
    /// MODBUS Application Protocol Specification V1.1b3, §7.
    pub(crate) fn meaning(self) -> &'static str {
        match self.code() {
            1 => "illegal function",
            2 => "illegal data address",
            3 => "illegal data value",
            4 => "device failure",
            5 => "acknowledge, still working",
            6 => "device busy",
            8 => "memory parity error",
            10 => "gateway path unavailable",
            11 => "gateway target device failed to respond",
            _ => "unknown to the standard",
        }
    }

    /// Whether a converter on the way says that the device did not answer it.
    pub(crate) fn is_from_converter(self) -> bool {
        matches!(self.code(), 10 | 11)
    }

    /// Whether one of the registers asked for may be at fault, so that the others can be read without it. The standard
    /// has codes 2 and 3 for that, but devices answer 1, 4 and others for a register that they do not have.
    pub(crate) fn may_be_about_address(self) -> bool {
        !matches!(self.code(), 5 | 6) && !self.is_from_converter()
    }

    /// The quality of the points that were asked for.
    pub(crate) fn quality(self) -> Quality {
        match self.code() {
            1 => Quality::BAD_NOT_SUPPORTED,
            2 | 3 => Quality::BAD_NODE_ID_UNKNOWN,
            5 | 6 => Quality::BAD_RESOURCE_UNAVAILABLE,
            10 | 11 => Quality::BAD_TIMEOUT,
            _ => Quality::BAD_DEVICE_FAILURE,
        }
    }
}

impl LinkError {
    /// The quality of the points that were asked for.
    pub(crate) fn quality(&self) -> Quality {
        match self {
            Self::Open { .. } | Self::Waiting { .. } => Quality::BAD_NOT_CONNECTED,
            Self::Timeout { .. } | Self::Late { .. } | Self::Doubtful { .. } => {
                Quality::BAD_TIMEOUT
            }
            Self::Broken(_) => Quality::BAD_COMMUNICATION_ERROR,
            Self::Garbled { .. }
            | Self::Transaction { .. }
            | Self::Unit { .. }
            | Self::Function { .. }
            | Self::Count { .. } => Quality::BAD_DECODING_ERROR,
        }
    }
}

impl RequestError {
    /// What to do next.
    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Link(LinkError::Open { .. } | LinkError::Waiting { .. }) => {
                Disposition::Reconnect
            }
            Self::Link(LinkError::Doubtful { .. }) => Disposition::Wait,
            Self::Link(_) => Disposition::Retry,
            Self::Refused(refusal) if refusal.is_from_converter() => Disposition::Retry,
            Self::Refused(_) => Disposition::GiveUp,
        }
    }

    /// The quality of the points that were asked for.
    pub(crate) fn quality(&self) -> Quality {
        match self {
            Self::Link(error) => error.quality(),
            Self::Refused(refusal) => refusal.quality(),
        }
    }
}
