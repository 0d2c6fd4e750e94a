//! What is said of bytes that are no Modbus, and of lines that cannot be opened (trial O10).

use std::io::{Error, ErrorKind};

use driver::SerialSettings;

use super::*;
use crate::error::HeardBytes;

fn place(serial: bool, framing: Framing) -> Place<'static> {
    Place {
        device: "meter",
        port: "meters",
        unit: 1,
        serial,
        framing,
        others_answer: false,
        is_shared: false,
        only: None,
    }
}

fn told(place: &Place<'_>, bytes: &[u8]) -> Localized {
    let error = LinkError::Garbled { why: "no whole reply in time", bytes: HeardBytes::of(bytes) };
    let fault = silent(place, &error.into(), 2);
    assert_eq!(fault.code, "GW-M103");
    fault.message
}

#[test]
fn noise_on_a_line_is_named_with_its_causes() {
    let noise = [0x4f, 0x9c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let message = told(&place(true, Framing::Rtu), &noise);
    let start = "meter (meters, id 1): bytes arrive that are no Modbus RTU (13 bytes, checksum wrong: 4f 9c 00 01 02 03 04 05 …). \
                 Likely: 1. `baud` or `format` differs from the device's   2. two masters on this line";
    assert!(message.starts_with(start), "{message}");
    let chinese = message.get(Language::Chinese);
    assert!(chinese.starts_with("meter（meters，地址 1）：收到的字节不是 Modbus RTU"), "{chinese}");
    assert!(told(&place(false, Framing::Rtu), &noise).contains("of the serial server"));
    assert!(told(&place(true, Framing::Rtu), &[7]).contains("(1 bytes, checksum wrong: 07)"));
}

#[test]
fn another_service_on_a_tcp_port_is_named() {
    let endpoint = place(false, Framing::Tcp);
    for (bytes, name) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "speaks HTTP and no Modbus TCP (28 bytes: 48 54 54 50",
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            "speaks TLS and no Modbus TCP (7 bytes: 15 03 01 00 02 02 46)",
        ),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "speaks SSH and no Modbus TCP"),
        (b"220 printer ready\r\n", "speaks FTP or SMTP and no Modbus TCP"),
        (b"\xff\xfb\x01\xff\xfb\x03", "speaks Telnet and no Modbus TCP"),
        (
            b"hello",
            "bytes arrive that are no Modbus TCP (5 bytes, no whole reply in time: 68 65 6c 6c 6f)",
        ),
    ] {
        let message = told(&endpoint, bytes);
        assert!(message.contains(name), "{message}");
        assert!(message.contains("check the TCP port"), "{message}");
    }
}

#[test]
fn a_line_that_cannot_be_opened_has_no_firewall() {
    let path = "/dev/ttyUSB0".to_owned();
    let line = Link::Serial(SerialSettings { path, baud: 9_600, format: "8N1".to_owned() });
    let unopened = |kind: ErrorKind| {
        let error = LinkError::Open { link: line.clone(), source: Error::from(kind) };
        silent(&place(true, Framing::Rtu), &error.into(), 1).message
    };
    for kind in [ErrorKind::TimedOut, ErrorKind::NotFound, ErrorKind::Other] {
        let message = unopened(kind);
        assert!(message.contains("/dev/ttyUSB0 (9600 8N1) cannot be opened"), "{message}");
        assert!(
            !message.contains("firewall") && message.contains("/dev/serial/by-id"),
            "{message}"
        );
    }
    let busy = unopened(ErrorKind::ResourceBusy);
    assert!(busy.contains("`fuser -v /dev/ttyUSB0`"), "{busy}");
    assert!(unopened(ErrorKind::PermissionDenied).contains("dialout"));
}
