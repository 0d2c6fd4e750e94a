//! SIGHUP, which comes when the terminal is closed that a service was started from, and which `systemctl reload` sends by
//! habit. Neither may end a service; nothing is read again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// From now on SIGHUP is answered with a line in the log: `advice`, which says how a change of the settings is applied.
///
/// # Errors
/// When the system does not let the signal be caught.
pub fn outlive_terminal(advice: &'static str) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP is ignored: settings are read at the start only. {advice}");
        }
    });
    Ok(())
}
