//! Modbus peers whose every register is a function of unit, area and address, so that a value from another request is
//! seen at once; and the faults that they can have. They share no code with the client.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

/// What a peer does instead of answering well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Answer,
    Late(u64),
    /// A reply that comes after so many milliseconds, while later requests are answered before it.
    LateAlone(u64),
    Silent,
    Exception(u8),
    /// A refusal that comes after so many milliseconds.
    LateException(u8, u64),
    ForgedTransaction,
    WrongUnit,
    WrongFunction,
    OneRegisterLess,
    OddByteCount,
    Cut,
    Drip,
    Garbage,
    Noise,
    Twice,
    /// With RTU frames: so many milliseconds later a reply to another master, which asked for so many registers more, and
    /// after as long again the reply.
    Overheard(u16, u64),
    /// So with an exception for the other master.
    OverheardException(u64),
    /// A line that brings back what is sent on it.
    Echo,
    HangUp,
}

/// A request as a peer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) unit: u8,
    pub(super) function: u8,
    pub(super) start: u16,
    pub(super) count: u16,
}

/// What register `address` of a peer holds.
pub(super) fn register(unit: u8, function: u8, address: u16) -> u16 {
    let mixed = u32::from(address) + 7919 * u32::from(unit) + 104_729 * u32::from(function);
    (mixed.wrapping_mul(2_654_435_761) >> 16) as u16
}

/// Decides what a peer does.
pub(super) type Script = Arc<dyn Fn(usize, Asked) -> Act + Send + Sync>;

/// The requests that a peer got.
pub(super) type Log = Arc<Mutex<Vec<Asked>>>;

/// The bytes after the unit id of a good reply.
pub(super) fn pdu(asked: Asked) -> Vec<u8> {
    let values: Vec<u16> = (0..asked.count)
        .map(|at| register(asked.unit, asked.function, asked.start.wrapping_add(at)))
        .collect();
    let bytes: Vec<u8> = if asked.function <= 2 {
        let byte = |bits: &[u16]| {
            bits.iter().enumerate().fold(0, |byte, (at, value)| byte | ((value & 1) as u8) << at)
        };
        values.chunks(8).map(byte).collect()
    } else {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    };
    let mut pdu = vec![asked.function, u8::try_from(bytes.len()).unwrap()];
    pdu.extend(bytes);
    pdu
}

impl Act {
    /// How much later than at once it is done.
    fn delay(self) -> Duration {
        match self {
            Self::Late(ms) | Self::LateAlone(ms) | Self::LateException(_, ms) => {
                Duration::from_millis(ms)
            }
            Self::Overheard(_, ms) | Self::OverheardException(ms) => Duration::from_millis(2 * ms),
            _ => Duration::ZERO,
        }
    }

    /// What is heard before the reply on a line that another master uses, too.
    fn overheard(self, asked: Asked) -> Vec<u8> {
        let mut bytes = match self {
            Self::Overheard(more, _) => {
                let mut bytes = vec![asked.unit, asked.function];
                let length = u8::try_from(2 * (asked.count + more)).unwrap();
                bytes.push(length);
                bytes.resize(3 + usize::from(length), 0x11);
                bytes
            }
            Self::OverheardException(_) => vec![asked.unit, asked.function | 0x80, 2],
            _ => return Vec::new(),
        };
        bytes.extend(crc(&bytes));
        bytes
    }
}

/// What goes over the wire for an act, apart from framing: unit, bytes after it, and whether the frame is spoiled.
fn reply(asked: Asked, act: Act) -> Option<(u8, Vec<u8>)> {
    let good = pdu(asked);
    Some(match act {
        Act::Silent | Act::HangUp => return None,
        Act::Exception(code) | Act::LateException(code, _) => {
            (asked.unit, vec![asked.function | 0x80, code])
        }
        Act::WrongUnit => (asked.unit.wrapping_add(1), good),
        Act::WrongFunction => (asked.unit, pdu(Asked { function: 7 - asked.function, ..asked })),
        Act::OneRegisterLess => {
            let count = asked.count.saturating_sub(1);
            (asked.unit, pdu(Asked { count, ..asked }))
        }
        Act::OddByteCount => {
            let mut pdu = good;
            pdu[1] = pdu[1].wrapping_sub(1);
            pdu.pop();
            (asked.unit, pdu)
        }
        _ => (asked.unit, good),
    })
}

/// A Modbus TCP peer on loopback; every connection answers its requests in order, as devices do.
pub(super) async fn tcp(script: Script) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp_port = listener.local_addr().unwrap().port();
    let log = Log::default();
    let shared = Arc::clone(&log);
    serve(listener, script, shared);
    (tcp_port, log)
}

/// Serves on a listener that is there already.
pub(super) fn serve(listener: TcpListener, script: Script, log: Log) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_tcp(stream, Arc::clone(&script), Arc::clone(&log)));
        }
    });
}

/// Spoils every byte.
fn garble(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = byte.wrapping_mul(31) ^ 0x5A;
    }
}

/// Bytes without any sense, other ones for each `n`.
fn noise(n: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let mixed = (n + 1).wrapping_mul(2_654_435_761).wrapping_add(at * 40_503);
        mixed.to_le_bytes()[1]
    };
    (0..n * 7 % 300).map(byte).collect()
}

fn note(log: &Log, asked: Asked) -> usize {
    let mut log = log.lock().unwrap();
    log.push(asked);
    log.len() - 1
}

async fn serve_tcp(mut stream: TcpStream, script: Script, log: Log) {
    let mut head = [0_u8; 12];
    while stream.read_exact(&mut head).await.is_ok() {
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let asked = Asked { unit: head[6], function: head[7], start: word(8), count: word(10) };
        let n = note(&log, asked);
        let act = script(n, asked);
        if act == Act::HangUp {
            return;
        }
        tokio::time::sleep(act.delay()).await;
        let Some((unit, pdu)) = reply(asked, act) else { continue };
        let mut frame = vec![head[0], head[1], 0, 0];
        frame.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
        frame.push(unit);
        frame.extend(pdu);
        match act {
            Act::ForgedTransaction => frame[1] = frame[1].wrapping_add(1),
            Act::Cut => frame.truncate(frame.len() - 3),
            Act::Garbage => garble(&mut frame),
            Act::Noise => frame = noise(n),
            Act::Twice => frame.extend(frame.clone()),
            _ => {}
        }
        let pieces = if act == Act::Drip { 1 } else { frame.len().max(1) };
        for piece in frame.chunks(pieces) {
            if stream.write_all(piece).await.is_err() {
                return;
            }
            if act == Act::Drip {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The newest transaction and where its reply goes.
type Newest = Option<([u8; 2], Arc<tokio::sync::Mutex<OwnedWriteHalf>>)>;

/// A converter with one slow serial device behind it: replies come in order, and each goes out on the newest connection
/// under the newest transaction id, whatever it was that the device answers.
pub(super) async fn converter(script: Script) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp_port = listener.local_addr().unwrap().port();
    let newest: Arc<Mutex<Newest>> = Arc::default();
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel::<(Asked, Act)>();
    let answering = Arc::clone(&newest);
    tokio::spawn(async move {
        while let Some((asked, act)) = requests.recv().await {
            tokio::time::sleep(act.delay()).await;
            let Some((unit, pdu)) = reply(asked, act) else { continue };
            let newest = answering.lock().unwrap().clone();
            let Some((transaction, writer)) = newest else { continue };
            let mut frame = vec![transaction[0], transaction[1], 0, 0];
            frame.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
            frame.push(unit);
            frame.extend(pdu);
            // The connection may be gone; that is the point.
            drop(writer.lock().await.write_all(&frame).await);
        }
    });
    tokio::spawn(async move {
        let log = Log::default();
        while let Ok((stream, _)) = listener.accept().await {
            let (mut reader, writer) = stream.into_split();
            let writer = Arc::new(tokio::sync::Mutex::new(writer));
            let (newest, sender) = (Arc::clone(&newest), sender.clone());
            let (script, log) = (Arc::clone(&script), Arc::clone(&log));
            tokio::spawn(async move {
                let mut head = [0_u8; 12];
                while reader.read_exact(&mut head).await.is_ok() {
                    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
                    let (unit, function) = (head[6], head[7]);
                    let asked = Asked { unit, function, start: word(8), count: word(10) };
                    let act = script(note(&log, asked), asked);
                    *newest.lock().unwrap() = Some(([head[0], head[1]], Arc::clone(&writer)));
                    sender.send((asked, act)).unwrap();
                }
            });
        }
    });
    tcp_port
}

/// CRC of Modbus RTU, bit by bit.
pub(super) fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

/// Modbus RTU peers on the far end of a terminal pair. Each unit answers its own requests in order, but a unit that is
/// late does not keep another from answering: two can talk over the line at once.
pub(super) fn rtu(far_end: std::fs::File, script: Script) -> Log {
    use std::io::{Read, Write};
    let log = Log::default();
    let shared = Arc::clone(&log);
    let mut reader = far_end.try_clone().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut writer = far_end;
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        loop {
            // What is due at one time stays in the order in which it was asked for.
            waiting.make_contiguous().sort_by_key(|(due, _)| *due);
            let wait = waiting.front().map_or(Duration::from_secs(1), |(due, _)| {
                due.saturating_duration_since(Instant::now())
            });
            match receiver.recv_timeout(wait) {
                Ok(reply) => waiting.push_back(reply),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    let frame = waiting.pop_front().map(|(_, frame)| frame).unwrap_or_default();
                    if writer.write_all(&frame).is_err() {
                        return;
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    std::thread::spawn(move || {
        let mut busy_until: HashMap<u8, Instant> = HashMap::new();
        let mut frame = [0_u8; 8];
        while reader.read_exact(&mut frame).is_ok() {
            assert_eq!(crc(&frame[..6]), frame[6..], "the client sends whole frames");
            let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
            let asked =
                Asked { unit: frame[0], function: frame[1], start: word(2), count: word(4) };
            let n = note(&shared, asked);
            let act = script(n, asked);
            let Some((unit, pdu)) = reply(asked, act) else { continue };
            let mut bytes = vec![unit];
            bytes.extend(pdu);
            bytes.extend(crc(&bytes));
            match act {
                Act::Cut => bytes.truncate(bytes.len() - 3),
                Act::Garbage => garble(&mut bytes),
                Act::Noise => bytes = noise(n),
                Act::Twice => bytes.extend(bytes.clone()),
                Act::Echo => bytes = [frame.as_slice(), bytes.as_slice()].concat(),
                _ => {}
            }
            let now = Instant::now();
            let free = busy_until.get(&asked.unit).copied().unwrap_or(now).max(now);
            let due = free + act.delay();
            sender.send((free + act.delay() / 2, act.overheard(asked))).unwrap();
            if !matches!(act, Act::LateAlone(_)) {
                busy_until.insert(asked.unit, due);
            }
            let pieces = if act == Act::Drip { 1 } else { bytes.len().max(1) };
            for piece in bytes.chunks(pieces) {
                sender.send((due, piece.to_vec())).unwrap();
            }
        }
    });
    log
}
