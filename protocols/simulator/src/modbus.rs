//! The Modbus side of the plant: what a request gets. The same registers answer functions 3 and 4; what lies between
//! two values reads as 0, what lies behind the last is refused.

mod flood;
mod rtu;
mod tcp;

use model::{Decimal, Timestamp};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::device::{Coding, Device, Link, Signal, devices};
use crate::plant::Plant;

pub use flood::{Flood, FloodCount};
pub(crate) use rtu::SerialLine;
pub(crate) use tcp::serve;

/// Registers that one request may ask for.
///
/// # Source
/// MODBUS Application Protocol V1.1b3, §6.3: quantity of registers 1 to 125.
const REGISTERS_MAX: u16 = 125;

/// The device behind a link.
fn device(link: Link) -> Option<&'static Device> {
    devices().find(|device| device.link == link)
}

/// The answer of a device.
fn answer(
    plant: &Plant,
    device: &Device,
    request: &Request<'_>,
    at: Timestamp,
) -> Result<Response, ExceptionCode> {
    match *request {
        Request::ReadHoldingRegisters(first, count) => {
            registers(plant, device, first, count, at).map(Response::ReadHoldingRegisters)
        }
        Request::ReadInputRegisters(first, count) => {
            registers(plant, device, first, count, at).map(Response::ReadInputRegisters)
        }
        _ => Err(ExceptionCode::IllegalFunction),
    }
}

/// Registers of a device, all of one moment.
fn registers(
    plant: &Plant,
    device: &Device,
    first: u16,
    count: u16,
    at: Timestamp,
) -> Result<Vec<u16>, ExceptionCode> {
    if !(1..=REGISTERS_MAX).contains(&count) {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let end_of = |signal: &Signal| signal.register.0 + signal.register.1.registers();
    let last = device.signals.iter().map(end_of).max().unwrap_or(0);
    if u32::from(first) + u32::from(count) > u32::from(last) {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    let wanted = usize::from(first)..usize::from(first + count);
    let mut words = vec![0; usize::from(count)];
    for signal in device.signals {
        let start = usize::from(signal.register.0);
        if start >= wanted.end || usize::from(end_of(signal)) <= wanted.start {
            continue;
        }
        for (place, word) in (start..).zip(encode(signal, plant.moment(signal.what, at))) {
            if let Some(slot) = place.checked_sub(wanted.start).and_then(|at| words.get_mut(at)) {
                *slot = word;
            }
        }
    }
    Ok(words)
}

/// A value as registers, most significant word first. Integers wrap where the register ends, as a counter does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low bits are what a register of that width holds"
)]
fn encode(signal: &Signal, mantissa: i64) -> Vec<u16> {
    match signal.register.1 {
        Coding::U16 => vec![mantissa as u16],
        Coding::U32 => words(&(mantissa as u32).to_be_bytes()),
        Coding::I64 => words(&mantissa.to_be_bytes()),
        Coding::F32 => {
            let value = Decimal { mantissa, exponent: signal.exponent }.to_f64();
            words(&(value as f32).to_be_bytes())
        }
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests;
