//! One connection to one server: endpoint, certificates, session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_opcua::client::{
    Client, ClientConfig, IdentityToken, Password, Session, SessionBuilder, SessionPollResult,
    SubscriptionActivity,
};
use async_opcua::crypto::{CertificateStore, SecurityPolicy, X509Data};
use async_opcua::sync::RwLock;
use async_opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode};
use driver::SilenceWatch;
use futures::{Stream, StreamExt};
use model::host::Clock;
use model::{Timestamp, error_chain};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::error::SessionError;
use crate::identity::{self, Identity};
use crate::login::{self, Ways};
use crate::request::{self, ReadSize};
use crate::settings::{Security, Settings};
use crate::transport::{CHUNK_BYTES_MAX, CHUNKS_MAX, Found, GuardedTcp, MESSAGE_BYTES_MAX, Source};
use crate::trust;

/// How often the secure channel gets new keys.
const CHANNEL_LIFETIME: Duration = Duration::from_mins(10);
/// Longest array that is read. One byte of an array can take a hundred in memory, so it is bounded more tightly than a
/// text, which takes what it is long.
const ARRAY_LENGTH_MAX: usize = 65_536;
/// How long a server is given to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// A folder that cannot be: where the library has nothing to file.
const NO_FOLDER: &str = "/dev/null";
/// The library's own liveness reads, which measure nothing for us: as good as never.
const LIBRARY_KEEP_ALIVE: Duration = Duration::from_hours(24);

/// A session that is being driven.
pub(crate) struct Connection {
    pub(crate) session: Arc<Session>,
    /// How many values the server gives at once.
    pub(crate) read_size: ReadSize,
    pump: JoinHandle<()>,
    lost: watch::Receiver<Option<StatusCode>>,
    heard: SilenceWatch,
    found: Found,
}

impl Connection {
    /// When the subscription last said something, on the monotonic clock.
    pub(crate) fn heard(&self) -> Duration {
        self.heard.heard()
    }

    /// Waits until the connection is lost, and says with what status.
    pub(crate) async fn lost(&self) -> StatusCode {
        let mut lost = self.lost.clone();
        let status = lost.wait_for(Option::is_some).await.map(|status| *status);
        // A pump that ended without a word panicked inside the library.
        status.ok().flatten().unwrap_or(StatusCode::BadInternalError)
    }

    /// Why the connection to `url` was lost with this status.
    pub(crate) fn why_lost(&self, url: String, status: StatusCode) -> SessionError {
        match self.found.get() {
            Some(&found) => SessionError::Chunk { url, found },
            None if request::is_unreadable(status) => SessionError::Unreadable { url, status },
            None => SessionError::Lost { url, status },
        }
    }

    /// Counts silence from now on.
    pub(crate) fn hear(&self, now: Duration) {
        self.heard.hear(now);
    }

    /// Takes leave, so that the server frees the session at once.
    pub(crate) async fn close(self) {
        if !self.pump.is_finished()
            && tokio::time::timeout(GOODBYE, self.session.disconnect()).await.is_err()
        {
            tracing::debug!("the server did not answer the end of the session");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Connects, as configured.
pub(crate) async fn connect(
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<Connection, SessionError> {
    let found = Found::default();
    connect_guarded(settings, clock, &found).await.map_err(|error| match found.get() {
        Some(&found) => SessionError::Chunk { url: settings.url.clone(), found },
        None => error,
    })
}

async fn connect_guarded(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    found: &Found,
) -> Result<Connection, SessionError> {
    let identity = own_identity(settings, clock.as_ref()).await?;
    let endpoint = find_endpoint(settings, identity.as_ref(), found).await?;
    let accepted = check_server(settings, &endpoint, clock.now()).await?;
    let token = user_token(settings).await?;
    let offered = login::offered(&endpoint);
    let failed = |status| session_failed(settings, identity.as_ref(), status, &offered);
    if !login::is_offered(&endpoint, &token) {
        return Err(failed(StatusCode::BadIdentityTokenRejected));
    }
    let certificates = certificates(identity.as_ref(), accepted.as_deref());
    let config = client_config(settings, identity.as_ref(), accepted);
    let (session, event_loop) = SessionBuilder::new(&config)
        .connect_to_endpoint_directly(endpoint)
        .and_then(|builder| {
            let builder = builder.user_identity_token(token);
            builder.with_connector(Source(Arc::clone(found))).build(certificates)
        })
        .map_err(|error| failed(error.status()))?;
    let (connected, on_connected) = oneshot::channel();
    let heard = SilenceWatch::default();
    let (ended, lost) = watch::channel(None);
    let pump = pump(event_loop.enter(), connected, heard.clone(), clock);
    let pump = tokio::spawn(async move {
        ended.send_replace(Some(pump.await));
    });
    let (read_size, found) = (ReadSize::default(), Arc::clone(found));
    let connection = Connection { session, read_size, pump, lost, heard, found };
    match tokio::time::timeout(settings.timeout * 2, on_connected).await {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(_)) => Err(failed(connection.lost().await)),
        Err(_) => Err(silent(settings, "a session was made")),
    }
}

/// Drives the session and watches for life; ends when the connection is lost.
async fn pump(
    events: impl Stream<Item = Result<SessionPollResult, StatusCode>>,
    connected: oneshot::Sender<()>,
    heard: SilenceWatch,
    clock: Arc<dyn Clock>,
) -> StatusCode {
    tokio::pin!(events);
    let mut connected = Some(connected);
    loop {
        match events.next().await {
            None => return StatusCode::BadConnectionClosed,
            // The session is not mended but made again: see the head of this crate.
            Some(
                Err(status)
                | Ok(
                    SessionPollResult::ConnectionLost(status)
                    | SessionPollResult::ReconnectFailed(status)
                    | SessionPollResult::Subscription(SubscriptionActivity::FatalFailure(status)),
                ),
            ) => return status,
            // What it brought is lost, and would be lost again with the next notification like it; or nothing comes any more.
            Some(Ok(SessionPollResult::Subscription(SubscriptionActivity::PublishFailed(
                status,
            )))) if request::is_unreadable(status) || request::is_session_over(status) => {
                return status;
            }
            Some(Ok(SessionPollResult::Reconnected(_))) => {
                // Nobody listens any more when connecting took too long; the pump is ended then.
                connected.take().map(|connected| connected.send(()));
            }
            Some(Ok(SessionPollResult::Subscription(SubscriptionActivity::Publish))) => {
                heard.hear(clock.monotonic());
            }
            Some(Ok(_)) => {}
        }
    }
}

async fn own_identity(
    settings: &Settings,
    clock: &dyn Clock,
) -> Result<Option<Identity>, SessionError> {
    let Security::SignAndEncrypt { folder, application_uri, .. } = &settings.security else {
        return Ok(None);
    };
    let (folder, uri, now) = (folder.clone(), application_uri.clone(), clock.now());
    blocking(settings, move || identity::ensure(&folder, uri.as_deref(), now)).await.map(Some)
}

async fn check_server(
    settings: &Settings,
    endpoint: &EndpointDescription,
    now: Timestamp,
) -> Result<Option<PathBuf>, SessionError> {
    let Security::SignAndEncrypt { folder, trust, .. } = &settings.security else {
        return Ok(None);
    };
    let (url, folder, trust) = (settings.url.clone(), folder.clone(), trust.clone());
    let certificate = endpoint.server_certificate.as_ref().to_vec();
    blocking(settings, move || trust::check(&url, &certificate, &folder, &trust, now))
        .await
        .map(Some)
}

async fn user_token(settings: &Settings) -> Result<IdentityToken, SessionError> {
    let Some(user) = settings.user.clone() else { return Ok(IdentityToken::Anonymous) };
    blocking(settings, move || {
        // It was checked at the start, but may have been replaced since.
        let password = config::read_secret(&user.password_file)
            .map_err(|error| SessionError::Password { reason: error_chain(&error) })?;
        Ok(IdentityToken::UserName(user.name, Password::new(password.expose())))
    })
    .await
}

/// Runs what touches the disk or makes keys where it delays no other port.
async fn blocking<T: Send + 'static>(
    settings: &Settings,
    work: impl FnOnce() -> Result<T, SessionError> + Send + 'static,
) -> Result<T, SessionError> {
    let internal = || SessionError::Internal { url: settings.url.clone() };
    tokio::task::spawn_blocking(work).await.map_err(|_| internal())?
}

/// Asks the server for its endpoints and takes the one that is as safe as configured.
///
/// The question itself is not protected, but nothing that is answered is believed: mode and policy are ours, and the
/// certificate is checked against what was configured before a session is made with it.
async fn find_endpoint(
    settings: &Settings,
    identity: Option<&Identity>,
    found: &Found,
) -> Result<EndpointDescription, SessionError> {
    let url = settings.url.clone();
    let client = Client::new(client_config(settings, identity, None));
    let asked =
        client.get_server_endpoints_from_url(GuardedTcp::new(url.clone(), Arc::clone(found)));
    let endpoints = tokio::time::timeout(settings.timeout * 2, asked)
        .await
        .map_err(|_| silent(settings, "it was asked for its endpoints"))?
        .map_err(|error| SessionError::Unreachable { url: url.clone(), status: error.status() })?;
    let (wanted, mode, policy) = match settings.security {
        Security::None => ("no security", MessageSecurityMode::None, SecurityPolicy::None),
        Security::SignAndEncrypt { .. } => (
            "SignAndEncrypt and Basic256Sha256",
            MessageSecurityMode::SignAndEncrypt,
            SecurityPolicy::Basic256Sha256,
        ),
    };
    let fits = |endpoint: &&EndpointDescription| {
        endpoint.security_mode == mode
            && SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref()) == policy
            && endpoint.endpoint_url.as_ref().starts_with("opc.tcp:")
    };
    let Some(endpoint) = endpoints.iter().find(fits) else {
        let mut offered: Vec<String> = endpoints.iter().map(describe).collect();
        offered.sort();
        offered.dedup();
        return Err(SessionError::NoEndpoint { url, wanted, offered: offered.join(", ") });
    };
    let mut endpoint = endpoint.clone();
    endpoint.endpoint_url = reachable(&url, endpoint.endpoint_url.as_ref()).into();
    Ok(endpoint)
}

fn describe(endpoint: &EndpointDescription) -> String {
    let policy = endpoint.security_policy_uri.as_ref();
    let policy = policy.rsplit_once('#').map_or(policy, |(_, name)| name);
    format!("{} with {policy}", endpoint.security_mode)
}

/// The server's own path at the host and TCP port that we were told: what a server calls itself need not be reachable.
fn reachable(ours: &str, theirs: &str) -> String {
    let split = |url: &str| {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        rest.split_once('/').map_or((rest.clone(), String::new()), |(host, path)| {
            (host.to_owned(), path.to_owned())
        })
    };
    format!("opc.tcp://{}/{}", split(ours).0, split(theirs).1)
}

/// The certificates that the library shows and takes.
fn certificates(
    identity: Option<&Identity>,
    accepted: Option<&Path>,
) -> Arc<RwLock<CertificateStore>> {
    let folder = accepted.unwrap_or(Path::new(NO_FOLDER));
    let mut certificates = match identity {
        Some(Identity { certificate, key, .. }) => {
            let (certificate, key) = (Some(certificate.as_path()), Some(key.as_path()));
            CertificateStore::new_with_x509_data(folder, false, certificate, key, None::<X509Data>)
                .0
        }
        None => CertificateStore::new(folder),
    };
    // Our own check came first and is stricter: this very certificate, or none.
    certificates.set_skip_verify_certs(true);
    certificates.set_trust_unknown_certs(accepted.is_some());
    Arc::new(RwLock::new(certificates))
}

fn client_config(
    settings: &Settings,
    identity: Option<&Identity>,
    accepted: Option<PathBuf>,
) -> ClientConfig {
    let uri = identity.map_or("urn:nengliu:gateway", |identity| identity.application_uri.as_str());
    let keep_alive = settings.keep_alive;
    let session_timeout = u32::try_from((keep_alive * 6).max(Duration::from_secs(30)).as_millis());
    let mut builder = async_opcua::client::ClientBuilder::new()
        .application_name("Nengliu gateway")
        .application_uri(uri)
        .product_uri("urn:nengliu")
        .session_name("Nengliu gateway")
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .keep_alive_interval(LIBRARY_KEEP_ALIVE)
        .request_timeout(settings.timeout)
        .publish_timeout((keep_alive * 6).max(Duration::from_mins(1)))
        .min_publish_interval(settings.publish_interval)
        .session_timeout(session_timeout.unwrap_or(u32::MAX))
        .channel_lifetime(u32::try_from(CHANNEL_LIFETIME.as_millis()).unwrap_or(u32::MAX))
        .max_incoming_chunk_size(CHUNK_BYTES_MAX)
        .max_chunk_count(CHUNKS_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        // A text that fits into a message is read, and refused where it is too long for its point alone.
        .max_string_length(MESSAGE_BYTES_MAX)
        .max_byte_string_length(MESSAGE_BYTES_MAX)
        .max_array_length(ARRAY_LENGTH_MAX)
        .verify_server_certs(false)
        .trust_server_certs(accepted.is_some());
    if let Some(identity) = identity {
        builder = builder.certificate_path(&identity.certificate).private_key_path(&identity.key);
    }
    // Without an accepted server the library has nothing to file, and must not do so in the working directory.
    builder.pki_dir(accepted.unwrap_or_else(|| PathBuf::from(NO_FOLDER))).into_config()
}

fn silent(settings: &Settings, doing: &'static str) -> SessionError {
    let seconds = (settings.timeout * 2).as_secs();
    SessionError::Silent { url: settings.url.clone(), seconds, doing }
}

/// What a session that was not made tells the user.
fn session_failed(
    settings: &Settings,
    identity: Option<&Identity>,
    status: StatusCode,
    offered: &Ways,
) -> SessionError {
    let url = settings.url.clone();
    match (status, identity) {
        (
            StatusCode::BadIdentityTokenRejected
            | StatusCode::BadIdentityTokenInvalid
            | StatusCode::BadUserAccessDenied
            | StatusCode::BadUserSignatureInvalid,
            _,
        ) => {
            let user = settings.user.as_ref().map(|user| user.name.as_str());
            SessionError::UserRefused { url, refusal: offered.refusal(user, status) }
        }
        (
            StatusCode::BadSecurityChecksFailed
            | StatusCode::BadCertificateUntrusted
            | StatusCode::BadCertificateInvalid
            | StatusCode::BadCertificateUriInvalid
            | StatusCode::BadCertificateTimeInvalid
            | StatusCode::BadCertificateUseNotAllowed
            | StatusCode::BadCertificateChainIncomplete
            | StatusCode::BadApplicationSignatureInvalid,
            Some(identity),
        ) => SessionError::OwnUntrusted {
            url,
            status,
            certificate: identity.certificate.clone(),
            fingerprint: identity.fingerprint.clone(),
        },
        _ => SessionError::Refused { url, request: "the session", status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_host_that_was_configured_and_the_path_of_the_server() {
        let check = |ours, theirs, expected| assert_eq!(reachable(ours, theirs), expected);
        check("opc.tcp://10.0.0.7:4840", "opc.tcp://plc:4840/a/b", "opc.tcp://10.0.0.7:4840/a/b");
        check("opc.tcp://10.0.0.7:4841/x", "opc.tcp://plc:4840", "opc.tcp://10.0.0.7:4841/");
    }
}
