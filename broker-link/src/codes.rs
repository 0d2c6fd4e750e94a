//! What to change for a reason code of MQTT 5, for people: one table for all packets.

use crate::Program;

/// The packet that brought a reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// CONNACK. MQTT 5, 3.2.2.2.
    ConnAck,
    /// DISCONNECT. MQTT 5, 3.14.2.1.
    Disconnect,
    /// SUBACK or PUBACK. MQTT 5, 3.9.3 and 3.4.2.1.
    Refusal,
}

/// The log of the broker is all that can say more.
const SEE_LOG: &str = "; the log of the broker may say why";

/// What to do about the code of this name (as `rumqttc` calls it), with the `; ` in front; empty where nothing is to be done.
pub(crate) fn advice(program: Program, said: Said, code: &str) -> String {
    let of_rights = rights(program, said, code);
    of_rights
        .or_else(|| {
            messages(program, said, code).or_else(|| state(program, code)).map(str::to_owned)
        })
        .unwrap_or_default()
}

/// Who may connect, and how much of it.
fn rights(program: Program, said: Said, code: &str) -> Option<String> {
    let who = program.name();
    let is_gateway = program == Program::Gateway;
    Some(match (said, code) {
        (Said::ConnAck, "BadUserNamePassword" | "NotAuthorized") => {
            "; check `user` and the first line of `password_file`".to_owned()
        }
        (Said::Disconnect, "NotAuthorized") => format!("; give {who} its rights in the broker"),
        (Said::Refusal, "NotAuthorized") => format!("; give {who} that right in the broker"),
        (Said::ConnAck, "ClientIdentifierNotValid" | "BadClientId") if is_gateway => {
            "; the broker does not take the `id` of this gateway as a client id".to_owned()
        }
        (Said::ConnAck, "ClientIdentifierNotValid" | "BadClientId") => {
            "; the broker must take client ids that begin with `nengliu-ingest-`".to_owned()
        }
        (Said::ConnAck, "BadAuthenticationMethod") => {
            "; the broker must be content with a name and a password in CONNECT: there is no other authentication here"
                .to_owned()
        }
        (_, "Banned") => format!("; lift the ban on {who} in the broker"),
        (_, "QuotaExceeded") => format!("; raise the broker's quota for {who}"),
        (_, "ConnectionRateExceeded" | "MessageRateTooHigh") => {
            format!("; raise the broker's rate limit for {who}")
        }
        _ => return None,
    })
}

/// What the broker must be able to do, and must take.
fn messages(program: Program, said: Said, code: &str) -> Option<&'static str> {
    let is_gateway = program == Program::Gateway;
    Some(match (said, code) {
        (Said::ConnAck, "UnsupportedProtocolVersion" | "RefusedProtocolVersion") => {
            "; the broker must speak MQTT 5"
        }
        (Said::ConnAck, "PacketTooLarge") => "; raise its maximum packet size",
        (_, "PacketTooLarge") if is_gateway => {
            "; messages become shorter, or raise its maximum packet size"
        }
        (_, "PacketTooLarge") => "; descriptions become shorter, or raise its maximum packet size",
        (_, "QoSNotSupported") => "; the broker must take messages at QoS 1",
        (_, "Success(AtMostOnce)") => "; the broker must grant QoS 1",
        (_, "RetainNotSupported") if !is_gateway => {
            "; the broker must keep retained messages, or say in CONNACK that it does not"
        }
        (_, "TopicNameInvalid") if is_gateway => {
            "; the broker must take the topics `gw/…/up` and `gw/…/state` of this gateway"
        }
        (_, "TopicNameInvalid") => "; the broker must take the topics `gw/…/ack` and `v1/…`",
        (_, "TopicFilterInvalid") => "; the broker must take this topic filter",
        (_, "PayloadFormatInvalid") if is_gateway => {
            "; what a gateway sends is binary: the broker must not check its format"
        }
        (_, "PayloadFormatInvalid") => {
            "; the broker must not check the format of what the centre sends"
        }
        (_, "WildcardSubscriptionsNotSupported") if !is_gateway => {
            "; allow wildcard subscriptions in the broker"
        }
        _ => return None,
    })
}

/// What the broker is about, and codes that say nothing of their cause or forbid what is not done here.
fn state(program: Program, code: &str) -> Option<&'static str> {
    Some(match code {
        "UseAnotherServer" | "ServerMoved" => {
            "; a broker is not followed to another address: name that one in `url`"
        }
        "ServerUnavailable" | "ServiceUnavailable" | "ServerBusy" | "ServerShuttingDown" => {
            "; it is tried again until the broker is ready"
        }
        "AdministrativeAction" => "; whoever runs the broker ended the connection",
        "MaximumConnectTime" => {
            "; the broker lets a connection last only so long, and the next one follows"
        }
        "SessionTakenOver" if program == Program::Gateway => {
            "; another client uses the name of this gateway: give each gateway its own `id`"
        }
        "SessionTakenOver" => "; another client uses the client id of the centre",
        "KeepAliveTimeout" => "; the broker heard nothing for too long",
        "ReceiveMaximumExceeded" => "; the broker counts unacknowledged messages otherwise",
        "UnspecifiedError"
        | "Unspecified"
        | "Failure"
        | "MalformedPacket"
        | "ProtocolError"
        | "ImplementationSpecificError"
        | "ImplementationSpecific"
        | "RetainNotSupported"
        | "WildcardSubscriptionsNotSupported"
        | "SharedSubscriptionNotSupported"
        | "SharedSubscriptionsNotSupported"
        | "SubscriptionIdentifiersNotSupported"
        | "SubscriptionIdNotSupported"
        | "TopicAliasInvalid"
        | "PacketIdentifierInUse"
        | "PkidInUse" => SEE_LOG,
        _ => return None,
    })
}
