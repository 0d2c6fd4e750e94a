//! What a technician is told when a device gives no values: what, where, the likely cause, the next step. Must never
//! decide anything.

use driver::Fault;

use crate::address::{Address, DataType};
use crate::codec::Unusable;
use crate::error::{LinkError, Refusal, RequestError};
use crate::request::Request;
use crate::wire::Framing;

mod meaning;

pub(crate) use meaning::{blank, implausible};

/// Whom a fault is about.
pub(crate) struct Place<'a> {
    pub(crate) device: &'a str,
    pub(crate) port: &'a str,
    pub(crate) unit: u8,
    pub(crate) serial: bool,
    pub(crate) framing: Framing,
    pub(crate) others_answer: bool,
    /// Another master was heard that asks it.
    pub(crate) is_shared: bool,
    /// What it left unanswered while it answered the rest.
    pub(crate) only: Option<Request>,
}

/// The fault of a device that did not answer as it should.
pub(crate) fn silent(place: &Place<'_>, error: &RequestError, tries: u32) -> Fault {
    let Place { device, port, unit, serial, framing, others_answer, is_shared, only } = place;
    if let (true, RequestError::Link(error)) = (is_shared, error)
        && matches!(
            error,
            LinkError::Doubtful { .. } | LinkError::Function { .. } | LinkError::Count { .. }
        )
    {
        return shared(place);
    }
    let who = format!("{device} ({port}, id {unit})");
    let (code, message) = match error {
        RequestError::Refused(refusal) => match only {
            Some(only) => {
                ("GW-M101", format!("{who} gave no values for {only}: {refusal}; {ONLY}"))
            }
            None => (
                "GW-M101",
                format!("{who} did not answer the converter: {refusal}. {SILENT_DEVICE}"),
            ),
        },
        RequestError::Link(LinkError::Open { link, source }) => {
            ("GW-M104", format!("{port}: {link} cannot be opened: {source}. {}", open_hint(source)))
        }
        RequestError::Link(error @ (LinkError::Waiting { .. } | LinkError::Doubtful { .. })) => {
            ("GW-M104", format!("{port}: {error}"))
        }
        RequestError::Link(LinkError::Timeout { timeout }) => {
            let ms = timeout.as_millis();
            let what = format!(
                "{who} did not answer: {tries} of {tries} requests timed out after {ms} ms"
            );
            if let Some(only) = only {
                ("GW-M101", format!("{what} for {only}; {ONLY}   {SLOW_ON_SOME}"))
            } else if *others_answer {
                let clue = format!(
                    "other devices on {port} answer, so the line and its settings are fine"
                );
                ("GW-M101", format!("{what}; {clue}. {SILENT_DEVICE}"))
            } else {
                let likely = match (serial, framing) {
                    (true, _) => SILENT_LINE,
                    (false, Framing::Tcp) => SILENT_ENDPOINT,
                    (false, Framing::Rtu) => SILENT_CONVERTER,
                };
                ("GW-M102", format!("{what}; no device on {port} answers. {likely}"))
            }
        }
        RequestError::Link(LinkError::Late { timeout, took }) => (
            "GW-M107",
            format!(
                "{who} answers too late: the last reply came {} ms after its request, `timeout` is {} ms, and late \
                 replies are not used. Set `timeout = \"{}s\"` at the port",
                took.as_millis(),
                timeout.as_millis(),
                (*took * 3 / 2).as_secs() + 1
            ),
        ),
        RequestError::Link(LinkError::Broken(source)) if only.is_some() => {
            let only = only.map(|only| only.to_string()).unwrap_or_default();
            ("GW-M104", format!("{who}: {source} when it was asked for {only}; {ONLY}"))
        }
        RequestError::Link(LinkError::Broken(source)) => (
            "GW-M104",
            format!(
                "{who}: the connection broke: {source}. Likely: the device or converter was restarted, or allows fewer \
                 connections than are open; close other programs that are connected to it"
            ),
        ),
        RequestError::Link(LinkError::Unit { asked, found }) if *framing == Framing::Tcp => (
            "GW-M106",
            format!(
                "{who}: asked unit {asked}, unit {found} answered: set `unit = {found}` if this is the only device \
                 there, else `reply_unit = {found}`; the reply was not used"
            ),
        ),
        RequestError::Link(
            error @ (LinkError::Transaction { .. }
            | LinkError::Unit { .. }
            | LinkError::Function { .. }
            | LinkError::Count { .. }),
        ) => {
            let asked = only.map_or_else(String::new, |only| format!(" for {only}"));
            ("GW-M105", format!("{who}: {error}{asked}; it was not used. {}", other_reply(error)))
        }
        RequestError::Link(LinkError::Garbled(why)) => {
            let likely = match (serial, framing) {
                (true, _) => GARBLED_LINE,
                (false, Framing::Tcp) => GARBLED_ENDPOINT,
                (false, Framing::Rtu) => GARBLED_CONVERTER,
            };
            ("GW-M103", format!("{who}: bytes came that are no Modbus reply: {why}. {likely}"))
        }
    };
    Fault::new(code, message)
}

/// The fault of a device that another master asks, too.
pub(crate) fn shared(place: &Place<'_>) -> Fault {
    let Place { device, port, unit, .. } = place;
    let message = format!(
        "{device} ({port}, id {unit}): two masters share this line: replies of id {unit} came that this gateway did not ask \
         for. Values that may be the other one's are Bad. Only one master may talk on a line: end the other one, or give it \
         the values from here"
    );
    Fault::new("GW-M108", message)
}

const SILENT_DEVICE: &str = "Likely: 1. another id is set at the device   2. it is off, or A and B are swapped at its terminals";
const ONLY: &str = "it answers other requests. Likely: 1. it does not have all of these registers: compare them with its \
     manual; the ones that it has are found in the next rounds   2. it gives fewer at once: `registers_per_request_max`";
const SLOW_ON_SOME: &str = "3. it thinks longer than `timeout` about them";
const SILENT_LINE: &str = "Likely: 1. `baud`, `format` or ids differ from the devices'   2. A and B are swapped, or \
                           the converter is not in RS-485 mode   3. all devices are off";

const SILENT_ENDPOINT: &str = "The TCP connection is open. Likely: 1. another id is set at the device, or the converter passes none on to it   \
     2. a serial server that passes bytes on as they are: set `framing = \"rtu\"` at the port   3. what listens there does \
     not speak Modbus TCP: check the TCP port   4. it thinks longer than `timeout`";
const SILENT_CONVERTER: &str = "The TCP connection is open. Likely: 1. another id is set at the device   2. baud rate or format of the serial \
     server differ from the device's   3. the server speaks Modbus TCP: remove `framing`   4. A and B are swapped";

const GARBLED_LINE: &str = "Likely: 1. `baud` or `format` differs from the device's   2. two devices with this id   \
                            3. no termination, or a disturbed line";
const GARBLED_ENDPOINT: &str = "Likely: what listens there does not speak Modbus TCP: check the TCP port; a serial server that \
                                passes bytes on as they are needs `framing = \"rtu\"` at the port";
const GARBLED_CONVERTER: &str = "Likely: 1. baud rate or format of the serial server differ from the device's   2. the server speaks \
                                 Modbus TCP: remove `framing`   3. a disturbed line";

/// Why a reply came that does not fit its request.
fn other_reply(error: &LinkError) -> &'static str {
    match error {
        LinkError::Transaction { .. } => {
            "Likely: 1. its firmware does not bring back the transaction id of the request, as Modbus TCP demands: ask its \
             maker   2. it answers later than `timeout`"
        }
        LinkError::Count { .. } => {
            "Likely: 1. it does not have all of the registers that were asked for, or gives fewer at once: compare them with \
             its manual, set `registers_per_request_max`   2. it answers later than `timeout`"
        }
        LinkError::Unit { .. } => {
            "Likely: 1. another master talks on this line: only one may   2. another id is set at the device"
        }
        _ => {
            "Likely: 1. two devices with one id, or another master on this line   2. replies later than `timeout`"
        }
    }
}

fn open_hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "The user of this program may not open it: add that user to the group of the file (often `dialout`)"
        }
        std::io::ErrorKind::NotFound => {
            "Check the name and that the converter is plugged in; a name under /dev/serial/by-id stays the same"
        }
        std::io::ErrorKind::ConnectionRefused => {
            "The host answers, but nothing listens there: check the TCP port and that Modbus TCP is switched on"
        }
        std::io::ErrorKind::TimedOut => "Check the address, the cable and the firewall",
        _ => "Check that the address is right and that no other program uses it",
    }
}

/// The fault of a device that gives something from which no value can be made.
pub(crate) fn unusable(device: &str, address: &Address, why: &Unusable) -> Fault {
    let (area, start) = (address.area.name(), address.start);
    let data_type = address.data_type.name();
    let what = match why {
        Unusable::OutOfRange { found } => {
            let range = match address.data_type {
                DataType::F32 | DataType::F64 => "more than its `resolution` can tell apart",
                DataType::Text => "longer than a text may be",
                _ => {
                    "outside of -9223372036854775808 to 9223372036854775807 in steps of its `scale`"
                }
            };
            format!(
                "holds {found}, {range}. Likely: 1. the device has no value and says so with this number: put it into \
                 `absent`   2. `type` or `order` differ from the device's manual"
            )
        }
        Unusable::NoText { found } => format!(
            "holds no UTF-8 text: it begins with the bytes {found}. Texts are ASCII or UTF-8: set the language of the \
             device to English, or leave the point out"
        ),
        Unusable::Absent | Unusable::TooFew => "gives no value".to_owned(),
    };
    let message = format!("{device}: {area} register {start} ({data_type}) {what}");
    Fault::new("GW-M205", message)
}

/// The fault of a device that refuses an address; `gives_others`: other points of it have values.
pub(crate) fn refused(
    device: &str,
    request: Request,
    refusal: Refusal,
    gives_others: bool,
) -> Fault {
    let (start, count, function) = (request.start, request.count, request.area.function());
    let area = request.area.name();
    let next = match refusal.code() {
        _ if gives_others && refusal.may_be_about_address() => {
            "Compare `register` and `area` in the profile with the device's manual; its other points are still read"
        }
        1 => {
            "The profile reads this area with a function that the device does not offer: try the other area"
        }
        2 | 3 => "Compare `register` and `area` in the profile with the device's manual",
        _ if gives_others => {
            "It is asked again at the next poll; if this stays, it may not have this register: compare it with its manual"
        }
        _ => "It is asked again at the next poll; look at the device itself if this stays",
    };
    let message = format!(
        "{device} refused {area} register {start}: {refusal} (function {function}, count {count}). {next}"
    );
    Fault::new("GW-M204", message)
}
