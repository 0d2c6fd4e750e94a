//! Where the built programs and this project's own files lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder of the workspace's `Cargo.toml`. Asked at run time, because a folder that was moved together with what was
/// built in it would still carry its old name.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR");
    let own = own.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = own.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("a test runs inside the workspace").into()
}

/// The folder that cargo built this test into, such as `target/debug`: a test binary lies in `deps` below it.
pub fn profile_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("a test binary knows its own path")?;
    let folder = own.ancestors().find(|folder| folder.ends_with("deps"));
    let folder = folder.and_then(Path::parent).with_context(|| {
        format!("`{}` does not lie in cargo's folder of test binaries", own.display())
    })?;
    Ok(folder.to_owned())
}

/// The path of a program of this workspace, such as `nengliu-gateway`.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = profile_folder()?.join(name);
    if !path.is_file() {
        bail!("`{}` is not built; run `cargo build --workspace --bins --tests`", path.display());
    }
    Ok(path)
}
