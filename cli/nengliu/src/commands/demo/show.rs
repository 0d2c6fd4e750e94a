//! What the demo shows while it runs. Results go to standard output, progress to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use analytics::report;
use energy::{Period, Table1};

use super::edge::Status;

/// Live values shown.
const LIVE_VALUES: usize = 12;

/// One line of progress; on a terminal it replaces the one before.
pub(super) fn progress(status: &Status, elapsed: Duration) {
    let answering = status.devices.values().filter(|device| device.answering == Some(true)).count();
    let line = format!(
        "{:>3} s  {answering} of {} devices answer, {} samples on disk, {} frames wait for a commit ack",
        elapsed.as_secs(),
        status.devices.len(),
        status.spool.appended,
        status.uplink.frames_waiting,
    );
    let mut stderr = std::io::stderr().lock();
    let written = if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush())
    } else {
        writeln!(stderr, "{line}")
    };
    // Without anybody to read it, progress is not needed.
    written.ok();
}

/// A few live values.
pub(super) fn live_values(status: &Status) -> String {
    let with_value = status.points.iter().filter(|point| point.value.is_some());
    let shown = with_value.take(LIVE_VALUES).map(|point| {
        let value = point.value.as_deref().unwrap_or("—");
        format!("  {:<44} {value:>14} {}\n", point.point, point.unit)
    });
    let (shown, all) = (shown.collect::<String>(), status.points.len());
    format!(
        "\n实时值 live values\n{shown}  … {all} points in all: nengliu-gateway status -c gateway.toml\n\n"
    )
}

/// Table 1.
pub(super) fn table(table: &Table1, elapsed: Duration) -> String {
    format!(
        "{}\n{} s after the plant started; read back from the meters' OPC UA history, through spool, broker, ingest and \
         lake\n",
        report::text(&report::table1(table)),
        elapsed.as_secs()
    )
}

/// How to stop, and what to try.
pub(super) fn what_next(folder: &Path, period: Period, run_for: Option<Duration>) -> String {
    let folder = folder.display();
    let stop = match run_for {
        Some(run_for) => format!("stops by itself {} s after the start", run_for.as_secs()),
        None => format!("stop it with Ctrl-C; the files stay in `{folder}`"),
    };
    let lines = [
        String::new(),
        stop,
        "in another shell, while it runs or later:".to_owned(),
        format!(
            "  nengliu kpi intensity --period {period} --plant {folder}/plant.toml --lake {folder}/lake"
        ),
        format!(
            "  nengliu explain table1/{period}/total/equivalent --plant {folder}/plant.toml --lake {folder}/lake"
        ),
        format!("  nengliu query demo/plant-1 --lake {folder}/lake --format csv | head"),
        format!("  nengliu-gateway status -c {folder}/gateway.toml"),
        "(the programs are in target/debug)\n".to_owned(),
    ];
    lines.join("\n")
}
