//! The connection against a broker that allows nothing. It speaks just enough of MQTT 5.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use model::Timestamp;
use model::host::{Clock, Entropy};
use tokio_util::sync::CancellationToken;

use super::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Reason code of SUBACK and PUBACK. MQTT 5, 2.4.
const NOT_AUTHORIZED: u8 = 0x87;
const GRANTED_QOS_1: u8 = 0x01;

struct Chance;

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Clock for Chance {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// First byte of the next packet and what follows its length.
async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.ok()?;
    Some((first, rest))
}

/// Answers one client after the other with these codes.
async fn broker(listener: TcpListener, suback: u8, puback: u8) {
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Some((first, rest)) = packet(&mut stream).await {
            let answer = match first >> 4 {
                // CONNECT → CONNACK
                1 => vec![0x20, 3, 0, 0, 0],
                // PUBLISH at QoS 0, the state, has no answer.
                3 if first & 0b110 == 0 => continue,
                // PUBLISH at QoS 1 → PUBACK
                3 => {
                    let id = 2 + usize::from(rest[0]) * 256 + usize::from(rest[1]);
                    vec![0x40, 4, rest[id], rest[id + 1], puback, 0]
                }
                // SUBSCRIBE → SUBACK
                8 => vec![0x90, 4, rest[0], rest[1], 0, suback],
                _ => continue,
            };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    }
}

/// What the connection says once it has given a reason, having published one message when it was there.
async fn reason_from(suback: u8, puback: u8) -> (bool, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = UplinkSettings {
        url: format!("mqtt://{}", listener.local_addr().unwrap()),
        backoff_max: Duration::from_millis(10),
        ..UplinkSettings::default()
    };
    let server = tokio::spawn(broker(listener, suback, puback));
    let gateway = GatewayId::new("gw-1").unwrap();
    let (connection_tx, mut connection) = watch::channel(Connection::default());
    let (acks_tx, _acks) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let client = Broker::new(&settings, &gateway).unwrap();
    let (_progress, progress) = watch::channel(0);
    let (connection_tx, acks) = (connection_tx, acks_tx);
    let entropy: Arc<dyn Entropy> = Arc::new(Chance);
    let channels = Channels {
        connection: connection_tx,
        acks,
        progress,
        clock: Arc::new(Chance),
        entropy,
        stop: stop.clone(),
    };
    let running = tokio::spawn(Box::new(client).run(channels));
    let (mut was_up, mut reason) = (false, None);
    let ended = async {
        while reason.is_none() {
            connection.changed().await.unwrap();
            let Connection { outgoing, reason: told } = connection.borrow_and_update().clone();
            if let Some(outgoing) = outgoing {
                was_up = true;
                outgoing.send(b"x".to_vec()).await.ok();
            }
            reason = told;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    stop.cancel();
    server.abort();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    (was_up, reason.unwrap())
}

#[tokio::test]
async fn a_broker_that_refuses_the_commit_acks_is_no_connection() {
    let (was_up, reason) = reason_from(NOT_AUTHORIZED, 0).await;
    assert!(!was_up);
    assert_eq!(
        reason,
        "broker does not let us read `gw/gw-1/ack`: NotAuthorized; give this gateway that right in the broker"
    );
}

#[tokio::test]
async fn a_broker_that_refuses_the_frames_is_left_and_named() {
    let (was_up, reason) = reason_from(GRANTED_QOS_1, NOT_AUTHORIZED).await;
    assert!(was_up);
    assert_eq!(
        reason,
        "broker does not let us write to `gw/gw-1/up`: NotAuthorized; give this gateway that right in the broker"
    );
}
