//! The one task that owns the store: commits what it is given, and maintains the store in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contract::{Committed, LogKey, StoreDamage, Watermark};
use model::{Epoch, StoreId};
use tokio::sync::{mpsc, watch};

use crate::admit::Work;
use crate::quarantine::Quarantine;
use crate::status::{DamageStatus, IngestStatus};
use contract::{Store, StoreError};

/// The store is maintained at least this often, also when nothing is committed.
const IDLE_MAINTENANCE: Duration = Duration::from_mins(1);

/// What became of a commit.
pub(crate) type Outcome = Result<Committed, Failed>;

/// A commit that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: String,
    /// Where each log stands now, where the store could say so: it may have gone back.
    pub(crate) watermarks: Option<BTreeMap<LogKey, Watermark>>,
    /// Which store it is now, where it could say so: another may have been put into its place.
    pub(crate) identity: Option<(StoreId, Epoch)>,
}

/// Commits until `work` ends, one at a time; answers each before it maintains the store. What the store cannot read is
/// told in `status`.
pub(crate) async fn run(
    mut store: Box<dyn Store>,
    quarantine: Option<Quarantine>,
    mut work: mpsc::Receiver<Arc<Work>>,
    done: mpsc::Sender<Outcome>,
    status: watch::Sender<IngestStatus>,
) {
    let mut told = StoreDamage::default();
    loop {
        tell_damage(store.as_mut(), &mut told, &status).await;
        let next = tokio::select! {
            biased;
            work = work.recv() => Some(work),
            () = store.wants_maintenance() => None,
            () = tokio::time::sleep(IDLE_MAINTENANCE) => None,
        };
        match next {
            Some(Some(work)) => {
                let outcome = match commit(store.as_mut(), &work, quarantine.as_ref()).await {
                    Ok(committed) => Ok(committed),
                    Err(e) => {
                        let watermarks = store.watermarks().await.ok();
                        let identity = store.identity().await.ok();
                        let error = model::error_chain(e.as_ref());
                        Err(Failed { error, watermarks, identity })
                    }
                };
                drop(work);
                if done.send(outcome).await.is_err() {
                    return;
                }
            }
            Some(None) => return,
            None => {}
        }
        if work.is_closed() && work.is_empty() {
            return;
        }
        if let Err(e) = store.maintain().await {
            tracing::warn!(
                error = model::error_chain(e.as_ref()),
                "store was not maintained, it is tried again"
            );
        }
    }
}

/// Brings the status up to what the store says of itself.
async fn tell_damage(
    store: &mut dyn Store,
    told: &mut StoreDamage,
    status: &watch::Sender<IngestStatus>,
) {
    match store.damage().await {
        Ok(damage) if damage == *told => {}
        Ok(damage) => {
            status.send_modify(|status| status.store_damage = DamageStatus::from(&damage));
            *told = damage;
        }
        // What keeps a store from answering fails its next commit, too, and is told there.
        Err(e) => tracing::debug!(error = model::error_chain(e.as_ref()), "damage is not known"),
    }
}

async fn commit(
    store: &mut dyn Store,
    work: &Arc<Work>,
    quarantine: Option<&Quarantine>,
) -> Result<Committed, StoreError> {
    if let Some(quarantine) = quarantine.filter(|_| !work.quarantined.is_empty()) {
        let (quarantine, work) = (quarantine.clone(), Arc::clone(work));
        let put = move || work.quarantined.iter().try_for_each(|frame| quarantine.put(frame));
        tokio::task::spawn_blocking(put).await??;
    }
    for (_, dictionary) in &work.dictionaries {
        store.put_dictionary(dictionary).await?;
    }
    store.commit(Arc::clone(&work.draft)).await
}
