//! Runs the ports: each is supervised, starts again after a panic, and reads back once more what a healed spool had
//! refused. Must never know a concrete protocol.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use driver::{Emission, Fault, Observer as _, Port, PortLink};
use keeper::{Failure, KeeperHandle};
use model::{PointIndex, Quality, Sample};
use tokio::sync::watch;

use crate::health::HealthBoard;
use crate::supervise::Supervisor;

/// Code of the fault of a device whose port failed.
const CODE_PORT: &str = "GW-A010";

/// One port and what it takes to run it.
pub(crate) struct PortTask {
    pub(crate) name: String,
    pub(crate) port: Box<dyn Port>,
    /// The points of all its devices.
    pub(crate) points: Arc<[PointIndex]>,
    pub(crate) devices: Vec<String>,
    /// Each run gets this with the newest marks.
    pub(crate) link: PortLink,
    pub(crate) health: Arc<HealthBoard>,
    pub(crate) keeper: KeeperHandle,
    /// Points of which the spool refused samples that it would take now.
    pub(crate) to_read_again: watch::Receiver<Arc<BTreeSet<PointIndex>>>,
}

impl PortTask {
    /// Runs until the link is stopped.
    pub(crate) async fn run(self, supervisor: Supervisor) {
        let mut watched = supervisor.watch(format!("port {}", self.name), self.link.stop.clone());
        while let Some(failure) = watched.run(self.reading()).await {
            self.tell(&failure).await;
            if !watched.pause().await {
                return;
            }
        }
    }

    /// Reads until stopped; begins again where the marks stand when something has to be read back again.
    fn reading(&self) -> impl Future<Output = ()> + Send + 'static {
        let (name, points) = (self.name.clone(), Arc::clone(&self.points));
        let (link, keeper) = (self.link.clone(), self.keeper.clone());
        let mut to_read_again = self.to_read_again.clone();
        let mut next = self.port.again();
        async move {
            loop {
                let after = next.again();
                let port = std::mem::replace(&mut next, after);
                let Ok(marks) = keeper.resume(&points).await else { return };
                let stop = link.stop.child_token();
                let mut run = pin!(port.run(PortLink {
                    stop: stop.clone(),
                    marks: Arc::new(marks),
                    ..link.clone()
                }));
                let is_wanted = |wanted: &Arc<BTreeSet<PointIndex>>| {
                    points.iter().any(|point| wanted.contains(point))
                };
                tokio::select! {
                    () = &mut run => return,
                    Ok(_) = to_read_again.wait_for(is_wanted) => {}
                }
                tracing::info!(port = name, "port begins again, to read back what was refused");
                stop.cancel();
                run.await;
                if link.stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// The devices do not answer any more, and their points have no values (INV-1).
    async fn tell(&self, failure: &Failure) {
        for device in &self.devices {
            let message = format!(
                "port `{}` {failure}; it is started again. Please report this with the log",
                self.name
            );
            self.health.failed(device, Fault::new(CODE_PORT, message));
        }
        let now = self.link.clock.now();
        let bad = |point: &PointIndex| {
            Sample::without_value(*point, now, now, Quality::BAD_COMMUNICATION_ERROR)
        };
        let samples = self.points.iter().map(bad).collect();
        // When the gateway stops meanwhile, nobody needs to hear of it.
        self.link.emit(Emission { samples, marks: Vec::new() }).await.ok();
    }
}
