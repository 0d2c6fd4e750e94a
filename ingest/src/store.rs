//! What ingest needs of a store, and the embedded one as such. Must never know MQTT.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use lake::{CommitDraft, Committed, Lake, LogKey, Watermark};
use model::{CommitNumber, Dictionary, DictionaryHash};

/// Why a store refused, in its own words.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Dictionaries by their hashes.
pub type Dictionaries = BTreeMap<DictionaryHash, Arc<Dictionary>>;

/// A store that makes rows and watermarks durable together.
///
/// An ack goes out for nothing but a [`Store::commit`] that returned well (INV-5); one that failed is repeated with the
/// same draft, and rows that it had stored all the same must not be stored again (INV-4).
#[async_trait]
pub trait Store: Send {
    /// How far each log is durable.
    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError>;
    /// The last commit; 0 when there was none.
    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError>;
    /// The dictionaries that it keeps: a gateway goes on with one without sending it again.
    async fn dictionaries(&mut self) -> Result<Dictionaries, StoreError>;
    /// Keeps a dictionary, durably.
    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError>;
    /// Makes a draft durable.
    async fn commit(&mut self, draft: &CommitDraft) -> Result<Committed, StoreError>;
    /// Does what is due besides: called after each commit when the acks are out, and now and then without one.
    async fn maintain(&mut self) -> Result<(), StoreError>;
}

#[async_trait]
impl Store for Lake {
    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError> {
        Ok(Lake::watermarks(self).await?.clone())
    }

    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError> {
        Ok(Lake::commit_number(self).await?)
    }

    async fn dictionaries(&mut self) -> Result<Dictionaries, StoreError> {
        Ok(Lake::dictionaries(self)?)
    }

    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError> {
        Lake::put_dictionary(self, dictionary).await?;
        Ok(())
    }

    async fn commit(&mut self, draft: &CommitDraft) -> Result<Committed, StoreError> {
        Ok(Lake::commit(self, draft.clone()).await?)
    }

    async fn maintain(&mut self) -> Result<(), StoreError> {
        Lake::maintain(self).await?;
        Ok(())
    }
}
