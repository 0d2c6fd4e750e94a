//! The URL of an MQTT broker, for gateways and the centre alike. What it must not hold is refused, and never shown. Must
//! never open a connection.

use thiserror::Error;
use url::Url;

use crate::shown::secrets_of_url;

/// Path of a WebSocket URL that names none: the one that most brokers listen on.
const PATH_DEFAULT: &str = "/mqtt";

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BrokerUrlFault {
    /// It is not one of a broker.
    #[error(
        "expected `mqtt://host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt` or `wss://host:443/mqtt`"
    )]
    Form,
    /// A name or a password stands in it.
    #[error("expected no name and no password in it: name them with `user` and `password_file`")]
    Credentials,
    /// Something stands behind the host, and it is not a WebSocket URL.
    #[error("expected nothing behind the host and the port")]
    Rest,
    /// Something stands behind the path of a WebSocket URL. Whatever it is would be shown in logs, a key as well.
    #[error("expected no `?` and no `#` in it")]
    Query,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
}

impl Scheme {
    fn of(text: &str) -> Option<Self> {
        match text {
            "mqtt" => Some(Self::Mqtt),
            "mqtts" => Some(Self::Mqtts),
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            _ => None,
        }
    }

    /// 1883 and 8883 are registered with IANA for MQTT; 80 and 443: RFC 6455, 3.
    const fn tcp_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where a broker is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    scheme: Scheme,
    host: String,
    tcp_port: u16,
    web_socket: Option<String>,
}

impl BrokerUrl {
    /// Reads a URL.
    ///
    /// `mqtts://broker` → host `broker`, TCP port 8883; `wss://broker` → the WebSocket `wss://broker/mqtt`, TCP port 443
    pub fn read(text: &str) -> Result<Self, BrokerUrlFault> {
        if credentials(text).is_some() {
            return Err(BrokerUrlFault::Credentials);
        }
        // The parser follows browsers, which forgive blanks, `\` and a third `/` in a `ws://`.
        let (_, rest) = text.split_once("://").ok_or(BrokerUrlFault::Form)?;
        let is_forgiven = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if rest.starts_with('/') || text.contains(is_forgiven) {
            return Err(BrokerUrlFault::Form);
        }
        let mut url = Url::parse(text).map_err(|_| BrokerUrlFault::Form)?;
        let scheme = Scheme::of(url.scheme()).ok_or(BrokerUrlFault::Form)?;
        let is_web_socket = matches!(scheme, Scheme::Ws | Scheme::Wss);
        let has_query = url.query().is_some() || url.fragment().is_some();
        if !is_web_socket && (has_query || !matches!(url.path(), "" | "/")) {
            return Err(BrokerUrlFault::Rest);
        }
        if has_query {
            return Err(BrokerUrlFault::Query);
        }
        // To the parser, no path and `/` are the same.
        if is_web_socket && !rest.contains('/') {
            url.set_path(PATH_DEFAULT);
        }
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(BrokerUrlFault::Form);
        }
        let tcp_port = url.port().unwrap_or(scheme.tcp_port());
        let web_socket = is_web_socket.then(|| url.into());
        Ok(Self { scheme, host, tcp_port, web_socket })
    }

    /// Name or address of the broker; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its TCP port.
    #[must_use]
    pub const fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self.scheme, Scheme::Mqtts | Scheme::Wss)
    }

    /// The whole URL, where MQTT goes over WebSocket.
    #[must_use]
    pub fn web_socket(&self) -> Option<&str> {
        self.web_socket.as_deref()
    }

    /// Whether a password would travel readably to another machine.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        let is_loopback = self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.is_encrypted() && !is_loopback
    }
}

/// What stands between the scheme and the last `@` is a name and a password, in any URL.
fn credentials(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let authority = text.get(start..)?;
    // A password with a `/` or `?` in it is still a password, so the last `@` counts.
    let end = authority.rfind('@')?;
    Some(start..start + end + 1)
}

/// The URL as it may be shown: without name, password and what stands behind `?` or `#`.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let mut shown = text.to_owned();
    for secret in secrets_of_url(text.get(start..).unwrap_or_default()).into_iter().rev() {
        if !secret.is_empty() {
            shown.replace_range(start + secret.start..start + secret.end, "…");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, u16, bool), BrokerUrlFault>) {
        let found = BrokerUrl::read(text);
        let found = found.as_ref().map(|url| (url.host(), url.tcp_port(), url.is_encrypted()));
        assert_eq!(found.map_err(|fault| *fault), expected, "{text}");
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        check("mqtt://10.0.0.1", Ok(("10.0.0.1", 1883, false)));
        check("mqtts://broker.example", Ok(("broker.example", 8883, true)));
        check("mqtts://broker.example:9000/", Ok(("broker.example", 9000, true)));
        check("mqtt://[::1]:1884", Ok(("::1", 1884, false)));
        check("ws://10.0.0.1", Ok(("10.0.0.1", 80, false)));
        check("wss://broker.example", Ok(("broker.example", 443, true)));
        check("wss://broker.example:8084/mqtt", Ok(("broker.example", 8084, true)));
        check("wss://[::1]:8084", Ok(("::1", 8084, true)));
        for wrong in ["", "mqtt://", "http://host", "https://host/mqtt", "host:1883", "host"] {
            check(wrong, Err(BrokerUrlFault::Form));
        }
        for wrong in ["mqtt://host:99999", "ws://host:99999/mqtt", "ws://[::1", "ws://:80/mqtt"] {
            check(wrong, Err(BrokerUrlFault::Form));
        }
        for wrong in
            ["mqtt://host/topic", "mqtt://host?user=joe", "mqtt://host/#x", "mqtts://h/mqtt"]
        {
            check(wrong, Err(BrokerUrlFault::Rest));
        }
        for wrong in ["ws://host?x", "wss://host/mqtt?token=1", "wss://host/mqtt#x", "ws://host/#"]
        {
            check(wrong, Err(BrokerUrlFault::Query));
        }
    }

    #[test]
    fn a_web_socket_has_a_path_and_other_urls_have_none() {
        for (text, expected) in [
            ("ws://host", Some("ws://host/mqtt")),
            ("ws://host:80", Some("ws://host/mqtt")),
            ("wss://host:443/mqtt", Some("wss://host/mqtt")),
            ("wss://host:8084", Some("wss://host:8084/mqtt")),
            ("wss://host/", Some("wss://host/")),
            ("wss://host/a/b%20c", Some("wss://host/a/b%20c")),
            ("WSS://Host", Some("wss://host/mqtt")),
            ("wss://[fe80::1]", Some("wss://[fe80::1]/mqtt")),
            ("mqtt://host", None),
            ("mqtts://host/", None),
        ] {
            assert_eq!(BrokerUrl::read(text).unwrap().web_socket(), expected, "{text}");
        }
    }

    /// A browser takes `wss:///mqtt` for the host `mqtt`.
    #[test]
    fn what_a_browser_forgives_is_refused() {
        for text in
            ["wss:///mqtt", "ws:host", "ws:/host", r"wss:\\host", r"wss://host\mqtt", "ws://ho\nst"]
        {
            check(text, Err(BrokerUrlFault::Form));
        }
        check(" wss://host", Err(BrokerUrlFault::Form));
    }

    /// Whatever the form, the password is refused and not shown.
    #[test]
    fn a_password_in_a_url_is_refused_and_shown_nowhere() {
        for text in [
            "mqtt://joe:secret@host:1883",
            "mqtt://joe:sec@secret@host",
            "mqtt://:secret@host",
            "mqtts://joe:secret/secret@host/path?secret@x",
            "joe:secret@host",
            "mqtt://joe:secret@",
            "mqtt://secret@host#frag",
            "ws://joe:secret@host/mqtt",
            "wss://joe:secret@host",
            r"wss:\\joe:secret@host",
        ] {
            check(text, Err(BrokerUrlFault::Credentials));
            assert!(!without_credentials(text).contains("secret"), "{}", without_credentials(text));
        }
        assert_eq!(without_credentials("mqtt://joe:secret@host:1883"), "mqtt://…@host:1883");
        assert_eq!(without_credentials("mqtt://host:1883"), "mqtt://host:1883");
        assert_eq!(without_credentials("ws://host/mqtt?x=secret"), "ws://host/mqtt?…");
        assert_eq!(without_credentials("ws://host?x=a@secret"), "ws://…@…");
    }

    #[test]
    fn who_could_hear_a_password() {
        let is_open = |text| BrokerUrl::read(text).unwrap().is_open_to_others();
        for text in ["mqtt://127.0.0.1", "mqtt://localhost:1884", "mqtt://[::1]", "mqtts://far"] {
            assert!(!is_open(text), "{text}");
        }
        for text in ["ws://127.0.0.1:9001", "ws://localhost", "ws://[::1]/mqtt", "wss://far"] {
            assert!(!is_open(text), "{text}");
        }
        for text in ["mqtt://10.0.0.1", "mqtt://broker.example", "ws://10.0.0.1", "ws://far/mqtt"] {
            assert!(is_open(text), "{text}");
        }
    }
}
