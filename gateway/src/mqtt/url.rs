//! The URL of a broker. What it must not hold is refused, and never shown. Must never open a connection.

use thiserror::Error;

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlFault {
    /// It is not one of a broker.
    #[error("expected `mqtt://host:1883` or `mqtts://host:8883`")]
    Form,
    /// A name or a password stands in it.
    #[error("expected no name and no password in it: name them with `user` and `password_file`")]
    Credentials,
    /// Something stands behind the host.
    #[error("expected nothing behind the host and the port")]
    Rest,
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) tcp_port: u16,
    pub(super) is_secure: bool,
    /// Whether nobody but this machine sees what goes there.
    pub(super) is_loopback: bool,
}

pub(super) fn read(text: &str) -> Result<Address, UrlFault> {
    if has_credentials(text) {
        return Err(UrlFault::Credentials);
    }
    let url = url::Url::parse(text).map_err(|_| UrlFault::Form)?;
    let is_secure = match url.scheme() {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(UrlFault::Form),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(UrlFault::Rest);
    }
    let host = url.host().ok_or(UrlFault::Form)?;
    let host_text = host.to_string();
    if host_text.is_empty() {
        return Err(UrlFault::Form);
    }
    // Of a scheme that it does not know, the parser leaves an address as text.
    let bare = host_text.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let tcp_port = url.port().unwrap_or(if is_secure { 8883 } else { 1883 });
    Ok(Address { host: host_text, tcp_port, is_secure, is_loopback })
}

/// Whether a password would travel readably to another machine.
pub(crate) fn is_open_to_others(text: &str) -> bool {
    read(text).is_ok_and(|address| !address.is_secure && !address.is_loopback)
}

/// What stands between the scheme and the last `@` before the path is a name and a password, in any URL.
fn has_credentials(text: &str) -> bool {
    credentials(text).is_some()
}

fn credentials(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let authority = text.get(start..)?;
    // A password with a `/` or `?` in it is still a password, so the last `@` counts.
    let end = authority.rfind('@')?;
    Some(start..start + end + 1)
}

/// The URL as it may be shown.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(range) = credentials(text) {
        shown.replace_range(range, "…@");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, u16, bool), UrlFault>) {
        let found = read(text).map(|found| (found.host, found.tcp_port, found.is_secure));
        let expected = expected.map(|(host, port, secure)| (host.to_owned(), port, secure));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        check("mqtt://10.0.0.1", Ok(("10.0.0.1", 1883, false)));
        check("mqtts://broker.example:9000/", Ok(("broker.example", 9000, true)));
        check("mqtt://[::1]:1884", Ok(("[::1]", 1884, false)));
        for wrong in ["", "mqtt://", "http://host", "host:1883", "mqtt://host:99999"] {
            check(wrong, Err(UrlFault::Form));
        }
        for wrong in ["mqtt://host/topic", "mqtt://host?user=joe", "mqtt://host/#x"] {
            check(wrong, Err(UrlFault::Rest));
        }
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
        ] {
            check(text, Err(UrlFault::Credentials));
            assert!(!without_credentials(text).contains("secret"), "{}", without_credentials(text));
        }
        assert_eq!(without_credentials("mqtt://joe:secret@host:1883"), "mqtt://…@host:1883");
        assert_eq!(without_credentials("mqtt://host:1883"), "mqtt://host:1883");
    }

    #[test]
    fn who_could_hear_a_password() {
        for text in ["mqtt://127.0.0.1", "mqtt://localhost:1884", "mqtt://[::1]", "mqtts://far"] {
            assert!(!is_open_to_others(text), "{text}");
        }
        for text in ["mqtt://10.0.0.1", "mqtt://broker.example"] {
            assert!(is_open_to_others(text), "{text}");
        }
    }
}
