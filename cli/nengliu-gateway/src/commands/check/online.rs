//! `nengliu-gateway check --online`: opens the ports, reads every point, and says which devices do not answer and which
//! values cannot be right. Keeps and sends nothing.

use std::path::Path;
use std::time::Duration;

use config::Problems;
use gateway::GatewayPlan;
use gateway::online::{OnlineReport, read_once};
use gateway::status::DeviceStatus;
use model::text;
use program::{language, print_line, problems_as_json, render_problems, show_words};

use crate::commands::status::words;
use crate::commands::{EXIT_ACCESS, EXIT_IMPLAUSIBLE, EXIT_LOCKED, EXIT_OK, EXIT_PARTIAL, output};

/// Codes of a port that another program has, and of one that this user may not open.
const BUSY: &str = "GW-M109";
const DENIED: &str = "GW-M110";

pub(super) async fn check(
    plan: GatewayPlan,
    path: &Path,
    problems: &Problems,
    wait: Duration,
    json: bool,
) -> u8 {
    let spool = plan.settings.spool.folder.clone();
    if gateway::status::ask(&spool).await.is_ok() {
        let (shown, spool) = (path.display(), spool.display());
        let words = text!(
            en: "a gateway runs on the spool `{spool}`, and has the ports",
            zh: "网关正在缓存 `{spool}` 上运行，端口已被其占用"
        );
        let help = text!(
            en: "`nengliu-gateway status -c {shown}` says the same of what it reads; or stop it first",
            zh: "`nengliu-gateway status -c {shown}` 可查看其读数；或先停止该网关"
        );
        show_words("GW-A009", words.get(language()), help.get(language()));
        return EXIT_LOCKED;
    }
    if !json && !problems.0.is_empty() {
        program::tell!("{}", render_problems(problems));
    }
    let report = read_once(plan, crate::host().clock, wait).await;
    let code = report.devices.values().map(exit_code).max_by_key(|code| rank(*code));
    let code = code.unwrap_or(EXIT_OK);
    let printed = if json {
        let mut object = problems_as_json(problems);
        let (devices, points) = (&report.devices, &report.points);
        object["ok"] = (code == EXIT_OK && !problems.is_fatal()).into();
        object["online"] = serde_json::json!({ "devices": devices, "points": points });
        print_line(object)
    } else {
        print_line(told(&report))
    };
    output::failed(printed).unwrap_or(code)
}

/// One line for each device and each point.
fn told(report: &OnlineReport) -> String {
    let mut lines = Vec::new();
    for (name, device) in &report.devices {
        let (good, all) = (device.points.good, device.points.all);
        let state = match (device.answering, device.latency_ms) {
            (Some(true), Some(ms)) => text!(
                en: "{name}   answers in {ms} ms   {good} of {all} points Good",
                zh: "{name}   应答 {ms} ms   {all} 个测点中 {good} 个正常"
            ),
            _ => text!(en: "{name}   does not answer", zh: "{name}   无应答"),
        };
        let sign = if exit_code(device) == EXIT_OK { " " } else { "!" };
        lines.push(format!("{sign} {}", state.get(language())));
        if let Some(message) = words::message_of(device) {
            lines.push(format!("    {}: {message}", device.code.as_deref().unwrap_or_default()));
        }
    }
    for point in &report.points {
        lines.push(words::one_point(point, point.source_time_ms.unwrap_or_default()));
    }
    lines.join("\n")
}

/// What is wrong with a device.
fn exit_code(device: &DeviceStatus) -> u8 {
    match device.code.as_deref() {
        Some(BUSY) => EXIT_LOCKED,
        Some(DENIED) => EXIT_ACCESS,
        _ if device.answering != Some(true) || device.points.none_is_usable() => EXIT_PARTIAL,
        _ if device.points.implausible > 0 => EXIT_IMPLAUSIBLE,
        Some(_) => EXIT_PARTIAL,
        None if device.points.bad + device.points.unread > 0 => EXIT_PARTIAL,
        None => EXIT_OK,
    }
}

/// The worst comes last: what keeps a device from being read at all.
fn rank(code: u8) -> u8 {
    match code {
        EXIT_OK => 0,
        EXIT_IMPLAUSIBLE => 1,
        EXIT_PARTIAL => 2,
        EXIT_ACCESS => 3,
        _ => 4,
    }
}
