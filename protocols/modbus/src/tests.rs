//! The protocol against peers in this process, over real sockets and a real terminal pair: well-behaved ones, and ones
//! with every fault that a line, a converter or a device can have. Whatever happens, no wrong value may come out.

mod peer;
pub(crate) mod support;

mod faults;
mod holes;
mod lines;
mod reads;
mod strange;
