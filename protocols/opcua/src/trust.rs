//! Whether a server is the one that was meant.

use std::fs;
use std::path::{Path, PathBuf};

use async_opcua::crypto::X509;
use model::Timestamp;

use crate::codec::to_date_time;
use crate::error::SessionError;
use crate::identity::{fingerprint, read_certificate};
use crate::settings::Trust;

/// Checks the certificate (DER) that a server shows before anything is said to it.
///
/// Gives the folder in which the library shall file it: one per certificate, so that what was accepted under one
/// setting is not accepted under the next. Blocks.
pub(crate) fn check(
    url: &str,
    certificate: &[u8],
    folder: &Path,
    trust: &Trust,
    now: Timestamp,
) -> Result<PathBuf, SessionError> {
    let x509 = X509::from_der(certificate).map_err(|_| SessionError::ServerCertificate {
        url: url.to_owned(),
        reason: "expected one X.509 certificate in DER".to_owned(),
    })?;
    let shown = fingerprint(certificate);
    let changed = |expected: String| SessionError::ServerChanged {
        url: url.to_owned(),
        fingerprint: shown.clone(),
        expected,
    };
    match trust {
        Trust::Fingerprint(expected) if *expected != shown => {
            return Err(changed(format!("sha256:{expected}")));
        }
        Trust::Certificate(file) if read_certificate(file)? != certificate => {
            return Err(changed(format!("`{}`", file.display())));
        }
        Trust::Folder if !is_in(&folder.join("trusted"), certificate) => {
            return Err(untrusted(url, certificate, folder, shown));
        }
        Trust::Any => {
            tracing::warn!(url, fingerprint = shown, "any server is trusted: `trust_any_server`");
        }
        Trust::Fingerprint(_) | Trust::Certificate(_) | Trust::Folder => {}
    }
    // Trust was given to this very certificate, so its dates only call for a new one; readings go on.
    if x509.is_time_valid(&to_date_time(now).as_chrono()).is_err() {
        tracing::warn!(
            url,
            fingerprint = shown,
            "the server's certificate is not valid at this time"
        );
    }
    Ok(folder.join("accepted").join(shown))
}

fn is_in(trusted: &Path, certificate: &[u8]) -> bool {
    let Ok(files) = fs::read_dir(trusted) else { return false };
    files.flatten().any(|file| read_certificate(&file.path()).is_ok_and(|der| der == certificate))
}

fn untrusted(url: &str, certificate: &[u8], folder: &Path, fingerprint: String) -> SessionError {
    let name: String = url
        .trim_start_matches("opc.tcp://")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
    // One file per server, however many certificates it shows.
    let name = format!("{}.der", name.trim_matches('_'));
    let stored = folder.join("untrusted").join(&name);
    if let Err(error) = fs::write(&stored, certificate) {
        tracing::warn!(file = %stored.display(), %error, "cannot keep the server's certificate");
    }
    let trusted = folder.join("trusted").join(&name);
    SessionError::ServerUntrusted { url: url.to_owned(), fingerprint, stored, trusted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ensure;

    const URL: &str = "opc.tcp://10.0.0.7:4840/plc";

    #[test]
    fn trusts_only_what_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let now = model::Timestamp(1_790_000_000_000_000);
        let server = ensure(&folder.path().join("server"), None, now).unwrap();
        let certificate = read_certificate(&server.certificate).unwrap();
        let ours = folder.path().join("ours");
        ensure(&ours, None, now).unwrap();
        let check = |trust: &Trust| check(URL, &certificate, &ours, trust, now);

        let refusal = check(&Trust::Folder).unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains(&server.fingerprint) && text.contains("10.0.0.7_4840_plc.der"),
            "{text}"
        );
        let SessionError::ServerUntrusted { stored, trusted, .. } = refusal else {
            panic!("{text}")
        };
        assert!(check(&Trust::Fingerprint("00".repeat(32))).is_err());
        assert!(check(&Trust::Certificate(ours.join("own/cert.der"))).is_err());
        let accepted = check(&Trust::Fingerprint(server.fingerprint.clone())).unwrap();
        assert!(accepted.ends_with(&server.fingerprint));
        check(&Trust::Certificate(server.certificate.clone())).unwrap();
        check(&Trust::Any).unwrap();

        // The step that the message asks for.
        assert!(check(&Trust::Folder).is_err());
        fs::rename(stored, trusted).unwrap();
        check(&Trust::Folder).unwrap();
    }
}
