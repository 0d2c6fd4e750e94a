//! Clients of the embedded broker that are no gateways: screens with wills and wide filters, forgers, and those that send
//! half of a packet and wait.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use config::Secret;
use ingest::BrokerSettings;
use model::wire::{Open, UpMessage};
use model::{DestinationId, Epoch, GatewayId, Lane, LogId, Sequence};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use crate::gateway::{Gateway, PATIENCE, frames, lake, settings, start};

const LOG: LogId = LogId([8; 16]);
const EMBEDDED: BrokerSettings = BrokerSettings::embedded(0);

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// What the broker answers to a CONNECT.
async fn connect(options: MqttOptions) -> Result<ConnectReturnCode, String> {
    let (_client, mut eventloop) = AsyncClient::new(options, 10);
    let answer = async {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack))) => return Ok(ack.code),
                Ok(_) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap()
}

/// Trial int-03.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_will_of_its_own_and_the_widest_filter_sees_the_live_values_and_no_acks() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut options = MqttOptions::new("ha", "127.0.0.1", tcp_port);
    options.set_last_will(LastWill::new(
        "homeassistant/status",
        "offline",
        QoS::AtLeastOnce,
        true,
        None,
    ));
    assert_eq!(connect(options).await, Ok(ConnectReturnCode::Success));

    let mut explorer = Gateway::connect_to(tcp_port, "explorer", LOG, "#").await;
    let mut foreign = Gateway::connect_to(tcp_port, "foreign", LOG, "homeassistant/#").await;
    let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
    gateway.open(1, 11).await;
    gateway.send_frames(&frames(LOG, 10)).await;
    gateway.acked(10, |_| ()).await;
    let (topic, _) = explorer.message().await;
    assert!(topic.starts_with("v1/acme/nb-1/"), "{topic}");
    while let Ok((topic, _)) = explorer.received.try_recv() {
        assert!(topic.starts_with("v1/"), "acks are not for everybody: {topic}");
    }
    assert!(foreign.received.try_recv().is_err(), "the will went nowhere");
    stop.cancel();
    ingest.stopped().await;
}

/// Trial brk-08: by its log id, which any screen could see, a neighbour made the gateway lose frames.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_password_is_spoken_for_by_nobody_else() {
    let honest = GatewayId::new("honest").unwrap();
    let passwords = BTreeMap::from([(honest, Secret::new("a-secret".to_owned()))]);
    let dir = tempfile::tempdir().unwrap();
    let broker = BrokerSettings::Embedded { tcp_port: 0, passwords };
    let (ingest, stop) = start(settings(broker), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut options = MqttOptions::new("honest", "127.0.0.1", tcp_port);
    assert!(connect(options.clone()).await.unwrap_err().contains("BadUserNamePassword"));
    options.set_credentials("honest", "guess");
    assert!(connect(options.clone()).await.unwrap_err().contains("BadUserNamePassword"));
    options.set_credentials("other", "a-secret");
    assert!(connect(options.clone()).await.unwrap_err().contains("BadUserNamePassword"));
    options.set_credentials("honest", "a-secret");
    assert_eq!(connect(options).await, Ok(ConnectReturnCode::Success));

    // A neighbour with a name that begins like it may connect, and is not heard.
    let forger = Gateway::connect_to(tcp_port, "honest-x", LOG, "v1/#").await;
    let forged = Open {
        store: None,
        epoch: Epoch(0),
        destination: DestinationId::default(),
        oldest: Sequence(2),
        next: Sequence(9),
        losses: vec![],
        dictionaries: None,
    };
    let forged = UpMessage::Open(forged).encode(LOG, Lane::Backlog);
    for topic in ["gw/honest/up", "gw/honest/ack", "gw/honest/state", "gw/honest-x/up"] {
        forger.client.publish(topic, QoS::AtLeastOnce, true, forged.clone()).await.unwrap();
    }
    let mut honest =
        Gateway::connect_as(tcp_port, "honest", LOG, "gw/honest/ack", Some("a-secret")).await;
    honest.open(1, 11).await;
    honest.send_frames(&frames(LOG, 10)).await;
    honest.acked(10, |_| ()).await;
    let counters = ingest.status().borrow().counters;
    assert_eq!((counters.messages, counters.frames_lost), (12, 0));
    stop.cancel();
    ingest.stopped().await;
}

/// Trial brk-06: each client that sent most of a packet cost 2 MiB until the end.
#[tokio::test(flavor = "multi_thread")]
async fn half_packets_of_many_clients_cost_little_and_a_gateway_keeps_its_acks() {
    let clients = if std::env::var_os("NENGLIU_LONG").is_some() { 2_000 } else { 150 };
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
    gateway.open(1, 41).await;
    let all = frames(LOG, 40);
    gateway.send_frames(&all[..10]).await;
    gateway.acked(10, |_| ()).await;
    let before = resident_bytes();
    let attack = tokio::task::spawn_blocking(move || attack(tcp_port, clients));
    // Beside them it goes on.
    gateway.send_frames(&all[10..20]).await;
    gateway.acked(20, |_| ()).await;
    let kept = attack.await.unwrap();
    gateway.send_frames(&all[20..]).await;
    gateway.acked(40, |_| ()).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 128 * 1_024 * 1_024, "{clients} clients cost {} MiB", grown >> 20);
    drop(kept);
    stop.cancel();
    ingest.stopped().await;
}

/// Clients with a keep alive of 0 that send 1.9 MB of a PUBLISH of 2 MiB.
fn attack(tcp_port: u16, clients: usize) -> Vec<TcpStream> {
    let half = vec![0_u8; 1_900_000];
    let mut kept = Vec::new();
    for n in 0..clients {
        let mut stream = TcpStream::connect(("127.0.0.1", tcp_port)).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let id = format!("half-{n}");
        let id_bytes = u8::try_from(id.len()).unwrap();
        let mut connect = vec![0x10, 10 + 2 + id_bytes];
        connect.extend(*b"\0\x04MQTT\x04\x02\0\0\0");
        connect.push(id_bytes);
        connect.extend(id.as_bytes());
        stream.write_all(&connect).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        let topic = format!("gw/{id}/up");
        let mut publish = vec![0x30, 0x80, 0x80, 0x80, 0x01, 0];
        publish.push(u8::try_from(topic.len()).unwrap());
        publish.extend(topic.as_bytes());
        stream.write_all(&publish).unwrap();
        // The broker may cut it off meanwhile: that is its right.
        if stream.write_all(&half).is_ok() {
            kept.push(stream);
        }
    }
    kept
}

/// A relative of brk-06: bytes that never become a CONNECT, and a keep alive of 0 that is answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_connect_is_cut_and_a_keep_alive_of_none_is_answered_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", tcp_port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // MQTT 5, clean start, keep alive 0, no properties, client id `zero`.
        stream.write_all(b"\x10\x11\0\x04MQTT\x05\x02\0\0\0\0\x04zero").unwrap();
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).unwrap();
        answer[..count].to_vec()
    });
    let answer = asked.await.unwrap();
    assert_eq!(answer[0], 0x20, "CONNACK");
    // The property server keep alive, 300 s.
    assert!(answer.windows(3).any(|bytes| bytes == [0x13, 1, 44]), "{answer:?}");
    let cut = tokio::task::spawn_blocking(move || {
        // A CONNECT of 2 MiB, and something that is no MQTT.
        for start in [&[0x10, 0x80, 0x80, 0x80, 0x01, 0][..], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = TcpStream::connect(("127.0.0.1", tcp_port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(start).unwrap();
            let mut answer = Vec::new();
            // Closed or reset: either is the end.
            drop(stream.read_to_end(&mut answer));
            assert!(answer.is_empty());
        }
    });
    cut.await.unwrap();
    stop.cancel();
    ingest.stopped().await;
}
