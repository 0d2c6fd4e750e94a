//! Where packets of a client begin and end, and the filters that are narrowed on the way. Pure: bytes in, bytes out.
//!
//! A packet of any other kind passes through as it comes, so that nothing is held here twice.

use model::GatewayId;
use thiserror::Error;

use crate::rights::{self, Subscription};

/// Longest SUBSCRIBE or UNSUBSCRIBE: 100 long filters.
const SUBSCRIBE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of the remaining length at most.
const LENGTH_BYTES_MAX: usize = 4;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;

/// Why a client cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// No MQTT: the length never ends.
    #[error("a packet's length takes more than {LENGTH_BYTES_MAX} bytes")]
    Length,
    /// A SUBSCRIBE or UNSUBSCRIBE of so many bytes.
    #[error("a subscription of {0} bytes: at most {SUBSCRIBE_BYTES_MAX} are accepted")]
    Subscribe(usize),
    /// Its filters cannot be found.
    #[error("a subscription that cannot be read")]
    Malformed,
}

/// The start of a packet: its first byte, its length without the header, and the bytes of the header.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, FrameError> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for (at, byte) in rest.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((*first, length, at + 2)));
        }
    }
    if rest.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(FrameError::Length) }
}

#[derive(Debug)]
enum State {
    /// The header is not complete, or the packet must be complete before it goes on.
    Gather(Vec<u8>),
    /// So many bytes of a packet are still to come, and so many were passed on.
    Pass { left: usize, passed: usize },
}

/// Follows the packets of one client.
#[derive(Debug)]
pub struct Framer {
    gateway: Option<GatewayId>,
    /// 4 for MQTT 3.1.1, 5 for MQTT 5.
    version: u8,
    state: State,
    complete: u64,
}

impl Framer {
    /// Follows a client behind its CONNECT.
    pub fn new(gateway: Option<GatewayId>, version: u8) -> Self {
        Self { gateway, version, state: State::Gather(Vec::new()), complete: 0 }
    }

    /// Takes what arrived and appends what the broker gets.
    ///
    /// # Errors
    ///
    /// When the client cannot be read any further; the connection must end.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Pass { left, passed } => {
                    let (now, rest) = bytes.split_at(bytes.len().min(*left));
                    out.extend_from_slice(now);
                    *left -= now.len();
                    *passed += now.len();
                    bytes = rest;
                    if *left == 0 {
                        self.complete += 1;
                        self.state = State::Gather(Vec::new());
                    }
                }
                State::Gather(gathered) => {
                    let missing = match header(gathered)? {
                        None => 1,
                        Some((_, length, header)) => header + length - gathered.len(),
                    };
                    let (now, rest) = bytes.split_at(bytes.len().min(missing));
                    gathered.extend_from_slice(now);
                    bytes = rest;
                    self.gathered(out)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of a packet that is not complete.
    pub fn half_read(&self) -> usize {
        match &self.state {
            State::Gather(gathered) => gathered.len(),
            State::Pass { passed, .. } => *passed,
        }
    }

    /// Packets that were complete so far.
    pub fn complete(&self) -> u64 {
        self.complete
    }

    fn gathered(&mut self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let State::Gather(gathered) = &mut self.state else { return Ok(()) };
        let Some((first, length, header)) = header(gathered)? else { return Ok(()) };
        if !matches!(first >> 4, SUBSCRIBE | UNSUBSCRIBE) {
            out.append(gathered);
            if length > 0 {
                self.state = State::Pass { left: length, passed: header };
            } else {
                self.complete += 1;
            }
            return Ok(());
        }
        if length > SUBSCRIBE_BYTES_MAX {
            return Err(FrameError::Subscribe(length));
        }
        if gathered.len() == header + length {
            let body = gathered.get(header..).unwrap_or_default();
            let body = narrow(self.gateway.as_ref(), self.version, first >> 4, body)?;
            out.push(first);
            put_length(body.len(), out);
            out.extend_from_slice(&body);
            gathered.clear();
            self.complete += 1;
        }
        Ok(())
    }
}

fn put_length(mut length: usize, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(length & 0x7F).unwrap_or_default();
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            return;
        }
    }
}

/// The body of a SUBSCRIBE or UNSUBSCRIBE with each filter narrowed to what the client may see.
fn narrow(
    gateway: Option<&GatewayId>,
    version: u8,
    kind: u8,
    body: &[u8],
) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut rest = body;
    take(&mut rest, 2, &mut out)?;
    if version == 5 {
        // The length of the properties has the same form as that of a packet.
        let mut packet = vec![0];
        packet.extend(rest.iter().take(LENGTH_BYTES_MAX));
        let (_, length, header) = header(&packet)?.ok_or(FrameError::Malformed)?;
        take(&mut rest, header - 1 + length, &mut out)?;
    }
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<2>().ok_or(FrameError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (text, behind) = behind.split_at_checked(length).ok_or(FrameError::Malformed)?;
        rest = behind;
        let filter = std::str::from_utf8(text).map_err(|_| FrameError::Malformed)?;
        let narrowed = match rights::subscription(gateway, filter) {
            Subscription::Narrowed(narrowed) => narrowed,
            Subscription::As | Subscription::Refused => filter.to_owned(),
        };
        let length = u16::try_from(narrowed.len()).map_err(|_| FrameError::Malformed)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(narrowed.as_bytes());
        if kind == SUBSCRIBE {
            take(&mut rest, 1, &mut out)?;
        }
    }
    Ok(out)
}

fn take(rest: &mut &[u8], count: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let (now, behind) = rest.split_at_checked(count).ok_or(FrameError::Malformed)?;
    out.extend_from_slice(now);
    *rest = behind;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscribe(version: u8, kind: u8, filters: &[&str]) -> Vec<u8> {
        let mut body = vec![0, 7];
        if version == 5 {
            // One property: subscription identifier 1.
            body.extend([2, 11, 1]);
        }
        for filter in filters {
            body.extend(u16::try_from(filter.len()).unwrap().to_be_bytes());
            body.extend(filter.as_bytes());
            if kind == SUBSCRIBE {
                body.push(1);
            }
        }
        let mut out = vec![kind << 4 | 2];
        put_length(body.len(), &mut out);
        out.extend(body);
        out
    }

    fn fed(version: u8, bytes: &[u8], piece: usize) -> Result<Vec<u8>, FrameError> {
        let mut framer = Framer::new(None, version);
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            framer.feed(piece, &mut out)?;
        }
        assert_eq!(framer.half_read(), 0, "all packets are complete");
        Ok(out)
    }

    /// Trial int-03.
    #[test]
    fn everything_becomes_what_the_client_may_see_however_it_is_cut() {
        for version in [4, 5] {
            for kind in [SUBSCRIBE, UNSUBSCRIBE] {
                let sent = subscribe(version, kind, &["#", "v1/a/#", "homeassistant/#", "+/x"]);
                let expected =
                    subscribe(version, kind, &["v1/#", "v1/a/#", "homeassistant/#", "v1/x"]);
                for piece in 1..sent.len() {
                    assert_eq!(fed(version, &sent, piece).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_packet_that_is_not_complete_is_counted_and_passed_on() {
        let mut framer = Framer::new(None, 5);
        let mut out = Vec::new();
        // A PUBLISH of 300 bytes.
        framer.feed(&[0x30, 0xAC], &mut out).unwrap();
        assert_eq!((out.len(), framer.half_read()), (0, 2));
        framer.feed(&[0x02], &mut out).unwrap();
        assert_eq!((out.len(), framer.half_read()), (3, 3));
        framer.feed(&[0; 299], &mut out).unwrap();
        assert_eq!((out.len(), framer.half_read()), (302, 302));
        framer.feed(&[0, 0xC0, 0], &mut out).unwrap();
        assert_eq!((out.len(), framer.half_read(), framer.complete()), (305, 0, 2));
    }

    #[test]
    fn what_is_no_packet_ends_the_client() {
        assert_eq!(fed(5, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], 9), Err(FrameError::Length));
        let long = [&[0x82][..], &[0xFF, 0xFF, 0x7F]].concat();
        assert!(matches!(fed(5, &long, 9), Err(FrameError::Subscribe(_))));
        for cut in 1..10 {
            let mut packet = subscribe(5, SUBSCRIBE, &["#"]);
            packet.truncate(packet.len() - cut.min(packet.len() - 2));
            let length = u8::try_from(packet.len() - 2).unwrap();
            packet[1] = length;
            assert_ne!(fed(5, &packet, 99).ok(), Some(subscribe(5, SUBSCRIBE, &["v1/#"])));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
            let mut framer = Framer::new(None, 5);
            let mut out = Vec::new();
            for piece in bytes.chunks(piece) {
                if framer.feed(piece, &mut out).is_err() {
                    break;
                }
            }
        }
    }
}
