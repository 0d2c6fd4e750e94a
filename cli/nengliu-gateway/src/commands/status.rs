//! `nengliu-gateway status`: one screen, and an exit code that tells the health.

use std::path::Path;

use config::Problems;
use gateway::{GatewayStatus, Settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, EXIT_UPLINK, print_error};

pub(super) async fn status(path: &Path, json: bool) -> u8 {
    let Some(spool) = spool_folder(path) else { return EXIT_CONFIG };
    let status = match gateway::status::ask(&spool).await {
        Ok(status) => status,
        Err(e) => {
            let help = format!("start it: nengliu-gateway run -c {}", path.display());
            eprintln!("error GW-A004: no gateway runs on the spool `{}`", spool.display());
            print_error("GW-A004", &e, &help);
            return EXIT_FAILED;
        }
    };
    if json {
        match serde_json::to_string(&status) {
            Ok(text) => println!("{text}"),
            Err(e) => print_error("GW-A005", &e, ""),
        }
    } else {
        print!("{}", in_words(&status));
    }
    exit_code(&status)
}

/// Only the spool's place is needed, so a status can be had while the rest of the file is being edited.
fn spool_folder(path: &Path) -> Option<std::path::PathBuf> {
    let mut problems = Problems::default();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            print_error("GW-C000", &e, "name the file with -c gateway.toml");
            return None;
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.display().to_string();
    let settings = Settings::read(&text, &name, folder.unwrap_or(Path::new(".")), &mut problems);
    if problems.is_fatal() {
        eprintln!("{}", crate::render_problems(&problems));
    }
    Some(settings.spool.folder)
}

fn exit_code(status: &GatewayStatus) -> u8 {
    if !status.uplink.connected {
        EXIT_UPLINK
    } else if status.devices.values().any(|device| device.answering == Some(false)) {
        EXIT_PARTIAL
    } else {
        EXIT_OK
    }
}

fn in_words(status: &GatewayStatus) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let good = status.devices.values().filter(|device| device.answering == Some(true)).count();
    let sign = if exit_code(status) == EXIT_OK { "●" } else { "◐" };
    let up_s = (status.now_ms - status.started_ms) / 1_000;
    let mut line =
        |line: String| writeln!(text, "{line}").expect("writing to a String does not fail");
    line(format!(
        "{sign} {}   v{}   up {up_s} s   {good} of {} devices answer",
        status.gateway,
        status.version,
        status.devices.len()
    ));
    for (name, device) in &status.devices {
        if let (Some(false), Some(message)) = (device.answering, &device.message) {
            let code = device.code.as_deref().unwrap_or_default();
            line(format!("! {name}   {code}: {message}"));
        }
    }
    let uplink = &status.uplink;
    let state = match (&uplink.connected, &uplink.reason) {
        (true, _) => "connected".to_owned(),
        (false, Some(reason)) => format!("not connected: {reason}"),
        (false, None) => "connecting".to_owned(),
    };
    line(format!(
        "  uplink  {}   {state}   {} frames wait for a commit ack",
        uplink.url, uplink.frames_waiting
    ));
    let spool = &status.spool;
    line(format!(
        "  spool   {} of {} KiB   frames {}..{} held   acked {}",
        spool.bytes / 1024,
        spool.quota_bytes / 1024,
        spool.oldest,
        spool.next.saturating_sub(1),
        spool.acked
    ));
    if spool.frames_lost > 0 || spool.samples_refused > 0 {
        line(format!(
            "  lost    {} frames with {} samples (in LOSS records), {} samples refused while the disk failed",
            spool.frames_lost, spool.samples_lost, spool.samples_refused
        ));
    }
    if let Some(fault) = &spool.fault {
        line(format!("! spool   {fault}"));
    }
    for point in &status.points {
        let value = point.value.as_deref().unwrap_or("—");
        let quality = point.quality.as_deref().unwrap_or("no sample yet");
        let at = point.source_time_ms.map_or_else(String::new, local_time);
        line(format!("  {:<48} {value:>16} {:<6} {quality:<10} {at}", point.point, point.unit));
    }
    text
}

fn local_time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
        .unwrap_or_default()
}
