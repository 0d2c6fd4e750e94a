//! Modbus TCP and Modbus RTU, the latter over TCP too: reads registers and bits of devices, and lets no late reply become a value. Must never
//! write to a device, and must never know the spool or MQTT.
//!
//! # Keys
//! `[[port]]`: one TCP connection or one serial line; one request is under way on it at a time.
//!
//! ```toml
//! address = "tcp://10.0.0.5:502"       # Modbus TCP; the TCP port is 502 unless stated. Or a serial line:
//! framing = "rtu"                      # with `address`: a serial server that passes RTU frames on as they are; else "tcp"
//! connect_pause = "200ms"              # silence after connecting; without it a device that is deaf at first is noticed
//! path = "/dev/ttyS1"                  # Modbus RTU; an echo of what is sent is noticed and taken away
//! baud = 9600                          # serial only
//! format = "8N1"                       # serial only: 8 data bits, N, E or O, 1 or 2 stop bits
//! timeout = "1s"                       # how long a device may think; time on a serial wire is added to it
//!                                      # RTU: replies that overtake others are told apart up to 4 times as late
//!                                      # one master a line: where another is heard (GW-M108) end it; values that may be its
//!                                      # are Bad, but one whose own reply is lost beside it cannot be told apart
//! gap = "25ms"                         # silence before each request; on a serial line at least 3.5 characters
//! retries = 1                          # further tries of a request that got no answer, 0 to 5
//! ```
//!
//! `[[device]]`:
//!
//! ```toml
//! unit = 3                             # 1 to 247; with Modbus TCP 0 to 255
//! reply_unit = 0                       # with Modbus TCP: the id that its replies carry, where that is another one
//! ```
//!
//! `[modbus]` of a profile: what holds for the make and model.
//!
//! ```toml
//! address_base = 0                     # 0: `register` is the number on the wire; 1: the number on the wire plus one
//! area = "input"                       # of points that state none: input, holding, coil, discrete
//! type = "f32"                         # of points that state none
//! order32 = "ABCD"                     # of 32-bit values: the bytes as they come, A the most significant
//! order64 = "ABCDEFGH"                 # of 64-bit values
//! registers_per_request_max = 125      # fewer where the device is weaker
//! bits_per_request_max = 2000
//! register_holes_max = 0               # registers that no point wants, but that may be read to save a request
//! bit_holes_max = 0
//! single_reads = false                 # true: one point a request
//! request_gap = "0ms"                  # silence that this device needs before each request
//! absent = { f32 = 0x80008000 }        # by type: what means that there is no value; one number or a list
//! ```
//!
//! `[[point]]` of a profile:
//!
//! ```toml
//! area = "input"                       # input: function 4, holding: 3, coil: 1, discrete: 2
//! register = 52                        # counted from `address_base`
//! type = "f32"                         # u16 i16 u32 i32 u64 i64 f32 f64 bool text
//! length = 10                          # of a text: registers, two characters each, most significant first (or order "BA")
//! order = "CDAB"                       # 2, 4 or 8 letters, as many as the value has bytes
//! bit = 3                              # of a register that is read as `bool`; 0 is the least significant
//! absent = 0x7FFF                      # what means that there is no value: bits or an integer, one or a list, `[]` for none
//! ```
//!
//! # Codes
//! Problems: GW-C012 unit used twice, GW-C060 link, GW-C061 unit, GW-C062 serial, GW-C063 `[modbus]`, GW-C064 address,
//! GW-C065 overlap, GW-C066 history. Faults: GW-M101 no answer though others answer, GW-M102 nobody answers, GW-M103
//! bytes that are no reply, GW-M104 link not open or broken, GW-M105 reply of another request,
//! GW-M106 reply of another unit, GW-M107 replies later than `timeout`, GW-M108 another
//! master asks the same device, GW-M109 line in use by another program, GW-M110 no right to open it, GW-M204 address refused, GW-M205
//! value that cannot be used, GW-M206 values that are not plausible, GW-M207 only zeros.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod address;
mod codec;
mod request;
mod wire;

mod settings;

mod answers;
mod block;
mod client;
mod device;
mod doubts;
mod driver;
mod exchange;
mod habits;
mod link;
mod noise;
mod plausibility;
mod reader;
mod suspicion;

mod error;
mod fault;

#[cfg(test)]
mod tests;

pub use driver::Modbus;
