//! `nengliu-gateway run`.

use std::path::Path;
use std::time::Duration;

use config::Problems;
use gateway::KeeperError;
use gateway::status::SpoolStatus;
use gateway::{RunError, UPLINK_DRAIN_TIMEOUT};
use program::{render_problems, show_error, show_words};
use spool::SpoolError;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::status::print_status;
use super::{
    EXIT_ACCESS, EXIT_CONFIG, EXIT_DISK, EXIT_DISK_FULL, EXIT_FAILED, EXIT_LOCKED, EXIT_OK,
    EXIT_TASK, output,
};
use crate::load::read_help;
use crate::{LoadError, host, load};

/// How a gateway ends.
pub(super) struct Ending {
    /// How long it goes on sending what it has.
    pub(super) drain: Duration,
    /// Whether the end of standard input stops it too. Then nobody is left to wait for a long drain.
    pub(super) with_stdin: bool,
    /// Whether it then prints its last status.
    pub(super) json: bool,
}

impl Default for Ending {
    fn default() -> Self {
        Self { drain: UPLINK_DRAIN_TIMEOUT, with_stdin: false, json: false }
    }
}

pub(super) async fn run(path: &Path, ending: &Ending) -> u8 {
    run_until(path, host(), ending).await
}

/// Runs the gateway of this configuration on `host` until a signal ends it; returns the exit code. A test brings a host
/// that fails.
pub async fn run_on(path: &Path, host: gateway::Host) -> u8 {
    run_until(path, host, &Ending::default()).await
}

async fn run_until(path: &Path, host: gateway::Host, ending: &Ending) -> u8 {
    let mut problems = Problems::default();
    let plan = load(path, &mut problems);
    if !problems.0.is_empty() {
        program::tell!("{}", render_problems(&problems));
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(e) => return config_error(&e),
    };
    // Asked for before anything starts, so that no signal is missed.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        program::tell!("error GW-A001: cannot listen for signals");
        return EXIT_FAILED;
    };
    if let Err(e) = program::outlive_terminal(RESTART) {
        program::tell!("error GW-A001: cannot listen for SIGHUP: {e}");
        return EXIT_FAILED;
    }
    let handle = match gateway::start(plan, host).await {
        Ok(handle) => handle,
        Err(e) => return start_error(&e),
    };
    tracing::info!("gateway runs; stop it with Ctrl-C or SIGTERM");
    let mut drain = ending.drain;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = end_of_input(tokio::io::stdin()), if ending.with_stdin => {
            tracing::info!("standard input ended");
            drain = drain.min(UPLINK_DRAIN_TIMEOUT);
        }
        why = handle.keeper_failed() => return keeper_failed(&why),
    }
    tracing::info!("gateway stops: committing what was read");
    match handle.stop(drain).await {
        Ok(status) => {
            let printed = if ending.json { print_status(&status) } else { Ok(()) };
            let code = stopped(&status.spool, status.uplink.frames_waiting);
            // A fault of the spool is the worse one.
            let not_printed = output::failed(printed);
            if code == EXIT_OK { not_printed.unwrap_or(code) } else { code }
        }
        Err(e) => keeper_failed(&e.to_string()),
    }
}

/// How changed settings are applied.
const RESTART: &str = "To apply a change, restart the gateway (`systemctl restart nengliu-gateway`): what was read stays on disk";

/// Comes when nothing more can be read; what is read is thrown away.
async fn end_of_input(mut input: impl tokio::io::AsyncRead + Unpin) {
    let mut buffer = [0; 256];
    while !matches!(input.read(&mut buffer).await, Ok(0) | Err(_)) {}
}

/// Nothing can be kept without it, so the process ends, and a service manager starts it again.
fn keeper_failed(why: &str) -> u8 {
    let words = format!("the keeper of the spool {why}; readings cannot be kept without it");
    show_words("GW-A006", &words, "start the gateway again, and report this with the log");
    EXIT_TASK
}

pub(super) fn config_error(error: &LoadError) -> u8 {
    let help = match error {
        LoadError::File { source, .. } => read_help(source),
        LoadError::Problems { .. } => {
            "mend what stands above; `nengliu-gateway check -c …` opens nothing".to_owned()
        }
    };
    show_error("GW-C000", error, &help);
    EXIT_CONFIG
}

fn stopped(spool: &SpoolStatus, waiting: u64) -> u8 {
    tracing::info!(waiting, durable = spool.durable, "gateway stopped");
    let Some(fault) = &spool.fault else { return EXIT_OK };
    let refused = spool.samples_refused;
    let words = format!(
        "the last readings are not on disk and are gone, {refused} were refused before: {fault}"
    );
    show_words("GW-S001", &words, DISK_HELP);
    disk_exit(fault)
}

const DISK_HELP: &str = "look for the disk's fault: is it full, read-only or failing?";

/// The code for a fault of the spool that is known as text only.
pub(super) fn disk_exit(fault: &str) -> u8 {
    let full = std::io::Error::from_raw_os_error(ENOSPC).to_string();
    let quota = std::io::Error::from_raw_os_error(EDQUOT).to_string();
    if fault.contains(&full) || fault.contains(&quota) { EXIT_DISK_FULL } else { EXIT_DISK }
}

/// No space left on device; disk quota exceeded. The same numbers on every Linux.
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

pub(super) fn start_error(error: &RunError) -> u8 {
    let (code, exit, help) = match error {
        RunError::Keeper(KeeperError::Spool(error)) => spool_advice(error),
        RunError::Keeper(KeeperError::Thread(_)) => {
            ("GW-A003", EXIT_FAILED, "the system gives no more threads: free some memory")
        }
        RunError::Mqtt(_) => ("GW-U101", EXIT_CONFIG, "correct `[uplink]`"),
        RunError::Socket { .. } => (
            "GW-A002",
            EXIT_ACCESS,
            "the spool folder must be writable, its path shorter than 90 characters",
        ),
    };
    show_error(code, error, help);
    exit
}

/// Code, exit code and what to do about a spool that cannot be opened.
fn spool_advice(error: &SpoolError) -> (&'static str, u8, &'static str) {
    use std::io::ErrorKind;
    match error {
        SpoolError::Locked { .. } => {
            ("GW-S002", EXIT_LOCKED, "stop the other program, or choose another `spool.folder`")
        }
        SpoolError::Version { .. } | SpoolError::Foreign { .. } => {
            ("GW-S003", EXIT_FAILED, "nothing in the folder was changed")
        }
        SpoolError::NoSpace { .. } => {
            ("GW-S006", EXIT_DISK_FULL, "free some space, or lower `[spool] quota`")
        }
        SpoolError::SegmentBytes { .. } | SpoolError::QuotaTooSmall { .. } => {
            ("GW-S004", EXIT_CONFIG, "correct `[spool]`")
        }
        SpoolError::Destinations { .. } => {
            ("GW-S004", EXIT_CONFIG, "correct the list of `[[uplink]]`")
        }
        SpoolError::RecordTooLong { .. } | SpoolError::PreambleTooLong { .. } => (
            "GW-S004",
            EXIT_CONFIG,
            "raise `spool.segment`: the names of so many points must fit a fifth of it",
        ),
        SpoolError::Io { source, .. } => match source.kind() {
            ErrorKind::PermissionDenied => {
                ("GW-S005", EXIT_ACCESS, "`spool.folder` must be writable for this user")
            }
            ErrorKind::ReadOnlyFilesystem => (
                "GW-S001",
                EXIT_DISK,
                "the file system is read-only: has the kernel found a fault (`dmesg`)?",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                ("GW-S006", EXIT_DISK_FULL, "free some space on the disk of `spool.folder`")
            }
            _ => ("GW-S001", EXIT_DISK, DISK_HELP),
        },
        SpoolError::Failing(fault) => ("GW-S001", disk_exit(fault), DISK_HELP),
        SpoolError::MemoryFull { .. }
        | SpoolError::LossesFull
        | SpoolError::AckBeyondDurable { .. }
        | SpoolError::AckOfAnotherLog { .. }
        | SpoolError::AckOfUnsent { .. }
        | SpoolError::AckWithoutHash { .. } => ("GW-S001", EXIT_DISK, DISK_HELP),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[tokio::test]
    async fn input_ends_when_its_writer_is_gone_and_not_before() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut end = std::pin::pin!(end_of_input(reader));
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"words\n").await.unwrap();
        assert!(poll_once(end.as_mut()).is_pending());
        drop(writer);
        end.await;
    }

    fn poll_once(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> std::task::Poll<()> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn a_last_commit_that_failed_is_not_a_good_end() {
        let mut spool = SpoolStatus::default();
        assert_eq!(stopped(&spool, 7), EXIT_OK);
        let fault = |errno| Error::from_raw_os_error(errno).to_string();
        spool.fault = Some(format!("spool cannot write: {}", fault(ENOSPC)));
        assert_eq!(stopped(&spool, 7), EXIT_DISK_FULL);
        spool.fault = Some(format!("spool cannot write: {}", fault(30)));
        assert_eq!(stopped(&spool, 7), EXIT_DISK);
    }

    #[test]
    fn each_fault_of_the_spool_says_what_to_do_about_itself() {
        let io = |kind| SpoolError::Io { what: "opening".to_owned(), source: Error::from(kind) };
        let locked = SpoolError::Locked { dir: "spool".to_owned(), holder: "7".to_owned() };
        let size = SpoolError::SegmentBytes { found: 1, min: 65_536, max: 67_108_864 };
        let space = SpoolError::NoSpace { quota: 2, reserve: 1, free: 1, dir: "spool".to_owned() };
        let long = SpoolError::RecordTooLong { found: 2, max: 1 };
        let version = SpoolError::Version { file: "1.seg".to_owned(), found: 9, expected: 1 };
        let check = |error: &SpoolError, code: &str, exit: u8, word: &str| {
            let (found, found_exit, help) = spool_advice(error);
            assert_eq!((found, found_exit), (code, exit), "{error}");
            assert!(help.contains(word), "{error}: {help}");
        };
        check(&locked, "GW-S002", EXIT_LOCKED, "stop the other program");
        check(&version, "GW-S003", EXIT_FAILED, "nothing");
        check(&size, "GW-S004", EXIT_CONFIG, "[spool]");
        check(&space, "GW-S006", EXIT_DISK_FULL, "quota");
        check(&long, "GW-S004", EXIT_CONFIG, "spool.segment");
        check(&io(ErrorKind::PermissionDenied), "GW-S005", EXIT_ACCESS, "writable");
        check(&io(ErrorKind::ReadOnlyFilesystem), "GW-S001", EXIT_DISK, "read-only");
        check(&io(ErrorKind::StorageFull), "GW-S006", EXIT_DISK_FULL, "free some space");
        check(&io(ErrorKind::Other), "GW-S001", EXIT_DISK, "disk");
        check(&SpoolError::Failing("no".to_owned()), "GW-S001", EXIT_DISK, "disk");
    }
}
