//! Why a connection ended, or a topic is refused, for people: the broker's reason code and text, and what to change and where.
//! One line of bounded length, whatever a broker says. Must never decide what happens next.

use std::fmt::Debug;

use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};

use crate::error::shown;
use crate::{Bridge, is_of_line};

/// Most characters of a line: rustls names all hosts of a certificate, for example.
const LINE_CHARS_MAX: usize = 600;

/// Who is told; the settings to change are those of that program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `nengliu-gateway`
    Gateway,
    /// `nengliu serve`
    Centre,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "this gateway",
            Self::Centre => "the centre",
        }
    }

    /// Why the connection ended, which the client noticed by `error`. Waits for what the bridge knows, at most a second.
    pub async fn ended(self, error: &ConnectionError, bridge: Option<&mut Bridge>) -> String {
        // What ended the WebSocket, where the client saw only that something did.
        let of_line = match bridge {
            Some(bridge) if is_of_line(error) => bridge.reason().await,
            _ => None,
        };
        of_line.map_or_else(|| self.failed(error), |why| line(&why.to_string()))
    }

    fn failed(self, error: &ConnectionError) -> String {
        match error {
            ConnectionError::ConnectionRefused(code) => self.refused_to_connect(*code),
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => self.said_goodbye(*reason_code, reason_string.as_deref()),
            // Its text would hold the whole packet.
            ConnectionError::NotConnAck(_) => {
                "broker did not answer with a CONNACK to our CONNECT".to_owned()
            }
            _ => line(&model::error_chain(error)),
        }
    }

    /// The broker does not let us do `what` (``read `a/topic` ``), with this reason code of SUBACK or PUBACK.
    #[must_use]
    pub fn refused(self, what: &str, code: &impl Debug, text: Option<&str>) -> String {
        let (code, who) = (format!("{code:?}"), self.name());
        let advice = match code.as_str() {
            "NotAuthorized" => format!("; give {who} that right in the broker"),
            "QuotaExceeded" => quota(who),
            "WildcardSubscriptionsNotSupported" => {
                "; allow wildcard subscriptions in the broker".to_owned()
            }
            "Success(AtMostOnce)" => "; the broker must grant QoS 1".to_owned(),
            _ => String::new(),
        };
        format!("broker does not let us {what}: {code}{}{advice}", quoted(text))
    }

    /// Why a connection that this CONNACK accepts is of no use. Waiting would never end: a receive maximum of 0, which is a
    /// protocol error, lets no message go, a broker without QoS 1 takes none of ours, and the centre reads by wildcards.
    #[must_use]
    pub fn fault_of(self, ack: &ConnAck) -> Option<String> {
        let properties = ack.properties.as_ref()?;
        let (fault, clause) = if properties.receive_max == Some(0) {
            ("a receive maximum of 0, expected 1 or more", "3.2.2.3.3")
        } else if properties.max_packet_size == Some(0) {
            ("a maximum packet size of 0, expected 1 or more", "3.2.2.3.6")
        } else if properties.max_qos == Some(0) {
            ("a maximum QoS of 0, expected 1 or 2", "3.2.2.3.4")
        } else if self == Self::Centre && properties.wildcard_subscription_available == Some(0) {
            ("no wildcard subscriptions, by which the centre reads its gateways", "3.2.2.3.11")
        } else {
            return None;
        };
        Some(format!(
            "broker accepts the connection with {fault} (MQTT 5, {clause}); correct it in the broker"
        ))
    }

    fn said_goodbye(self, code: DisconnectReasonCode, text: Option<&str>) -> String {
        let who = self.name();
        let advice = match code {
            DisconnectReasonCode::PacketTooLarge => match self {
                Self::Gateway => "; messages become shorter, or raise its maximum packet size",
                Self::Centre => "; raise its maximum packet size",
            }
            .to_owned(),
            DisconnectReasonCode::QuotaExceeded => quota(who),
            DisconnectReasonCode::NotAuthorized => {
                format!("; give {who} its rights in the broker")
            }
            DisconnectReasonCode::SessionTakenOver => match self {
                Self::Gateway => {
                    "; another client uses the name of this gateway: give each gateway its own `id`"
                }
                Self::Centre => "; another client uses the client id of the centre",
            }
            .to_owned(),
            DisconnectReasonCode::KeepAliveTimeout => {
                "; the broker heard nothing for too long".to_owned()
            }
            DisconnectReasonCode::ConnectionRateExceeded
            | DisconnectReasonCode::MessageRateTooHigh => {
                format!("; raise the broker's rate limit for {who}")
            }
            DisconnectReasonCode::ReceiveMaximumExceeded => {
                "; the broker counts unacknowledged messages otherwise".to_owned()
            }
            _ => String::new(),
        };
        format!("broker said goodbye: {code:?}{}{advice}", quoted(text))
    }

    /// The text of such a CONNACK is not known: the client keeps only its code.
    fn refused_to_connect(self, code: ConnectReturnCode) -> String {
        let advice = match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                "; check `user` and the first line of `password_file`".to_owned()
            }
            ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => {
                match self {
                    Self::Gateway => {
                        "; the broker does not take the `id` of this gateway as a client id"
                    }
                    Self::Centre => {
                        "; the broker must take client ids that begin with `nengliu-ingest-`"
                    }
                }
                .to_owned()
            }
            ConnectReturnCode::QuotaExceeded => quota(self.name()),
            ConnectReturnCode::UnsupportedProtocolVersion
            | ConnectReturnCode::RefusedProtocolVersion => {
                "; the broker must speak MQTT 5".to_owned()
            }
            ConnectReturnCode::QoSNotSupported => {
                "; the broker must take messages at QoS 1".to_owned()
            }
            _ => String::new(),
        };
        format!("broker refused the connection: {code:?}{advice}")
    }
}

fn quota(who: &str) -> String {
    format!("; raise the broker's quota for {who}")
}

/// Whether the broker, or its limit, found a packet too large.
#[must_use]
pub fn is_too_large(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            *reason_code == DisconnectReasonCode::PacketTooLarge
        }
        ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }) => true,
        _ => false,
    }
}

/// The broker's own text, where it gave one. MQTT 5, 3.14.2.2.3.
fn quoted(text: Option<&str>) -> String {
    text.map(|text| format!(" {}", shown(text))).unwrap_or_default()
}

/// Without control characters, and not longer than a line.
fn line(text: &str) -> String {
    let mut chars = text.chars();
    let mut line = String::new();
    for c in chars.by_ref().take(LINE_CHARS_MAX) {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Packet, PingResp, PubAckReason};

    use super::*;
    use crate::error::TEXT_CHARS_MAX;

    fn goodbye(reason_code: DisconnectReasonCode, text: Option<&str>) -> ConnectionError {
        let reason_string = text.map(str::to_owned);
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string })
    }

    #[test]
    fn each_program_is_told_what_to_change_on_its_own_side() {
        let check = |error: &ConnectionError, gateway: &str, centre: &str| {
            assert_eq!(Program::Gateway.failed(error), gateway);
            assert_eq!(Program::Centre.failed(error), centre);
        };
        check(
            &ConnectionError::ConnectionRefused(ConnectReturnCode::QuotaExceeded),
            "broker refused the connection: QuotaExceeded; raise the broker's quota for this gateway",
            "broker refused the connection: QuotaExceeded; raise the broker's quota for the centre",
        );
        let login = "broker refused the connection: NotAuthorized; check `user` and the first line of `password_file`";
        check(&ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized), login, login);
        check(
            &ConnectionError::ConnectionRefused(ConnectReturnCode::ClientIdentifierNotValid),
            "broker refused the connection: ClientIdentifierNotValid; the broker does not take the `id` of this gateway as a client id",
            "broker refused the connection: ClientIdentifierNotValid; the broker must take client ids that begin with `nengliu-ingest-`",
        );
        check(
            &goodbye(DisconnectReasonCode::PacketTooLarge, None),
            "broker said goodbye: PacketTooLarge; messages become shorter, or raise its maximum packet size",
            "broker said goodbye: PacketTooLarge; raise its maximum packet size",
        );
        check(
            &goodbye(DisconnectReasonCode::SessionTakenOver, Some("x")),
            "broker said goodbye: SessionTakenOver \"x\"; another client uses the name of this gateway: give each gateway its own `id`",
            "broker said goodbye: SessionTakenOver \"x\"; another client uses the client id of the centre",
        );
    }

    #[test]
    fn the_text_of_a_broker_is_shown_escaped_and_cut() {
        let shown = Program::Centre.refused(
            "publish",
            &PubAckReason::QuotaExceeded,
            Some("磁盘\n\u{1b}[31m"),
        );
        let expected = "broker does not let us publish: QuotaExceeded \"磁盘\\n\\u{1b}[31m\"; raise the broker's quota for \
                        the centre";
        assert_eq!(shown, expected);
        let long = "x".repeat(TEXT_CHARS_MAX + 1);
        let cut = format!("\"{}\"…", "x".repeat(TEXT_CHARS_MAX));
        let shown =
            Program::Gateway.failed(&goodbye(DisconnectReasonCode::ServerBusy, Some(&long)));
        assert_eq!(shown, format!("broker said goodbye: ServerBusy {cut}"));
    }

    /// Also where the text is not the broker's reason: a certificate, an answer that is no CONNACK.
    #[test]
    fn every_reason_is_a_line_of_bounded_length() {
        let long = "a\u{1b}\n".repeat(LINE_CHARS_MAX);
        let shown = Program::Gateway.failed(&ConnectionError::Io(std::io::Error::other(long)));
        assert!(shown.starts_with("I/O: a\\u{1b}\\na"), "{shown}");
        assert!(shown.ends_with('…') && !shown.contains(char::is_control), "{shown}");
        assert!(shown.chars().count() < 5 * LINE_CHARS_MAX, "{shown}");
        let other = ConnectionError::NotConnAck(Box::new(Packet::PingResp(PingResp)));
        let expected = "broker did not answer with a CONNACK to our CONNECT";
        assert_eq!(Program::Gateway.failed(&other), expected);
    }

    #[test]
    fn a_limit_of_zero_is_a_fault_and_one_of_one_is_not() {
        let of = |change: fn(&mut ConnAckProperties)| {
            let mut properties = nothing();
            change(&mut properties);
            let code = ConnectReturnCode::Success;
            let ack = ConnAck { session_present: false, code, properties: Some(properties) };
            let fault = Program::Gateway.fault_of(&ack);
            assert_eq!(Program::Centre.fault_of(&ack), fault);
            fault
        };
        assert_eq!(of(|_| ()), None);
        assert_eq!(
            of(|p| (p.receive_max, p.max_packet_size, p.max_qos) = (Some(1), Some(1), Some(1))),
            None
        );
        let check = |change, expected: &str| {
            let fault = of(change).unwrap();
            assert!(fault.starts_with(expected), "{fault}");
        };
        check(
            |p| p.receive_max = Some(0),
            "broker accepts the connection with a receive maximum of 0,",
        );
        check(
            |p| p.max_packet_size = Some(0),
            "broker accepts the connection with a maximum packet size of 0,",
        );
        check(|p| p.max_qos = Some(0), "broker accepts the connection with a maximum QoS of 0,");
    }

    #[test]
    fn a_broker_without_wildcards_serves_gateways_and_not_the_centre() {
        let properties =
            ConnAckProperties { wildcard_subscription_available: Some(0), ..nothing() };
        let code = ConnectReturnCode::Success;
        let ack = ConnAck { session_present: false, code, properties: Some(properties) };
        assert_eq!(Program::Gateway.fault_of(&ack), None);
        let expected = "broker accepts the connection with no wildcard subscriptions, by which the centre reads its gateways \
                        (MQTT 5, 3.2.2.3.11); correct it in the broker";
        assert_eq!(Program::Centre.fault_of(&ack).as_deref(), Some(expected));
    }

    fn nothing() -> ConnAckProperties {
        ConnAckProperties {
            session_expiry_interval: None,
            receive_max: None,
            max_qos: None,
            retain_available: None,
            max_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }
}
