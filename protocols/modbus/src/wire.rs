//! Frames of Modbus TCP and Modbus RTU: a request to bytes, and bytes to what they are for the request that is under way.
//! Must never read or write them.

use std::ops::Range;

use crate::error::{LinkError, Refusal};
use crate::request::Request;

/// Longest frame of either kind.
///
/// # Source
/// MODBUS Messaging on TCP/IP V1.0b, §4.1: 253 bytes of PDU and 7 of header. MODBUS over Serial Line V1.02, §2.4: 256.
const FRAME_BYTES_MAX: usize = 260;
/// Bytes of an RTU request that reads.
const RTU_REQUEST_BYTES: usize = 8;
/// Bytes that are looked at for one reply: a frame, its echo, and noise around them. What is longer is no reply.
pub(crate) const HEARD_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
/// Bytes of the header of Modbus TCP, with the unit id.
const HEADER_BYTES: usize = 7;

/// How frames are cut and guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A header with transaction id and length.
    Tcp,
    /// Unit id and CRC, as on a serial line.
    Rtu,
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) framing: Framing,
    /// Tells replies over TCP apart; unused with RTU.
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    /// The unit id that its reply carries.
    pub(crate) reply_unit: u8,
    pub(crate) request: Request,
}

/// What the bytes are that have come since the request was sent.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Not yet a whole reply.
    Partial,
    /// The reply, and how many bytes it took with what stood before it.
    Reply(Result<Vec<u16>, Refusal>, usize),
    /// A whole frame that is no reply to this request, and where it stands.
    Wrong(LinkError, Range<usize>),
    /// No reply can become of them.
    Garbled(&'static str),
}

impl Asked {
    /// Whether nothing was heard of the device: no byte, or only what the line itself brought back.
    pub(crate) fn is_silence(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || (self.framing == Framing::Rtu && bytes == self.frame())
    }

    /// Bytes of a reply to it as an RTU frame.
    pub(crate) fn rtu_length(&self, reply: &Result<Vec<u16>, Refusal>) -> usize {
        5 + reply.as_ref().map_or(0, |_| usize::from(self.request.reply_bytes()))
    }

    /// The bytes of the request.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let Request { area, start, count } = self.request;
        let mut pdu = vec![self.unit, area.function()];
        pdu.extend(start.to_be_bytes());
        pdu.extend(count.to_be_bytes());
        match self.framing {
            Framing::Tcp => {
                let mut frame = self.transaction.to_be_bytes().to_vec();
                frame.extend([0, 0, 0, 6]);
                frame.extend(pdu);
                frame
            }
            Framing::Rtu => {
                let check = crc(&pdu);
                pdu.extend(check);
                pdu
            }
        }
    }

    /// What `bytes` are; `echo` says whether the line brings back what is sent on it, as far as that is known.
    pub(crate) fn hear(&self, bytes: &[u8], echo: &mut Option<bool>) -> Heard {
        match self.framing {
            Framing::Tcp => self.hear_tcp(bytes),
            Framing::Rtu => self.hear_rtu(bytes, echo),
        }
    }

    fn hear_tcp(&self, bytes: &[u8]) -> Heard {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Heard::Partial };
        let [id_high, id_low, 0, 0, length_high, length_low, unit] = *header else {
            return Heard::Garbled("its protocol id is not 0");
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let end = length.saturating_add(HEADER_BYTES - 1);
        if length < 3 || end > FRAME_BYTES_MAX {
            return Heard::Garbled("its length is none of a reply");
        }
        let Some(pdu) = bytes.get(HEADER_BYTES..end) else { return Heard::Partial };
        let found = u16::from_be_bytes([id_high, id_low]);
        if found != self.transaction {
            let error = LinkError::Transaction { asked: self.transaction, found };
            return Heard::Wrong(error, 0..end);
        }
        if unit != self.reply_unit {
            let error = LinkError::Unit { asked: self.reply_unit, found: unit };
            return Heard::Wrong(error, 0..end);
        }
        match self.pdu(pdu) {
            Ok(reply) => Heard::Reply(reply, end),
            Err(error) => Heard::Wrong(error, 0..end),
        }
    }

    /// A line may echo: then the request itself comes first. It may be noisy: then the reply stands behind bytes that
    /// mean nothing. Nothing is believed but a whole frame of this unit, function and length with its CRC.
    fn hear_rtu(&self, bytes: &[u8], echo: &mut Option<bool>) -> Heard {
        let frame = self.frame();
        let is_echo = *echo != Some(false) && bytes.starts_with(&frame);
        let skipped = if is_echo { RTU_REQUEST_BYTES } else { 0 };
        let rest = bytes.get(skipped..).unwrap_or_default();
        if let Some((wrong, length)) = self.foreign_rtu(rest) {
            return Heard::Wrong(wrong, skipped..skipped + length);
        }
        for start in 0..rest.len() {
            let rest = rest.get(start..).unwrap_or_default();
            if let Some((reply, length)) = self.reply_rtu(rest) {
                *echo = Some(is_echo);
                return Heard::Reply(reply, skipped + start + length);
            }
        }
        if bytes.len() >= HEARD_BYTES_MAX {
            return Heard::Garbled("more bytes than any reply has");
        }
        Heard::Partial
    }

    /// The reply at the very beginning of `bytes`.
    fn reply_rtu(&self, bytes: &[u8]) -> Option<(Result<Vec<u16>, Refusal>, usize)> {
        let whole = rtu_frame(bytes)?;
        let (unit, pdu) = whole.split_first()?;
        if *unit != self.reply_unit {
            return None;
        }
        self.pdu(pdu).ok().map(|reply| (reply, whole.len().saturating_add(2)))
    }

    /// What is wrong with a whole frame at the beginning of `bytes`, if one stands there, and its length.
    fn foreign_rtu(&self, bytes: &[u8]) -> Option<(LinkError, usize)> {
        let frame = rtu_frame(bytes)?;
        let (unit, pdu) = frame.split_first()?;
        let wrong = if *unit == self.reply_unit {
            self.pdu(pdu).err()?
        } else {
            LinkError::Unit { asked: self.reply_unit, found: *unit }
        };
        Some((wrong, frame.len().saturating_add(2)))
    }

    /// The values or the refusal of a PDU of the right unit.
    fn pdu(&self, pdu: &[u8]) -> Result<Result<Vec<u16>, Refusal>, LinkError> {
        let (area, count) = (self.request.area, self.request.count);
        let function = area.function();
        match pdu {
            [refused, code] if *refused == function | 0x80 => Ok(Err(Refusal(*code))),
            [found, length, data @ ..] if *found == function => {
                if usize::from(*length) != data.len()
                    || data.len() != usize::from(self.request.reply_bytes())
                {
                    let found = if area.is_bits() { data.len() * 8 } else { data.len() / 2 };
                    return Err(LinkError::Count { expected: count, found });
                }
                Ok(Ok(if area.is_bits() { bits(data, count) } else { words(data) }))
            }
            [found, ..] => Err(LinkError::Function { asked: function, found: *found & 0x7F }),
            [] => Err(LinkError::Count { expected: count, found: 0 }),
        }
    }
}

/// Unit and PDU of the RTU frame of a reply at the beginning of `bytes`, when it is whole and its CRC is right.
fn rtu_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (function, length) = (*bytes.get(1)?, *bytes.get(2)?);
    let length = match function {
        1..=4 => usize::from(length) + 3,
        0x80.. => 3,
        _ => return None,
    };
    let check = bytes.get(length..length + 2)?;
    let frame = bytes.get(..length)?;
    (crc(frame) == check).then_some(frame)
}

/// All that a reply with RTU frames says of what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) unit: u8,
    pub(crate) function: u8,
    /// Bytes of values; `None`: it is an exception.
    pub(crate) bytes: Option<usize>,
}

impl Shape {
    /// That of the reply with values to a request.
    pub(crate) fn of(unit: u8, request: Request) -> Self {
        let bytes = Some(usize::from(request.reply_bytes()));
        Self { unit, function: request.area.function(), bytes }
    }

    /// That of the exception instead.
    pub(crate) fn refusal(self) -> Self {
        Self { bytes: None, ..self }
    }
}

/// The replies that stand among `bytes`, each as a frame without its CRC.
pub(crate) fn rtu_replies(bytes: &[u8]) -> Vec<(Shape, &[u8])> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let frame = rtu_frame(rest).unwrap_or_default();
        let shape = match frame {
            [unit, function @ 1..=4, _, data @ ..] => Some((*unit, *function, Some(data.len()))),
            [unit, refused @ 0x81..=0x84, _] => Some((*unit, refused & 0x7F, None)),
            _ => None,
        };
        found.extend(shape.map(|(unit, function, bytes)| (Shape { unit, function, bytes }, frame)));
        let taken = if shape.is_none() { 1 } else { frame.len().saturating_add(2) };
        rest = rest.get(taken..).unwrap_or_default();
    }
    found
}

/// The replies that are due to the requests which stand among `bytes`, but for those to the request `own`.
pub(crate) fn rtu_requests(bytes: &[u8], own: &[u8]) -> Vec<Shape> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(frame) = rest.first_chunk::<RTU_REQUEST_BYTES>() {
        // A reply may hold anything.
        let reply = rtu_frame(rest).map(|frame| frame.len().saturating_add(2));
        let shape = request_shape(*frame).filter(|_| reply.is_none());
        let taken = reply.or(shape.map(|_| RTU_REQUEST_BYTES)).unwrap_or(1);
        found.extend(shape.filter(|_| frame != own));
        rest = rest.get(taken..).unwrap_or_default();
    }
    found
}

fn request_shape(frame: [u8; RTU_REQUEST_BYTES]) -> Option<Shape> {
    let [unit, function @ 1..=4, _, _, high, low, check @ ..] = frame else { return None };
    let count = u16::from_be_bytes([high, low]);
    let is_whole = crc(frame.get(..6)?) == check && count > 0;
    let bytes = if function <= 2 { count.div_ceil(8) } else { count.saturating_mul(2) };
    let bytes = Some(usize::from(bytes));
    is_whole.then_some(Shape { unit, function, bytes })
}

fn words(data: &[u8]) -> Vec<u16> {
    data.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

/// Bits come in whole bytes, least significant first; the last byte is filled up.
fn bits(data: &[u8], count: u16) -> Vec<u16> {
    let bit = |byte: u8| (0..8).map(move |at| u16::from(byte >> at & 1));
    data.iter().copied().flat_map(bit).take(usize::from(count)).collect()
}

/// # Source
/// MODBUS over Serial Line V1.02, §6.2.2: CRC-16, polynomial 0xA001 reflected, low byte first on the wire.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let step = |crc: u16, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
    let byte = |crc: u16, byte: &u8| (0..8).fold(crc ^ u16::from(*byte), step);
    bytes.iter().fold(0xFFFF, byte).to_le_bytes()
}

#[cfg(test)]
mod tests;
