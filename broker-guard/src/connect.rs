//! The CONNECT of a client of the embedded broker: read under a limit, and changed where the client may not have what
//! it asks for but may well connect.

use std::time::Duration;

use model::GatewayId;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::{FixedHeader, MqttPacket as _};
use mqtt5::protocol::v5::properties::Properties;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::framer::{self, FrameError};
use crate::rights;

/// Longest CONNECT: ids, a will and a password.
const CONNECT_BYTES_MAX: usize = 16 * 1_024;
/// Longest time for a CONNECT.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest keep alive; 0, which is none at all, becomes this one. A client is gone after one and a half of it.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_mins(5);
const CONNECT: u8 = 1;

/// Why a connection did not begin.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Silence, or a CONNECT that comes in drops.
    #[error("nothing was sent within {CONNECT_TIME_MAX:?}")]
    Time,
    /// The client went away.
    #[error("connection ended before its CONNECT was complete")]
    Ended,
    /// Its length cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// So many bytes.
    #[error("CONNECT has {0} bytes: at most {CONNECT_BYTES_MAX} are accepted")]
    TooLong(usize),
    /// Another packet, or one that MQTT does not know.
    #[error("not a CONNECT")]
    Malformed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A CONNECT, and what was read behind it.
pub struct Arrived {
    /// The CONNECT.
    pub packet: ConnectPacket,
    /// What the client sent after it.
    pub behind: Vec<u8>,
}

/// Reads the CONNECT, bounded in bytes and in time.
///
/// # Errors
///
/// When the first packet is no complete CONNECT within the limits.
pub async fn read(stream: &mut TcpStream) -> Result<Arrived, ConnectError> {
    tokio::time::timeout(CONNECT_TIME_MAX, read_untimed(stream))
        .await
        .map_err(|_| ConnectError::Time)?
}

async fn read_untimed(stream: &mut TcpStream) -> Result<Arrived, ConnectError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1_024];
    loop {
        if let Some((first, length, header)) = framer::header(&bytes)? {
            if first != CONNECT << 4 {
                return Err(ConnectError::Malformed);
            }
            if length > CONNECT_BYTES_MAX {
                return Err(ConnectError::TooLong(length));
            }
            if let Some(body) = bytes.get(header..header + length) {
                let mut start = bytes.get(..header).unwrap_or_default();
                let fixed = FixedHeader::decode(&mut start).map_err(|_| ConnectError::Malformed)?;
                let packet = ConnectPacket::decode_body(&mut &body[..], &fixed)
                    .map_err(|_| ConnectError::Malformed)?;
                let behind = bytes.split_off(header + length);
                return Ok(Arrived { packet, behind });
            }
        }
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(ConnectError::Ended);
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

/// What was changed in a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// The topic of a will that the client may not write.
    pub will: Option<String>,
    /// The keep alive was none or too long.
    pub keep_alive: bool,
}

/// Changes what the client may not have: a will on a foreign topic, and a connection that never has to show a sign of
/// life. Neither is a reason to refuse reading.
pub fn change(packet: &mut ConnectPacket, gateway: Option<&GatewayId>) -> Changed {
    let mut changed = Changed::default();
    if let Some(will) = packet.will.take_if(|will| !rights::may_publish(gateway, &will.topic)) {
        changed.will = Some(will.topic);
        packet.will_properties = Properties::default();
    }
    let longest = u16::try_from(KEEP_ALIVE_MAX.as_secs()).unwrap_or(u16::MAX);
    if packet.keep_alive == 0 || packet.keep_alive > longest {
        packet.keep_alive = longest;
        changed.keep_alive = true;
    }
    changed
}

/// The packet as bytes.
///
/// # Errors
///
/// [`ConnectError::Malformed`] when a field is too long for MQTT.
pub fn encode(packet: &ConnectPacket) -> Result<Vec<u8>, ConnectError> {
    let mut out = Vec::new();
    packet.encode(&mut out).map_err(|_| ConnectError::Malformed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use mqtt5::types::WillMessage;

    use super::*;

    fn packet(will: Option<&str>, keep_alive: u16) -> ConnectPacket {
        let mut options = mqtt5::ConnectOptions::new("g1");
        options.keep_alive = Duration::from_secs(keep_alive.into());
        let mut packet = ConnectPacket::new(options.protocol_options);
        packet.keep_alive = keep_alive;
        packet.will = will.map(|topic| WillMessage::new(topic, b"offline".to_vec()));
        packet
    }

    /// Trial int-03: Home Assistant's will on `homeassistant/status` cost it the connection.
    #[test]
    fn a_will_on_a_foreign_topic_is_dropped_and_not_the_client() {
        let g1 = GatewayId::new("g1").unwrap();
        let check = |gateway: Option<&GatewayId>, topic: &str, dropped: bool| {
            let mut packet = packet(Some(topic), 60);
            let changed = change(&mut packet, gateway);
            assert_eq!(changed.will.is_some(), dropped, "{topic}");
            assert_eq!(packet.will.is_none(), dropped, "{topic}");
        };
        check(None, "homeassistant/status", true);
        check(Some(&g1), "homeassistant/status", true);
        check(Some(&g1), "gw/g2/state", true);
        check(Some(&g1), "gw/g1/state", false);
        check(None, "gw/g1/state", true);
    }

    /// Trial brk-06.
    #[test]
    fn a_client_that_promises_no_sign_of_life_gets_a_longest_keep_alive() {
        for (asked, given, changed) in [(0, 300, true), (1, 1, false), (301, 300, true)] {
            let mut packet = packet(None, asked);
            assert_eq!(change(&mut packet, None).keep_alive, changed);
            assert_eq!(packet.keep_alive, given);
            let bytes = encode(&packet).unwrap();
            let (first, length, header) = framer::header(&bytes).unwrap().unwrap();
            assert_eq!((first, header + length), (0x10, bytes.len()));
        }
    }
}
