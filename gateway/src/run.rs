//! Starts a planned gateway and stops it: the tasks of its ports, the keeper, the broker connection and the uplink.
//! Must never know a concrete protocol.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::{EMISSIONS_QUEUED_MAX, PortLink};
use keeper::{Host, Keeper, KeeperClosed, KeeperError, KeeperSettings, TaskBoard};
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::HealthBoard;
use crate::mqtt::MqttError;
use crate::plan::GatewayPlan;
use crate::ports::PortTask;
use crate::settings::Settings;
use crate::status::GatewayStatus;
use crate::status_socket::{self, socket_path};
use crate::status_view::StatusView;
use crate::supervise::Supervisor;
use crate::uplinks::UplinkParts;

/// How long a stopping gateway waits for its ports before it leaves them.
const PORTS_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stopping gateway goes on sending what it has, within the few seconds that a service manager gives.
pub const UPLINK_DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a stopping gateway waits for its disk to take what was read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a stopping gateway looks whether all is acknowledged.
const ACKED_LOOK_EVERY: Duration = Duration::from_millis(50);

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
    let GatewayPlan { settings, ports, points, read_back } = plan;
    let (stop, stop_ports, stop_uplink) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let uplinks = UplinkParts::of(&settings.uplinks, &settings.id, &host, &stop, &stop_uplink)?;
    let points = Arc::new(points);
    let board = TaskBoard::new(Arc::clone(&host.clock));
    let supervisor = Supervisor { board: board.clone(), host: host.clone() };
    let (emissions, emissions_rx) = mpsc::channel(EMISSIONS_QUEUED_MAX);
    let keeper_settings = KeeperSettings {
        spool: settings.spool.clone(),
        destinations: settings.uplinks.iter().map(|uplink| uplink.id.clone()).collect(),
        points: Arc::clone(&points),
        read_back,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let keeper = Keeper::start(keeper_settings, host.clone(), board.clone(), emissions_rx).await?;
    let listener = listen(&settings)?;

    let devices = settings.devices.iter().map(|device| device.id.value.clone());
    let health = Arc::new(HealthBoard::new(Arc::clone(&host.clock), devices));
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
                explores: false,
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
    let mut shown = Vec::new();
    for (parts, status) in uplinks {
        shown.push(status);
        let (name, handle, spool_view) = (parts.name(), keeper.handle(), keeper.view());
        tasks.spawn(supervisor.clone().keep_alive(name, stop.clone(), move || {
            parts.clone().run(handle.clone(), spool_view.clone())
        }));
    }
    let view = Arc::new(StatusView {
        gateway: settings.id.to_string(),
        started: host.clock.now(),
        started_at: host.clock.monotonic(),
        resend_after: settings
            .uplinks
            .iter()
            .map(|uplink| uplink.resend_after)
            .max()
            .unwrap_or_default(),
        clock: Arc::clone(&host.clock),
        health,
        tasks: board,
        keeper: keeper.handle(),
        uplinks: shown,
        point_table: points,
        known: Mutex::default(),
    });
    let (asked, stop_status) = (Arc::clone(&view), stop.clone());
    tasks.spawn(supervisor.keep_alive("status", stop.clone(), move || {
        let view = Arc::clone(&asked);
        let clock = Arc::clone(&host.clock);
        status_socket::serve(Arc::clone(&listener), clock, stop_status.clone(), view)
    }));
    Ok(GatewayHandle { stop, stop_ports, stop_uplink, ports: running, tasks, keeper, view })
}

#[expect(clippy::disallowed_methods, reason = "environment: the status socket")]
fn listen(settings: &Settings) -> Result<Arc<UnixListener>, RunError> {
    let path = socket_path(&settings.spool.folder);
    // The spool's lock is held, so a socket that lies here is left over from a run that was killed.
    let stale = std::fs::remove_file(&path);
    tracing::debug!(?stale, "removed the status socket of an earlier run");
    let listener = UnixListener::bind(&path)
        .map_err(|source| RunError::Socket { path: path.display().to_string(), source })?;
    Ok(Arc::new(listener))
}

impl GatewayHandle {
    /// How the gateway does.
    ///
    /// # Errors
    /// [`KeeperClosed`] when the keeper has failed; [`Self::keeper_failed`] says why.
    pub async fn status(&self) -> Result<GatewayStatus, KeeperClosed> {
        let status = self.view.status_of(usize::MAX).await;
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
        let all_acked = async {
            loop {
                let status = self.status().await?;
                if status.spool.acked >= status.spool.durable {
                    return Ok(status);
                }
                tokio::time::sleep(ACKED_LOOK_EVERY).await;
            }
        };
        let status = match tokio::time::timeout(drain, all_acked).await {
            Ok(status) => status?,
            Err(_drained) => self.status().await?,
        };
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
}
