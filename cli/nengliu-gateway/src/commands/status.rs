//! `nengliu-gateway status`: one screen, and an exit code that tells the health. Must never decide what is wrong: the
//! gateway says that itself.

pub(super) mod words;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::Problems;
use gateway::status::{ConcernKind, PointStatus};
use gateway::{GatewayStatus, RunError, Settings};
use program::{OutputError, print, print_line, show_error, show_words};

use super::run::{disk_exit, start_error};
use super::{
    EXIT_ACCESS, EXIT_CLOCK, EXIT_CONFIG, EXIT_FAILED, EXIT_IMPLAUSIBLE, EXIT_LOST, EXIT_NO_ACK,
    EXIT_NO_ANSWER, EXIT_OK, EXIT_PARTIAL, EXIT_TASK, EXIT_UPLINK, output,
};

pub(super) async fn status(path: &Path, json: bool, all: bool) -> u8 {
    let mut problems = Problems::default();
    let Some(spool) = spool_folder(path, &mut problems) else { return EXIT_CONFIG };
    let asked = if all { show_all(&spool, json).await } else { show_summary(&spool, json).await };
    match asked {
        Ok((status, printed)) => output::failed(printed).unwrap_or(exit_code(&status)),
        Err(e) => {
            // Perhaps it is the wrong folder that was asked.
            if problems.is_fatal() {
                program::tell!("{}", program::render_problems(&problems));
            }
            // No socket can have a path of that length, so `run` says the same.
            if e.kind() == ErrorKind::InvalidInput {
                let path = gateway::status::socket_path(&spool).display().to_string();
                return start_error(&RunError::Socket { path, source: e });
            }
            let (words, help, exit) = advice(&e, &spool, path);
            show_words("GW-A004", &words, &help);
            exit
        }
    }
}

/// A status, and whether it was printed.
type Shown = (GatewayStatus, Result<(), OutputError>);

async fn show_summary(spool: &Path, json: bool) -> std::io::Result<Shown> {
    let status = gateway::status::ask(spool).await?;
    let printed = show(&status, json);
    Ok((status, printed))
}

fn show(status: &GatewayStatus, json: bool) -> Result<(), OutputError> {
    if json {
        print_status(status)
    } else {
        let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        print(words::screen(status, columns))
    }
}

/// Shows the summary without its points, then each point of the gateway on a line; holds one at a time.
async fn show_all(spool: &Path, json: bool) -> std::io::Result<Shown> {
    // What was printed, and the gateway's clock.
    let shown = std::cell::RefCell::new((Ok(()), 0));
    let summary = |status: &GatewayStatus| {
        let printed = show(&GatewayStatus { points: Vec::new(), ..status.clone() }, json);
        *shown.borrow_mut() = (printed, status.now_ms);
    };
    let point = |point: &PointStatus| {
        let (printed, now_ms) = &mut *shown.borrow_mut();
        if printed.is_ok() {
            *printed = if json {
                print_json(serde_json::to_string(point))
            } else {
                print_line(words::one_point(point, *now_ms))
            };
        }
    };
    let status = gateway::status::ask_all(spool, summary, point).await?;
    Ok((status, shown.into_inner().0))
}

/// A status as one line of JSON.
pub(super) fn print_status(status: &GatewayStatus) -> Result<(), OutputError> {
    print_json(serde_json::to_string(status))
}

fn print_json(text: serde_json::Result<String>) -> Result<(), OutputError> {
    match text {
        Ok(text) => print_line(text),
        Err(e) => {
            show_error("GW-A005", &e, "");
            Ok(())
        }
    }
}

/// What is wrong when there is no answer, what to do, and the exit code.
fn advice(error: &std::io::Error, spool: &Path, config: &Path) -> (String, String, u8) {
    let (spool, config) = (spool.display(), config.display());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => (
            format!("no gateway runs on the spool `{spool}`"),
            format!("start it: nengliu-gateway run -c {config}"),
            EXIT_NO_ANSWER,
        ),
        ErrorKind::PermissionDenied => (
            format!("this user may not ask the gateway on the spool `{spool}`"),
            "ask as the user that runs it, for example with sudo".to_owned(),
            EXIT_ACCESS,
        ),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => (
            format!("the gateway on the spool `{spool}` ended while it answered: {error}"),
            "ask again: it may be stopping; its log says why".to_owned(),
            EXIT_NO_ANSWER,
        ),
        ErrorKind::InvalidData => (
            format!("the gateway on the spool `{spool}` does not answer as expected: {error}"),
            "this program and the running gateway may be of different versions: use one".to_owned(),
            EXIT_FAILED,
        ),
        _ => (
            format!("the gateway on the spool `{spool}` does not answer: {error}"),
            "look at its log; a process that hangs has to be killed".to_owned(),
            EXIT_NO_ANSWER,
        ),
    }
}

/// Only the spool's place is needed, so a status can be had while the rest of the file is being edited.
fn spool_folder(path: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let text = match config::read_text(path, config::TEXT_BYTES_MAX) {
        Ok(text) => text,
        Err(e) => {
            let help = crate::load::read_help(&e);
            let source = e;
            show_error("GW-C000", &crate::LoadError::File { path: path.to_owned(), source }, &help);
            return None;
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.display().to_string();
    let settings = Settings::read(&text, &name, folder.unwrap_or(Path::new(".")), problems);
    Some(settings.spool.folder)
}

/// That of the worst thing that is wrong.
fn exit_code(status: &GatewayStatus) -> u8 {
    let Some(worst) = status.concerns.first() else { return EXIT_OK };
    match worst.kind {
        ConcernKind::Spool => disk_exit(&worst.text),
        ConcernKind::Task => EXIT_TASK,
        ConcernKind::NotConnected => EXIT_UPLINK,
        ConcernKind::Halted | ConcernKind::NoAck => EXIT_NO_ACK,
        ConcernKind::Clock => EXIT_CLOCK,
        ConcernKind::Device => EXIT_PARTIAL,
        ConcernKind::Implausible => EXIT_IMPLAUSIBLE,
        ConcernKind::Lost => EXIT_LOST,
    }
}

#[cfg(test)]
mod tests;
