//! Peers that send more than there is: half packets, dictionaries of a thousand names, announcements of 2 GiB. The memory of
//! the program that they talk to stays near its normal, and an honest gateway beside them keeps its acks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::dictionary::{DisplayName, Place};
use model::frame::{encode_frame, hash_of_log_start};
use model::wire::{Open, UpMessage};
use model::{
    DestinationId, Dictionary, Epoch, FrameHeader, Lane, LogId, PointId, PointInfo, PointKind,
    RecordType, Sequence, Timestamp, Unit, ValueType,
};
use serde_json::Value;
use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter;
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::skip::long_runs;
use tests::wait::wait_until;

const SOON: Duration = Duration::from_mins(1);
/// What hostile peers may cost above the normal.
const ABOVE_NORMAL_KIB_MAX: u64 = 128 * 1_024;
const HALF_PACKETS: usize = 2_000;
/// Half of the longest packet of a gateway, and of a shorter one: 400 MB in all.
const HALF_LONGEST: usize = 1 << 20;
const HALF_PACKET: usize = 200_000;
const DICTIONARIES: usize = 1_000;
/// A lie that was taken up to here would have been taken to its end.
const TAKEN_MAX: usize = 256 << 20;
/// The most bytes that an OPC UA length can announce, and the length of none (part 6, 5.2.2.4).
const MOST: u32 = 0x7FFF_FFFF;
const NONE: u32 = u32::MAX;
/// Open files of this process and of those that it starts: each client is one here and one there.
const FILES: usize = 4_096;

/// A line of `/proc/PID/status`, KiB.
fn memory_kib(id: u32, line: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Forgets the peak of this process, and gives its memory now, KiB.
fn normal_kib(id: u32) -> u64 {
    // proc(5): 5 resets the peak resident set size.
    fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
    memory_kib(id, "VmRSS")
}

fn check_peak(what: &str, id: u32, normal: u64) {
    let above = memory_kib(id, "VmHWM").saturating_sub(normal);
    eprintln!("{what}: {} MiB above {} MiB", above >> 10, normal >> 10);
    assert!(above <= ABOVE_NORMAL_KIB_MAX, "{what}: {} MiB above the normal", above >> 10);
}

/// Waits until so many more frames of the honest gateway have a commit ack.
fn wait_for_acks(gateway: &mut Gateway, more: u64) {
    let acked = |status: &Value| status["spool"]["acked"].as_u64().unwrap();
    let wanted = acked(&gateway.status().unwrap()) + more;
    gateway.wait_for_status("commit acks", SOON, |status| acked(status) >= wanted).unwrap();
}

/// A client of the broker with this id, connected by MQTT 3.1.1.
fn client(tcp_port: u16, id: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, tcp_port))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = u8::try_from(id.len()).unwrap();
    let mut connect = vec![0x10, 12 + length];
    connect.extend(*b"\0\x04MQTT\x04\x02\0\x3c\0");
    connect.push(length);
    connect.extend(id.as_bytes());
    stream.write_all(&connect)?;
    stream.read_exact(&mut [0; 4])?;
    Ok(stream)
}

/// The fixed header and the topic of a PUBLISH at QoS 0 to the uplink of this id, with a body of so many bytes.
fn publish_head(id: &str, body: usize) -> Vec<u8> {
    let topic = format!("gw/{id}/up");
    let mut rest = 2 + topic.len() + body;
    let mut head = vec![0x30];
    loop {
        let low = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        head.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    head.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    head.extend(topic.as_bytes());
    head
}

fn publish(stream: &mut TcpStream, id: &str, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(&publish_head(id, message.len()))?;
    stream.write_all(message)
}

/// brk-06: clients that send half of a packet and wait. The broker may cut them off once they are connected.
fn half_packets(tcp_port: u16, over: &AtomicBool) {
    let bytes = if long_runs() { HALF_LONGEST } else { HALF_PACKET };
    let half = vec![0_u8; bytes];
    let mut clients = Vec::new();
    for n in 0.. {
        if n >= HALF_PACKETS && over.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("half-{}", n % HALF_PACKETS);
        let mut stream = client(tcp_port, &id).unwrap();
        let sent = stream.write_all(&publish_head(&id, 2 * bytes));
        // It was given up for others.
        drop(sent.and_then(|()| stream.write_all(&half)));
        clients.push(stream);
        if clients.len() > HALF_PACKETS {
            clients.remove(0);
        }
    }
}

/// A dictionary of many points, as the body of a DICT record.
fn large_dictionary() -> Vec<u8> {
    let place = Place { enterprise: "works".into(), site: "plant".into(), area: None, line: None };
    let point = |at: u32| PointInfo {
        id: PointId::new(format!("works/plant/other/p{at}")).unwrap(),
        place: place.clone(),
        device: "other".into(),
        metric: format!("p{at}"),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Float,
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    Dictionary::new((0..4_000).map(point).collect()).unwrap().to_record()
}

/// As many gateways that never were, each with a large dictionary: by turns in its opening and as a record of its log.
fn dictionaries(tcp_port: u16, over: &AtomicBool) {
    let dictionary = large_dictionary();
    for n in 0_usize.. {
        if n >= DICTIONARIES && over.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("made-up-{}", n % DICTIONARIES);
        let mut log_id = LogId([7; 16]);
        log_id.0[..8].copy_from_slice(&n.to_le_bytes());
        let open = Open {
            store: None,
            epoch: Epoch::default(),
            destination: DestinationId::default(),
            oldest: Sequence(1),
            next: Sequence(9),
            losses: Vec::new(),
            dictionaries: None,
        };
        let frame = dictionary_frame(log_id, &dictionary);
        let second =
            if n % 2 == 0 { UpMessage::Dictionary(&dictionary) } else { UpMessage::Frame(&frame) };
        let mut stream = client(tcp_port, &id).unwrap();
        for message in [UpMessage::Open(open), second] {
            publish(&mut stream, &id, &message.encode(log_id, Lane::Backlog)).unwrap();
        }
    }
}

/// The first frame of a log.
fn dictionary_frame(log_id: LogId, record: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        record_type: RecordType::Dictionary,
        sequence: Sequence(1),
        samples: 0,
        ts_min: Timestamp(0),
        ts_max: Timestamp(0),
        salt: 7,
        body_len: 0,
    };
    let mut frame = Vec::new();
    encode_frame(&header, &hash_of_log_start(log_id), record, &mut frame).unwrap();
    frame
}

/// An attack on a centre with an honest gateway, which gets acks while it lasts and behind it.
fn check_attack(what: &str, attack: impl FnOnce(u16, &AtomicBool) + Send + 'static) {
    // Inherited by the centre.
    let (own, files) = (std::process::id().to_string(), format!("--nofile={FILES}:"));
    let raised = Command::new("prlimit").args(["--pid", &own, &files]).status();
    assert!(raised.is_ok_and(|status| status.success()), "a hard limit of {FILES} open files");
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let tcp_port = free_tcp_port().unwrap();
    let centre = Centre::start(folder, &format!("tcp_port = {tcp_port}")).unwrap();
    let server = ModbusServer::tcp(folder, &one_meter::counting_registers()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let settings = one_meter::modbus_settings(folder, &port, &uplink).unwrap();
    let mut gateway = Gateway::start(folder, &settings).unwrap();
    wait_for_acks(&mut gateway, 20);
    let normal = normal_kib(centre.id());
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let attack = std::thread::spawn(move || attack(tcp_port, &until));
    // The attack goes on until they have come.
    wait_for_acks(&mut gateway, 20);
    over.store(true, Ordering::Relaxed);
    attack.join().unwrap();
    wait_for_acks(&mut gateway, 20);
    check_peak(what, centre.id(), normal);
}

#[test]
fn half_packets_of_2_000_clients_cost_a_centre_little_and_a_gateway_keeps_its_acks() {
    check_attack("half packets", half_packets);
}

#[test]
fn dictionaries_of_1_000_ids_cost_a_centre_little_and_a_gateway_keeps_its_acks() {
    check_attack("dictionaries", dictionaries);
}

/// The header of an OPC UA chunk (part 6, 7.1.2.2) that has so many bytes.
fn chunk_head(kind: [u8; 4], bytes: u32) -> Vec<u8> {
    [&kind[..], &bytes.to_le_bytes()].concat()
}

/// The ACK with this limit of buffers; none of messages and chunks (7.1.2.4).
fn acknowledge(buffer_bytes: u32) -> Vec<u8> {
    let words = [0, buffer_bytes, buffer_bytes, 0, 0];
    [chunk_head(*b"ACKF", 28), words.map(u32::to_le_bytes).concat()].concat()
}

/// The security header of an OPN (6.7.2.3) without security, which announces a certificate of so many bytes; and where
/// its certificate is none, a sequence header behind it.
fn open_channel(certificate_bytes: u32) -> Vec<u8> {
    let policy = b"http://opcfoundation.org/UA/SecurityPolicy#None";
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let length = u32::try_from(policy.len()).unwrap();
    let before: Vec<u8> = words(&[1, length]);
    let behind: Vec<u8> = words(&[certificate_bytes, NONE, 1, 1]);
    [&before, &policy[..], &behind].concat()
}

/// What a server says after HELLO; the last piece of it is said again for as long as it is taken.
fn lies() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let zeros = vec![0; 1 << 20];
    let body = [open_channel(NONE), vec![0; 60_000]].concat();
    let size = u32::try_from(8 + body.len()).unwrap();
    let endless = [chunk_head(*b"OPNC", size), body].concat();
    let certificate = open_channel(MOST);
    let size = u32::try_from(8 + certificate.len()).unwrap();
    let certificate = [acknowledge(65_536), chunk_head(*b"OPNF", size), certificate].concat();
    let chunk = |buffer_bytes| [acknowledge(buffer_bytes), chunk_head(*b"OPNF", MOST)].concat();
    vec![
        ("a chunk of 2 GiB", chunk(65_536), zeros.clone()),
        ("a chunk of 2 GiB in buffers as large", chunk(MOST), zeros.clone()),
        ("a message of endless chunks", acknowledge(65_536), endless),
        ("a value of 2 GiB", certificate, zeros.clone()),
        ("an acknowledgement of 2 GiB", chunk_head(*b"ACKF", MOST), zeros.clone()),
        ("an error of 2 GiB", chunk_head(*b"ERRF", MOST), zeros),
    ]
}

/// How often each lie was told, and the most bytes that were taken of it.
type Told = BTreeMap<&'static str, (usize, usize)>;

/// A server that tells one lie after the other to whoever comes.
fn announce_2_gib() -> (u16, Arc<Mutex<Told>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp_port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(Told::new()));
    let counts = Arc::clone(&told);
    std::thread::spawn(move || {
        let lies = lies();
        for (stream, (lie, begin, again)) in listener.incoming().zip(lies.iter().cycle()) {
            let Ok(mut stream) = stream else { return };
            let mut taken = 0;
            let mut hello = [0; 8];
            if stream.read_exact(&mut hello).is_ok() && stream.write_all(begin).is_ok() {
                while taken < TAKEN_MAX && stream.write_all(again).is_ok() {
                    taken += again.len();
                }
            }
            let mut counts = counts.lock().unwrap();
            let (times, most) = counts.entry(*lie).or_default();
            (*times, *most) = (*times + 1, taken.max(*most));
        }
    });
    (tcp_port, told)
}

/// brk-05, seen by the gateway that reads beside it.
#[test]
fn a_server_that_announces_2_gib_costs_a_gateway_little_and_it_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let broker = Mosquitto::start(folder).unwrap();
    let _centre = one_meter::centre(folder, &broker.url()).unwrap();
    let server = ModbusServer::tcp(folder, &one_meter::counting_registers()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder, &port, &uplink).unwrap();
    let (tcp_port, told) = announce_2_gib();
    let profile = "maker = \"Test\"\nmodel = \"Liar\"\nprotocol = \"opcua\"\n\n\
                   [[source]]\nid = \"test\"\ntitle = \"the server of this test\"\n\n\
                   [[point]]\nmetric = \"e_import\"\nunit = \"kWh\"\nkind = \"counter\"\nmodulus = \"unknown\"\n\
                   source = \"test\"\nnode = \"s=meter.energy\"\ntype = \"float\"\nresolution = 0.01\n";
    Gateway::write_profile(folder, "test/liar", profile).unwrap();
    let settings = format!(
        "{settings}\n[[port]]\nid = \"plc\"\nprotocol = \"opcua\"\nurl = \"opc.tcp://127.0.0.1:{tcp_port}\"\n\
         security = \"none\"\nbackoff_min = \"10ms\"\nbackoff_max = \"100ms\"\n\n\
         [[device]]\nid = \"liar\"\nport = \"plc\"\nprofile = \"test/liar\"\n"
    );
    let mut gateway = Gateway::start(folder, &settings).unwrap();
    wait_for_acks(&mut gateway, 5);
    let normal = normal_kib(gateway.id());
    let refused = |status: &Value| {
        let device = &status["devices"]["liar"];
        device["answering"] == false && device["failed"].as_u64() >= Some(1)
            || device["code"].is_string()
    };
    gateway.wait_for_status("the liar to be named", SOON, refused).unwrap();
    wait_until("each lie to be told twice", SOON, || {
        let told = told.lock().unwrap();
        Ok(told.len() == lies().len() && told.values().all(|(times, _)| *times >= 2))
    })
    .unwrap();
    wait_for_acks(&mut gateway, 20);
    check_peak("announcements of 2 GiB", gateway.id(), normal);
    let told = told.lock().unwrap();
    eprintln!("{told:?}");
    assert!(told.values().all(|(_, taken)| *taken < TAKEN_MAX), "bytes were taken: {told:?}");
}
