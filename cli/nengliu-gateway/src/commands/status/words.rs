//! The status as a person reads it. On a terminal long lines are wrapped at its width; elsewhere a line stays a line.

use std::fmt::Write as _;

use gateway::GatewayStatus;
use gateway::status::{ClockStatus, DeviceStatus, PointStatus, SpoolStatus, UplinkStatus};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::rounded::rounded;
use model::{Language, Localized, text};

/// Space before the second line of what does not fit one.
const HANGING_INDENT: usize = 4;
/// A terminal narrower than this is treated as this wide.
const COLUMNS_MIN: usize = 40;
/// Most columns for the name of a point.
const NAME_COLUMNS_MAX: usize = 40;

/// Devices that have a line of their own.
const DEVICE_LINES_MAX: usize = 20;

/// Polls of a device that began late from which on it is said: a few are late while the gateway starts.
const LATE_SHOWN_MIN: u64 = 10;

/// Devices that one line names.
const DEVICE_NAMES_MAX: usize = 5;

/// Characters of a value that are shown: a device may send a text of any length. `--json` has all of it.
const VALUE_CHARS_MAX: usize = 40;

/// Everything, for a terminal of so many columns.
pub(super) fn screen(status: &GatewayStatus, columns: Option<usize>) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let columns = columns.map(|columns| columns.max(COLUMNS_MIN));
        text.push_str(&wrapped(&escaped(&line), columns));
        text.push('\n');
    };
    let good = status.devices.values().filter(|device| device.answering == Some(true)).count();
    let sign = if status.concerns.is_empty() { "●" } else { "◐" };
    let (gateway, version, all) = (&status.gateway, &status.version, status.devices.len());
    let up = span(i64::try_from(status.up_ms).unwrap_or(i64::MAX));
    line(told(&text!(
        en: "{sign} {gateway}   v{version}   up {up}   {good} of {all} devices answer",
        zh: "{sign} {gateway}   v{version}   已运行 {up}   {all} 台设备中 {good} 台应答"
    )));
    for concern in &status.concerns {
        line(format!("! {}", concern.text));
    }
    // Also where it answers, but not for every point.
    let faults = status.devices.iter().filter_map(|(name, device)| {
        let code = device.code.as_deref().unwrap_or_default();
        Some(format!("! {name}   {code}: {}", message_of(device)?))
    });
    faults.clone().take(DEVICE_LINES_MAX).for_each(&mut line);
    if let Some(more @ 1..) = faults.count().checked_sub(DEVICE_LINES_MAX) {
        line(told(&text!(
            en: "! and {more} more devices: `--json` names them",
            zh: "! 另有 {more} 台设备：见 `--json`"
        )));
    }
    if let Some(partly_bad) = partly_bad(status) {
        line(partly_bad);
    }
    if let Some(late) = late(status) {
        line(late);
    }
    for (name, task) in status.tasks.iter().filter(|(_, task)| task.failures > 0) {
        let why = task.last_failure.as_deref().unwrap_or_default();
        let at = task.last_failure_ms.map_or_else(String::new, local_time);
        line(format!("  task    {name} failed {} times, last {at}: {why}", task.failures));
    }
    let only = std::slice::from_ref(&status.uplink);
    for one in if status.uplinks.is_empty() { only } else { &status.uplinks } {
        uplink(one, status.uplinks.len() > 1, &mut line);
    }
    spool(&status.spool, &mut line);
    clock(&status.clock, status.now_ms, &mut line);
    let counts = &status.point_counts;
    let shown = u64::try_from(status.points.len()).unwrap_or(u64::MAX);
    if counts.all > shown {
        let worst = format!("; the worst {shown} follow, `--all` shows all");
        line(format!(
            "  points  {} of {} Good, {} Uncertain, {} Bad, {} without a sample{}",
            counts.good,
            counts.all,
            counts.uncertain,
            counts.bad,
            counts.unread,
            if shown > 0 { &*worst } else { "" }
        ));
    }
    let widest = status.points.iter().map(|point| point.point.chars().count()).max();
    let name_columns = widest.unwrap_or(0).min(NAME_COLUMNS_MAX);
    for shown in &status.points {
        line(point(shown, name_columns, status.now_ms));
    }
    text
}

/// The wording in the language of this process.
fn told(text: &Localized) -> String {
    text.get(program::language()).to_owned()
}

/// What is wrong with a device, in the language of this process where it is translated.
pub(in crate::commands) fn message_of(device: &DeviceStatus) -> Option<&String> {
    let chinese = device.message_zh.as_ref();
    let translated = chinese.filter(|_| program::language() == Language::Chinese);
    translated.or(device.message.as_ref())
}

/// The devices of which some points are Bad while others are usable: a note, no concern (see the verdict for why).
fn partly_bad(status: &GatewayStatus) -> Option<String> {
    let is_partly_bad = |device: &DeviceStatus| {
        device.answering == Some(true) && device.points.bad > 0 && !device.points.none_is_usable()
    };
    let found: Vec<_> = status.devices.iter().filter(|(_, d)| is_partly_bad(d)).collect();
    let shown =
        first_of(&found, |device| format!("{} of {} points", device.points.bad, device.points.all));
    (!found.is_empty()).then(|| format!("  bad     {shown}"))
}

/// The devices that are polled less often than configured, since a poll takes longer than its interval.
fn late(status: &GatewayStatus) -> Option<String> {
    let devices = status.devices.iter();
    let mut found: Vec<_> = devices.filter(|(_, d)| d.late >= LATE_SHOWN_MIN).collect();
    found.sort_by_key(|(_, device)| std::cmp::Reverse(device.late));
    let shown = first_of(&found, |device| format!("{} polls", device.late));
    (!found.is_empty()).then(|| format!("  late    {shown}: the poll before took too long"))
}

/// The first of these devices, each with what is to be said of it, and how many more there are.
fn first_of(found: &[(&String, &DeviceStatus)], what: impl Fn(&DeviceStatus) -> String) -> String {
    let shown = found.iter().take(DEVICE_NAMES_MAX);
    let shown = shown.map(|(name, device)| format!("{name} ({})", what(device)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(DEVICE_NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more devices"),
    }
}

/// One point of many, which may have names of any length.
pub(in crate::commands) fn one_point(shown: &PointStatus, now_ms: i64) -> String {
    escaped(&point(shown, NAME_COLUMNS_MAX, now_ms))
}

/// What devices, brokers and centres sent must not steer a terminal: controls, and marks that turn the direction of
/// writing, are shown as `\u{1b}`.
fn escaped(text: &str) -> String {
    let is_harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

/// The beginning of a value that is too long for a line.
fn cut(value: &str) -> String {
    let mut shown: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}

fn point(point: &PointStatus, name_columns: usize, now_ms: i64) -> String {
    let value = match point.value.as_deref() {
        None => "—".to_owned(),
        Some(value) if point.is_float => value.parse().map_or_else(|_| cut(value), rounded),
        Some(value) => cut(value),
    };
    let unit = if point.unit == "1" { "" } else { &*point.unit };
    let quality = match point.quality.as_deref() {
        None => told(&text!(en: "no sample yet", zh: "尚无采样")),
        Some("UncertainEngineeringUnitsExceeded") => {
            told(&text!(en: "Uncertain: not plausible", zh: "Uncertain：不合理"))
        }
        Some("UncertainConfigurationError") => {
            told(&text!(en: "Uncertain: doubted", zh: "Uncertain：存疑"))
        }
        Some(quality) => quality.to_owned(),
    };
    let age = point.source_time_ms.map_or_else(String::new, |at| age(now_ms - at));
    let mut text =
        format!("  {:<name_columns$} {value:>14} {unit:<6} {quality:<9} {age:>7}", point.point);
    if let Some(mark) = point.history_mark_ms {
        write!(text, "   history up to {}", local_time(mark)).expect("a String takes all");
    }
    text
}

fn uplink(uplink: &UplinkStatus, is_named: bool, line: &mut impl FnMut(String)) {
    let state = told(&match (&uplink.connected, &uplink.reason) {
        (true, _) => text!(en: "connected", zh: "已连接"),
        (false, Some(_)) => text!(en: "not connected", zh: "未连接"),
        (false, None) => text!(en: "connecting", zh: "正在连接"),
    });
    let last_ack = uplink
        .last_ack_ms
        .map_or_else(String::new, |at| format!("   last commit ack {}", local_time(at)));
    let name = if is_named { format!("{}   ", uplink.destination) } else { String::new() };
    // One that comes and goes is mostly connected when somebody looks.
    let breaks = match uplink.breaks_in_last_minute {
        0 | 1 => String::new(),
        breaks => format!(", {breaks} breaks in the last minute"),
    };
    line(format!(
        "  uplink  {name}{}   {state}{breaks}   {} frames wait for a commit ack{last_ack}",
        uplink.url, uplink.frames_waiting
    ));
    if is_named && uplink.frames_lost > 0 {
        let (frames, samples) = (uplink.frames_lost, uplink.samples_lost);
        line(format!("  lost    {name}{frames} frames with {samples} readings for this one"));
    }
    if let Some(why) = &uplink.log_begun {
        line(format!("  log     {why}"));
    }
}

/// What the spool holds, lost and suffers from.
fn spool(spool: &SpoolStatus, line: &mut impl FnMut(String)) {
    line(format!(
        "  spool   {} of {} KiB   frames {}..{} held   acked {}",
        spool.bytes / 1024,
        spool.quota_bytes / 1024,
        spool.oldest,
        spool.next.saturating_sub(1),
        spool.acked
    ));
    if spool.frames_lost > 0 {
        line(format!(
            "  lost    {} frames with {} readings in the life of this spool",
            spool.frames_lost, spool.samples_lost
        ));
    }
    if spool.samples_refused_unrecorded > 0 {
        line(format!(
            "! spool   {} refused readings are not recorded yet: the centre hears of them once the disk works",
            spool.samples_refused_unrecorded
        ));
    }
    for unfit in &spool.unfit {
        line(format!("! {}   {} readings refused: {}", unfit.point, unfit.samples, unfit.why));
    }
    let found = &spool.found_at_start;
    if found.frames_damaged > 0 || found.frames_cut > 0 {
        line(format!(
            "! spool   found at the start: {} frames with {} readings damaged, {} with {} cut off by a crash",
            found.frames_damaged, found.samples_damaged, found.frames_cut, found.samples_cut
        ));
    }
    if let Some(end) = spool.unclean_end_ms {
        let at = local_time(end);
        line(format!("  lost    an unknown number of readings after an unclean end at {at}"));
    }
    if spool.space_short {
        line(
            "! spool   the disk has less room than the quota: free some, or lower `[spool] quota`"
                .to_owned(),
        );
    }
    if spool.read_back_paused {
        line(
            "! spool   reading back what devices remember pauses: there is too little room"
                .to_owned(),
        );
    }
}

fn clock(clock: &ClockStatus, now_ms: i64, line: &mut impl FnMut(String)) {
    if !clock.is_plausible {
        line(format!("  clock   shows {}", local_time(now_ms)));
    }
    if let Some(step_ms) = clock.last_step_ms {
        let way = if step_ms < 0 { "back" } else { "forward" };
        let by = span(step_ms.saturating_abs());
        line(format!("  clock   was set {} times, last {way} by {by}", clock.steps));
    }
}

/// Breaks at spaces where the line is longer than `columns`.
fn wrapped(line: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return line.to_owned() };
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let (mut text, mut used) = (indent.clone(), indent.chars().count());
    for (index, word) in line.trim_start().split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && used + 1 + length > columns {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.push_str(&indent);
            text.push_str(&" ".repeat(HANGING_INDENT));
            used = indent.chars().count() + HANGING_INDENT;
        } else if index > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text
}

/// How long something lasts, in the largest unit that says enough.
fn span(millis: i64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time of a clock that is ahead has no age.
fn age(millis: i64) -> String {
    if millis < -1_000 { "ahead".to_owned() } else { span(millis.max(0)) }
}

fn local_time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
        .unwrap_or_default()
}
