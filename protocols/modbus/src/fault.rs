//! What a technician is told when a device gives no values: what, where, the likely cause, the next step. Must never
//! decide anything.

use driver::Fault;
use model::{Language, Localized, text};

use crate::address::{Address, DataType};
use crate::codec::Unusable;
use crate::error::{HeardBytes, LinkError, Refusal, RequestError};
use crate::request::Request;
use crate::settings::Link;
use crate::wire::Framing;

mod likely;
mod meaning;

pub(crate) use meaning::{blank, elsewhere, implausible};

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
    let Place { device, port, unit, is_shared, only, .. } = place;
    if let (true, RequestError::Link(error)) = (is_shared, error)
        && matches!(
            error,
            LinkError::Doubtful { .. } | LinkError::Function { .. } | LinkError::Count { .. }
        )
    {
        return shared(place);
    }
    let who = text!(en: "{device} ({port}, id {unit})", zh: "{device}（{port}，地址 {unit}）");
    let (code, what, next) = match error {
        RequestError::Refused(refusal) => match only {
            Some(only) => (
                "GW-M101",
                text!(en: " gave no values for {only}: {refusal}; ", zh: "未给出 {only} 的值：{refusal}；"),
                likely::only(),
            ),
            None => (
                "GW-M101",
                text!(en: " did not answer the converter: {refusal}. ", zh: "未应答网关转换器：{refusal}。"),
                likely::silent_device(),
            ),
        },
        RequestError::Link(LinkError::Open { link, source }) => {
            return unopened(port, link, source);
        }
        RequestError::Link(error @ (LinkError::Waiting { .. } | LinkError::Doubtful { .. })) => {
            return Fault::new("GW-M104", text!(en: "{port}: {error}", zh: "{port}：{error}"));
        }
        RequestError::Link(LinkError::Timeout { timeout }) => {
            timed_out(place, timeout.as_millis(), tries)
        }
        RequestError::Link(LinkError::Late { timeout, took }) => {
            let (took_ms, ms) = (took.as_millis(), timeout.as_millis());
            let enough = (*took * 3 / 2).as_secs() + 1;
            (
                "GW-M107",
                text!(
                    en: " answers too late: the last reply came {took_ms} ms after its request, `timeout` is {ms} ms, and late \
                         replies are not used. ",
                    zh: "应答过迟：上次应答在请求后 {took_ms} ms 才到，而 `timeout` 为 {ms} ms，迟到的应答不予采用。"
                ),
                text!(
                    en: "Set `timeout = \"{enough}s\"` at the port",
                    zh: "请在该端口设 `timeout = \"{enough}s\"`"
                ),
            )
        }
        RequestError::Link(LinkError::Broken(source)) => match only {
            Some(only) => (
                "GW-M104",
                text!(en: ": {source} when it was asked for {only}; ", zh: "：读取 {only} 时 {source}；"),
                likely::only(),
            ),
            None => (
                "GW-M104",
                text!(en: ": the connection broke: {source}. ", zh: "：连接中断：{source}。"),
                likely::broken(),
            ),
        },
        RequestError::Link(LinkError::Unit { asked, found }) if place.framing == Framing::Tcp => (
            "GW-M106",
            text!(en: ": asked unit {asked}, unit {found} answered: ", zh: "：询问地址 {asked}，应答来自地址 {found}："),
            text!(
                en: "set `unit = {found}` if this is the only device there, else `reply_unit = {found}`; the reply was not used",
                zh: "若此处仅有这一台设备，请设 `unit = {found}`，否则设 `reply_unit = {found}`；该应答未采用"
            ),
        ),
        RequestError::Link(LinkError::Garbled { why, bytes }) => garbled(place, why, bytes),
        RequestError::Link(error) => {
            let asked = only
                .map_or_else(Localized::default, |only| text!(en: " for {only}", zh: "（{only}）"));
            let asked_zh = asked.get(Language::Chinese);
            (
                "GW-M105",
                text!(en: ": {error}{asked}; it was not used. ", zh: "：{error}{asked_zh}；该应答未采用。"),
                likely::other_reply(error),
            )
        }
    };
    Fault::new(code, Localized::join([&who, &what, &next], ""))
}

/// A code, what happened to whom, and what to do.
type Told = (&'static str, Localized, Localized);

fn timed_out(place: &Place<'_>, ms: u128, tries: u32) -> Told {
    let Place { port, serial, framing, others_answer, only, .. } = place;
    if let Some(only) = only {
        let what = text!(
            en: " did not answer: {tries} of {tries} requests timed out after {ms} ms for {only}; ",
            zh: "无应答：{tries} 次请求（{only}）均在 {ms} ms 内超时；"
        );
        return ("GW-M101", what, Localized::join([&likely::only(), &likely::slow()], "   "));
    }
    if *others_answer {
        let what = text!(
            en: " did not answer: {tries} of {tries} requests timed out after {ms} ms; other devices on {port} answer, so the \
                 line and its settings are fine. ",
            zh: "无应答：{tries} 次请求均在 {ms} ms 内超时；{port} 上其他设备应答正常，故线路及其参数无误。"
        );
        return ("GW-M101", what, likely::silent_device());
    }
    let what = text!(
        en: " did not answer: {tries} of {tries} requests timed out after {ms} ms; no device on {port} answers. ",
        zh: "无应答：{tries} 次请求均在 {ms} ms 内超时；{port} 上没有设备应答。"
    );
    let next = match (serial, framing) {
        (true, _) => likely::silent_line(),
        (false, Framing::Tcp) => likely::silent_endpoint(),
        (false, Framing::Rtu) => likely::silent_converter(),
    };
    ("GW-M102", what, next)
}

/// Bytes that are no reply are named, and so is the protocol that they belong to, where it can be seen.
fn garbled(place: &Place<'_>, why: &str, bytes: &HeardBytes) -> Told {
    let (count, digits) = (bytes.count, bytes.digits());
    let foreign = foreign_protocol(&bytes.first);
    match (place.serial, place.framing) {
        (false, Framing::Tcp) => {
            let what = match foreign {
                Some(protocol) => text!(
                    en: ": what answers there speaks {protocol} and no Modbus TCP ({count} bytes: {digits}). ",
                    zh: "：对端使用 {protocol}，而非 Modbus TCP（{count} 字节：{digits}）。"
                ),
                None => text!(
                    en: ": bytes arrive that are no Modbus TCP ({count} bytes, {why}: {digits}). ",
                    zh: "：收到的字节不是 Modbus TCP（{count} 字节，{why}：{digits}）。"
                ),
            };
            ("GW-M103", what, likely::garbled_endpoint())
        }
        (serial, _) => {
            let what = text!(
                en: ": bytes arrive that are no Modbus RTU ({count} bytes, checksum wrong: {digits}). ",
                zh: "：收到的字节不是 Modbus RTU（{count} 字节，校验错误：{digits}）。"
            );
            let next = if serial { likely::garbled_line() } else { likely::garbled_converter() };
            ("GW-M103", what, next)
        }
    }
}

/// How the replies of other services begin that listen on a TCP port.
const FOREIGN: [(&[u8], &str); 10] = [
    (b"HTTP/", "HTTP"),
    (b"<!DOC", "HTTP"),
    (b"<html", "HTTP"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
    (b"SSH-", "SSH"),
    (b"220", "FTP or SMTP"),
    (b"\xff\xfb", "Telnet"),
    (b"\xff\xfd", "Telnet"),
    (b"ERRF", "OPC UA"),
];

fn foreign_protocol(bytes: &[u8]) -> Option<&'static str> {
    FOREIGN.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

/// A link that cannot be opened.
fn unopened(port: &str, link: &Link, source: &std::io::Error) -> Fault {
    let hint = match link {
        Link::Serial(serial) => likely::serial_hint(source, &serial.path),
        Link::Tcp { .. } => likely::tcp_hint(source),
    };
    let what = text!(
        en: "{port}: {link} cannot be opened: {source}. ",
        zh: "{port}：无法打开 {link}：{source}。"
    );
    // Codes of their own: a script tells by them what to do.
    let code = match source.kind() {
        std::io::ErrorKind::ResourceBusy => "GW-M109",
        std::io::ErrorKind::PermissionDenied => "GW-M110",
        _ => "GW-M104",
    };
    Fault::new(code, Localized::join([&what, &hint], ""))
}

/// The fault of a device that another master asks, too.
pub(crate) fn shared(place: &Place<'_>) -> Fault {
    let Place { device, port, unit, .. } = place;
    Fault::new(
        "GW-M108",
        text!(
            en: "{device} ({port}, id {unit}): two masters share this line: replies of id {unit} came that this gateway did not ask \
                 for. Values that may be the other one's are Bad. Only one master may talk on a line: end the other one, or give it \
                 the values from here",
            zh: "{device}（{port}，地址 {unit}）：总线上有两个主站：收到地址 {unit} 的应答，但并非本网关所询问。可能属于对方的值标记为 Bad。\
                 一条总线只能有一个主站：请停用另一主站，或由本网关向其提供数据"
        ),
    )
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

#[cfg(test)]
mod tests;
