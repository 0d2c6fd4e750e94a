//! A gateway as ingest sees it: a real MQTT 5 client that keeps its frames until their commit ack, within the product's
//! window.

use std::time::{Duration, Instant};

use ingest::admit::{WINDOW_BYTES, WINDOW_FRAMES};
use model::wire::{Open, UpMessage};
use model::{Ack, DestinationId, Dictionary, Epoch, GatewayId, LogId, Sequence, topic};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::plant::{dictionary, frames};

/// Nothing committed for so long: send again from the watermark.
const RESEND_AFTER: Duration = Duration::from_secs(10);

/// When a gateway sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Whenever its window has room.
    Window,
    /// A frame a second.
    EverySecond,
}

/// One frame's way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acked {
    /// When it was first handed to the MQTT client.
    pub(crate) sent: Instant,
    /// When an ack at or above its sequence came.
    pub(crate) acked: Instant,
}

/// A connected gateway with all its frames made.
pub(crate) struct Gateway {
    id: GatewayId,
    number: u8,
    log_id: LogId,
    dictionary: Dictionary,
    frames: Vec<Vec<u8>>,
    /// When each frame sent so far was first sent.
    sent: Vec<Instant>,
    /// Frames on their way or committed.
    next: usize,
    acked: Vec<Acked>,
    client: AsyncClient,
    acks: mpsc::Receiver<Ack>,
    connection: JoinHandle<()>,
}

impl Gateway {
    /// Connects, subscribes its acks and opens the session.
    pub(crate) async fn connect(tcp_port: u16, number: u8, count: usize) -> Self {
        let id = GatewayId::new(format!("gw-{number}")).expect("an id");
        let log_id = LogId([number; 16]);
        let mut options = MqttOptions::new(id.as_str(), "127.0.0.1", tcp_port);
        options.set_max_packet_size(Some(64 * 1024));
        let (client, eventloop) = AsyncClient::new(options, 16);
        let (ack_sender, acks) = mpsc::channel(1_000);
        let (ready_sender, mut ready) = mpsc::channel(1);
        client.subscribe(topic::ack(&id), QoS::AtLeastOnce).await.expect("a running client");
        let connection = tokio::spawn(serve(eventloop, ack_sender, ready_sender));
        ready.recv().await.expect("a connection to the broker");
        let dictionary = dictionary(number);
        let frames = frames(log_id, &dictionary, count);
        let gateway = Self {
            id,
            number,
            log_id,
            dictionary,
            frames,
            sent: Vec::new(),
            next: 0,
            acked: Vec::new(),
            client,
            acks,
            connection,
        };
        gateway.open().await;
        gateway
    }

    /// Sends everything; returns when all of it has a commit ack.
    pub(crate) async fn run(mut self, pace: Pace) -> Vec<Acked> {
        // Moments of their own within the second.
        let mut due = Instant::now() + Duration::from_millis(47 * u64::from(self.number));
        while self.acked.len() < self.frames.len() {
            let wait = if self.has_room() {
                match pace {
                    Pace::Window => Duration::ZERO,
                    Pace::EverySecond => due.saturating_duration_since(Instant::now()),
                }
            } else {
                RESEND_AFTER
            };
            tokio::select! {
                biased;
                Some(ack) = self.acks.recv() => self.take(&ack).await,
                () = tokio::time::sleep(wait) => {
                    if self.has_room() {
                        self.send_next().await;
                        due += Duration::from_secs(1);
                    } else {
                        self.next = self.acked.len();
                    }
                }
            }
        }
        self.connection.abort();
        self.acked
    }

    fn has_room(&self) -> bool {
        let waiting = &self.frames[self.acked.len()..self.next];
        let bytes: usize = waiting.iter().map(Vec::len).sum();
        self.next < self.frames.len()
            && (waiting.len() as u64) < WINDOW_FRAMES
            && (bytes as u64) < WINDOW_BYTES
    }

    async fn send_next(&mut self) {
        if self.next == self.sent.len() {
            self.sent.push(Instant::now());
        }
        self.send(&UpMessage::Frame(&self.frames[self.next])).await;
        self.next += 1;
    }

    async fn take(&mut self, ack: &Ack) {
        let now = Instant::now();
        let upto = usize::try_from(ack.durable_upto.0).expect("few frames");
        let known = self.acked.len().min(upto);
        let newly = self.sent[known..upto].iter();
        self.acked.extend(newly.map(|sent| Acked { sent: *sent, acked: now }));
        self.next = self.next.max(upto);
        if ack.open {
            self.open().await;
            self.next = upto;
        } else if let Some(want) = ack.wanted() {
            let wanted = usize::try_from(want.0.saturating_sub(1)).expect("few frames");
            self.next = wanted.clamp(upto, self.sent.len());
        }
    }

    async fn open(&self) {
        let oldest = Sequence(self.acked.len() as u64 + 1);
        let next = Sequence(self.frames.len() as u64 + 1);
        self.send(&UpMessage::Open(Open {
            store: None,
            epoch: Epoch(0),
            destination: DestinationId::default(),
            oldest,
            next,
            losses: vec![],
            dictionaries: None,
        }))
        .await;
        self.send(&UpMessage::Dictionary(&self.dictionary.to_record())).await;
    }

    async fn send(&self, message: &UpMessage<'_>) {
        let payload = message.encode(self.log_id, model::Lane::Backlog);
        let handed = self.client.publish(topic::up(&self.id), QoS::AtLeastOnce, false, payload);
        handed.await.expect("a running client");
    }
}

async fn serve(mut eventloop: EventLoop, acks: mpsc::Sender<Ack>, ready: mpsc::Sender<()>) {
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(Packet::SubAck(_))) => ready.send(()).await.expect("awaited"),
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let ack = Ack::from_json(&message.payload).expect("an ack of this version");
                if acks.send(ack).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => panic!("the broker is gone: {error}"),
        }
    }
}
