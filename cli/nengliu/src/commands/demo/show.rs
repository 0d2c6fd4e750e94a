//! What the demo shows while it runs. Results go to standard output, progress to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use analytics::report::{self, Report, TextOptions};
use energy::{BasisChoice, Period, Table1};
use model::{Localized, text};

use super::edge::Status;
use crate::cli::DemoArgs;
use crate::commands::output;

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

/// Where live values are, from the first moment on.
pub(super) fn how_to_listen(tcp_port: u16) -> Localized {
    let listen = listen(tcp_port);
    text!(en: "live values, in another shell: {listen}", zh: "实时值，请在另一个终端中运行：{listen}")
}

fn listen(tcp_port: u16) -> String {
    format!("mosquitto_sub -p {tcp_port} -t 'v1/#' -v")
}

/// A few live values.
pub(super) fn live_values(status: &Status, folder: &Path) -> String {
    let with_value = status.points.iter().filter(|point| point.value.is_some());
    let shown = with_value.take(LIVE_VALUES).map(|point| {
        let value = point.value.as_deref().unwrap_or("—");
        format!("  {:<44} {value:>14} {}\n", point.point, point.unit)
    });
    let (shown, all) = (shown.collect::<String>(), status.points.len());
    let (gateway, folder) = (typed("nengliu-gateway"), quoted(folder));
    let text = text!(
        en: "\nlive values\n{shown}  … {all} points in all: {gateway} status -c {folder}/gateway.toml\n\n",
        zh: "\n实时值\n{shown}  … 共 {all} 个测点：{gateway} status -c {folder}/gateway.toml\n\n"
    );
    text.get(program::language()).to_owned()
}

/// Table 1.
pub(super) fn table(table: &Table1, elapsed: Duration) -> String {
    // One basis is enough to look at; `kpi` has the other one.
    let report = Report { bases: BasisChoice::Equivalent.bases(), ..report::table1(table) };
    let options = TextOptions {
        language: program::language(),
        width: usize::from(output::terminal_width()),
        ..TextOptions::for_logs()
    };
    format!(
        "{}\n{} s after the plant started; read back from the meters' OPC UA history, through spool, broker, ingest and \
         lake\n",
        report::text(&report, options),
        elapsed.as_secs()
    )
}

/// How to stop, and what to try; the lines can be typed as they are.
pub(super) fn what_next(args: &DemoArgs, period: Period, tcp_port: u16) -> String {
    let folder = quoted(&args.folder);
    let stop = match args.run_for.map(|run_for| run_for.as_secs()) {
        Some(seconds) => text!(
            en: "stops by itself {seconds} s after the start",
            zh: "启动 {seconds} 秒后自行停止"
        ),
        None => text!(
            en: "stop it with Ctrl-C; the files stay in {folder}",
            zh: "按 Ctrl-C 停止；文件保留在 {folder} 中"
        ),
    };
    let while_it_runs =
        text!(en: "in another shell, while it runs:", zh: "在另一个终端中，演示运行时：");
    let later = text!(en: "while it runs or later:", zh: "演示运行时或之后：");
    let (centre, gateway) = (typed("nengliu"), typed("nengliu-gateway"));
    let of_figures = format!("--plant {folder}/plant.toml --lake {folder}/lake");
    let language = program::language();
    let lines = [
        String::new(),
        stop.get(language).to_owned(),
        while_it_runs.get(language).to_owned(),
        format!("  {}", listen(tcp_port)),
        format!("  {gateway} status -c {folder}/gateway.toml"),
        later.get(language).to_owned(),
        format!("  {centre} kpi intensity --period {period} {of_figures}"),
        format!("  {centre} explain table1/{period}/total/equivalent {of_figures}"),
        format!("  {centre} points --lake {folder}/lake"),
        format!("  {centre} query demo/plant-1/meter-main --lake {folder}/lake | head"),
        String::new(),
    ];
    lines.join("\n")
}

/// A program of this build as it is typed: its name where the shell finds it, else its path.
fn typed(name: &str) -> String {
    let Ok(own) = std::env::current_exe() else { return name.to_owned() };
    let path = own.with_file_name(name);
    let is_it =
        |folder: PathBuf| std::fs::canonicalize(folder.join(name)).is_ok_and(|found| found == path);
    if std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(is_it)) {
        return name.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let near = path.strip_prefix(&here).ok().filter(|near| near.components().count() > 1);
    quoted(near.unwrap_or(&path))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:,@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        let check = |path: &str, expected: &str| assert_eq!(quoted(Path::new(path)), expected);
        check("demo", "demo");
        check("/srv/演示/demo-2", "/srv/演示/demo-2");
        check("my demo", "'my demo'");
        check("it's", r"'it'\''s'");
        check("$HOME", "'$HOME'");
    }

    #[test]
    fn the_first_line_to_type_is_that_of_the_live_values() {
        let args = DemoArgs { run_for: None, json: false, folder: "my demo".into(), seed: 1 };
        let text = what_next(&args, Period::Month(2026, 10), 43_339);
        let first = text.lines().find(|line| line.starts_with("  ")).unwrap();
        assert_eq!(first, "  mosquitto_sub -p 43339 -t 'v1/#' -v");
        let status = text.lines().find(|line| line.contains("status")).unwrap();
        assert!(status.ends_with("nengliu-gateway status -c 'my demo'/gateway.toml"), "{text}");
    }
}
