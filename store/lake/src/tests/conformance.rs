//! The lake passes the suite of every store, and its reader holds little whatever the request.

use std::sync::Arc;

use async_trait::async_trait;
use contract::conformance::{self, Engine};
use contract::{Readings, Store};

use super::*;

struct LakeEngine {
    folder: TempDir,
    clock: Arc<HandClock>,
}

#[async_trait]
impl Engine for LakeEngine {
    async fn open(&mut self) -> Box<dyn Store> {
        let options = LakeOptions::new(Arc::clone(&self.clock) as Arc<dyn Clock>);
        Box::new(Lake::open(self.folder.path(), options).await.unwrap())
    }

    async fn readings(&mut self) -> Arc<dyn Readings> {
        Arc::new(Snapshot::open(self.folder.path()).unwrap())
    }

    async fn harm(&mut self) -> bool {
        let file = Snapshot::open(self.folder.path()).unwrap().files().remove(1);
        std::fs::remove_file(file).unwrap();
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lake_conforms() {
    conformance::run(&mut || {
        let folder = tempfile::tempdir().unwrap();
        Box::new(LakeEngine { folder, clock: Arc::new(HandClock(AtomicI64::new(START))) })
    })
    .await;
}
