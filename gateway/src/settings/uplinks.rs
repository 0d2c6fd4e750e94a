//! `[uplink]`, or several `[[uplink]]`: where the readings go. Must never know how they get there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{BrokerUrl, BrokerUrlFault, Problem, Problems, Spanned, Table, without_credentials};
use model::DestinationId;
use spool::DESTINATIONS_MAX;

use super::{ID_HELP, UPLINK_WAITS, duration, unique, unnamed};
use crate::mqtt::{Broker, MqttError};

const URL_HELP: &str = "for example mqtt://192.168.1.10:1883";

/// One `[[uplink]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UplinkSettings {
    /// What the log calls this destination.
    pub id: DestinationId,
    /// The broker, `mqtt://`, `mqtts://`, `ws://` or `wss://`.
    pub url: String,
    /// Certificates to trust, PEM; those of the system when there is none.
    pub ca_file: Option<PathBuf>,
    /// User name, and the file with the password on its first line.
    pub credentials: Option<(String, PathBuf)>,
    /// Nothing committed for so long: send again.
    pub resend_after: Duration,
    /// Longest wait between two tries to connect.
    pub backoff_max: Duration,
}

/// What one table says, with the places that others are compared with.
struct Read {
    settings: UplinkSettings,
    id: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
}

/// Reads all uplinks.
pub(super) fn read(
    root: &mut Table,
    folder: &Path,
    problems: &mut Problems,
) -> Vec<UplinkSettings> {
    let tables = root.one_or_more_tables("uplink", problems);
    let found = tables.len();
    if found > DESTINATIONS_MAX {
        let message =
            format!("{found} `[[uplink]]` are configured: at most {DESTINATIONS_MAX} are possible");
        problems.push(
            root.problem("GW-C036", message)
                .help("each of them may hold up what the spool can keep"),
        );
    }
    let read: Vec<Read> =
        tables.into_iter().map(|table| read_one(table, found > 1, folder, problems)).collect();
    unique(read.iter().filter_map(|read| read.id.as_ref()), "uplink", problems);
    // Two at one broker would share their topics and the client id.
    unique(read.iter().filter_map(|read| read.url.as_ref()), "uplink url", problems);
    read.into_iter().map(|read| read.settings).collect()
}

fn read_one(mut table: Table, needs_id: bool, folder: &Path, problems: &mut Problems) -> Read {
    let id = if needs_id { table.required("id", problems) } else { table.optional("id", problems) };
    let id: Option<Spanned<String>> = id;
    let destination = id.as_ref().and_then(|found| {
        let checked = DestinationId::new(found.value.clone());
        let wrong = |e: model::id::IdError| found.problem("GW-C011", e.to_string()).help(ID_HELP);
        checked.map_err(|e| problems.push(wrong(e))).ok()
    });
    let url = table.required::<String>("url", problems);
    let ca_file = table.optional::<String>("ca_file", problems);
    let user = table.optional::<String>("user", problems);
    let password = table.optional::<String>("password_file", problems);
    let mut wait =
        |key, default| duration(&mut table, ("uplink", key), default, UPLINK_WAITS, problems);
    let resend_after = wait("resend_after", Duration::from_secs(10));
    let backoff_max = wait("backoff_max", Duration::from_mins(1));
    let credentials = match (user, &password) {
        (Some(user), Some(file)) => Some((user.value, folder.join(&file.value))),
        (None, None) => None,
        (Some(one), None) => {
            problems.push(half_credentials(&one));
            None
        }
        (None, Some(one)) => {
            problems.push(half_credentials(one));
            None
        }
    };
    table.finish(problems);
    let mut settings = UplinkSettings {
        id: destination.unwrap_or_default(),
        url: String::new(),
        ca_file: ca_file.as_ref().map(|found| folder.join(&found.value)),
        credentials,
        resend_after,
        backoff_max,
    };
    if let Some(url) = &url {
        settings.url.clone_from(&url.value);
        check_broker(&settings, url, ca_file.as_ref(), password.as_ref(), problems);
        let read = BrokerUrl::read(&url.value);
        let is_plain = read.as_ref().is_ok_and(|url| !url.is_encrypted());
        if let (Some(ca_file), true) = (&ca_file, is_plain) {
            let message = "`uplink.ca_file`: has no effect, nothing is encrypted with this `url`";
            let problem = ca_file.problem("GW-C038", message).warning();
            problems.push(problem.help("use `mqtts://` or `wss://`, or leave `ca_file` out"));
        }
        let is_open = read.is_ok_and(|url| url.is_open_to_others());
        if settings.credentials.is_some() && is_open {
            let message = "`uplink.url`: the password travels readably over the network";
            let problem = url.problem("GW-C037", message).warning();
            problems.push(problem.help("use `mqtts://` or `wss://`, or a broker on this machine"));
        }
    }
    Read { settings, id, url }
}

fn half_credentials(one: &Spanned<String>) -> Problem {
    let message = "`user` and `password_file` belong together: only one is there";
    one.problem("GW-C015", message).help("give both, or neither")
}

/// Everything that would keep the uplink from being tried is found here, not at the start.
fn check_broker(
    settings: &UplinkSettings,
    url: &Spanned<String>,
    ca_file: Option<&Spanned<String>>,
    password: Option<&Spanned<String>>,
    problems: &mut Problems,
) {
    let Err(error) = Broker::new(settings, &unnamed()) else { return };
    let ca_file = ca_file.unwrap_or(url);
    let (place, code, help) = match &error {
        MqttError::Url { fault, .. } => {
            let shown = without_credentials(&url.value);
            let message = format!("`uplink.url`: {fault}, found `{shown}`");
            let help = match fault {
                BrokerUrlFault::Credentials => {
                    "user = \"…\" and password_file = \"…\", the password on its first line"
                }
                BrokerUrlFault::Query => "for example wss://mqtt.example.com/mqtt",
                BrokerUrlFault::Form | BrokerUrlFault::Rest => URL_HELP,
            };
            problems.push(url.problem("GW-C014", message).help(help));
            return;
        }
        MqttError::NoSystemCertificates { .. } => {
            (url, "GW-C016", "name the PEM file of the broker's authority with `ca_file`")
        }
        MqttError::File { .. } => {
            (ca_file, "GW-C029", "put the broker's CA certificate there, readable by this user")
        }
        MqttError::Secret(_) => (
            password.unwrap_or(url),
            "GW-C029",
            "put the password on the first line of that file, readable by this user alone",
        ),
        MqttError::Certificate { .. } => {
            (ca_file, "GW-C029", "the file holds the certificate of the broker's authority as PEM")
        }
    };
    let because = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
    problems.push(place.problem(code, format!("{error}{because}")).help(help));
}

#[cfg(test)]
mod tests {
    use config::SourceFile;

    use super::*;

    /// Who names an authority believes that the connection is encrypted.
    #[test]
    fn a_ca_file_for_a_plain_connection_is_a_warning() {
        let check = |url: &str, warns: bool| {
            let text = format!("[uplink]\nurl = \"{url}\"\nca_file = \"missing.pem\"\n");
            let mut problems = Problems::default();
            let mut root = Table::parse(&SourceFile::new("gateway.toml", text), &mut problems);
            assert_eq!(read(&mut root, Path::new("/nowhere"), &mut problems).len(), 1);
            let told = problems.to_string();
            assert_eq!(told.contains("`uplink.ca_file`: has no effect"), warns, "{url}: {told}");
            // Where it is used, it is read.
            assert_eq!(told.contains("missing.pem"), !warns, "{url}: {told}");
            assert_eq!(problems.is_fatal(), !warns, "{url}: {told}");
        };
        check("mqtt://10.1.2.3", true);
        check("ws://127.0.0.1/mqtt", true);
        check("mqtts://10.1.2.3", false);
        check("wss://10.1.2.3", false);
    }
}
