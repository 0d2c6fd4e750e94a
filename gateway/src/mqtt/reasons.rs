//! Why a connection ended, for people, with what to change and where. Must never decide what happens next.

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};

/// The broker refused a topic.
pub(super) fn of_refusal(what: &str, topic: &str, code: &str) -> String {
    let advice = match code {
        "NotAuthorized" => "; give this gateway that right in the broker",
        "QuotaExceeded" => "; raise the broker's quota for this gateway",
        _ => "",
    };
    format!("broker does not let us {what} `{topic}`: {code}{advice}")
}

/// The broker ended the connection.
pub(super) fn of_disconnect(code: DisconnectReasonCode) -> String {
    let advice = match code {
        DisconnectReasonCode::PacketTooLarge => {
            "; messages become shorter, or raise its maximum packet size"
        }
        DisconnectReasonCode::QuotaExceeded => "; raise the broker's quota for this gateway",
        DisconnectReasonCode::NotAuthorized => "; give this gateway its rights in the broker",
        DisconnectReasonCode::SessionTakenOver => {
            "; another client uses the name of this gateway: give each gateway its own `id`"
        }
        DisconnectReasonCode::KeepAliveTimeout => "; the broker heard nothing for too long",
        DisconnectReasonCode::ConnectionRateExceeded | DisconnectReasonCode::MessageRateTooHigh => {
            "; raise the broker's rate limit for this gateway"
        }
        DisconnectReasonCode::ReceiveMaximumExceeded => {
            "; the broker counts unacknowledged messages otherwise"
        }
        _ => "",
    };
    format!("broker said goodbye: {code:?}{advice}")
}

fn of_connect(code: ConnectReturnCode) -> String {
    let advice = match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "; check `user` and the first line of `password_file`"
        }
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => {
            "; the broker does not take the `id` of this gateway as a client id"
        }
        ConnectReturnCode::QuotaExceeded => "; raise the broker's quota for this gateway",
        ConnectReturnCode::UnsupportedProtocolVersion
        | ConnectReturnCode::RefusedProtocolVersion => "; the broker must speak MQTT 5",
        ConnectReturnCode::QoSNotSupported => "; the broker must take messages at QoS 1",
        _ => "",
    };
    format!("broker refused the connection: {code:?}{advice}")
}

/// The connection failed.
pub(super) fn of_error(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => of_connect(*code),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            of_disconnect(*reason_code)
        }
        _ => model::error_chain(error),
    }
}

/// Whether the broker, or its limit, found a packet too large.
pub(super) fn is_too_large(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            *reason_code == DisconnectReasonCode::PacketTooLarge
        }
        ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }) => true,
        _ => false,
    }
}
