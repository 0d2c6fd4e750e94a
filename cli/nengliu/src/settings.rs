//! `nengliu.toml`, the settings of the centre, checked.
//!
//! ```toml
//! [lake]
//! folder = "lake"                      # relative to this file
//! keep = "1d"                          # how long replaced files stay for readers of older versions …
//! keep_size = "20 GiB"                 # … and how much of them, whichever is reached first
//! free = "64 MiB"                      # no commit is begun with less free space
//! group = "energy"                     # may read the lake; others see nothing of it
//!
//! [broker]                             # the embedded one …
//! tcp_port = 1883                      # on loopback
//! # url = "mqtt://127.0.0.1:1883"      # … or any MQTT 5 broker, also mqtts://, ws:// or wss://
//! # ca_file = "ca.pem"                 # with mqtts:// and wss://; the certificates of the system when left out
//! # user = "nengliu"
//! # password_file = "password"         # mode 0600
//!
//! [[gateway]]                          # with any, only those listed here may send to the embedded broker
//! id = "gw-1"
//! password_file = "gw-1.password"      # mode 0600; the gateway has the same as its `password_file`
//!
//! [live]                               # values for screens and other programs: docs/mqtt.md
//! enabled = true
//! budget = 5000                        # messages a second in all
//! rate = "500ms"                       # shortest time between two messages on one topic
//!
//! [ingest]
//! commit_interval = "2s"               # frames gathered so long become one commit
//! retry_max = "30s"                    # longest wait between two tries to commit or to reach the broker
//!
//! [analytics]
//! plant = "plant.toml"
//! every = "5min"
//! figures_folder = "figures"           # Table 1 of this and of the last month, as JSON
//! ```
//!
//! Must never start anything.

mod gateways;
mod keeping;
#[cfg(test)]
mod keys;
pub(crate) mod live;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::live::LiveSettings;
use config::{
    BrokerUrl, BrokerUrlFault, Problem, Problems, Secret, SourceFile, Spanned, Table,
    without_credentials, written,
};
use model::GatewayId;

pub(crate) use keeping::Keeping;

/// The settings of the centre.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where the lake lies.
    pub(crate) lake: PathBuf,
    /// How it is kept.
    pub(crate) keeping: Keeping,
    /// Which broker.
    pub(crate) broker: BrokerSettings,
    /// How long frames are gathered.
    pub(crate) commit_interval: Duration,
    /// Longest wait between two attempts to commit or to reach the broker; `None` for the usual one.
    pub(crate) retry_max: Option<Duration>,
    /// The live topics.
    pub(crate) live: LiveSettings,
    /// Figures on a timer, where wanted.
    pub(crate) analytics: Option<AnalyticsSettings>,
}

/// `[broker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerSettings {
    /// Ours, on loopback.
    Embedded {
        /// Its TCP port.
        tcp_port: u16,
        /// The password of each gateway that may send; empty where gateways prove nothing.
        passwords: BTreeMap<GatewayId, Secret>,
    },
    /// Another, by URL.
    External {
        /// As [`BrokerUrl`] reads it.
        url: String,
        /// Certificates to trust.
        ca_file: Option<PathBuf>,
        /// User and password file.
        credentials: Option<(String, PathBuf)>,
    },
}

/// `[analytics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalyticsSettings {
    /// The plant file.
    pub(crate) plant: PathBuf,
    /// How often.
    pub(crate) every: Duration,
    /// Where the figures go.
    pub(crate) figures_folder: PathBuf,
}

const COMMIT_INTERVAL_DEFAULT: Duration = Duration::from_secs(2);
/// Shortest and longest accepted commit interval.
const COMMIT_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_mins(1);
/// Shortest and longest accepted wait between two tries.
const RETRIES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
/// How often figures may be made.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

impl Default for Settings {
    /// The embedded broker on 127.0.0.1:1883 and a lake in this folder.
    fn default() -> Self {
        Self {
            lake: PathBuf::from("lake"),
            keeping: Keeping::default(),
            broker: BrokerSettings::Embedded { tcp_port: 1883, passwords: BTreeMap::new() },
            commit_interval: COMMIT_INTERVAL_DEFAULT,
            retry_max: None,
            live: LiveSettings::default(),
            analytics: None,
        }
    }
}

impl Settings {
    /// Reads a file; all problems are returned at once.
    pub(crate) fn load(path: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let text = match config::read_text(path, config::TEXT_BYTES_MAX) {
            Ok(text) => text,
            Err(e) => {
                let message = format!("cannot read `{}`: {e}", path.display());
                let help = config::read_help(&e, "name the file with -c nengliu.toml");
                problems.push(Problem::new("EN-C000", message).help(help));
                return Err(problems);
            }
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = SourceFile::new(path.display().to_string(), text);
        let settings = read(&file, folder.unwrap_or(Path::new(".")), &mut problems);
        if problems.is_fatal() { Err(problems) } else { Ok(settings) }
    }
}

fn read(file: &std::sync::Arc<SourceFile>, folder: &Path, problems: &mut Problems) -> Settings {
    let mut root = Table::parse(file, problems);
    let (mut lake, mut keeping) = (folder.join("lake"), Keeping::default());
    if let Some(mut table) = root.optional::<Table>("lake", problems).map(|found| found.value) {
        lake = folder.join(table.or("folder", "lake".to_owned(), problems));
        keeping = keeping::read(&mut table, problems);
        table.finish(problems);
    }
    let broker = root.optional::<Table>("broker", problems);
    let broker = match broker {
        Some(found) => read_broker(found.value, folder, problems),
        None => Settings::default().broker,
    };
    let gateways = root.tables("gateway", problems);
    let broker = gateways::read(gateways, broker, folder, problems);
    let live = root.optional::<Table>("live", problems);
    let live = live.map_or_else(LiveSettings::default, |found| {
        live::read(found.value, matches!(broker, BrokerSettings::Embedded { .. }), problems)
    });
    let mut commit_interval = COMMIT_INTERVAL_DEFAULT;
    let mut retry_max = None;
    if let Some(mut table) = root.optional::<Table>("ingest", problems).map(|found| found.value) {
        commit_interval = duration(&mut table, "commit_interval", &COMMIT_INTERVALS, problems)
            .unwrap_or(COMMIT_INTERVAL_DEFAULT);
        retry_max = duration(&mut table, "retry_max", &RETRIES, problems);
        table.finish(problems);
    }
    let analytics = root.optional::<Table>("analytics", problems).and_then(|found| {
        let mut table = found.value;
        let plant = table.required::<String>("plant", problems);
        let every = duration(&mut table, "every", &EVERY, problems);
        let every = every.unwrap_or(Duration::from_mins(5));
        let figures = table.or("figures_folder", "figures".to_owned(), problems);
        table.finish(problems);
        let plant = folder.join(plant?.value);
        Some(AnalyticsSettings { plant, every, figures_folder: folder.join(figures) })
    });
    root.finish(problems);
    Settings { lake, keeping, broker, commit_interval, retry_max, live, analytics }
}

fn duration(
    table: &mut Table,
    key: &'static str,
    range: &RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let found = table.optional::<Duration>(key, problems)?;
    if !range.contains(&found.value) {
        let [least, most, value] = [*range.start(), *range.end(), found.value].map(written);
        let message = format!("`{key}`: expected {least} to {most}, found {value}");
        problems.push(found.problem("EN-C002", message));
    }
    Some(found.value)
}

fn read_broker(mut table: Table, folder: &Path, problems: &mut Problems) -> BrokerSettings {
    let tcp_port = table.optional::<u16>("tcp_port", problems);
    let url = table.optional::<String>("url", problems);
    let ca_file =
        table.optional::<String>("ca_file", problems).map(|found| folder.join(found.value));
    let user = table.optional::<String>("user", problems);
    let password = table.optional::<String>("password_file", problems);
    if let Some(found) = &user
        && let Err(wrong) = check_user(&found.value)
    {
        let help = "the name by which the broker knows the centre, for example nengliu";
        problems.push(found.problem(USER_CODE, format!("`user`: {wrong}")).help(help));
    }
    let credentials = match (user, password) {
        (Some(user), Some(file)) => Some((user.value, folder.join(file.value))),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let message = "`user` and `password_file` belong together: only one is there";
            problems.push(one.problem("EN-C003", message).help("give both, or neither"));
            None
        }
    };
    if let (Some(port), Some(_)) = (&tcp_port, &url) {
        let message =
            "`tcp_port` is of the embedded broker, `url` of another: only one can be used";
        problems.push(port.problem("EN-C004", message).help("leave one of them out"));
    }
    if url.is_none() && (ca_file.is_some() || credentials.is_some()) {
        let message = "`ca_file`, `user` and `password_file` belong to a broker by `url`";
        problems.push(
            table.problem("EN-C005", message).help("the embedded broker listens on loopback only"),
        );
    }
    if let Some(url) = &url {
        check_url(url, problems);
    }
    table.finish(problems);
    match url {
        Some(url) => BrokerSettings::External { url: url.value, ca_file, credentials },
        None => BrokerSettings::Embedded {
            tcp_port: tcp_port.map_or(1883, |found| found.value),
            passwords: BTreeMap::new(),
        },
    }
}

/// Code of a user name that is none.
pub(crate) const USER_CODE: &str = "EN-C021";
/// Most characters of a user name at a broker.
const USER_CHARS_MAX: usize = 200;

/// Whether a broker can have such a user.
///
/// # Errors
/// Says what was expected.
pub(crate) fn check_user(user: &str) -> Result<(), String> {
    let is_long = user.chars().count() > USER_CHARS_MAX;
    if is_long || user.trim() != user || user.is_empty() || user.contains(char::is_control) {
        return Err(format!(
            "expected 1 to {USER_CHARS_MAX} characters in one line without spaces around them, found `{}`",
            user.chars().take(USER_CHARS_MAX).collect::<String>().escape_debug()
        ));
    }
    Ok(())
}

fn check_url(url: &Spanned<String>, problems: &mut Problems) {
    let Err(fault) = BrokerUrl::read(&url.value) else { return };
    let shown = without_credentials(&url.value);
    let message = format!("`url`: {fault}, found `{shown}`");
    let help = match fault {
        BrokerUrlFault::Credentials => {
            "user = \"…\" and password_file = \"…\", the password on its first line"
        }
        BrokerUrlFault::Query => "for example wss://mqtt.example.com/mqtt",
        BrokerUrlFault::Form | BrokerUrlFault::Rest => "for example mqtt://192.168.1.10:1883",
    };
    let code = if fault == BrokerUrlFault::Credentials { "EN-C011" } else { "EN-C006" };
    problems.push(url.problem(code, message).help(help));
}
