//! Starts a planned gateway and stops it: the tasks of its ports, the keeper, the broker connection and the uplink.
//! Must never know a concrete protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use driver::{EMISSIONS_QUEUED_MAX, PortLink};
use model::host::{Clock, Entropy};
use model::{Cursor, PointIndex, Timestamp, ValueType};
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::HealthBoard;
use crate::keeper::{Keeper, KeeperClosed, KeeperError, KeeperHandle, KeeperSettings};
use crate::mqtt::{Broker, Connection, MqttError};
use crate::plan::GatewayPlan;
use crate::status::{self, GatewayStatus, PointStatus, STATUS_SCHEMA, UplinkStatus};
use crate::uplink_task::UplinkTask;

/// How long a stopping gateway waits for its ports before it leaves them.
const PORTS_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stopping gateway goes on sending what it has.
const UPLINK_DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Commit acks that may wait for the uplink.
const ACKS_QUEUED_MAX: usize = 64;

/// Why a gateway did not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// The spool cannot be used.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The uplink's files or URL are not usable.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// The status socket cannot be made.
    #[error("cannot make the status socket `{path}`")]
    Socket {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The rim: what a gateway uses of its machine.
#[derive(Clone)]
pub struct Host {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// A running gateway.
pub struct GatewayHandle {
    stop: CancellationToken,
    stop_ports: CancellationToken,
    stop_uplink: CancellationToken,
    ports: JoinSet<()>,
    tasks: JoinSet<()>,
    keeper: Keeper,
    view: Arc<StatusView>,
}

/// What a status is made of.
struct StatusView {
    gateway: String,
    url: String,
    started: Timestamp,
    clock: Arc<dyn Clock>,
    health: Arc<HealthBoard>,
    keeper: KeeperHandle,
    uplink: watch::Receiver<UplinkStatus>,
    dictionary: Arc<model::Dictionary>,
}

/// Starts everything. Returns when the spool is open; connections to devices and broker come up on their own.
pub async fn start(plan: GatewayPlan, host: Host) -> Result<GatewayHandle, RunError> {
    let GatewayPlan { settings, ports, dictionary, .. } = plan;
    let broker = Broker::new(&settings.uplink, &settings.id)?;
    let dictionary = Arc::new(dictionary);
    let (emissions, emissions_rx) = mpsc::channel(EMISSIONS_QUEUED_MAX);
    let keeper_settings = KeeperSettings {
        spool: settings.spool.clone(),
        dictionary: Arc::clone(&dictionary),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let keeper = Keeper::start(keeper_settings, host.clone(), emissions_rx).await?;
    let socket_path = status::socket_path(&settings.spool.folder);
    // The spool's lock is ours, so a socket that lies here is left over from a run that was killed.
    let stale = std::fs::remove_file(&socket_path);
    tracing::debug!(?stale, "removed the status socket of an earlier run");
    let listener = UnixListener::bind(&socket_path)
        .map_err(|source| RunError::Socket { path: socket_path.display().to_string(), source })?;

    let devices = settings.devices.iter().map(|device| device.id.value.clone());
    let health = Arc::new(HealthBoard::new(Arc::clone(&host.clock), devices));
    let (stop, stop_ports, stop_uplink) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut running = JoinSet::new();
    for (name, planned) in ports {
        let link = PortLink {
            stop: stop_ports.clone(),
            clock: Arc::clone(&host.clock),
            observer: health.clone(),
            marks: Arc::new(marks_by_index(&dictionary, keeper.marks())),
            read_back_allowed: keeper.read_back_allowed(),
            emissions: emissions.clone(),
        };
        tracing::info!(port = name, "port starts");
        running.spawn(planned.port.run(link));
    }
    drop(emissions);

    let mut tasks = JoinSet::new();
    let (connection_tx, connection) = watch::channel(Connection::default());
    let (acks_tx, acks) = mpsc::channel(ACKS_QUEUED_MAX);
    tasks.spawn(broker.run(host.entropy.clone(), connection_tx, acks_tx, stop.clone()));
    let (uplink_status, uplink) = watch::channel(UplinkStatus::default());
    let task = UplinkTask {
        gateway: settings.id.clone(),
        spool_folder: settings.spool.folder.clone(),
        settings: settings.uplink.clone(),
        host: host.clone(),
        keeper: keeper.handle(),
        view: keeper.view(),
        connection,
        acks,
        status: uplink_status,
        stop: stop_uplink.clone(),
    };
    tasks.spawn(task.run(keeper.log_id(), keeper.acked()));
    let view = Arc::new(StatusView {
        gateway: settings.id.to_string(),
        url: settings.uplink.url.clone(),
        started: host.clock.now(),
        clock: host.clock,
        health,
        keeper: keeper.handle(),
        uplink,
        dictionary,
    });
    let asked = Arc::clone(&view);
    tasks.spawn(status::serve(listener, stop.clone(), move || {
        let view = Arc::clone(&asked);
        async move { view.status().await.ok() }
    }));
    Ok(GatewayHandle { stop, stop_ports, stop_uplink, ports: running, tasks, keeper, view })
}

fn marks_by_index(
    dictionary: &model::Dictionary,
    marks: &model::HistoryMarks,
) -> HashMap<PointIndex, Cursor> {
    let indexed = dictionary.points.iter().zip(0_u32..);
    indexed
        .filter_map(|(point, index)| {
            marks.marks.get(&point.id).map(|mark| (PointIndex(index), mark.clone()))
        })
        .collect()
}

impl GatewayHandle {
    /// How the gateway does.
    pub async fn status(&self) -> Result<GatewayStatus, KeeperClosed> {
        self.view.status().await
    }

    /// Stops reading, makes durable what was read, goes on sending until everything was committed or `drain` has
    /// passed, and ends. Returns the last status.
    pub async fn stop(mut self, drain: Duration) -> Result<GatewayStatus, KeeperClosed> {
        self.stop_ports.cancel();
        let all_ended = async { while self.ports.join_next().await.is_some() {} };
        if tokio::time::timeout(PORTS_STOP_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!("a port did not stop in time; it is left");
            self.ports.abort_all();
        }
        // All senders of emissions are gone now: the keeper takes what is queued, commits and tells.
        self.keeper.flushed().await?;
        let deadline = tokio::time::Instant::now() + drain;
        let mut status = self.view.status().await?;
        while status.spool.acked < status.spool.durable && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            status = self.view.status().await?;
        }
        self.stop_uplink.cancel();
        self.stop.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PORTS_STOP_TIMEOUT, all_ended).await.is_err() {
            self.tasks.abort_all();
        }
        self.keeper.stop().await;
        Ok(status)
    }

    /// Stops within the few seconds that a service manager gives.
    pub async fn stop_quickly(self) -> Result<GatewayStatus, KeeperClosed> {
        self.stop(UPLINK_DRAIN_TIMEOUT).await
    }
}

impl StatusView {
    async fn status(&self) -> Result<GatewayStatus, KeeperClosed> {
        let (spool, last, marks) = self.keeper.status().await?;
        let uplink = UplinkStatus {
            url: self.url.clone(),
            frames_waiting: spool.next.saturating_sub(1).saturating_sub(spool.acked),
            ..self.uplink.borrow().clone()
        };
        let points = self
            .dictionary
            .points
            .iter()
            .zip(last.iter())
            .map(|(point, (sample, durable))| PointStatus {
                point: point.id.to_string(),
                value: sample
                    .as_ref()
                    .and_then(|sample| sample.value.as_ref())
                    .map(|value| in_text(value, point.value_type)),
                unit: point.unit.to_string(),
                quality: sample.as_ref().map(|sample| sample.quality.to_string()),
                source_time_ms: sample.as_ref().map(|sample| sample.source_time.as_millis()),
                durable_source_time_ms: durable.map(Timestamp::as_millis),
                history_mark_ms: marks
                    .marks
                    .get(&point.id)
                    .and_then(Cursor::time)
                    .map(Timestamp::as_millis),
            })
            .collect();
        Ok(GatewayStatus {
            schema: STATUS_SCHEMA.to_owned(),
            gateway: self.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started.as_millis(),
            now_ms: self.clock.now().as_millis(),
            devices: self.health.snapshot(),
            points,
            spool,
            uplink,
        })
    }
}

/// A value as people write it, with every digit that it has.
fn in_text(value: &model::Value, value_type: ValueType) -> String {
    match (value, value_type) {
        (model::Value::Decimal(mantissa), ValueType::Decimal { exponent }) => {
            model::Decimal { mantissa: *mantissa, exponent }.to_string()
        }
        (model::Value::Decimal(mantissa), _) => mantissa.to_string(),
        (model::Value::Float(value), _) => value.to_string(),
        (model::Value::Bool(value), _) => value.to_string(),
        (model::Value::Text(value), _) => value.to_string(),
    }
}
