//! What only says that it is a server, and servers whose values are larger than anybody can want. The memory is that of a
//! process of its own, in which nothing else runs.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::peer::Peer;
use super::support::{Rig, point};

/// Most memory that a hostile server may take above what the process has in peace.
const MEMORY_MAX_KIB: u64 = 128 * 1_024;
/// What is sent of an announced chunk, if it is taken.
const SENT_MAX: usize = 512 << 20;

/// An Acknowledge with buffers of 64 KiB.
fn acknowledge() -> Vec<u8> {
    let fields = [0_u32, 65_536, 65_536, 0, 0];
    let mut bytes = b"ACKF\x1c\0\0\0".to_vec();
    bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    bytes
}

/// What a hostile server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Acknowledges, and announces a chunk of 2 GiB.
    HugeChunk,
    /// Announces a Hello's answer of 2 GiB.
    HugeAcknowledge,
    /// Acknowledges, and then errors without end.
    Errors,
    /// Acknowledges, and then chunks of messages that never end.
    EndlessMessage,
    /// Bytes that are nothing.
    Noise,
}

fn attack(mut stream: TcpStream, attack: Attack) -> std::io::Result<()> {
    let huge = 0x7fff_ffff_u32.to_le_bytes();
    let chunk = |head: &[u8; 4]| {
        let mut bytes = [head.as_slice(), &65_000_u32.to_le_bytes()].concat();
        bytes.resize(65_000, 0);
        bytes
    };
    let part = match attack {
        Attack::HugeChunk => {
            stream.write_all(&[acknowledge(), [b"OPNF".as_slice(), &huge].concat()].concat())?;
            vec![0; 1 << 18]
        }
        Attack::HugeAcknowledge => {
            stream.write_all(&[b"ACKF".as_slice(), &huge].concat())?;
            vec![0; 1 << 18]
        }
        Attack::Errors => {
            stream.write_all(&acknowledge())?;
            let mut error = [b"ERRF".as_slice(), &4_112_u32.to_le_bytes()].concat();
            error.extend(0x8000_0000_u32.to_le_bytes());
            error.extend(4_096_u32.to_le_bytes());
            error.resize(4_112, b'x');
            error
        }
        Attack::EndlessMessage => {
            stream.write_all(&acknowledge())?;
            chunk(b"MSGC")
        }
        Attack::Noise => vec![0xA5; 1 << 18],
    };
    for _ in 0..SENT_MAX / part.len() {
        stream.write_all(&part)?;
    }
    Ok(())
}

/// A server that attacks whoever connects; gives its port.
fn serve_attack(kind: Attack) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    let tcp_port = listener.local_addr().expect("it listens").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client closes the connection at some point: that is what is right.
            let _closed = attack(stream, kind);
        }
    });
    tcp_port
}

/// The most memory that this process ever had, in KiB.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs a test of this binary in a process of its own, so that the memory is its own.
fn run_alone(test: &str) {
    let own = std::env::current_exe().expect("a test knows itself");
    let output = Command::new(own)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("it runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.contains("KiB")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

const ALONE: &str = "NENGLIU_TEST_ALONE";

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// brk-05: 1 GiB sent was 1 044 MiB of memory, for each connection.
#[test]
fn an_announced_chunk_of_2_gib_costs_the_connection_and_no_memory() {
    if !is_alone() {
        return run_alone(
            "tests::hostile::an_announced_chunk_of_2_gib_costs_the_connection_and_no_memory",
        );
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let node = json!({ "id": "a", "interval_ms": 100, "steps": [
            { "type": "Double", "value": 1.0 }, { "type": "Double", "value": 2.0 },
        ] });
        let peer = Peer::start(&json!({ "nodes": [node] }).to_string()).await;
        let honest = peer
            .as_ref()
            .map(|peer| Rig::start(&peer.url(), "", "", &point("a", "type = \"float\"")));
        if let Some(honest) = &honest {
            honest.until("values", |rig| rig.samples("a").len() > 3).await;
        }
        let before = memory_peak_kib();
        let kinds = [
            (Attack::HugeChunk, "GW-O111"),
            (Attack::HugeAcknowledge, "GW-O111"),
            (Attack::Errors, ""),
            (Attack::EndlessMessage, ""),
            (Attack::Noise, "GW-O111"),
        ];
        for (kind, code) in kinds {
            let url = format!("opc.tcp://127.0.0.1:{}/", serve_attack(kind));
            let seen = honest.as_ref().map_or(0, |rig| rig.samples("a").len());
            let rig = Rig::start(&url, "timeout = \"500ms\"", "", &point("x", "type = \"float\""));
            rig.until("the connection was closed, again and again", |rig| rig.faults().len() >= 3)
                .await;
            let fault = rig.faults().remove(0);
            println!("{kind:?}: {} {}", fault.code, fault.message);
            assert!(fault.code.contains(code), "{kind:?}: {fault:?}");
            if let Some(honest) = &honest {
                honest.until("values go on", |rig| rig.samples("a").len() > seen + 3).await;
                assert_eq!(honest.faults(), []);
            }
        }
        let grown = memory_peak_kib() - before;
        println!("hostile servers: {grown} KiB of memory");
        assert!(grown < MEMORY_MAX_KIB, "{grown} KiB");
    });
}

/// A text of 1.2 MB and arrays of 70 000 and 300 000 beside small values, subscribed to and read.
#[test]
fn one_huge_value_costs_its_own_point_and_no_memory() {
    if !is_alone() {
        return run_alone("tests::hostile::one_huge_value_costs_its_own_point_and_no_memory");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for device in ["", "subscribe = false"] {
            let small = |id: &str| {
                json!({ "id": id, "interval_ms": 200, "steps": [
                    { "type": "Double", "value": 1.0 }, { "type": "Double", "value": 2.0 },
                ] })
            };
            let huge = |id: &str, kind: &str, length: usize| {
                let step = json!({ "type": kind, "length": length });
                json!({ "id": id, "steps": [step] })
            };
            let plant = json!({ "nodes": [
                small("a"),
                huge("text", "String", 1_200_000),
                huge("list", "Int32[]", 70_000),
                huge("long", "Int32[]", 300_000),
                small("b"),
            ] });
            let Some(peer) = Peer::start(&plant.to_string()).await else { return };
            let points = [
                point("a", "type = \"float\""),
                point("text", "type = \"text\""),
                point("list", "type = \"integer\"\nindex = 3"),
                point("long", "type = \"integer\"\nindex = 3"),
                point("b", "type = \"float\""),
            ];
            let before = memory_peak_kib();
            let started = Instant::now();
            // asyncua takes its time to write what is huge.
            let rig = Rig::start(&peer.url(), "timeout = \"20s\"\nkeep_alive = \"10s\"", device, &points.concat());
            let good = |rig: &Rig, metric: &str| {
                rig.samples(metric).iter().filter(|sample| sample.quality.is_good()).count()
            };
            rig.until("small values", |rig| good(rig, "a") > 5 && good(rig, "b") > 5).await;
            rig.until("the three named", |rig| {
                rig.ever_shown().iter().any(|m| m.matches("too large or cannot be read").count() == 3)
            })
            .await;
            let (faults, seen) = (rig.faults().len(), good(&rig, "a"));
            rig.until("more of them", |rig| good(rig, "a") > seen + 10).await;
            // Found once, it costs no connection any more.
            assert_eq!(rig.faults().len(), faults, "{:?}", rig.faults());
            for metric in ["text", "list", "long"] {
                assert!(rig.samples(metric).iter().all(|sample| sample.quality.is_bad()), "{metric}");
            }
            let grown = memory_peak_kib() - before;
            let after = started.elapsed();
            println!("huge values ({device}): {grown} KiB of memory, found after {faults} sessions, {after:?}");
            assert!(grown < MEMORY_MAX_KIB, "{grown} KiB");
        }
    });
}
