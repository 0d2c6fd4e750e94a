//! Carries bytes between the client and the broker, in two loops that never wait for each other: a client that reads
//! nothing while it writes, and a broker that does the same, each get what they wait for.

use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::WebSocket;
use crate::error::LinkError;
use crate::meter::Meter;
use crate::open::{self, Opened};
use crate::socket::PrivateSocket;

/// Longest frame that is sent.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Frames without a byte of MQTT that may follow each other. A broker pings every few seconds, and the client's keep alive
/// brings an answer in between.
pub(crate) const FRAMES_WITHOUT_MQTT_MAX: usize = 1_000;
/// Longest wait for our Close to be sent, and for that of a broker which takes nothing any more.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_millis(300);

/// One connection from the client's first byte to its end; says why it ended, where that was not the client's doing.
pub(crate) async fn run(target: WebSocket, socket: PrivateSocket) -> Option<LinkError> {
    let client = match socket.accept().await {
        Ok(client) => client,
        Err(e) => return Some(LinkError::Client(e)),
    };
    match open::open(&target).await {
        Ok((opened, meter)) => relay(client, opened, &meter).await.err(),
        Err(e) => Some(e),
    }
}

async fn relay(mut client: UnixStream, opened: Opened, meter: &Meter) -> Result<(), LinkError> {
    let (mut from_client, mut to_client) = client.split();
    let (mut to_broker, mut from_broker) = opened.split();
    let ended = {
        let incoming = receive(&mut from_broker, &mut to_client, meter);
        tokio::pin!(incoming);
        tokio::select! {
            biased;
            ended = &mut incoming => ended,
            ended = send(&mut from_client, &mut to_broker) => match ended {
                Ok(()) => Ok(()),
                // A broker that closed, and takes nothing more, has said why before.
                Err(e) => timeout(CLOSE_WAIT, &mut incoming).await.unwrap_or(Err(e)),
            },
        }
    };
    if timeout(CLOSE_WAIT, to_broker.close()).await.is_err() {
        tracing::debug!("broker did not take our Close in time");
    }
    ended
}

/// Broker to client, until one of them ends.
async fn receive(
    broker: &mut SplitStream<Opened>,
    client: &mut WriteHalf<'_>,
    meter: &Meter,
) -> Result<(), LinkError> {
    let mut without_mqtt = 0;
    while let Some(message) = broker.next().await {
        // Frames that have already arrived are ready each time; the other tasks are to run between them.
        consume_budget().await;
        match message.map_err(LinkError::of_stream)? {
            Message::Binary(bytes) if !bytes.is_empty() => {
                meter.reset();
                without_mqtt = 0;
                // The client has ended.
                if client.write_all(&bytes).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Message::Text(_) => return Err(LinkError::Text),
            Message::Close(frame) => return Err(LinkError::Closed(frame)),
            // The library answers pings.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        without_mqtt += 1;
        if without_mqtt > FRAMES_WITHOUT_MQTT_MAX {
            return Err(LinkError::NoMqtt);
        }
    }
    Err(LinkError::Ended)
}

/// Client to broker, until one of them ends.
async fn send(
    client: &mut ReadHalf<'_>,
    broker: &mut SplitSink<Opened, Message>,
) -> Result<(), LinkError> {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    loop {
        let bytes = match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default().to_vec(),
        };
        // What the answers to pings left in the buffer goes first, so that the frame has room.
        broker.flush().await.map_err(LinkError::of_stream)?;
        broker.send(Message::binary(bytes)).await.map_err(LinkError::of_stream)?;
    }
}
