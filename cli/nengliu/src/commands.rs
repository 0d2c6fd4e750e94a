//! The commands, one file each. They print and choose exit codes; nothing below does.

pub(crate) mod acl;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod kpi;
mod lake_error;
mod output;
pub(crate) mod points;
pub(crate) mod quarantine;
pub(crate) mod query;
pub(crate) mod serve;
mod source;

/// Runs work that computes or reads files for long beside the runtime.
pub(crate) async fn blocking(work: impl FnOnce() -> u8 + Send + 'static) -> u8 {
    match tokio::task::spawn_blocking(work).await {
        Ok(code) => code,
        Err(e) => {
            program::show_error("EN-A001", &e, "this is a fault of the program: please report it");
            crate::exit::FAILED
        }
    }
}
