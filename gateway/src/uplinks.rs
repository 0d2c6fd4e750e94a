//! The uplinks of a gateway, one for each destination: a transport and the task over it, which end together. Must never
//! know what carries the messages.

use broker_link::Breaks;
use keeper::{Host, KeeperHandle, SpoolView};
use model::GatewayId;
use spool::DestinationIndex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::mqtt::{Broker, MqttError};
use crate::settings::UplinkSettings;
use crate::status::UplinkStatus;
use crate::transport::{Channels, Connection, Transport};
use crate::uplink_task::UplinkTask;

/// Commit acks that may wait for an uplink.
const ACKS_QUEUED_MAX: usize = 64;

/// What one uplink is made of, each time again.
#[derive(Clone)]
pub(crate) struct UplinkParts {
    to: DestinationIndex,
    /// Name of the task.
    name: String,
    settings: UplinkSettings,
    broker: Broker,
    host: Host,
    status: watch::Sender<UplinkStatus>,
    /// Ends the transport.
    stop: CancellationToken,
    /// Ends the task over it, before.
    stop_uplink: CancellationToken,
}

impl UplinkParts {
    /// The uplinks of `settings`, each with the status that it writes. Opens no connection.
    pub(crate) fn of(
        settings: &[UplinkSettings],
        gateway: &GatewayId,
        host: &Host,
        stop: &CancellationToken,
        stop_uplink: &CancellationToken,
    ) -> Result<Vec<(Self, watch::Receiver<UplinkStatus>)>, MqttError> {
        let count = settings.len();
        let each = settings.iter().enumerate().map(|(index, settings)| {
            let broker = Broker::new(settings, gateway)?;
            let (status, shown) = watch::channel(UplinkStatus {
                destination: settings.id.to_string(),
                url: settings.url.clone(),
                ..UplinkStatus::default()
            });
            // The only one needs no name.
            let name =
                if count > 1 { format!("uplink {}", settings.id) } else { "uplink".to_owned() };
            let parts = Self {
                to: DestinationIndex(index),
                name,
                settings: settings.clone(),
                broker,
                host: host.clone(),
                status,
                stop: stop.clone(),
                stop_uplink: stop_uplink.clone(),
            };
            Ok((parts, shown))
        });
        each.collect()
    }

    /// Name of the task.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Runs until stopped. A panic of one half ends the other too: they share the state of one connection.
    pub(crate) async fn run(self, keeper: KeeperHandle, view: watch::Receiver<SpoolView>) {
        let (connection_tx, connection) = watch::channel(Connection::default());
        let (acks_tx, acks) = mpsc::channel(ACKS_QUEUED_MAX);
        let (progress_tx, progress) = watch::channel(0);
        let transport: Box<dyn Transport> = Box::new(self.broker);
        let connected = transport.run(Channels {
            connection: connection_tx,
            acks: acks_tx,
            progress,
            clock: std::sync::Arc::clone(&self.host.clock),
            entropy: std::sync::Arc::clone(&self.host.entropy),
            stop: self.stop,
        });
        let task = UplinkTask {
            to: self.to,
            resend_after: self.settings.resend_after,
            backoff_max: self.settings.backoff_max,
            name: self.settings.id.to_string(),
            host: self.host,
            keeper,
            view,
            connection,
            acks,
            progress: progress_tx,
            status: self.status,
            stop: self.stop_uplink,
            parted: 0,
            breaks: Breaks::default(),
        };
        tokio::join!(connected, task.run());
    }
}
