//! Devices and servers that cannot be had, asked through real connections by the ports of a planned gateway: what their
//! observer hears first. Must never wait for a time to pass.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Problems;
use driver::{EMISSIONS_QUEUED_MAX, Fault, Observer, PortLink};
use gateway::Settings;
use nengliu_gateway::{host, protocols};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::told::Told;

const SOON: Duration = Duration::from_secs(20);

const METER: &str = r#"
maker = "Acme"
model = "EM-3"
protocol = "modbus"
[[point]]
metric = "p_total"
unit = "kW"
kind = "gauge"
unverified = true
area = "input"
register = 3109
type = "f32"
"#;

const PLC: &str = r#"
maker = "Acme"
model = "press"
protocol = "opcua"
[[point]]
metric = "p_total"
unit = "kW"
kind = "gauge"
unverified = true
node = "ns=2;s=Press.Power"
type = "float"
"#;

struct Heard(mpsc::UnboundedSender<Fault>);

impl Observer for Heard {
    fn answered(&self, _device: &str, _latency: Duration) {}
    fn failed(&self, _device: &str, fault: Fault) {
        // Nobody listens any more once the first fault was heard.
        self.0.send(fault).ok();
    }
    fn partly(&self, device: &str, fault: Option<Fault>) {
        if let Some(fault) = fault {
            self.failed(device, fault);
        }
    }
    fn late(&self, _device: &str) {}
}

/// The first fault of a device behind a port with these keys.
async fn first_fault(port: &str, device: &str, profile: &str) -> Fault {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    fs::write(folder.path().join("profiles/acme/device.toml"), profile).unwrap();
    let text = format!(
        "[gateway]\nid = \"gw-1\"\nsite = \"acme/nb-1\"\nprofile_folders = [\"profiles\"]\n\
         [uplink]\nurl = \"mqtt://127.0.0.1\"\n[[port]]\nid = \"hall-1\"\n{port}\n\
         [[device]]\nid = \"press\"\nport = \"hall-1\"\nprofile = \"acme/device\"\npoll = \"50ms\"\n{device}\n"
    );
    let mut problems = Problems::default();
    let settings = Settings::read(&text, "gateway.toml", folder.path(), &mut problems);
    let plan = gateway::plan(settings, &protocols(), &mut problems);
    let (_, planned) = plan.unwrap_or_else(|| panic!("{problems}")).ports.remove(0);

    let (heard, mut faults) = mpsc::unbounded_channel();
    let (emissions, mut taken) = mpsc::channel(EMISSIONS_QUEUED_MAX);
    let (_allowed, read_back_allowed) = watch::channel(true);
    let stop = CancellationToken::new();
    let link = PortLink {
        stop: stop.clone(),
        clock: host().clock,
        observer: Arc::new(Heard(heard)),
        marks: Arc::new(HashMap::new()),
        read_back_allowed,
        explores: false,
        emissions,
    };
    let running = tokio::spawn(planned.port.run(link));
    let taking = tokio::spawn(async move { while taken.recv().await.is_some() {} });
    let fault = tokio::time::timeout(SOON, faults.recv()).await.unwrap().unwrap();
    stop.cancel();
    tokio::time::timeout(SOON, running).await.unwrap().unwrap();
    taking.await.unwrap();
    fault
}

/// The first two bytes of a header are the transaction, which is another one each time.
fn without_header(message: &str) -> String {
    const BYTES: &str = "its protocol id is not 0: ";
    let Some((start, bytes)) = message.split_once(BYTES) else { return message.to_owned() };
    let rest = bytes.split_once(' ').and_then(|(_, rest)| rest.split_once(' '));
    format!("{start}{BYTES}XX XX {}", rest.map_or(bytes, |(_, rest)| rest))
}

/// What a server answers to each request that it reads; it hangs up on `None`.
type Answer = fn(&[u8]) -> Option<Vec<u8>>;

/// A server that takes connections and answers in its own way; ends with the test's runtime.
async fn server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request).await {
                    let Some(bytes) = answer(&request[..length]) else { return };
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[expect(clippy::unnecessary_wraps, reason = "one of several answers, and others hang up")]
fn silence(_request: &[u8]) -> Option<Vec<u8>> {
    Some(Vec::new())
}

fn hang_up(_request: &[u8]) -> Option<Vec<u8>> {
    None
}

/// A header of the right form whose protocol is not 0.
fn other_protocol(request: &[u8]) -> Option<Vec<u8>> {
    let [t0, t1, _, _, _, _, unit, function, ..] = *request else { return None };
    Some(vec![t0, t1, 9, 9, 0, 3, unit, function, 0])
}

/// MODBUS Messaging on TCP/IP V1.0b, §4: the header of the request again, then function + 0x80 and the code.
fn refusal(request: &[u8]) -> Option<Vec<u8>> {
    let [t0, t1, _, _, _, _, unit, function, ..] = *request else { return None };
    Some(vec![t0, t1, 0, 0, 0, 3, unit, function | 0x80, 2])
}

/// The answer to a request that was never sent: another transaction, two registers.
fn late_reply(request: &[u8]) -> Option<Vec<u8>> {
    let [t0, t1, _, _, _, _, unit, function, ..] = *request else { return None };
    Some(vec![t0 ^ 0x55, t1, 0, 0, 0, 7, unit, function, 4, 0, 1, 0, 2])
}

/// What a server answers that has an id of its own.
fn own_unit(request: &[u8]) -> Option<Vec<u8>> {
    let [t0, t1, _, _, _, _, _, function, ..] = *request else { return None };
    Some(vec![t0, t1, 0, 0, 0, 7, 255, function, 4, 0, 1, 0, 2])
}

/// Transaction ids begin anywhere.
fn without_transactions(message: &str) -> String {
    let mut words = message.split(' ');
    let mut told: Vec<&str> = words.next().into_iter().collect();
    for word in words {
        let is_id = told.last() == Some(&"transaction") && word.parse::<u16>().is_ok();
        told.push(if is_id { "ID" } else { word });
    }
    told.join(" ")
}

fn tell(told: &mut Told, case: &str, fault: &Fault, address: &SocketAddr) {
    let message = fault.message.replace(&format!(":{}", address.port()), ":PORT");
    let message = without_header(&without_transactions(&message));
    assert!(fault.code.starts_with("GW-") && message.len() > 40, "{case}: {message}");
    told.row(case, "", &format!("fault {}\n  {message}\n", fault.code));
}

/// A bound TCP port, so that nobody else gets it, on which nobody listens.
fn closed() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Where nothing comes, it is waited for in vain.
const SHORT: &str = "100ms";
/// Where an answer comes, a busy machine must not make silence of it.
const LONG: &str = "5s";

#[tokio::test]
async fn modbus_devices_that_cannot_be_had() {
    let mut told = Told::new("devices_modbus");
    let tcp = |address: SocketAddr, timeout: &str| {
        format!("protocol = \"modbus\"\naddress = \"tcp://{address}\"\ntimeout = \"{timeout}\"")
    };
    let (_socket, nobody) = closed();
    let fault = first_fault(&tcp(nobody, LONG), "unit = 3", METER).await;
    tell(&mut told, "a TCP port where nobody listens", &fault, &nobody);
    let servers: [(&str, Answer, &str); 6] = [
        ("a device that says nothing", silence, SHORT),
        ("a device that refuses the register", refusal, LONG),
        ("a device that answers something else", late_reply, LONG),
        ("a device that answers with its own unit id", own_unit, LONG),
        ("a server of another protocol", other_protocol, LONG),
        ("a device that hangs up", hang_up, LONG),
    ];
    for (case, answer, timeout) in servers {
        let address = server(answer).await;
        let fault = first_fault(&tcp(address, timeout), "unit = 3", METER).await;
        tell(&mut told, case, &fault, &address);
    }
    let serial = "protocol = \"modbus\"\npath = \"/dev/serial/by-id/usb-not-there\"";
    let fault = first_fault(serial, "unit = 3", METER).await;
    tell(&mut told, "a serial line that is not there", &fault, &nobody);
    told.finish();
}

#[tokio::test]
async fn opcua_servers_that_cannot_be_had() {
    let mut told = Told::new("devices_opcua");
    let url = |address: SocketAddr, timeout: &str| {
        format!(
            "protocol = \"opcua\"\nurl = \"opc.tcp://{address}/\"\nsecurity = \"none\"\n\
             timeout = \"{timeout}\""
        )
    };
    let (_socket, nobody) = closed();
    let fault = first_fault(&url(nobody, LONG), "", PLC).await;
    tell(&mut told, "a TCP port where nobody listens", &fault, &nobody);
    let servers: [(&str, Answer, &str); 2] = [
        ("a server that says nothing", silence, "500ms"),
        ("a server that hangs up", hang_up, LONG),
    ];
    for (case, answer, timeout) in servers {
        let address = server(answer).await;
        let fault = first_fault(&url(address, timeout), "", PLC).await;
        tell(&mut told, case, &fault, &address);
    }
    told.finish();
}
