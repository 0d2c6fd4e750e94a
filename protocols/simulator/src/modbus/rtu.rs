//! Modbus RTU on a pseudo-terminal: a serial line without wires. Written out here rather than taken from a library, so
//! that our client meets a stranger's framing, and so that noise on the line never ends the server.
//!
//! # Source
//! MODBUS over Serial Line V1.02, §2.5.1: unit id, PDU, CRC-16 with the low byte first; frames end with a silence.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::host::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_modbus::{ExceptionCode, Request, Response};
use tokio_serial::{SerialPort, SerialStream};
use tokio_util::sync::CancellationToken;

use super::{answer, device};
use crate::device::Link;
use crate::plant::Plant;

/// A silence of this length ends a frame. A pseudo-terminal knows no baud rate, so it need not depend on one.
const SILENCE: Duration = Duration::from_millis(30);
const FRAME_MAX: usize = 256;
/// Unit id, function, address, count, CRC: what a read request is long.
const READ_REQUEST: usize = 8;

/// How long to wait before looking again whether somebody opened the other end.
const NOBODY_THERE: Duration = Duration::from_millis(50);
/// `EIO`: what our end of a pseudo-terminal says while nobody has the other end open.
const HUNG_UP: i32 = 5;

/// Our end of a pseudo-terminal.
pub(crate) struct SerialLine {
    ours: SerialStream,
    path: PathBuf,
}

impl SerialLine {
    /// Opens the next free pseudo-terminal.
    pub(crate) fn open() -> io::Result<Self> {
        // The other end is closed again: held open, it would keep the lock of the first client forever.
        let (ours, theirs) = SerialStream::pair()?;
        let path = theirs.name().ok_or_else(|| io::Error::other("it has no name"))?.into();
        Ok(Self { ours, path })
    }

    /// The end that a client opens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until stopped.
    pub(crate) async fn serve(
        mut self,
        plant: Arc<Plant>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) {
        let served = stop.run_until_cancelled(run(&mut self.ours, &plant, clock.as_ref())).await;
        if let Some(Err(error)) = served {
            let path = self.path.display().to_string();
            tracing::error!(%error, path, "the serial line of the simulated plant ended");
        }
    }
}

async fn run(line: &mut SerialStream, plant: &Plant, clock: &dyn Clock) -> io::Result<()> {
    let mut frame: Vec<u8> = Vec::with_capacity(FRAME_MAX);
    loop {
        let wait = if frame.is_empty() { Duration::MAX } else { SILENCE };
        match tokio::time::timeout(wait, line.read_buf(&mut frame)).await {
            Err(_) => frame.clear(),
            Ok(Err(error)) if error.raw_os_error() == Some(HUNG_UP) => {
                frame.clear();
                tokio::time::sleep(NOBODY_THERE).await;
            }
            Ok(read) => {
                read?;
                if let Some(request) = take_request(&mut frame)
                    && let Some(reply) = reply(plant, request, clock)
                {
                    line.write_all(&reply).await?;
                }
            }
        }
        if frame.len() > FRAME_MAX {
            frame.clear();
        }
    }
}

/// A whole request with a right CRC at the beginning of what came; what is no request is dropped by the silence after it.
fn take_request(frame: &mut Vec<u8>) -> Option<[u8; READ_REQUEST]> {
    let request = *frame.first_chunk::<READ_REQUEST>()?;
    let (body, sum) = request.split_at(READ_REQUEST - 2);
    if crc(body).to_le_bytes() != *sum {
        return None;
    }
    frame.drain(..READ_REQUEST);
    Some(request)
}

/// The reply of the unit that was asked; none when it is not on this line.
fn reply(plant: &Plant, request: [u8; READ_REQUEST], clock: &dyn Clock) -> Option<Vec<u8>> {
    let [unit, function, first_high, first_low, count_high, count_low, ..] = request;
    let device = device(Link::ModbusRtu(unit))?;
    let first = u16::from_be_bytes([first_high, first_low]);
    let count = u16::from_be_bytes([count_high, count_low]);
    let asked = match function {
        3 => Ok(Request::ReadHoldingRegisters(first, count)),
        4 => Ok(Request::ReadInputRegisters(first, count)),
        _ => Err(ExceptionCode::IllegalFunction),
    };
    let mut reply = vec![unit];
    match asked.and_then(|asked| answer(plant, device, &asked, clock.now())) {
        Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words)) => {
            reply.push(function);
            // At most 125 registers were asked for.
            reply.push(u8::try_from(words.len() * 2).ok()?);
            reply.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        Ok(_) => return None,
        Err(exception) => reply.extend([function | 0x80, exception.into()]),
    }
    reply.extend(crc(&reply).to_le_bytes());
    Some(reply)
}

/// CRC-16 of Modbus: polynomial 0xA001, reflected, from 0xFFFF.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xA001 } else { sum >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_as_the_specification_does() {
        // The example of MODBUS over Serial Line V1.02, appendix B: 02 07 gives 0x1241, low byte first.
        assert_eq!(crc(&[0x02, 0x07]), 0x1241);
    }

    #[test]
    fn takes_whole_requests_only() {
        let whole = [1, 3, 0, 0, 0, 2, 0xC4, 0x0B];
        assert_eq!(take_request(&mut whole.to_vec()), Some(whole));
        assert_eq!(take_request(&mut whole[..7].to_vec()), None);
        let mut broken = whole;
        broken[3] = 1;
        assert_eq!(take_request(&mut broken.to_vec()), None);
    }
}
