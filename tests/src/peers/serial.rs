//! A serial line made of two pseudo-terminals joined by socat.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::READY_WITHIN;
use crate::process::Process;

/// Both ends of the line; it is cut when dropped.
#[derive(Debug)]
pub struct SerialLine {
    /// The end for the device.
    pub device_end: PathBuf,
    /// The end for the program that asks.
    pub master_end: PathBuf,
    _socat: Process,
}

impl SerialLine {
    /// Joins two new pseudo-terminals.
    pub fn start(folder: &Path) -> Result<Self> {
        let (device_end, master_end) = (folder.join("tty-device"), folder.join("tty-master"));
        let end = |path: &Path| format!("pty,rawer,link={}", path.display());
        let mut command = Command::new("socat");
        command.arg(end(&device_end)).arg(end(&master_end));
        let mut socat = Process::start("socat", &command, folder)?;
        socat.wait_until("both pseudo-terminals", READY_WITHIN, |_| {
            Ok(device_end.exists() && master_end.exists())
        })?;
        Ok(Self { device_end, master_end, _socat: socat })
    }
}
