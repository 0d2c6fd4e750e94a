//! Why a connection ended, or a topic is refused, for people: the broker's reason code and text, and what to change and
//! where. One line of bounded length, whatever a broker says.

use std::fmt::Debug;

use rumqttc::TlsError;
use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectReturnCode, DisconnectReasonCode, Packet};
use rumqttc::v5::{ConnectionError, Event, EventLoop, StateError};

use crate::codes::{Said, advice};
use crate::error::{MQTT_ADVICE, advice_of_tls, shown, tls_error_in};
use crate::open::CONNECT_MAX;
use crate::{Bridge, is_of_line};

/// Most characters of a line: rustls names all hosts of a certificate, for example.
const LINE_CHARS_MAX: usize = 600;
/// MQTT 5, 2.4: the packet is larger than the broker takes. In a PUBACK, where Mosquitto says so, MQTT 5 does not have it and
/// the client cannot read it.
const PACKET_TOO_LARGE: u8 = 0x95;

/// Who is told; the settings to change are those of that program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `nengliu-gateway`
    Gateway,
    /// `nengliu serve`
    Centre,
}

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No CONNACK yet: whatever is there may be no broker at all.
    Connecting,
    /// The broker accepted it.
    Connected,
}

impl Program {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "this gateway",
            Self::Centre => "the centre",
        }
    }

    /// Why the connection ended, which the client noticed by `error`; `server` is what [`other_server`] found. Waits for what the bridge knows, at most a second.
    pub async fn ended(
        self,
        error: &ConnectionError,
        stage: Stage,
        server: Option<String>,
        bridge: Option<&mut Bridge>,
    ) -> String {
        // What ended the WebSocket, where the client saw only that something did.
        let of_line = match bridge {
            Some(bridge) if is_of_line(error) => bridge.reason().await,
            _ => None,
        };
        let told = of_line.map_or_else(|| self.failed(error, stage), |why| line(&why.to_string()));
        match server {
            Some(server) => format!("{told} (Server Reference {})", shown(&server)),
            None => told,
        }
    }

    fn failed(self, error: &ConnectionError, stage: Stage) -> String {
        let before = stage == Stage::Connecting;
        let text = match error {
            ConnectionError::ConnectionRefused(code) => return self.refused_to_connect(*code),
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => return self.said_goodbye(*reason_code, reason_string.as_deref()),
            // Its text would hold the whole packet.
            ConnectionError::NotConnAck(_) => {
                format!("broker did not answer with a CONNACK to our CONNECT{MQTT_ADVICE}")
            }
            ConnectionError::Timeout(_) => {
                format!("no connection with a CONNACK within {CONNECT_MAX:?}{MQTT_ADVICE}")
            }
            ConnectionError::Tls(TlsError::Io(e)) => {
                format!("TLS: {e}{}", advice_of_tls(e, MQTT_ADVICE))
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) if before => {
                format!("the connection was closed in answer to our CONNECT{MQTT_ADVICE}")
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                "broker closed the connection without a reason".to_owned()
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => {
                "broker did not answer our ping".to_owned()
            }
            ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { pkt_size, max }) => {
                longer_than(*max, *pkt_size)
            }
            ConnectionError::MqttState(StateError::Io(e)) => lost(e, stage),
            ConnectionError::MqttState(StateError::Deserialization(e)) => self.unreadable(e, stage),
            _ => model::error_chain(error),
        };
        line(&text)
    }

    /// What came cannot be read, or the connection broke while it came.
    fn unreadable(self, error: &PacketError, stage: Stage) -> String {
        match error {
            PacketError::Io(e) => lost(e, stage),
            PacketError::InvalidConnectReturnCode(PACKET_TOO_LARGE) => {
                let advice = advice(self, Said::Refusal, "PacketTooLarge");
                format!("broker does not take a message: PacketTooLarge{advice}")
            }
            // MQTT 3.1.1, 3.2.2.3.
            PacketError::InvalidConnectReturnCode(code @ 1..=5) => {
                format!(
                    "broker refused the connection with return code {code} of MQTT 3.1.1; the broker must speak MQTT 5"
                )
            }
            PacketError::InvalidConnectReturnCode(code)
            | PacketError::InvalidSubscribeReasonCode(code)
            | PacketError::InvalidReason(code) => format!(
                "broker sent a reason code that MQTT 5 does not have there: 0x{code:02X}; the log of the broker may say why"
            ),
            PacketError::OutgoingPacketTooLarge { pkt_size, max } => longer_than(*max, *pkt_size),
            e if stage == Stage::Connecting => {
                format!("what answers our CONNECT is not MQTT 5: {e}{MQTT_ADVICE}")
            }
            e => format!("broker sent what is not MQTT 5: {e}"),
        }
    }

    /// The broker does not let us do `what` (``read `a/topic` ``), with this reason code of SUBACK or PUBACK.
    #[must_use]
    pub fn refused(self, what: &str, code: &impl Debug, text: Option<&str>) -> String {
        let code = format!("{code:?}");
        let advice = advice(self, Said::Refusal, &code);
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
        let advice = advice(self, Said::Disconnect, &format!("{code:?}"));
        format!("broker said goodbye: {code:?}{}{advice}", quoted(text))
    }

    /// The text of such a CONNACK is not known: the client keeps only its code.
    fn refused_to_connect(self, code: ConnectReturnCode) -> String {
        let advice = advice(self, Said::ConnAck, &format!("{code:?}"));
        format!("broker refused the connection: {code:?}{advice}")
    }
}

/// A packet of ours is longer than the broker said that it takes.
fn longer_than(max: u32, bytes: u32) -> String {
    format!(
        "broker takes packets of at most {max} bytes, and one of ours has {bytes}; raise its maximum packet size"
    )
}

/// The connection broke, or ended in the middle of a packet.
fn lost(error: &std::io::Error, stage: Stage) -> String {
    if tls_error_in(error).is_some() {
        return format!("TLS: {error}{}", advice_of_tls(error, MQTT_ADVICE));
    }
    match stage {
        // The codec's own words where bytes came that are no whole packet; a system error has its number.
        Stage::Connecting if error.raw_os_error().is_none() => {
            format!("what answers our CONNECT is not MQTT{MQTT_ADVICE}")
        }
        Stage::Connecting => {
            format!("the connection broke in answer to our CONNECT: {error}{MQTT_ADVICE}")
        }
        Stage::Connected => format!("the connection to the broker broke: {error}"),
    }
}

/// The address that the DISCONNECT at the end of this connection names. MQTT 5, 3.14.2.2.5. The client's error does not hold
/// it; its events do.
#[must_use]
pub fn other_server(eventloop: &EventLoop) -> Option<String> {
    server_in(&eventloop.state.events).map(str::to_owned)
}

fn server_in<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<&'a str> {
    events.into_iter().find_map(|event| match event {
        Event::Incoming(Packet::Disconnect(goodbye)) => {
            goodbye.properties.as_ref()?.server_reference.as_deref()
        }
        _ => None,
    })
}

/// Whether the broker, or its limit, found a packet too large.
#[must_use]
pub fn is_too_large(error: &ConnectionError) -> bool {
    let ConnectionError::MqttState(state) = error else { return false };
    match state {
        StateError::ServerDisconnect { reason_code, .. } => {
            *reason_code == DisconnectReasonCode::PacketTooLarge
        }
        StateError::OutgoingPacketTooLarge { .. }
        | StateError::Deserialization(
            PacketError::OutgoingPacketTooLarge { .. }
            | PacketError::InvalidConnectReturnCode(PACKET_TOO_LARGE),
        ) => true,
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
    use rumqttc::v5::mqttbytes::v5::{
        ConnAckProperties, Disconnect, DisconnectProperties, PingResp, PubAckReason,
    };

    use super::*;
    use crate::error::TEXT_CHARS_MAX;

    fn goodbye(reason_code: DisconnectReasonCode, text: Option<&str>) -> ConnectionError {
        let reason_string = text.map(str::to_owned);
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string })
    }

    #[test]
    fn each_program_is_told_what_to_change_on_its_own_side() {
        let check = |error: &ConnectionError, gateway: &str, centre: &str| {
            assert_eq!(Program::Gateway.failed(error, Stage::Connected), gateway);
            assert_eq!(Program::Centre.failed(error, Stage::Connected), centre);
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
            "broker said goodbye: PacketTooLarge; descriptions become shorter, or raise its maximum packet size",
        );
        check(
            &goodbye(DisconnectReasonCode::SessionTakenOver, Some("x")),
            "broker said goodbye: SessionTakenOver \"x\"; another client uses the name of this gateway: give each gateway its own `id`",
            "broker said goodbye: SessionTakenOver \"x\"; another client uses the client id of the centre",
        );
    }

    /// A code without a word of what to do left people with the name of an enumeration.
    #[test]
    fn every_code_of_a_refusal_says_what_to_change() {
        use ConnectReturnCode as Code;

        let codes = (0x80_u8..=0xA2).filter_map(|code| DisconnectReasonCode::try_from(code).ok());
        for code in codes {
            for program in [Program::Gateway, Program::Centre] {
                let shown = program.failed(&goodbye(code, None), Stage::Connected);
                assert!(shown.contains("; "), "{shown}");
            }
        }
        for code in [
            Code::UnspecifiedError,
            Code::MalformedPacket,
            Code::ProtocolError,
            Code::ImplementationSpecificError,
            Code::UnsupportedProtocolVersion,
            Code::ClientIdentifierNotValid,
            Code::BadUserNamePassword,
            Code::NotAuthorized,
            Code::ServerUnavailable,
            Code::ServerBusy,
            Code::Banned,
            Code::BadAuthenticationMethod,
            Code::TopicNameInvalid,
            Code::PacketTooLarge,
            Code::QuotaExceeded,
            Code::PayloadFormatInvalid,
            Code::RetainNotSupported,
            Code::QoSNotSupported,
            Code::UseAnotherServer,
            Code::ServerMoved,
            Code::ConnectionRateExceeded,
        ] {
            let shown = Program::Gateway.refused_to_connect(code);
            assert!(shown.contains("; "), "{shown}");
        }
        let shown = Program::Gateway.refused("write", &PubAckReason::PayloadFormatInvalid, None);
        assert!(shown.ends_with("binary: the broker must not check its format"), "{shown}");
    }

    #[test]
    fn the_other_server_that_a_goodbye_names_is_found() {
        let properties = DisconnectProperties {
            session_expiry_interval: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: Some("b2.example:1883".to_owned()),
        };
        let reason_code = DisconnectReasonCode::ServerMoved;
        let goodbye = Disconnect { reason_code, properties: Some(properties) };
        let events = [
            Event::Incoming(Packet::PingResp(PingResp)),
            Event::Incoming(Packet::Disconnect(goodbye)),
        ];
        assert_eq!(server_in(&events), Some("b2.example:1883"));
        assert_eq!(server_in(&events[..1]), None);
    }

    /// Mosquitto says 0x95 in a PUBACK, where MQTT 5 does not have it: the client gave up with the words of a CONNACK.
    #[test]
    fn a_message_that_a_puback_finds_too_large_is_known_as_such() {
        let state = |e| ConnectionError::MqttState(StateError::Deserialization(e));
        let error = state(PacketError::InvalidConnectReturnCode(0x95));
        assert!(is_too_large(&error));
        let shown = Program::Gateway.failed(&error, Stage::Connected);
        let expected = "broker does not take a message: PacketTooLarge; messages become shorter, or raise its maximum packet size";
        assert_eq!(shown, expected);
        let other = state(PacketError::InvalidConnectReturnCode(0xFF));
        assert!(!is_too_large(&other));
        let shown = Program::Gateway.failed(&other, Stage::Connected);
        assert!(shown.contains("0xFF"), "{shown}");
    }

    /// What answers at the port may be anything: an SSH server, a broker of MQTT 3.1.1, a port for TLS.
    #[test]
    fn what_is_no_broker_of_mqtt_5_is_named_with_what_to_check() {
        let state = |e| ConnectionError::MqttState(e);
        let io = |e| state(StateError::Deserialization(PacketError::Io(e)));
        let check = |error: ConnectionError, expected: &str| {
            let shown = Program::Centre.failed(&error, Stage::Connecting);
            assert!(shown.starts_with(expected), "{shown}");
            assert!(shown.contains("MQTT 5"), "{shown}");
            assert!(!shown.contains("Mqtt state"), "{shown}");
            let later = Program::Centre.failed(&error, Stage::Connected);
            assert!(!later.contains("Mqtt state"), "{later}");
        };
        let remaining = std::io::Error::other("bytes remaining on stream");
        check(io(remaining), "what answers our CONNECT is not MQTT;");
        let reset = std::io::Error::from_raw_os_error(104);
        check(io(reset), "the connection broke in answer to our CONNECT: ");
        check(state(StateError::ConnectionAborted), "the connection was closed in answer to our");
        let code = PacketError::InvalidConnectReturnCode(1);
        check(
            state(StateError::Deserialization(code)),
            "broker refused the connection with return code 1 of MQTT 3.1.1;",
        );
        check(
            state(StateError::Deserialization(PacketError::InvalidPacketType(0))),
            "what answers our CONNECT is not MQTT 5: ",
        );
    }

    /// A certificate that is refused was named, and nobody knew what to do next.
    #[test]
    fn a_refused_certificate_says_what_to_do_next_with_and_without_a_web_socket() {
        let check = |error: rustls::CertificateError, expected: &str| {
            let refused = || {
                let error = rustls::Error::InvalidCertificate(error.clone());
                std::io::Error::new(std::io::ErrorKind::InvalidData, error)
            };
            let shown = Program::Gateway
                .failed(&ConnectionError::Tls(TlsError::Io(refused())), Stage::Connecting);
            assert!(shown.contains(expected), "{shown}");
            let shown = crate::LinkError::Tls(refused()).to_string();
            assert!(shown.contains(expected), "{shown}");
        };
        check(rustls::CertificateError::UnknownIssuer, "`ca_file`");
        check(rustls::CertificateError::Expired, "the clock");
        check(rustls::CertificateError::NotValidYet, "the clock");
        check(rustls::CertificateError::NotValidForName, "the host in `url`");
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
        let shown = Program::Gateway
            .failed(&goodbye(DisconnectReasonCode::ServerBusy, Some(&long)), Stage::Connected);
        let advice = "; it is tried again until the broker is ready";
        assert_eq!(shown, format!("broker said goodbye: ServerBusy {cut}{advice}"));
    }

    /// Also where the text is not the broker's reason: a certificate, an answer that is no CONNACK.
    #[test]
    fn every_reason_is_a_line_of_bounded_length() {
        let long = "a\u{1b}\n".repeat(LINE_CHARS_MAX);
        let shown = Program::Gateway
            .failed(&ConnectionError::Io(std::io::Error::other(long)), Stage::Connected);
        assert!(shown.starts_with("I/O: a\\u{1b}\\na"), "{shown}");
        assert!(shown.ends_with('…') && !shown.contains(char::is_control), "{shown}");
        assert!(shown.chars().count() < 5 * LINE_CHARS_MAX, "{shown}");
        let other = ConnectionError::NotConnAck(Box::new(Packet::PingResp(PingResp)));
        let expected = "broker did not answer with a CONNACK to our CONNECT; check that a broker";
        let shown = Program::Gateway.failed(&other, Stage::Connecting);
        assert!(shown.starts_with(expected), "{shown}");
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
