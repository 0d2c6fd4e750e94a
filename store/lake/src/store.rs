//! The lake as a [`Store`]: what ingest writes. Must never know who calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{
    CommitDraft, Committed, DamagedPart, Dictionaries, LogKey, Store, StoreDamage, StoreError,
    Watermark,
};
use model::{CommitNumber, Dictionary, Epoch, StoreId};

use crate::{Lake, LakeError};

#[async_trait]
impl Store for Lake {
    async fn identity(&mut self) -> Result<(StoreId, Epoch), StoreError> {
        // A lake that was put back is noticed by its history; nothing rewinds one on purpose yet.
        Ok((StoreId::new(Lake::table_id(self).await?)?, Epoch(0)))
    }

    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError> {
        Ok(Lake::watermarks(self).await?.clone())
    }

    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError> {
        Ok(Lake::commit_number(self).await?)
    }

    async fn dictionaries(&mut self) -> Result<Dictionaries, StoreError> {
        let kept = Lake::dictionaries(self).await?;
        for one in &kept.damage {
            tracing::error!(file = %one.path.display(), "a dictionary is damaged: {}", one.what);
        }
        Ok(kept.sound)
    }

    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError> {
        Lake::put_dictionary(self, dictionary).await?;
        Ok(())
    }

    async fn commit(&mut self, draft: Arc<CommitDraft>) -> Result<Committed, StoreError> {
        Lake::commit(self, draft).await.map_err(|error| match error {
            // The contract names this one.
            LakeError::Draft(error) => StoreError::from(error),
            error => error.into(),
        })
    }

    async fn maintain(&mut self) -> Result<(), StoreError> {
        Lake::maintain(self).await?;
        Ok(())
    }

    async fn wants_maintenance(&mut self) {
        self.options.suspects.told().await;
    }

    async fn damage(&mut self) -> Result<StoreDamage, StoreError> {
        let parts = Lake::damage(self).await?.into_iter().map(DamagedPart::from);
        Ok(StoreDamage::of(parts.collect()))
    }
}
