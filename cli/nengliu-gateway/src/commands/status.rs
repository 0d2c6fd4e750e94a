//! `nengliu-gateway status`: one screen, and an exit code that tells the health.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::Problems;
use gateway::status::SpoolStatus;
use gateway::{GatewayStatus, Settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{
    EXIT_ACCESS, EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, EXIT_UPLINK, print_error,
    print_words,
};

pub(super) async fn status(path: &Path, json: bool) -> u8 {
    let mut problems = Problems::default();
    let Some(spool) = spool_folder(path, &mut problems) else { return EXIT_CONFIG };
    let status = match gateway::status::ask(&spool).await {
        Ok(status) => status,
        Err(e) => {
            // Perhaps it is the wrong folder that was asked.
            if problems.is_fatal() {
                eprintln!("{}", crate::render_problems(&problems));
            }
            let (words, help, exit) = advice(&e, &spool, path);
            print_words("GW-A004", &words, &help);
            return exit;
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

/// What is wrong when there is no answer, what to do, and the exit code.
fn advice(error: &std::io::Error, spool: &Path, config: &Path) -> (String, String, u8) {
    let (spool, config) = (spool.display(), config.display());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => (
            format!("no gateway runs on the spool `{spool}`"),
            format!("start it: nengliu-gateway run -c {config}"),
            EXIT_FAILED,
        ),
        ErrorKind::PermissionDenied => (
            format!("this user may not ask the gateway on the spool `{spool}`"),
            "ask as the user that runs it, for example with sudo".to_owned(),
            EXIT_ACCESS,
        ),
        ErrorKind::InvalidData => (
            format!("the gateway on the spool `{spool}` does not answer as expected: {error}"),
            "this program and the running gateway may be of different versions: use one".to_owned(),
            EXIT_FAILED,
        ),
        _ => (
            format!("the gateway on the spool `{spool}` does not answer: {error}"),
            "look at its log".to_owned(),
            EXIT_FAILED,
        ),
    }
}

/// Only the spool's place is needed, so a status can be had while the rest of the file is being edited.
fn spool_folder(path: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            print_error("GW-C000", &e, "name the file with -c gateway.toml");
            return None;
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.display().to_string();
    let settings = Settings::read(&text, &name, folder.unwrap_or(Path::new(".")), problems);
    Some(settings.spool.folder)
}

fn exit_code(status: &GatewayStatus) -> u8 {
    if !status.uplink.connected || status.uplink.fault.is_some() {
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
        // Also where it answers, but not for every point.
        if let Some(message) = &device.message {
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
    let last_ack = uplink
        .last_ack_ms
        .map_or_else(String::new, |at| format!("   last commit ack {}", local_time(at)));
    line(format!(
        "  uplink  {}   {state}   {} frames wait for a commit ack{last_ack}",
        uplink.url, uplink.frames_waiting
    ));
    if let Some(fault) = &uplink.fault {
        line(format!("! uplink  {fault}"));
    }
    spool_in_words(&status.spool, &mut line);
    for point in &status.points {
        let value = point.value.as_deref().unwrap_or("—");
        let quality = point.quality.as_deref().unwrap_or("no sample yet");
        let at = point.source_time_ms.map_or_else(String::new, local_time);
        let mark = point
            .history_mark_ms
            .map_or_else(String::new, |mark| format!("   history up to {}", local_time(mark)));
        line(format!(
            "  {:<48} {value:>16} {:<6} {quality:<10} {at}{mark}",
            point.point, point.unit
        ));
    }
    text
}

/// What the spool holds, lost and suffers from.
fn spool_in_words(spool: &SpoolStatus, line: &mut impl FnMut(String)) {
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
    let found = &spool.found_at_start;
    if found.frames_damaged > 0 || found.frames_cut > 0 {
        line(format!(
            "! spool   found at the start: {} frames with {} samples damaged, {} with {} cut off by a crash",
            found.frames_damaged, found.samples_damaged, found.frames_cut, found.samples_cut
        ));
    }
    if spool.space_short {
        line(
            "! spool   the disk has less room than the quota: free some, or lower `[spool] quota`"
                .to_owned(),
        );
    }
    if let Some(fault) = &spool.fault {
        line(format!("! spool   {fault}"));
    }
    if spool.read_back_paused {
        line(
            "! spool   reading back what devices remember pauses: there is too little room"
                .to_owned(),
        );
    }
}

fn local_time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gateway::status::{DeviceStatus, PointStatus, STATUS_SCHEMA, UplinkStatus};

    use super::*;

    #[test]
    fn only_where_no_gateway_runs_one_is_told_to_start_it() {
        let check = |kind: ErrorKind, exit: u8, word: &str| {
            let (words, help, found) =
                advice(&kind.into(), Path::new("spool"), Path::new("gateway.toml"));
            assert_eq!(found, exit, "{words}");
            assert_eq!(help.contains("start it"), word == "start it", "{help}");
            assert!(help.contains(word), "{help}");
        };
        check(ErrorKind::NotFound, EXIT_FAILED, "start it");
        check(ErrorKind::ConnectionRefused, EXIT_FAILED, "start it");
        check(ErrorKind::PermissionDenied, EXIT_ACCESS, "as the user");
        check(ErrorKind::InvalidData, EXIT_FAILED, "version");
        check(ErrorKind::TimedOut, EXIT_FAILED, "log");
    }

    #[test]
    fn what_stands_in_the_way_is_told_to_people() {
        let mut status = GatewayStatus {
            schema: STATUS_SCHEMA.to_owned(),
            gateway: "gw-1".to_owned(),
            version: "0.1.0".to_owned(),
            started_ms: 0,
            now_ms: 0,
            devices: std::collections::BTreeMap::new(),
            points: vec![PointStatus {
                point: "gw-1.m.e_import".to_owned(),
                value: None,
                unit: "kWh".to_owned(),
                quality: None,
                source_time_ms: None,
                durable_source_time_ms: None,
                history_mark_ms: None,
            }],
            spool: SpoolStatus::default(),
            uplink: UplinkStatus { connected: true, ..UplinkStatus::default() },
        };
        let quiet = in_words(&status);
        let words = [
            "last commit ack",
            "reading back",
            "! uplink",
            "history up to",
            "GW-M204",
            "3 frames with 40 samples damaged",
            "the disk has less room",
        ];
        assert!(words.iter().all(|word| !quiet.contains(word)), "{quiet}");
        assert_eq!(exit_code(&status), EXIT_OK);
        status.spool.read_back_paused = true;
        status.spool.space_short = true;
        status.spool.found_at_start.frames_damaged = 3;
        status.spool.found_at_start.samples_damaged = 40;
        // A device that answers, but not for every point.
        let refused = ("GW-M204".to_owned(), "address 7 is refused".to_owned());
        let device = DeviceStatus {
            answering: Some(true),
            since_ms: 0,
            latency_ms: None,
            answered: 1,
            failed: 0,
            late: 0,
            code: Some(refused.0),
            message: Some(refused.1),
        };
        status.devices.insert("m".to_owned(), device);
        status.uplink.last_ack_ms = Some(1_514_764_800_000);
        status.uplink.fault = Some("an old copy of the spool was put back".to_owned());
        status.points[0].history_mark_ms = Some(1_514_764_800_000);
        let told = in_words(&status);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(told.contains("an old copy of the spool"), "{told}");
        assert_eq!(exit_code(&status), EXIT_UPLINK);
    }
}
