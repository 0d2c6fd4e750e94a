//! The OPC UA server: endpoints without and with security, its certificate, and the live values.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_opcua::server::node_manager::memory::InMemoryNodeManagerBuilder;
use async_opcua::server::{
    ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle, SubscriptionCache,
};
use model::Timestamp;
use model::host::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Grid;
use super::nodes::{Nodes, NodesBuilder, Source};
use crate::error::SimulatorError;
use crate::plant::Plant;

/// Application URI of the server.
const APPLICATION_URI: &str = "urn:nengliu:simulator";
const CERTIFICATE: &str = "own/cert.der";
const KEY_FOLDER: &str = "private";
/// How often the clock is looked at for a new live time.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Live times that are made up for when the clock stood still or jumped; older ones are only in the history.
const CATCH_UP_MAX: usize = 60;
/// Values that a client may let the server keep between two notifications.
const QUEUE_MAX: usize = 10_000;
/// Continuation points of one session: one for each page that somebody began and did not read on.
const CONTINUATION_POINTS_MAX: usize = 10_000;

/// Where and with which identity the server stands.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) bind: SocketAddr,
    /// Its own folder for certificates.
    pub(crate) pki: &'a Path,
}

/// The running server.
pub(crate) struct OpcUaServer {
    pub(crate) url: String,
    pub(crate) certificate: PathBuf,
    handle: ServerHandle,
    serving: JoinHandle<Result<(), String>>,
    live: JoinHandle<()>,
}

/// Starts it; makes its certificate unless the folder holds one.
#[expect(clippy::disallowed_methods, reason = "environment: the port of a simulated device")]
pub(crate) async fn start(
    endpoint: Endpoint<'_>,
    plant: Arc<Plant>,
    clock: Arc<dyn Clock>,
    (counters, gauges): (Grid, Grid),
    stop: CancellationToken,
) -> Result<OpcUaServer, SimulatorError> {
    let bind = |source| SimulatorError::Bind { what: "OPC UA", address: endpoint.bind, source };
    let listener = TcpListener::bind(endpoint.bind).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let source = Source { plant, clock: Arc::clone(&clock), counters, gauges };
    let pki = endpoint.pki.to_path_buf();
    let certificate = pki.join(CERTIFICATE);
    let token = stop.child_token();
    // Two thousand bits of RSA key take their time.
    let built = tokio::task::spawn_blocking(move || build(address, &pki, source, token)).await;
    let (server, handle) = built
        .map_err(|panicked| panicked.to_string())
        .and_then(|built| built)
        .map_err(|reason| SimulatorError::OpcUa { reason })?;
    if !certificate.is_file() {
        let reason = format!("no certificate was made in `{}`", certificate.display());
        return Err(SimulatorError::OpcUa { reason });
    }
    let nodes = handle.node_managers().get_of_type::<Nodes>();
    let nodes = nodes.ok_or_else(|| SimulatorError::OpcUa { reason: "it has no nodes".into() })?;
    let subscriptions = Arc::clone(handle.subscriptions());
    let live = tokio::spawn(run_live(nodes, subscriptions, clock, counters, stop));
    let serving = tokio::spawn(server.run_with(listener));
    Ok(OpcUaServer { url: format!("opc.tcp://{address}/"), certificate, handle, serving, live })
}

fn build(
    address: SocketAddr,
    pki: &Path,
    source: Source,
    token: CancellationToken,
) -> Result<(async_opcua::server::Server, ServerHandle), String> {
    // The library writes the key with the rights of any file, so its folder keeps others out.
    let private = pki.join(KEY_FOLDER);
    let made = std::fs::create_dir_all(pki)
        .and_then(|()| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&private));
    made.map_err(|error| format!("cannot make `{}`: {error}", private.display()))?;
    let anonymous = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
    let mut builder = ServerBuilder::new()
        .application_name("Nengliu simulated plant")
        .application_uri(APPLICATION_URI)
        .product_uri(APPLICATION_URI)
        .host(address.ip().to_string())
        .port(address.port())
        .pki_dir(pki)
        .certificate_path(CERTIFICATE)
        .private_key_path(format!("{KEY_FOLDER}/private.pem"))
        .create_sample_keypair(true)
        // A simulated plant has nothing to protect; who reads it need not be known to it.
        .trust_client_certs(true)
        .add_endpoint("none", ServerEndpoint::new_none("/", &anonymous))
        .add_endpoint(
            "sign_and_encrypt",
            ServerEndpoint::new_basic256sha256_sign_encrypt("/", &anonymous),
        )
        .discovery_urls(vec!["/".to_owned()])
        .max_history_continuation_points(CONTINUATION_POINTS_MAX)
        .with_node_manager(InMemoryNodeManagerBuilder::new(NodesBuilder(source)))
        .token(token);
    builder.limits_mut().subscriptions.max_monitored_item_queue_size = QUEUE_MAX;
    builder.build()
}

/// Hands each live time to the subscriptions, once, in order.
async fn run_live(
    nodes: Arc<Nodes>,
    subscriptions: Arc<SubscriptionCache>,
    clock: Arc<dyn Clock>,
    grid: Grid,
    stop: CancellationToken,
) {
    let mut last = grid.at_or_before(clock.now()).unwrap_or(grid.live_from);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        for time in due(&grid, last, clock.now()) {
            subscriptions.notify_data_change(nodes.inner().live(time));
            last = time;
        }
    }
}

/// The live times after `last` up to `now`; only the newest when there are too many.
fn due(grid: &Grid, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let span = grid.fine.saturating_mul(i64::try_from(CATCH_UP_MAX).unwrap_or(i64::MAX));
    let first = Timestamp(last.0.saturating_add(1).max(now.0.saturating_sub(span)));
    let mut next = grid.at_or_after(first.max(grid.live_from));
    let mut times = Vec::new();
    while next <= now {
        times.push(next);
        next = grid.after(next);
    }
    times
}

impl OpcUaServer {
    /// Stops it and waits for it.
    pub(crate) async fn stop(self) {
        self.handle.cancel();
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::error!(reason, "the OPC UA server had ended"),
            Err(error) => tracing::error!(%error, "the OPC UA server had ended"),
        }
        if let Err(error) = self.live.await {
            tracing::error!(%error, "the live values had ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_times_come_once_and_not_without_end() {
        let grid = Grid { from: Timestamp(0), live_from: Timestamp(100), coarse: 50, fine: 10 };
        let times = |last, now| due(&grid, Timestamp(last), Timestamp(now));
        assert_eq!(times(100, 109), []);
        assert_eq!(times(100, 125), [Timestamp(110), Timestamp(120)]);
        assert_eq!(times(120, 90), []);
        assert_eq!(times(100, 1_000_000).len(), CATCH_UP_MAX + 1);
    }
}
