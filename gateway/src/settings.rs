//! `gateway.toml`, checked.
//!
//! ```toml
//! [gateway]
//! id = "gw-1"                          # a level of the topics gw/gw-1/up and gw/gw-1/ack
//! site = "acme/nb-1"                   # enterprise/site
//! profile_folders = ["profiles"]       # looked through before the profiles that come with the program
//!
//! [spool]
//! folder = "spool"                     # relative to this file
//! quota = "1 GiB"
//! segment = "4 MiB"                    # or more, where the names and history marks of many points need it
//! commit_interval = "1s"               # what a power cut may take at most; a round of polls that is complete is written
//!                                      # 100 ms later, up to twice per interval
//!
//! [uplink]                             # or several [[uplink]], each with an id of its own
//! id = "centre"                        # what the log calls this destination; one that is renamed is another one
//! url = "mqtt://127.0.0.1:1883"        # or mqtts://host:8883, ws://host:80/mqtt, wss://host:443/mqtt
//! ca_file = "ca.pem"                   # for mqtts:// and wss://; the system's authorities when left out
//! user = "gw-1"
//! password_file = "password"
//! resend_after = "10s"                 # nothing committed for so long: send again from the watermark
//! backoff_max = "60s"
//!
//! [[port]]
//! id = "rs485-1"
//! protocol = "modbus"                  # the other keys are the protocol's
//!
//! [[device]]
//! id = "comp-1"
//! name = { zh = "空压机1号", en = "Compressor 1" }
//! port = "rs485-1"
//! profile = "eastron/sdm630"
//! place = "press/line-2"               # area/line
//! poll = "5s"
//! points = ["e_import", "p_total"]     # all of the profile when left out
//!                                      # `[[device.group]]` has points of another interval: see `poll_groups`
//! history = true                       # read back what the device remembers: of each point of which the profile does not
//!                                      # say that it remembers none; or some points: ["e_import"]; or none: false.
//!                                      # Left out, the profile's points say it themselves
//! history_from = "all"                 # or a time with its offset
//! ```
//!
//! Must never know the keys of a protocol.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{ByteSize, Problem, Problems, SourceFile, Spanned, Table, written};
pub use device_profiles::POLL_INTERVALS;
use keeper::SpoolSettings;
use model::dictionary::DisplayName;
use model::id::check_id;
use model::{GatewayId, PlaceInSite};
use spool::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

use crate::poll_groups::{GroupSettings, checked_poll, read_groups};

mod history;
mod uplinks;

pub use history::HistorySettings;
pub use uplinks::UplinkSettings;

/// Shortest and longest accepted commit interval: below, each sample wears the disk; above, a power cut takes much.
pub const COMMIT_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_mins(10);
/// Shortest and longest accepted wait of the uplink before it tries again: below, it would spin.
pub const UPLINK_WAITS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);
/// A segment is a whole number of these.
const SEGMENT_STEP_BYTES: u64 = 4096;
const POLL_DEFAULT: Duration = Duration::from_secs(5);

/// A gateway as configured, its ports' and devices' own keys not yet read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the gateway.
    pub id: GatewayId,
    /// Enterprise and site.
    pub site: (String, String),
    /// Folders with profiles of the user.
    pub profile_folders: Vec<PathBuf>,
    /// The spool.
    pub spool: SpoolSettings,
    /// The uplinks, at least one: the places that the readings go to.
    pub uplinks: Vec<UplinkSettings>,
    /// The ports.
    pub ports: Vec<PortSettings>,
    /// The devices.
    pub devices: Vec<DeviceSettings>,
}

/// One `[[port]]`.
#[derive(Debug, Clone)]
pub struct PortSettings {
    /// Its name.
    pub id: Spanned<String>,
    /// The protocol that speaks on it.
    pub protocol: Spanned<String>,
    /// The protocol's keys.
    pub rest: Table,
}

/// One `[[device]]`.
#[derive(Debug, Clone)]
pub struct DeviceSettings {
    /// Its name.
    pub id: Spanned<String>,
    /// Display name.
    pub name: DisplayName,
    /// Its port.
    pub port: Spanned<String>,
    /// Its profile.
    pub profile: Spanned<String>,
    /// Area and line.
    pub place: Option<PlaceInSite>,
    /// Poll interval of the points that state none.
    pub poll: Duration,
    /// Points of other intervals.
    pub groups: Vec<GroupSettings>,
    /// The metrics wanted; all when `None`.
    pub points: Option<Spanned<Vec<String>>>,
    /// Of which points, and from when on, what the device remembers is read back.
    pub history: HistorySettings,
    /// The protocol's keys.
    pub rest: Table,
}

impl Settings {
    /// Reads the text of a `gateway.toml` that stands in `folder` and notes every problem. What is wrong takes an empty
    /// value, so that the rest of the file, its profiles too, can be checked in one go: only what [`crate::plan`]
    /// makes of it, which is nothing after a fatal problem, may be run. The files that `[uplink]` names are opened.
    pub fn read(text: &str, name: &str, folder: &Path, problems: &mut Problems) -> Self {
        let file = SourceFile::new(name, text);
        let mut root = Table::parse(&file, problems);
        let gateway = root.required::<Table>("gateway", problems);
        let (id, site, profile_folders) =
            gateway.map(|found| read_gateway(found.value, folder, problems)).unwrap_or_default();
        let spool = section(&mut root, "spool", problems, |table, problems| {
            read_spool(table, folder, problems)
        });
        let uplinks = uplinks::read(&mut root, folder, problems);
        let ports: Vec<_> = root
            .tables("port", problems)
            .into_iter()
            .filter_map(|table| read_port(table, problems))
            .collect();
        let devices: Vec<_> = root
            .tables("device", problems)
            .into_iter()
            .filter_map(|table| read_device(table, problems))
            .collect();
        if devices.is_empty() && !problems.is_fatal() {
            problems.push(
                root.problem(
                    "GW-C010",
                    "no device is configured: expected at least one `[[device]]`",
                )
                .help("add `[[device]]` with `id`, `port`, `profile` and the protocol's keys"),
            );
        }
        root.finish(problems);
        unique(ports.iter().map(|port| &port.id), "port", problems);
        unique(devices.iter().map(|device| &device.id), "device", problems);
        Self {
            id: id.unwrap_or_else(unnamed),
            site: site.unwrap_or_else(|| ("unnamed".to_owned(), "unnamed".to_owned())),
            profile_folders,
            spool: spool.unwrap_or_else(|| SpoolSettings::default_in(folder)),
            uplinks,
            ports,
            devices,
        }
    }
}

/// Stands for an id that is missing or wrong.
fn unnamed() -> GatewayId {
    GatewayId::new("unnamed").expect("seven letters are an id")
}

fn section<T>(
    root: &mut Table,
    key: &'static str,
    problems: &mut Problems,
    read: impl FnOnce(Table, &mut Problems) -> T,
) -> Option<T> {
    let table = root.optional::<Table>(key, problems)?;
    Some(read(table.value, problems))
}

type Head = (Option<GatewayId>, Option<(String, String)>, Vec<PathBuf>);

fn read_gateway(mut table: Table, folder: &Path, problems: &mut Problems) -> Head {
    let id = table.required::<String>("id", problems).and_then(|found| {
        let checked = GatewayId::new(found.value.clone());
        let wrong = |e: model::id::IdError| found.problem("GW-C011", e.to_string()).help(ID_HELP);
        checked.map_err(|e| problems.push(wrong(e))).ok()
    });
    let site = table.required::<String>("site", problems).and_then(|found| {
        let parts = found.value.split_once('/').map(|(e, s)| (e.to_owned(), s.to_owned()));
        let valid = parts.filter(|(e, s)| check_id(e).is_ok() && check_id(s).is_ok());
        if valid.is_none() {
            let message = format!("`site`: expected `enterprise/site`, found `{}`", found.value);
            problems.push(found.problem("GW-C027", message).help(ID_HELP));
        }
        valid
    });
    let folders = table.optional::<Vec<String>>("profile_folders", problems);
    if let Some(folders) = &folders {
        for name in folders.value.iter().filter(|name| !folder.join(name).is_dir()) {
            let message = format!("`profile_folders`: there is no folder `{name}`");
            let help = "beside this file; without it only the profiles that come with the program are known";
            problems.push(folders.problem("GW-C051", message).help(help).warning());
        }
    }
    let folders = folders.map(|found| found.value).unwrap_or_default();
    table.finish(problems);
    (id, site, folders.iter().map(|path| folder.join(path)).collect())
}

const ID_HELP: &str = "use a-z, 0-9, _ and -, at most 40 of them; Chinese names belong into `name`";

fn read_spool(mut table: Table, folder: &Path, problems: &mut Problems) -> SpoolSettings {
    let default = SpoolSettings::default_in(folder);
    let quota = table.optional::<ByteSize>("quota", problems);
    let segment = table.optional::<ByteSize>("segment", problems);
    let settings = SpoolSettings {
        folder: folder.join(table.or("folder", "spool".to_owned(), problems)),
        quota: quota.as_ref().map_or(default.quota, |quota| quota.value),
        segment: segment.as_ref().map_or(default.segment, |segment| segment.value),
        commit_interval: duration(
            &mut table,
            ("spool", "commit_interval"),
            default.commit_interval,
            COMMIT_INTERVALS,
            problems,
        ),
    };
    let needed = ByteSize(settings.segment.0.saturating_mul(3));
    if let Some(found) = segment.filter(|segment| !is_segment(segment.value)) {
        let message = format!(
            "`spool.segment`: expected a multiple of {} from {} to {}, found {}",
            ByteSize(SEGMENT_STEP_BYTES),
            ByteSize(SEGMENT_BYTES_MIN),
            ByteSize(SEGMENT_BYTES_MAX),
            found.value
        );
        problems.push(found.problem("GW-C028", message).help("4 MiB is good for most"));
    } else if settings.quota < needed {
        let message = format!(
            "`spool.quota`: expected at least three segments, {needed}, found {}",
            settings.quota
        );
        let problem = match &quota {
            Some(quota) => quota.problem("GW-C013", message),
            None => table.problem("GW-C013", message),
        };
        problems.push(problem.help("raise `quota` or lower `segment`"));
    }
    table.finish(problems);
    settings
}

fn is_segment(size: ByteSize) -> bool {
    (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&size.0)
        && size.0.is_multiple_of(SEGMENT_STEP_BYTES)
}

/// A duration of `section` within `range`.
fn duration(
    table: &mut Table,
    (section, key): (&'static str, &'static str),
    default: Duration,
    range: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Duration {
    let Some(found) = table.optional::<Duration>(key, problems) else { return default };
    if !range.contains(&found.value) {
        let [from, to, value] = [*range.start(), *range.end(), found.value].map(written);
        let message = format!("`{section}.{key}`: expected {from} to {to}, found {value}");
        problems.push(found.problem("GW-C017", message));
    }
    found.value
}

fn checked_id(found: Spanned<String>, problems: &mut Problems) -> Option<Spanned<String>> {
    match check_id(&found.value) {
        Ok(()) => Some(found),
        Err(e) => {
            problems.push(found.problem("GW-C011", e.to_string()).help(ID_HELP));
            None
        }
    }
}

fn read_port(mut table: Table, problems: &mut Problems) -> Option<PortSettings> {
    let id = table.required("id", problems).and_then(|id| checked_id(id, problems));
    let protocol = table.required("protocol", problems);
    Some(PortSettings { id: id?, protocol: protocol?, rest: table })
}

fn read_device(mut table: Table, problems: &mut Problems) -> Option<DeviceSettings> {
    let id = table.required("id", problems).and_then(|id| checked_id(id, problems));
    let port = table.required("port", problems);
    let profile = table.required("profile", problems);
    let name = section(&mut table, "name", problems, |mut names, problems| {
        let zh = names.or("zh", String::new(), problems);
        let en = names.or("en", String::new(), problems);
        names.finish(problems);
        DisplayName { zh, en }
    });
    let place =
        table.optional::<String>("place", problems).and_then(|found| read_place(&found, problems));
    let poll = table.optional::<Duration>("poll", problems);
    let poll = poll.map_or(POLL_DEFAULT, |found| checked_poll(&found, problems));
    let groups = read_groups(&mut table, problems);
    let points = table.optional("points", problems);
    let history = HistorySettings::read(&mut table, problems);
    Some(DeviceSettings {
        id: id?,
        name: name.unwrap_or_default(),
        port: port?,
        profile: profile?,
        place,
        poll,
        groups,
        points,
        history,
        rest: table,
    })
}

fn read_place(found: &Spanned<String>, problems: &mut Problems) -> Option<PlaceInSite> {
    match found.value.parse() {
        Ok(place) => Some(place),
        Err(wrong) => {
            let message = format!("`place`: {wrong}");
            problems.push(found.problem("GW-C018", message).help(ID_HELP));
            None
        }
    }
}

fn unique<'a>(ids: impl Iterator<Item = &'a Spanned<String>>, what: &str, problems: &mut Problems) {
    let mut seen: Vec<&Spanned<String>> = Vec::new();
    for id in ids {
        if let Some(first) = seen.iter().find(|known| known.value == id.value) {
            let place = Problem::new("", "")
                .at(&first.file, first.span.clone())
                .place()
                .unwrap_or_default();
            let message = format!("{what} `{}` is defined twice: first at {place}", id.value);
            problems.push(id.problem("GW-C020", message).help("give one of them another id"));
        }
        seen.push(id);
    }
}
