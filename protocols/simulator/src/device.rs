//! The devices of the plant: which points each offers and where they stand. The one table that servers, profiles and
//! configuration are checked against.

mod machines;
mod opcua_meters;

use crate::plant::What;

/// How a device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// A folder of the OPC UA server, in a namespace of its own.
    OpcUa,
    /// A unit id behind the Modbus TCP endpoint.
    ModbusTcp(u8),
    /// A unit id on the serial line.
    ModbusRtu(u8),
}

/// How a value is coded in registers, most significant word and byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    U16,
    U32,
    I64,
    F32,
}

impl Coding {
    /// Registers of one value.
    pub(crate) const fn registers(self) -> u16 {
        match self {
            Self::U16 => 1,
            Self::U32 | Self::F32 => 2,
            Self::I64 => 4,
        }
    }
}

/// One value that a device offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    pub(crate) metric: &'static str,
    pub(crate) what: What,
    /// The last digit that the device shows, as a power of ten.
    pub(crate) exponent: i8,
    /// Whether it is a register that only rises.
    pub(crate) counter: bool,
    /// First register and coding; unused over OPC UA.
    pub(crate) register: (u16, Coding),
}

/// A device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device {
    pub(crate) id: &'static str,
    pub(crate) zh: &'static str,
    pub(crate) en: &'static str,
    /// Area and line.
    pub(crate) place: &'static str,
    pub(crate) link: Link,
    pub(crate) profile: &'static str,
    pub(crate) poll: &'static str,
    /// The points that the demo reads; all of the profile when empty.
    pub(crate) points: &'static [&'static str],
    pub(crate) signals: &'static [Signal],
}

/// All devices.
pub(crate) fn devices() -> impl Iterator<Item = &'static Device> {
    opcua_meters::DEVICES.iter().chain(machines::DEVICES)
}

impl Device {
    /// The namespace of its nodes.
    pub(crate) fn namespace(&self) -> String {
        format!("urn:nengliu:simulator:{}", self.id)
    }
}

/// A value over OPC UA.
const fn node(metric: &'static str, exponent: i8, what: What) -> Signal {
    Signal { metric, what, exponent, counter: false, register: (0, Coding::F32) }
}

/// A register over OPC UA.
const fn total(metric: &'static str, exponent: i8, what: What) -> Signal {
    Signal { counter: true, ..node(metric, exponent, what) }
}

/// A value in Modbus registers.
const fn at(
    register: u16,
    coding: Coding,
    metric: &'static str,
    exponent: i8,
    what: What,
) -> Signal {
    Signal { register: (register, coding), ..node(metric, exponent, what) }
}

#[cfg(test)]
mod tests;
