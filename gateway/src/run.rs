//! Starts a planned gateway and stops it: the tasks of its ports, the keeper, the broker connection and the uplink.
//! Must never know a concrete protocol.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::{EMISSIONS_QUEUED_MAX, PortLink};
use model::host::{Clock, Entropy};
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::HealthBoard;
use crate::keeper::{Keeper, KeeperClosed, KeeperError, KeeperHandle, KeeperSettings, SpoolView};
use crate::mqtt::{Broker, Connection, MqttError};
use crate::plan::GatewayPlan;
use crate::ports::PortTask;
use crate::settings::Settings;
use crate::status::{GatewayStatus, UplinkStatus};
use crate::status_socket::{self, socket_path};
use crate::status_view::StatusView;
use crate::supervise::{Supervisor, TaskBoard};
use crate::uplink_task::UplinkTask;

/// How long a stopping gateway waits for its ports before it leaves them.
const PORTS_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stopping gateway goes on sending what it has.
const UPLINK_DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a stopping gateway waits for its disk to take what was read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Starts everything. Returns when the spool is open; connections to devices and broker come up on their own.
pub async fn start(plan: GatewayPlan, host: Host) -> Result<GatewayHandle, RunError> {
    let GatewayPlan { settings, ports, points } = plan;
    let broker = Broker::new(&settings.uplink, &settings.id)?;
    let points = Arc::new(points);
    let board = TaskBoard::new(Arc::clone(&host.clock));
    let supervisor = Supervisor { board: board.clone(), host: host.clone() };
    let (emissions, emissions_rx) = mpsc::channel(EMISSIONS_QUEUED_MAX);
    let keeper_settings = KeeperSettings {
        spool: settings.spool.clone(),
        points: Arc::clone(&points),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let keeper = Keeper::start(keeper_settings, host.clone(), board.clone(), emissions_rx).await?;
    let listener = listen(&settings)?;

    let devices = settings.devices.iter().map(|device| device.id.value.clone());
    let health = Arc::new(HealthBoard::new(Arc::clone(&host.clock), devices));
    let (stop, stop_ports, stop_uplink) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut running = JoinSet::new();
    for (name, planned) in ports {
        let of_port = settings.devices.iter().filter(|device| device.port.value == name);
        let task = PortTask {
            devices: of_port.map(|device| device.id.value.clone()).collect(),
            points: planned.value_types.iter().map(|(point, _)| *point).collect(),
            port: planned.port,
            link: PortLink {
                stop: stop_ports.clone(),
                clock: Arc::clone(&host.clock),
                observer: health.clone(),
                marks: Arc::default(),
                read_back_allowed: keeper.read_back_allowed(),
                emissions: emissions.clone(),
            },
            health: Arc::clone(&health),
            keeper: keeper.handle(),
            to_read_again: keeper.to_read_again(),
            name,
        };
        tracing::info!(port = task.name, "port starts");
        running.spawn(task.run(supervisor.clone()));
    }
    drop(emissions);

    let mut tasks = JoinSet::new();
    let (uplink_status, uplink) = watch::channel(UplinkStatus::default());
    let uplink_parts = UplinkParts {
        broker,
        settings: settings.clone(),
        host: host.clone(),
        status: uplink_status,
        stop: stop.clone(),
        stop_uplink: stop_uplink.clone(),
    };
    let (log_id, handle, spool_view) = (keeper.log_id(), keeper.handle(), keeper.view());
    tasks.spawn(supervisor.clone().keep_alive("uplink", stop.clone(), move || {
        let (parts, handle, view) = (uplink_parts.clone(), handle.clone(), spool_view.clone());
        async move {
            if let Ok(known) = handle.status().await {
                parts.run(log_id, model::Sequence(known.spool.acked), handle, view).await;
            }
        }
    }));
    let view = Arc::new(StatusView {
        gateway: settings.id.to_string(),
        url: settings.uplink.url.clone(),
        started: host.clock.now(),
        resend_after: settings.uplink.resend_after,
        clock: host.clock,
        health,
        tasks: board,
        keeper: keeper.handle(),
        uplink,
        point_table: points,
        known: Mutex::default(),
    });
    let (asked, stop_status) = (Arc::clone(&view), stop.clone());
    tasks.spawn(supervisor.keep_alive("status", stop.clone(), move || {
        let view = Arc::clone(&asked);
        status_socket::serve(Arc::clone(&listener), stop_status.clone(), move || {
            let view = Arc::clone(&view);
            async move { view.status().await }
        })
    }));
    Ok(GatewayHandle { stop, stop_ports, stop_uplink, ports: running, tasks, keeper, view })
}

fn listen(settings: &Settings) -> Result<Arc<UnixListener>, RunError> {
    let path = socket_path(&settings.spool.folder);
    // The spool's lock is held, so a socket that lies here is left over from a run that was killed.
    let stale = std::fs::remove_file(&path);
    tracing::debug!(?stale, "removed the status socket of an earlier run");
    let listener = UnixListener::bind(&path)
        .map_err(|source| RunError::Socket { path: path.display().to_string(), source })?;
    Ok(Arc::new(listener))
}

/// What a connection to the broker and the uplink over it are made of, each time again.
#[derive(Clone)]
struct UplinkParts {
    broker: Broker,
    settings: Settings,
    host: Host,
    status: watch::Sender<UplinkStatus>,
    stop: CancellationToken,
    stop_uplink: CancellationToken,
}

impl UplinkParts {
    /// Runs both until stopped. A panic of one ends the other too: they share the state of one connection.
    async fn run(
        self,
        log_id: model::LogId,
        acked: model::Sequence,
        keeper: KeeperHandle,
        view: watch::Receiver<SpoolView>,
    ) {
        let Self { broker, settings, host, status, stop, stop_uplink } = self;
        let (connection_tx, connection) = watch::channel(Connection::default());
        let (acks_tx, acks) = mpsc::channel(ACKS_QUEUED_MAX);
        let connected = broker.run(host.entropy.clone(), connection_tx, acks_tx, stop);
        let task = UplinkTask {
            gateway: settings.id.clone(),
            spool_folder: settings.spool.folder.clone(),
            settings: settings.uplink.clone(),
            host,
            keeper,
            view,
            connection,
            acks,
            status,
            stop: stop_uplink,
        };
        tokio::join!(connected, task.run(log_id, acked));
    }
}

impl GatewayHandle {
    /// How the gateway does.
    ///
    /// # Errors
    /// [`KeeperClosed`] when the keeper has failed; [`Self::keeper_failed`] says why.
    pub async fn status(&self) -> Result<GatewayStatus, KeeperClosed> {
        let status = self.view.status().await;
        if self.keeper.has_ended() { Err(KeeperClosed) } else { Ok(status) }
    }

    /// Waits for the end of the keeper, which nobody asked for, and says why it ended. Nothing can be kept then: the
    /// process should end, and be started again.
    pub async fn keeper_failed(&self) -> String {
        self.keeper.failed().await
    }

    /// Stops reading, makes durable what was read, goes on sending until everything was committed or `drain` has
    /// passed, and ends. Returns the last status. Waits for nothing longer than a few seconds: not for a port, a name
    /// server, a reader of the status or the disk.
    pub async fn stop(mut self, drain: Duration) -> Result<GatewayStatus, KeeperClosed> {
        self.stop_ports.cancel();
        let all_ended = async { while self.ports.join_next().await.is_some() {} };
        if tokio::time::timeout(PORTS_STOP_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!("a port did not stop in time; it is left");
            self.ports.shutdown().await;
        }
        // All senders of emissions are gone now: the keeper takes what is queued, commits and tells.
        if let Ok(flushed) = tokio::time::timeout(FLUSH_TIMEOUT, self.keeper.flushed()).await {
            flushed?;
        }
        let deadline = tokio::time::Instant::now() + drain;
        let mut status = self.status().await?;
        while status.spool.acked < status.spool.durable && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            status = self.status().await?;
        }
        self.stop_uplink.cancel();
        self.stop.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PORTS_STOP_TIMEOUT, all_ended).await.is_err() {
            self.tasks.abort_all();
        }
        if tokio::time::timeout(FLUSH_TIMEOUT, self.keeper.stop()).await.is_err() {
            tracing::error!("the spool's disk hangs; it is left");
        }
        Ok(status)
    }

    /// Stops within the few seconds that a service manager gives.
    pub async fn stop_quickly(self) -> Result<GatewayStatus, KeeperClosed> {
        self.stop(UPLINK_DRAIN_TIMEOUT).await
    }
}
