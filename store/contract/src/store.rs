//! The side of a store that ingest writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{CommitNumber, Dictionary, DictionaryHash, Epoch, StoreId};

use crate::damage::StoreDamage;
use crate::draft::{CommitDraft, Committed, LogKey, Watermark};
use crate::error::StoreError;

/// Dictionaries by their hashes.
pub type Dictionaries = BTreeMap<DictionaryHash, Arc<Dictionary>>;

/// A store that makes rows and watermarks durable together.
///
/// An ack goes out for nothing but a [`Store::commit`] that returned well (INV-5); one that failed is repeated with the
/// same draft, and rows that it had stored all the same must not be stored again (INV-4).
#[async_trait]
pub trait Store: Send {
    /// Which store it is, and how often it went back to an earlier state of itself. Gateways hear both in every ack.
    async fn identity(&mut self) -> Result<(StoreId, Epoch), StoreError>;
    /// How far each log is durable.
    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError>;
    /// The last commit; 0 when there was none.
    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError>;
    /// The dictionaries that it keeps: a gateway goes on with one without sending it again.
    async fn dictionaries(&mut self) -> Result<Dictionaries, StoreError>;
    /// Keeps a dictionary, durably.
    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError>;
    /// Makes a draft durable.
    ///
    /// # Errors
    /// A [`crate::DraftError`] means that nothing was written. After any other error the commit may or may not be there.
    async fn commit(&mut self, draft: Arc<CommitDraft>) -> Result<Committed, StoreError>;
    /// Does what is due besides: called after each commit when the acks are out, and now and then without one.
    async fn maintain(&mut self) -> Result<(), StoreError>;
    /// Ends when the store is to be maintained at once, for example because a reader met damage; never where an engine has
    /// no such need. May be dropped at any time.
    async fn wants_maintenance(&mut self) {
        std::future::pending::<()>().await;
    }
    /// What it holds and cannot read, as far as it came upon it: rows that count as lost. Asked for after each
    /// maintenance, so it must be quick. An engine whose parts cannot be damaged one by one has none.
    async fn damage(&mut self) -> Result<StoreDamage, StoreError> {
        Ok(StoreDamage::default())
    }
}
