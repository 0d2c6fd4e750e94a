//! Frames against the examples of the standards, and against everything that is no frame.

use proptest::prelude::*;

use super::*;
use crate::address::Area;

const REQUEST: Request = Request { area: Area::Holding, start: 0x006B, count: 3 };

fn asked(framing: Framing, request: Request) -> Asked {
    Asked { framing, transaction: 0x1501, unit: 0x11, reply_unit: 0x11, request }
}

fn rtu(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc(bytes)].concat()
}

fn hear(framing: Framing, bytes: &[u8]) -> Heard {
    asked(framing, REQUEST).hear(bytes, &mut None)
}

/// MODBUS Application Protocol V1.1b3, §6.3: registers 108 to 110 hold 555, 0 and 100.
const PDU: [u8; 8] = [0x03, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64];

fn reply(framing: Framing) -> Vec<u8> {
    match framing {
        Framing::Tcp => [&[0x15, 0x01, 0, 0, 0, 9, 0x11], PDU.as_slice()].concat(),
        Framing::Rtu => rtu(&[&[0x11], PDU.as_slice()].concat()),
    }
}

fn check_values(heard: &Heard, bytes: usize) {
    let Heard::Reply(Ok(words), used) = heard else { panic!("{heard:?}") };
    assert_eq!((words.as_slice(), *used), ([555, 0, 100].as_slice(), bytes));
}

#[test]
fn the_example_of_the_standard() {
    let frame = asked(Framing::Tcp, REQUEST).frame();
    assert_eq!(frame, [0x15, 0x01, 0, 0, 0, 6, 0x11, 3, 0, 0x6B, 0, 3]);
    // CRC of the request as published with the standard's example.
    assert_eq!(asked(Framing::Rtu, REQUEST).frame(), [0x11, 3, 0, 0x6B, 0, 3, 0x76, 0x87]);
    for framing in [Framing::Tcp, Framing::Rtu] {
        let reply = reply(framing);
        check_values(&hear(framing, &reply), reply.len());
        for length in 0..reply.len() {
            let heard = hear(framing, reply.get(..length).unwrap());
            assert!(matches!(heard, Heard::Partial), "{length}: {heard:?}");
        }
    }
}

#[test]
fn a_refusal_is_a_reply() {
    for framing in [Framing::Tcp, Framing::Rtu] {
        let bytes = match framing {
            Framing::Tcp => vec![0x15, 0x01, 0, 0, 0, 3, 0x11, 0x83, 2],
            Framing::Rtu => rtu(&[0x11, 0x83, 2]),
        };
        let heard = hear(framing, &bytes);
        assert!(matches!(heard, Heard::Reply(Err(Refusal(2)), _)), "{heard:?}");
    }
}

#[test]
fn a_frame_of_somebody_else_is_named() {
    let check = |framing, bytes: &[u8], expected: &str| {
        let Heard::Wrong(error, _) = hear(framing, bytes) else { panic!("{expected}") };
        assert_eq!(error.to_string(), expected);
    };
    let tcp = |at: usize, byte: u8| {
        let mut bytes = reply(Framing::Tcp);
        bytes[at] = byte;
        bytes
    };
    let transaction = "transaction 5377 was asked, transaction 5378 was answered";
    check(Framing::Tcp, &tcp(1, 2), transaction);
    check(Framing::Tcp, &tcp(6, 0), "asked unit 17, unit 0 answered");
    check(Framing::Tcp, &tcp(7, 4), "function 3 was asked, function 4 was answered");
    check(Framing::Tcp, &tcp(8, 4), "expected 3 values, found 3");
    check(Framing::Rtu, &rtu(&[0x12, 3, 2, 0, 1]), "asked unit 17, unit 18 answered");
    check(Framing::Rtu, &rtu(&[0x11, 3, 2, 0, 1]), "expected 3 values, found 1");
    check(Framing::Rtu, &rtu(&[0x11, 0x84, 2]), "function 3 was asked, function 4 was answered");
}

#[test]
fn an_echo_and_noise_stand_before_a_reply() {
    let reply = reply(Framing::Rtu);
    let frame = asked(Framing::Rtu, REQUEST).frame();
    let check = |before: &[u8], echo_before: Option<bool>, echo_after: bool| {
        let bytes = [before, reply.as_slice()].concat();
        let mut echo = echo_before;
        let heard = asked(Framing::Rtu, REQUEST).hear(&bytes, &mut echo);
        check_values(&heard, bytes.len());
        assert_eq!(echo, Some(echo_after));
    };
    check(&[], None, false);
    check(&frame, None, true);
    check(&frame, Some(true), true);
    check(&[], Some(true), false);
    check(&[0, 0xFF, 0x11], None, false);
    check(&[frame.as_slice(), &[0x55]].concat(), Some(true), true);
    let heard = hear(Framing::Rtu, &frame);
    assert!(matches!(heard, Heard::Partial) && asked(Framing::Rtu, REQUEST).is_silence(&frame));
}

/// 17 to 24 coils from 0x300 on: the request itself is what a reply could look like.
#[test]
fn an_echo_is_never_taken_for_the_reply_that_it_looks_like() {
    let request = Request { area: Area::Coil, start: 0x0300, count: 17 };
    let asked = asked(Framing::Rtu, request);
    let frame = asked.frame();
    assert!(matches!(asked.hear(&frame, &mut None), Heard::Partial));
    assert!(matches!(asked.hear(&frame, &mut Some(true)), Heard::Partial));
    assert!(matches!(asked.hear(&frame, &mut Some(false)), Heard::Reply(Ok(_), 8)));
}

proptest! {
    /// Whatever comes, only a frame of this very request gives values.
    #[test]
    fn nothing_but_the_reply_gives_values(bytes: Vec<u8>, at in 0..11_usize, bit in 0..8_u8) {
        for framing in [Framing::Tcp, Framing::Rtu] {
            let heard = hear(framing, &bytes);
            prop_assert!(!matches!(heard, Heard::Reply(Ok(_), _)), "{heard:?}");
        }
        let mut flipped = reply(Framing::Rtu);
        flipped[at] ^= 1 << bit;
        let heard = hear(Framing::Rtu, &flipped);
        prop_assert!(!matches!(heard, Heard::Reply(..)), "{heard:?}");
    }

    #[test]
    fn bits_come_least_significant_first(data: [u8; 3], count in 17..=24_u16) {
        let request = Request { area: Area::Coil, start: 0, count };
        let bytes = rtu(&[&[0x11, 1, 3], data.as_slice()].concat());
        let heard = asked(Framing::Rtu, request).hear(&bytes, &mut None);
        let Heard::Reply(Ok(bits), _) = heard else { panic!("{heard:?}") };
        let bit = |at: u16| u16::from(data[usize::from(at / 8)] >> (at % 8) & 1);
        prop_assert_eq!(bits, (0..count).map(bit).collect::<Vec<_>>());
    }
}

#[test]
fn what_another_master_asks_for_and_is_answered_is_found_among_noise() {
    let framed = |bytes: &[u8]| [bytes, crc(bytes).as_slice()].concat();
    let (own, other) = (framed(&[1, 3, 0, 0, 0, 2]), framed(&[1, 3, 0, 40, 0, 20]));
    let bits = framed(&[2, 1, 0, 0, 0, 9]);
    let reply = framed(&[1, 3, 4, 0, 1, 0, 2]);
    let refusal = framed(&[1, 0x84, 2]);
    let heard = [&own, [0xFF].as_slice(), &other, &reply, &refusal, &bits, &[1, 3]].concat();
    let shape = |unit, function, bytes| Shape { unit, function, bytes };
    let asked = rtu_requests(&heard, &own);
    assert_eq!(asked, [shape(1, 3, Some(40)), shape(2, 1, Some(2))]);
    let answered: Vec<Shape> = rtu_replies(&heard).into_iter().map(|(shape, _)| shape).collect();
    assert_eq!(answered, [shape(1, 3, Some(4)), shape(1, 4, None)]);
    // A request within the values of a reply is none.
    let inside = framed(&[&[1, 3, 8], other.as_slice()].concat());
    assert_eq!(rtu_requests(&inside, &own), []);
}
