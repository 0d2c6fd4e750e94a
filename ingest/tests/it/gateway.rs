//! A gateway for the tests: a plain MQTT 5 client that sends frames made with `model` and hears commit acks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contract::Store;
use ingest::{BrokerSettings, Ingest, IngestHost, IngestSettings};
use model::dictionary::DisplayName;
use model::frame::{encode_frame, hash_of_frame, hash_of_log_start};
use model::host::{Clock, Entropy};
use model::wire::{Open, UpMessage};
use model::{
    Ack, Batch, DestinationId, Dictionary, Epoch, FrameHeader, GatewayId, LogId, Place, PointId,
    PointIndex, PointInfo, PointKind, Quality, RecordType, Sample, Sequence, Timestamp, Unit,
    Value, ValueType, topic,
};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Time of the first sample.
pub(crate) const START: i64 = 1_514_764_800_000_000;
/// Samples in a frame.
pub(crate) const SAMPLES: i64 = 10;

#[derive(Debug)]
pub(crate) struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_micros()).unwrap())
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

struct TestEntropy;

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // Differs from run to run, which is all that the tests need.
        let hash = |n: usize| {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(n)
        };
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = hash(n).to_le_bytes()[0];
        }
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TestClock(Instant::now()))
}

pub(crate) fn host() -> IngestHost {
    IngestHost { clock: clock(), entropy: Arc::new(TestEntropy) }
}

pub(crate) fn settings(broker: BrokerSettings) -> IngestSettings {
    IngestSettings {
        commit_interval: Duration::from_millis(100),
        retry_max: Duration::from_millis(200),
        ..IngestSettings::new(broker)
    }
}

pub(crate) async fn start(
    settings: IngestSettings,
    store: impl Store + 'static,
) -> (Ingest, CancellationToken) {
    let stop = CancellationToken::new();
    let ingest =
        Ingest::start(settings, Box::new(store), None, host(), stop.clone()).await.unwrap();
    (ingest, stop)
}

pub(crate) async fn lake(dir: &std::path::Path) -> lake::Lake {
    lake::Lake::open(dir, lake::LakeOptions::new(clock())).await.unwrap()
}

pub(crate) fn dictionary() -> Dictionary {
    dictionary_of(1)
}

/// The energy of meters `m1`, `m2` and so on.
pub(crate) fn dictionary_of(meters: usize) -> Dictionary {
    let point = |n: usize| PointInfo {
        id: PointId::new(format!("acme/nb-1/m{n}/e_import")).unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: format!("m{n}"),
        metric: "e_import".into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: -2 },
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    Dictionary::new((1..=meters).map(point).collect()).unwrap()
}

/// The frames 1 to `count` of a log, each naming the one before it. Sample n of the log has the value n.
pub(crate) fn frames(log_id: LogId, count: i64) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for frame in 0..count {
        let sample = |n: i64| {
            let time = Timestamp(START + n * 1_000_000);
            Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(n))
        };
        let samples: Vec<Sample> =
            (frame * SAMPLES + 1..=(frame + 1) * SAMPLES).map(sample).collect();
        let before = frames.last().map_or(hash_of_log_start(log_id), |f| hash_of_frame(f));
        let batch = Batch { dictionary: dictionary().hash(), samples };
        frames.push(frame_of(frame.unsigned_abs() + 1, before, &batch));
    }
    frames
}

/// A DATA frame.
pub(crate) fn frame_of(sequence: u64, before: [u8; 32], batch: &Batch) -> Vec<u8> {
    let samples = &batch.samples;
    let header = FrameHeader {
        record_type: RecordType::Data,
        sequence: Sequence(sequence),
        samples: u32::try_from(samples.len()).unwrap(),
        ts_min: samples[0].source_time,
        ts_max: samples[samples.len() - 1].source_time,
        salt: 1,
        body_len: 0,
    };
    let body = model::codec::encode(batch).unwrap();
    let mut bytes = Vec::new();
    encode_frame(&header, &before, &body, &mut bytes).unwrap();
    bytes
}

/// A connected client with the gateway's subscription.
pub(crate) struct Gateway {
    pub(crate) client: AsyncClient,
    pub(crate) received: mpsc::Receiver<(String, Vec<u8>)>,
    id: GatewayId,
    log_id: LogId,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    /// Connects as `id` and subscribes its acks.
    pub(crate) async fn connect(tcp_port: u16, id: &str, log_id: LogId) -> Self {
        let filter = topic::ack(&GatewayId::new(id).unwrap());
        Self::connect_to(tcp_port, id, log_id, &filter).await
    }

    /// Connects as `id` and subscribes `filter`.
    pub(crate) async fn connect_to(tcp_port: u16, id: &str, log_id: LogId, filter: &str) -> Self {
        Self::connect_as(tcp_port, id, log_id, filter, None).await
    }

    /// Connects as `id` with a password.
    pub(crate) async fn connect_as(
        tcp_port: u16,
        id: &str,
        log_id: LogId,
        filter: &str,
        password: Option<&str>,
    ) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", tcp_port);
        if let Some(password) = password {
            options.set_credentials(id, password);
        }
        options.set_max_packet_size(Some(64 * 1024));
        let (client, mut eventloop) = AsyncClient::new(options, 100);
        let (sender, received) = mpsc::channel(10_000);
        let (ready_sender, mut ready) = mpsc::channel(1);
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let task = tokio::spawn(async move {
            while let Ok(event) = eventloop.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => drop(ready_sender.try_send(())),
                    Event::Incoming(Packet::Publish(message)) => {
                        let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                        sender.try_send((topic, message.payload.to_vec())).unwrap();
                    }
                    _ => {}
                }
            }
        });
        tokio::time::timeout(PATIENCE, ready.recv()).await.unwrap().unwrap();
        Self { client, received, id: GatewayId::new(id).unwrap(), log_id, task }
    }

    pub(crate) async fn send(&self, message: &UpMessage<'_>) {
        let topic = topic::up(&self.id);
        let payload = message.encode(self.log_id, model::Lane::Backlog);
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
    }

    /// The opening of a session and the dictionary.
    pub(crate) async fn open(&self, oldest: u64, next: u64) {
        self.open_with(oldest, next, None).await;
        self.send(&UpMessage::Dictionary(&dictionary().to_record())).await;
    }

    /// The opening of a session of a gateway that has these devices today.
    pub(crate) async fn open_with(&self, oldest: u64, next: u64, today: Option<&[Dictionary]>) {
        let (oldest, next) = (Sequence(oldest), Sequence(next));
        self.send(&UpMessage::Open(Open {
            store: None,
            epoch: Epoch(0),
            destination: DestinationId::default(),
            oldest,
            next,
            losses: vec![],
            dictionaries: today.map(|today| today.iter().map(Dictionary::hash).collect()),
        }))
        .await;
        for dictionary in today.unwrap_or_default() {
            self.send(&UpMessage::Dictionary(&dictionary.to_record())).await;
        }
    }

    pub(crate) async fn send_frames(&self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.send(&UpMessage::Frame(frame)).await;
        }
    }

    pub(crate) async fn ack(&mut self) -> Ack {
        let (_, payload) = self.message().await;
        serde_json::from_slice(&payload).unwrap()
    }

    pub(crate) async fn message(&mut self) -> (String, Vec<u8>) {
        tokio::time::timeout(PATIENCE, self.received.recv())
            .await
            .expect("a message within the time")
            .expect("the connection holds")
    }

    /// Waits for the ack of `upto`; shows each ack on the way to `check`.
    pub(crate) async fn acked(&mut self, upto: u64, mut check: impl FnMut(&Ack)) {
        loop {
            let ack = self.ack().await;
            check(&ack);
            if ack.durable_upto.0 >= upto {
                return assert_eq!(ack.durable_upto.0, upto);
            }
        }
    }
}
