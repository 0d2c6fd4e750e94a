//! What a technician is told when a device gives no values: what, where, the likely cause, the next step. Must never
//! decide anything.

use driver::Fault;

use crate::error::{LinkError, Refusal, RequestError};
use crate::request::Request;
use crate::wire::Framing;

/// Whom a fault is about.
pub(crate) struct Place<'a> {
    pub(crate) device: &'a str,
    pub(crate) port: &'a str,
    pub(crate) unit: u8,
    pub(crate) serial: bool,
    pub(crate) framing: Framing,
    pub(crate) others_answer: bool,
    /// What it left unanswered while it answered the rest.
    pub(crate) only: Option<Request>,
}

/// The fault of a device that did not answer as it should.
pub(crate) fn silent(place: &Place<'_>, error: &RequestError, tries: u32) -> Fault {
    let Place { device, port, unit, serial, framing, others_answer, only } = place;
    let who = format!("{device} ({port}, id {unit})");
    let (code, message) = match error {
        RequestError::Refused(refusal) => {
            ("GW-M101", format!("{who} did not answer the converter: {refusal}. {SILENT_DEVICE}"))
        }
        RequestError::Link(LinkError::Open { link, source }) => {
            ("GW-M104", format!("{port}: {link} cannot be opened: {source}. {}", open_hint(source)))
        }
        RequestError::Link(error @ LinkError::Waiting { .. }) => {
            ("GW-M104", format!("{port}: {error}"))
        }
        RequestError::Link(LinkError::Timeout { timeout }) => {
            let ms = timeout.as_millis();
            let what = format!(
                "{who} did not answer: {tries} of {tries} requests timed out after {ms} ms"
            );
            if let Some(only) = only {
                ("GW-M101", format!("{what} for {only}; it answers the rest. {SILENT_ON_SOME}"))
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
        ) => (
            "GW-M105",
            format!(
                "{who}: {error}; it was not used. Likely: replies later than `timeout`, or two devices with one id; \
                 raise `timeout` or `gap`"
            ),
        ),
        RequestError::Link(LinkError::Garbled(why)) => {
            let likely = match (serial, framing) {
                (true, _) => GARBLED_LINE,
                (false, Framing::Tcp) => GARBLED_ENDPOINT,
                (false, Framing::Rtu) => GARBLED_CONVERTER,
            };
            ("GW-M103", format!("{who}: bytes came that are no Modbus reply: {why}. {likely}"))
        }
    };
    Fault { code, message }
}

const SILENT_DEVICE: &str = "Likely: 1. another id is set at the device   2. it is off, or A and B are swapped at its terminals";
const SILENT_ON_SOME: &str = "Likely: 1. it does not have all of these registers: compare them with its manual   2. it thinks \
     longer than `timeout` about them";
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
        _ => "It is asked again at the next poll; look at the device itself if this stays",
    };
    let message = format!(
        "{device} refused {area} register {start}: {refusal} (function {function}, count {count}). {next}"
    );
    Fault { code: "GW-M204", message }
}
