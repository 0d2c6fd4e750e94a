//! The backend through which Delta reaches the disk. `object_store` 0.13 never syncs a local file, so a log entry it
//! reports as written may be gone after a power cut; this one syncs every file it makes, and its directory. Must never
//! know what a log entry says.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

use crate::disk::{Disk, IfThere, create_directories, parent, publish};

const NAME: &str = "DurableStore";

/// The local file system, with a sync behind everything that makes a file.
#[derive(Debug)]
pub(crate) struct DurableStore {
    local: LocalFileSystem,
    disk: Arc<dyn Disk>,
}

impl DurableStore {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { local: LocalFileSystem::new(), disk }
    }

    async fn put_durably(&self, to: PathBuf, payload: PutPayload, mode: IfThere) -> Result<()> {
        let parts: Vec<Bytes> = payload.into_iter().collect();
        self.run(to, move |disk, to| {
            create_directories(disk, parent(to))?;
            publish(disk, to, &parts, mode)
        })
        .await
    }

    /// Runs blocking work on `path` and puts its error into the words of `object_store`.
    async fn run(
        &self,
        path: PathBuf,
        work: impl FnOnce(&dyn Disk, &std::path::Path) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || {
            work(disk.as_ref(), &path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists {
                    path: path.display().to_string(),
                    source: Box::new(source),
                },
                _ => Error::Generic { store: NAME, source: Box::new(source) },
            })
        })
        .await?
    }

    async fn sync_moved(&self, from: &Path, to: &Path) -> Result<()> {
        let from = self.local.path_to_filesystem(from)?;
        let to = self.local.path_to_filesystem(to)?;
        self.run(to, move |disk, to| {
            disk.sync_file(&std::fs::File::open(to)?)?;
            disk.sync_directory(parent(to))?;
            disk.sync_directory(parent(&from))
        })
        .await
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let mode = match opts.mode {
            PutMode::Create => IfThere::Refuse,
            PutMode::Overwrite => IfThere::Replace,
            // The local file system refuses it in its own words.
            PutMode::Update(_) => return self.local.put_opts(location, payload, opts).await,
        };
        let to = self.local.path_to_filesystem(location)?;
        self.put_durably(to, payload, mode).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let to = self.local.path_to_filesystem(location)?;
        let store = Self { local: self.local.clone(), disk: Arc::clone(&self.disk) };
        Ok(Box::new(Gathered { store, to, parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.local.get_ranges(location, ranges).await
    }

    /// A deletion that a power cut undoes leaves an old log file or data file behind; both are cleaned up again.
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.local.copy_opts(from, to, options).await?;
        self.sync_moved(from, to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.local.rename_opts(from, to, options).await?;
        self.sync_moved(from, to).await
    }
}

/// An upload in parts that is held in memory until it is complete: only checkpoints come this way, and a part of one
/// must never be found under its final name.
struct Gathered {
    store: DurableStore,
    to: PathBuf,
    parts: Vec<Bytes>,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").field("to", &self.to).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Gathered {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        futures::future::ready(Ok(())).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = PutPayload::from_iter(std::mem::take(&mut self.parts));
        self.store.put_durably(self.to.clone(), payload, IfThere::Replace).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
