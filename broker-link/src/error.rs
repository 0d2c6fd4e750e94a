//! Why a connection could not be opened, or ended, with what to check.

use std::io;

use thiserror::Error;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use crate::meter::TooMuch;
use crate::open::CONNECT_MAX;
use crate::relay::FRAMES_WITHOUT_MQTT_MAX;

/// What to check where no broker answers with MQTT over WebSocket: a web server without MQTT behind it, another path, or a
/// broker that listens for MQTT without WebSocket there.
pub const WEB_SOCKET_ADVICE: &str =
    "; check that the broker listens for MQTT over WebSocket at the host, port and path of `url`";
/// What to check where nothing answers with MQTT 5 in time: another kind of server, a broker of MQTT 3.1.1, or one that
/// listens for another transport there.
pub(crate) const MQTT_ADVICE: &str = "; check that a broker with MQTT 5 listens at the host and port of `url`, and in the way that `url` names: `mqtt://` \
     for TCP, `mqtts://` for TLS, `ws://` and `wss://` for a WebSocket";
/// A web server, or a proxy before the broker, wants to know who asks.
const LOGIN_ADVICE: &str = "; the server wants a login, or forbids this path or address, before MQTT is spoken: `user` and `password_file` \
     go to the broker in MQTT alone";
const REDIRECT_ADVICE: &str =
    "; redirects are not followed: expected the broker's own address in `url`";
/// Most characters that are shown of a text from the broker.
pub(crate) const TEXT_CHARS_MAX: usize = 200;

/// What was waited for when the time to connect was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Step {
    /// A connection to the host and port.
    #[error("TCP connection")]
    Tcp,
    /// The end of the handshake of TLS.
    #[error("TLS session")]
    Tls,
    /// The answer to the HTTP request.
    #[error("WebSocket")]
    WebSocket,
}

/// Why there is no connection, or not any more.
#[derive(Debug, Error)]
pub enum LinkError {
    /// There is no room for a socket of our own.
    #[error("cannot make a private socket in `{folder}`: {why}")]
    Socket {
        /// The folder of the system for temporary files.
        folder: String,
        /// Why.
        why: io::Error,
    },
    /// The client's end of that socket failed.
    #[error("private socket: {0}")]
    Client(io::Error),
    /// Host and port cannot be reached.
    #[error("I/O: {0}")]
    Tcp(io::Error),
    /// The name in the URL cannot be that of a certificate.
    #[error("TLS: `{0}` is no host name")]
    HostName(String),
    /// TLS failed.
    #[error("TLS: {}{}", .0, advice_of_tls(.0, WEB_SOCKET_ADVICE))]
    Tls(io::Error),
    /// The server does not open a WebSocket for MQTT.
    #[error("WebSocket: {}{}", .0, advice_of_handshake(.0))]
    Handshake(tungstenite::Error),
    /// It took too long.
    #[error("no {} within {CONNECT_MAX:?}{}", .0, advice_of_step(*.0))]
    Deadline(Step),
    /// The broker closed the WebSocket.
    #[error("broker closed the WebSocket{}", close_text(.0.as_ref()))]
    Closed(Option<CloseFrame>),
    /// The connection ended without that.
    #[error("broker ended the connection without closing the WebSocket")]
    Ended,
    /// MQTT 5, 6.0: MQTT goes in binary frames, and the client must end the connection on any other data frame.
    #[error(
        "broker sent text over the WebSocket, expected MQTT in binary frames{WEB_SOCKET_ADVICE}"
    )]
    Text,
    /// Only pings, pongs and empty frames, or pieces of a message without end.
    #[error(
        "broker sent more than {FRAMES_WITHOUT_MQTT_MAX} frames, or more bytes than they may have, without any MQTT"
    )]
    NoMqtt,
    /// Neither of these.
    #[error("WebSocket: {0}")]
    Broken(tungstenite::Error),
}

impl LinkError {
    /// From an error after the handshake.
    pub(crate) fn of_stream(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(e)
                if e.get_ref().and_then(|e| e.downcast_ref::<TooMuch>()).is_some() =>
            {
                Self::NoMqtt
            }
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Ended
            }
            // The same over TLS: the session was not closed either.
            tungstenite::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            other => Self::Broken(other),
        }
    }
}

fn advice_of_handshake(error: &tungstenite::Error) -> &'static str {
    let tungstenite::Error::Http(answer) = error else { return WEB_SOCKET_ADVICE };
    match answer.status() {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => LOGIN_ADVICE,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => REDIRECT_ADVICE,
        _ => WEB_SOCKET_ADVICE,
    }
}

/// What of TLS failed, where that is what `error` is about.
pub(crate) fn tls_error_in(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// The certificate of a server is refused before anything is said about MQTT or a WebSocket; whatever else fails there may
/// be another kind of server, for which `otherwise` says what to check.
pub(crate) fn advice_of_tls(error: &io::Error, otherwise: &'static str) -> &'static str {
    use rustls::{AlertDescription, CertificateError as Refused};

    match tls_error_in(error) {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            Refused::UnknownIssuer => {
                "; `ca_file` must hold the authority that signed the certificate of the broker; without `ca_file` those of \
                 the system are trusted"
            }
            Refused::Expired
            | Refused::ExpiredContext { .. }
            | Refused::NotValidYet
            | Refused::NotValidYetContext { .. } => {
                "; renew the certificate of the broker, or correct the clock of this computer"
            }
            Refused::NotValidForName | Refused::NotValidForNameContext { .. } => {
                "; the host in `url` must be one of the names in the certificate of the broker"
            }
            _ => "",
        },
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        )) => {
            "; the broker wants a certificate of its clients, and there is none here: let it take a name and a password"
        }
        _ => otherwise,
    }
}

const fn advice_of_step(step: Step) -> &'static str {
    match step {
        Step::Tcp => "",
        Step::Tls | Step::WebSocket => WEB_SOCKET_ADVICE,
    }
}

/// `: 1008 "policy"`
fn close_text(frame: Option<&CloseFrame>) -> String {
    let Some(frame) = frame else { return " without a code".to_owned() };
    let code = u16::from(frame.code);
    if frame.reason.is_empty() {
        return format!(": {code}");
    }
    format!(": {code} {}", shown(&frame.reason))
}

/// A text from the broker, in quotes, without control characters and cut.
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let shown: String = chars.by_ref().take(TEXT_CHARS_MAX).collect();
    let cut = if chars.next().is_some() { "…" } else { "" };
    format!("{shown:?}{cut}")
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

    use super::*;

    #[test]
    fn a_certificate_that_is_refused_has_nothing_to_do_with_the_path() {
        let check = |error: rustls::Error, has_advice| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            let text = LinkError::Tls(error).to_string();
            assert_eq!(text.ends_with(WEB_SOCKET_ADVICE), has_advice, "{text}");
        };
        check(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer), false);
        // A server that speaks no TLS there.
        let (expect_types, got_type) = (vec![], rustls::ContentType::Unknown(72));
        check(rustls::Error::InappropriateMessage { expect_types, got_type }, true);
    }

    #[test]
    fn an_end_is_the_same_with_and_without_tls() {
        let ends = [
            tungstenite::Error::Io(io::ErrorKind::UnexpectedEof.into()),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
        ];
        for end in ends {
            assert!(matches!(LinkError::of_stream(end), LinkError::Ended));
        }
    }

    #[test]
    fn a_close_shows_its_code_and_its_text_escaped_and_cut() {
        let check = |code: u16, text: &str, expected: &str| {
            let frame = CloseFrame { code: CloseCode::from(code), reason: text.into() };
            assert_eq!(LinkError::Closed(Some(frame)).to_string(), expected);
        };
        check(1000, "", "broker closed the WebSocket: 1000");
        check(1008, "policy", "broker closed the WebSocket: 1008 \"policy\"");
        check(4001, "a\n\u{1b}[31m", "broker closed the WebSocket: 4001 \"a\\n\\u{1b}[31m\"");
        let long = "x".repeat(TEXT_CHARS_MAX + 1);
        let cut = format!("broker closed the WebSocket: 1008 \"{}\"…", "x".repeat(TEXT_CHARS_MAX));
        check(1008, &long, &cut);
        assert_eq!(
            LinkError::Closed(None).to_string(),
            "broker closed the WebSocket without a code"
        );
    }
}
