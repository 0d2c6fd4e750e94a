//! What can go wrong with a server, in the user's words and with the next step.

use std::path::PathBuf;
use std::time::Duration;

use async_opcua::types::StatusCode;
use driver::Fault;
use model::Quality;
use thiserror::Error;

use crate::complaints::Kind;
use crate::transport::ChunkError;

/// Why there is no session, or no longer one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SessionError {
    #[error(
        "cannot reach `{url}`: {status}; check that the server runs and that host and TCP port are right"
    )]
    Unreachable { url: String, status: StatusCode },
    #[error(
        "`{url}` did not answer within {seconds} s while {doing}; check that an OPC UA server listens there, or raise `timeout`"
    )]
    Silent { url: String, seconds: u64, doing: &'static str },
    #[error(
        "`{url}` offers no endpoint with {wanted}, only {offered}; enable it on the server or change `security`"
    )]
    NoEndpoint { url: String, wanted: &'static str, offered: String },
    #[error(
        "the certificate of `{url}` is not trusted: sha256:{fingerprint}; compare this fingerprint with the server's own, then move `{}` to `{}` or set `server_fingerprint`", stored.display(), trusted.display()
    )]
    ServerUntrusted { url: String, fingerprint: String, stored: PathBuf, trusted: PathBuf },
    #[error(
        "`{url}` shows certificate sha256:{fingerprint}, but {expected} is configured: the server was changed, or another one answers"
    )]
    ServerChanged { url: String, fingerprint: String, expected: String },
    #[error("the certificate of `{url}` cannot be read: {reason}")]
    ServerCertificate { url: String, reason: String },
    #[error(
        "`{url}` refuses our certificate ({status}): trust `{}` (sha256:{fingerprint}) on the server", certificate.display()
    )]
    OwnUntrusted { url: String, status: StatusCode, certificate: PathBuf, fingerprint: String },
    #[error("our own certificate: {reason}")]
    OwnCertificate { reason: String },
    #[error("`{url}` {refusal}")]
    UserRefused { url: String, refusal: String },
    #[error("`{}` cannot be read: {reason}", file.display())]
    File { file: PathBuf, reason: String },
    #[error("{reason}")]
    Password { reason: String },
    #[error("the connection to `{url}` was lost: {status}")]
    Lost { url: String, status: StatusCode },
    #[error("`{url}` sent nothing for {seconds} s; the session is built again")]
    Watchdog { url: String, seconds: u64 },
    #[error("`{url}` breaks the protocol: {found}; the connection was closed")]
    Chunk { url: String, found: ChunkError },
    #[error(
        "`{url}` sent an answer that is too large or cannot be read ({status}); its points are asked one by one to find which it is"
    )]
    Unreadable { url: String, status: StatusCode },
    #[error("`{url}` ended the subscription: {status}")]
    SubscriptionEnded { url: String, status: StatusCode },
    #[error("`{url}` refuses {request}: {status}")]
    Refused { url: String, request: &'static str, status: StatusCode },
    #[error("internal error while talking to `{url}`; please report it with the log")]
    Internal { url: String },
}

impl SessionError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => "GW-O101",
            Self::NoEndpoint { .. } => "GW-O102",
            Self::ServerUntrusted { .. }
            | Self::ServerChanged { .. }
            | Self::ServerCertificate { .. } => "GW-O103",
            Self::OwnUntrusted { .. } => "GW-O104",
            Self::UserRefused { .. } => "GW-O105",
            Self::Lost { .. } => "GW-O106",
            Self::Watchdog { .. } => "GW-O107",
            Self::OwnCertificate { .. } => "GW-O108",
            Self::File { .. } | Self::Password { .. } => "GW-O109",
            Self::SubscriptionEnded { .. } | Self::Refused { .. } => "GW-O110",
            Self::Chunk { .. } => "GW-O111",
            Self::Unreadable { .. } => "GW-O112",
            Self::Internal { .. } => "GW-O199",
        }
    }

    /// The quality that the points have because of it.
    pub(crate) fn quality(&self) -> Quality {
        match self {
            Self::Lost { .. }
            | Self::SubscriptionEnded { .. }
            | Self::Chunk { .. }
            | Self::Unreadable { .. }
            | Self::Internal { .. } => Quality::BAD_COMMUNICATION_ERROR,
            Self::Watchdog { .. } => Quality::BAD_TIMEOUT,
            _ => Quality::BAD_NOT_CONNECTED,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        Fault::new(self.code(), self.to_string())
    }
}

/// What is wrong with one point while the session is well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum PointError {
    #[error("`{metric}` at `{node}`: the server refuses it: {status}")]
    Refused { metric: String, node: String, status: StatusCode },
    #[error("`{metric}` at `{node}`: the server does not know this namespace")]
    Namespace { metric: String, node: String },
    #[error(
        "`{metric}` at `{node}`: expected {expected}, found {found}; correct `type` in the profile"
    )]
    Mismatch { metric: String, node: String, expected: String, found: String },
    #[error(
        "`{metric}` at `{node}`: expected {expected}, found {found}; it is Bad while that is so"
    )]
    OutOfRange { metric: String, node: String, expected: String, found: String },
    #[error(
        "`{metric}` at `{node}`: the server gives no history ({status}); live values still come, asked again in {minutes} min"
    )]
    NoHistory { metric: String, node: String, status: StatusCode, minutes: u64 },
    #[error("`{metric}` at `{node}`: reading back failed: {status}; tried again")]
    HistoryFailed { metric: String, node: String, status: StatusCode },
    #[error(
        "`{metric}` at `{node}`: more than {page} values at {time}; the server gives no more of them"
    )]
    Crowded { metric: String, node: String, page: usize, time: String },
    #[error(
        "`{metric}` at `{node}`: {count} remembered values without a usable time were left out"
    )]
    Timeless { metric: String, node: String, count: usize },
    #[error(
        "the server refuses to have points subscribed to ({status}): they are read every `poll`, and what changes in between is missed; `subscribe = false` says so for good"
    )]
    ReadInstead { status: StatusCode },
    #[error(
        "`{metric}` at `{node}`: the server's answer is too large or cannot be read ({status}); the other points go on, asked again in {minutes} min"
    )]
    Unreadable { metric: String, node: String, status: StatusCode, minutes: u64 },
    #[error(
        "`{metric}` at `{node}`: its source time {what}; set the clock of the device, or `time = \"gateway\"` for the device or the point"
    )]
    Clock { metric: String, node: String, what: String },
    #[error(
        "`{metric}` at `{node}`: nothing came of it while the subscription lived, but {what} when it is read; it is subscribed to again, and changes before that may be missing"
    )]
    Silent { metric: String, node: String, what: String },
    #[error(
        "`{metric}` at `{node}`: a change arrived {seconds} s after its source time, later than any before; {count} values that were said to stand since then were corrected so far"
    )]
    Late { metric: String, node: String, seconds: u64, count: usize },
    #[error(
        "`{metric}` at `{node}`: its value is another one when it is read, and the subscription tells nothing of that though it was subscribed to {times} times: the server probably has a deadband of its own; set it to 0 there, or have the device's points read every `poll` with `subscribe = false`; until then it is read about once a minute"
    )]
    Deadband { metric: String, node: String, times: u8 },
    #[error(
        "`{metric}` at `{node}`: the subscription lives, but when it is read the server says {status}; while it stands still it has that status"
    )]
    Disputed { metric: String, node: String, status: StatusCode },
    #[error(
        "`{metric}` at `{node}`: the subscription lives, but the server does not answer within {seconds} s when it is asked for the value; while it stands still it is Bad; raise `timeout`, or `standing = false` leaves it as it is"
    )]
    SlowRead { metric: String, node: String, seconds: u64 },
    #[error("`{metric}` at `{node}`: the server's answer says nothing of it; asked again")]
    Unanswered { metric: String, node: String },
    #[error(
        "`{url}` had sent nothing for {seconds} s, so the session was built again; what has a history is read back"
    )]
    Rebuilt { url: String, seconds: u64 },
    #[error(
        "`{metric}` at `{node}`: the server publishes every {publishing:?} and keeps {kept} of its values in between, which are to be sampled every {sampling:?}: the others are lost; make `sampling_interval` longer, or read it every `poll` with `subscribe = false`"
    )]
    ShortQueue { metric: String, node: String, publishing: Duration, sampling: Duration, kept: u32 },
    #[error("values were lost between server and gateway: {reason}")]
    ValuesLost { reason: &'static str },
}

impl PointError {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Refused { .. }
            | Self::Namespace { .. }
            | Self::Unreadable { .. }
            | Self::Unanswered { .. } => Kind::Refused,
            Self::Mismatch { .. } | Self::OutOfRange { .. } => Kind::Type,
            Self::Clock { .. } => Kind::Clock,
            Self::NoHistory { .. } | Self::HistoryFailed { .. } => Kind::History,
            Self::Crowded { .. }
            | Self::Timeless { .. }
            | Self::ValuesLost { .. }
            | Self::Silent { .. }
            | Self::Rebuilt { .. } => Kind::Loss,
            Self::Late { .. } => Kind::Late,
            Self::Deadband { .. } => Kind::Deadband,
            Self::Disputed { .. } | Self::SlowRead { .. } => Kind::Unconfirmed,
            Self::ShortQueue { .. } => Kind::Queue,
            Self::ReadInstead { .. } => Kind::ReadInstead,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        let code = match self {
            Self::Refused { .. } | Self::Namespace { .. } => "GW-O121",
            Self::Mismatch { .. } => "GW-O122",
            Self::NoHistory { .. } => "GW-O123",
            Self::HistoryFailed { .. } => "GW-O124",
            Self::Crowded { .. } => "GW-O125",
            Self::Timeless { .. } => "GW-O126",
            Self::ValuesLost { .. } => "GW-O127",
            Self::ReadInstead { .. } => "GW-O128",
            Self::Unreadable { .. } => "GW-O129",
            Self::Unanswered { .. } => "GW-O130",
            Self::Rebuilt { .. } => "GW-O131",
            Self::Clock { .. } => "GW-O132",
            Self::Silent { .. } => "GW-O133",
            Self::OutOfRange { .. } => "GW-O134",
            Self::ShortQueue { .. } => "GW-O135",
            Self::Late { .. } => "GW-O136",
            Self::Disputed { .. } | Self::SlowRead { .. } => "GW-O137",
            Self::Deadband { .. } => "GW-O138",
        };
        Fault::new(code, self.to_string())
    }
}
