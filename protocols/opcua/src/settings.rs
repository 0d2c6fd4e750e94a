//! The keys of a `[[port]]` with `protocol = "opcua"`, checked.
//!
//! ```toml
//! url = "opc.tcp://192.168.0.10:4840/"
//! security = "sign-and-encrypt"          # Basic256Sha256; or "none"
//! user = "reader"
//! password_file = "plc-password"         # mode 0600
//! certificate_folder = "opcua-certificates"
//! server_fingerprint = "sha256:…"        # or server_certificate = "plc.der", or a file in <folder>/trusted
//! publish_interval = "1s"
//! sampling_interval = "1s"               # the device's poll when left out
//! keep_alive = "5s"
//! timeout = "5s"
//! history_page = 1000
//! backoff_min = "1s"
//! backoff_max = "60s"
//! ```
//!
//! A `[[device]]` behind it may say:
//!
//! ```toml
//! namespace = "urn:acme:plc"             # of the nodes of its profile that name none
//! subscribe = false                      # read its points every `poll`; true when left out
//! standing = false                       # a value that stands still is not said again each quarter of an hour
//! time = "gateway"                       # values are dated when they arrive; "device" when left out
//! ```
//!
//! Paths are relative to the file they stand in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_opcua::core::comms::url::{hostname_from_url, is_opc_ua_binary_url};
use config::{Problems, Spanned, Table, without_credentials};
use model::error_chain;

/// Most values that are asked for at once: more make answers that exceed the message limits of clients and servers.
pub(crate) const HISTORY_PAGE_MAX: u32 = 1_000;
const DURATION_MIN: Duration = Duration::from_millis(10);
const DURATION_MAX: Duration = Duration::from_hours(1);
/// A value that stands still is said once in 15 minutes, by the server's word at each keep-alive that it still holds.
const KEEP_ALIVE_MAX: Duration = Duration::from_mins(5);

const CODE: &str = "GW-C301";
const CODE_TRUST: &str = "GW-C302";

/// A server as configured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) security: Security,
    pub(crate) user: Option<User>,
    pub(crate) publish_interval: Duration,
    pub(crate) sampling_interval: Option<Duration>,
    pub(crate) keep_alive: Duration,
    pub(crate) timeout: Duration,
    pub(crate) history_page: usize,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

/// How the session is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not at all.
    None,
    /// `SignAndEncrypt` with `Basic256Sha256`.
    SignAndEncrypt {
        /// Where our certificate and the trusted ones are.
        folder: PathBuf,
        /// Our application URI; must be the one in our certificate.
        application_uri: Option<String>,
        /// Which server is believed.
        trust: Trust,
    },
}

/// Which server is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One whose certificate lies in `<folder>/trusted`.
    Folder,
    /// The one with this SHA-256, in small hex digits.
    Fingerprint(String),
    /// The one with the certificate in this file.
    Certificate(PathBuf),
    /// Any: on this machine only.
    Any,
}

/// Who we are to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password_file: PathBuf,
}

impl Settings {
    /// Reads and finishes the table; notes every problem.
    pub(crate) fn read(mut table: Table, problems: &mut Problems) -> Option<Self> {
        let base = Path::new(&table.file().name).parent().unwrap_or(Path::new("")).to_path_buf();
        let table = &mut table;
        let url = table.required::<String>("url", problems).and_then(|url| server(url, problems));
        let local = url.as_deref().is_some_and(is_local);
        let security = security(table, &base, local, problems);
        let user = user(table, &base, problems);
        let mut duration = |key, default| duration(table, key, problems).unwrap_or(default);
        let publish_interval = duration("publish_interval", Duration::from_secs(1));
        let keep_alive = duration("keep_alive", Duration::from_secs(5));
        let timeout = duration("timeout", Duration::from_secs(5));
        let backoff_min = duration("backoff_min", Duration::from_secs(1));
        let backoff_max = duration("backoff_max", Duration::from_mins(1));
        let sampling_interval = self::duration(table, "sampling_interval", problems);
        let history_page = page(table, problems);
        table.clone().finish(problems);
        let security = security?;
        if let (Security::None, Some((name, _)), false) = (&security, &user, local) {
            let message = format!("`user = \"{}\"` with `security = \"none\"`", name.value);
            problems.push(
                name.problem(CODE_TRUST, message)
                    .help("the password would cross the network unprotected: use `security = \"sign-and-encrypt\"`"),
            );
            return None;
        }
        Some(Self {
            url: url?,
            security,
            user: user.map(|(_, user)| user),
            publish_interval,
            sampling_interval,
            keep_alive: keep_alive.max(publish_interval),
            timeout,
            history_page,
            backoff_min,
            backoff_max,
        })
    }
}

fn server(url: Spanned<String>, problems: &mut Problems) -> Option<String> {
    let shown = without_credentials(&url.value);
    // A password may have any character in it, so an `@` anywhere is taken for the end of one.
    if url.value.contains('@') {
        let message = format!("`url`: expected no name and no password in it, found `{shown}`");
        problems.push(url.problem(CODE, message).help(
            "write the name as `user`, and put the password into a file of its own that `password_file` names",
        ));
        return None;
    }
    if is_opc_ua_binary_url(&url.value) && hostname_from_url(&url.value).is_ok() {
        return Some(url.value);
    }
    let message = format!("`url`: expected `opc.tcp://host:4840/…`, found `{shown}`");
    problems.push(url.problem(CODE, message).help("only the binary protocol opc.tcp is spoken"));
    None
}

/// Whether the server is on this machine, so that nobody can stand between.
fn is_local(url: &str) -> bool {
    let host = hostname_from_url(url).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn security(
    table: &mut Table,
    base: &Path,
    local: bool,
    problems: &mut Problems,
) -> Option<Security> {
    let wanted = table.optional::<String>("security", problems);
    let folder = table.optional::<String>("certificate_folder", problems);
    let application_uri = table.optional::<String>("application_uri", problems);
    let trust = trust(table, base, local, problems);
    match wanted.as_ref().map_or("sign-and-encrypt", |wanted| wanted.value.as_str()) {
        "sign-and-encrypt" => Some(Security::SignAndEncrypt {
            folder: base
                .join(folder.map_or("opcua-certificates".to_owned(), |folder| folder.value)),
            application_uri: application_uri.map(|uri| uri.value),
            trust: trust?,
        }),
        "none" => {
            if let (Some(wanted), false) = (&wanted, local) {
                let message =
                    "`security = \"none\"`: anybody on the way can read and change values";
                problems.push(
                    wanted
                        .problem(CODE_TRUST, message)
                        .help("use `sign-and-encrypt` where the server offers it")
                        .warning(),
                );
            }
            Some(Security::None)
        }
        other => {
            let message =
                format!("`security`: expected `sign-and-encrypt` or `none`, found `{other}`");
            problems.0.extend(wanted.as_ref().map(|wanted| wanted.problem(CODE, message)));
            None
        }
    }
}

fn trust(table: &mut Table, base: &Path, local: bool, problems: &mut Problems) -> Option<Trust> {
    let fingerprint = table.optional::<String>("server_fingerprint", problems);
    let certificate = table.optional::<String>("server_certificate", problems);
    let any = table.optional::<bool>("trust_any_server", problems).filter(|any| any.value);
    if let (Some(any), false) = (&any, local) {
        let message = "`trust_any_server` is for a server on this machine only";
        problems.push(any.problem(CODE_TRUST, message).help(
            "leave it out: the refusal shows the server's fingerprint for `server_fingerprint`",
        ));
        return None;
    }
    match (fingerprint, certificate, any) {
        (None, None, None) => Some(Trust::Folder),
        (Some(fingerprint), None, None) => digest(&fingerprint, problems).map(Trust::Fingerprint),
        (None, Some(file), None) => {
            let path = base.join(&file.value);
            exists(&file, &path, problems).map(|()| Trust::Certificate(path))
        }
        (None, None, Some(_)) => Some(Trust::Any),
        _ => {
            let message =
                "expected one of `server_fingerprint`, `server_certificate`, `trust_any_server`";
            problems.push(
                table.problem(CODE_TRUST, message).help("keep one of them and remove the others"),
            );
            None
        }
    }
}

fn digest(fingerprint: &Spanned<String>, problems: &mut Problems) -> Option<String> {
    let digits: String = fingerprint
        .value
        .strip_prefix("sha256:")
        .unwrap_or_default()
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Some(digits);
    }
    let message = format!(
        "`server_fingerprint`: expected `sha256:` and 64 hex digits, found `{}`",
        fingerprint.value
    );
    problems.push(
        fingerprint
            .problem(CODE, message)
            .help("leave the key out and start: the refusal shows the server's fingerprint"),
    );
    None
}

fn user(
    table: &mut Table,
    base: &Path,
    problems: &mut Problems,
) -> Option<(Spanned<String>, User)> {
    let name = table.optional::<String>("user", problems);
    let file = table.optional::<String>("password_file", problems);
    match (name, file) {
        (Some(name), Some(file)) => {
            let password_file = base.join(&file.value);
            exists(&file, &password_file, problems)?;
            if let Err(error) = config::read_secret(&password_file) {
                problems.push(file.problem(CODE, error_chain(&error)));
            }
            let user = User { name: name.value.clone(), password_file };
            Some((name, user))
        }
        (Some(name), None) => {
            let message = "`user` without `password_file`";
            problems.push(
                name.problem(CODE, message).help("write the password into a file of its own"),
            );
            None
        }
        (None, Some(file)) => {
            problems.push(
                file.problem(CODE, "`password_file` without `user`")
                    .help("add `user`, or remove `password_file` to connect without a name"),
            );
            None
        }
        (None, None) => None,
    }
}

fn exists(named: &Spanned<String>, path: &Path, problems: &mut Problems) -> Option<()> {
    if path.is_file() {
        return Some(());
    }
    let message = format!("no file `{}`", path.display());
    problems.push(named.problem(CODE, message).help("paths are relative to this file"));
    None
}

fn duration(table: &mut Table, key: &'static str, problems: &mut Problems) -> Option<Duration> {
    let found = table.optional::<Duration>(key, problems)?;
    let max = if key == "keep_alive" { KEEP_ALIVE_MAX } else { DURATION_MAX };
    if (DURATION_MIN..=max).contains(&found.value) {
        return Some(found.value);
    }
    let (max, value) = (config::written(max), config::written(found.value));
    let message = format!("`{key}`: expected 10ms to {max}, found {value}");
    problems.push(found.problem(CODE, message));
    None
}

fn page(table: &mut Table, problems: &mut Problems) -> usize {
    let page = table.optional::<u32>("history_page", problems);
    let value = page.as_ref().map_or(HISTORY_PAGE_MAX, |page| page.value);
    if !(1..=HISTORY_PAGE_MAX).contains(&value) {
        let message = format!("`history_page`: expected 1 to {HISTORY_PAGE_MAX}, found {value}");
        problems.0.extend(page.map(|page| page.problem(CODE, message)));
    }
    usize::try_from(value.clamp(1, HISTORY_PAGE_MAX)).unwrap_or(1)
}
