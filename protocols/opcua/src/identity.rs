//! Our own certificate: found in its folder, or made there at first use.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_opcua::crypto::{CertificateStore, X509, X509Data};
use model::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::SessionError;

/// # Source
/// OPC 10000-7, profile `Basic256Sha256`: RSA keys of 2048 to 4096 bits.
const KEY_BITS: u32 = 2_048;
/// Ten years: a certificate that ends one night ends the readings with it.
const VALID_DAYS: u32 = 3_650;
/// 2025-01-01: a clock before it was never set, and a certificate made by it would be over already.
const CLOCK_MIN: Timestamp = Timestamp(1_735_689_600_000_000);
const OWN_CERTIFICATE: &str = "own/cert.der";
const OWN_KEY: &str = "private/key.pem";
const OWN_URI: &str = "own/application_uri.txt";
/// Where they are made, before they are moved to their places: the key, then the certificate.
const NEW_CERTIFICATE: &str = "own/new.der";
const NEW_KEY: &str = "private/new.pem";

/// Ports share the folder; one of them makes the certificate.
static MAKING: Mutex<()> = Mutex::new(());

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) application_uri: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) fingerprint: String,
}

/// Finds our certificate in `folder`, or makes one. Blocks.
pub(crate) fn ensure(
    folder: &Path,
    application_uri: Option<&str>,
    now: Timestamp,
) -> Result<Identity, SessionError> {
    let _guard = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let own = |reason| SessionError::OwnCertificate { reason };
    // The library makes its files relative to a folder of its own, so ours are named from the root.
    let folder = std::path::absolute(folder).map_err(|error| own(error.to_string()))?;
    folders(&folder)?;
    let (certificate, key) = (folder.join(OWN_CERTIFICATE), folder.join(OWN_KEY));
    let new_certificate = folder.join(NEW_CERTIFICATE);
    if key.exists() && !certificate.exists() && new_certificate.exists() {
        // Killed between the two moves: the key is in its place, and this is its certificate.
        fs::rename(&new_certificate, &certificate).map_err(|error| own(error.to_string()))?;
    }
    match (certificate.exists(), key.exists()) {
        (true, true) => {}
        (false, false) => make(&folder, application_uri, now)?,
        (there, _) => {
            let (found, missing) = if there { (&certificate, &key) } else { (&key, &certificate) };
            let (found, missing) = (found.display(), missing.display());
            return Err(own(format!(
                "found `{found}` without `{missing}`; put it there, or remove both"
            )));
        }
    }
    let uri = application_uri.map_or_else(
        || fs::read_to_string(folder.join(OWN_URI)).map(|text| text.trim().to_owned()),
        |uri| Ok(uri.to_owned()),
    );
    let uri = uri.map_err(|_| {
        own(format!("set `application_uri` to the URI in `{}`", certificate.display()))
    })?;
    let x509 = CertificateStore::read_cert(&certificate).map_err(own)?;
    // OPC 10000-4 §6.1.3: the application URI must be the one in the certificate, or servers refuse the session.
    x509.is_application_uri_valid(&uri).map_err(|error| own(error.to_string()))?;
    let der = x509.to_der().map_err(|error| own(error.to_string()))?;
    Ok(Identity { application_uri: uri, certificate, key, fingerprint: fingerprint(&der) })
}

/// SHA-256 of a certificate, in small hex digits.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

fn folders(folder: &Path) -> Result<(), SessionError> {
    let make = |name: &str, mode: u32| {
        let path = folder.join(name);
        fs::DirBuilder::new().recursive(true).mode(mode).create(&path).map_err(|error| {
            let reason = format!("cannot make `{}`: {error}", path.display());
            SessionError::OwnCertificate { reason }
        })
    };
    make("own", 0o755)?;
    make("private", 0o700)?;
    make("trusted", 0o755)?;
    make("untrusted", 0o755)
}

fn make(folder: &Path, application_uri: Option<&str>, now: Timestamp) -> Result<(), SessionError> {
    let own = |reason| SessionError::OwnCertificate { reason };
    if now < CLOCK_MIN {
        return Err(own(format!("not made while the clock shows {now}; set the clock first")));
    }
    let host = X509Data::computer_hostnames().into_iter().next().unwrap_or("gateway".to_owned());
    let uri = application_uri.map_or_else(|| format!("urn:{host}:nengliu:gateway"), str::to_owned);
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: format!("Nengliu gateway {host}"),
        organization: "Nengliu".to_owned(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names(&uri, None, false, true, false),
        certificate_duration_days: VALID_DAYS,
    };
    // Made beside their places and moved there when whole: a kill before that leaves nothing that looks like a
    // certificate, and after the first move `ensure` does the second.
    let (new_certificate, new_key) = (folder.join(NEW_CERTIFICATE), folder.join(NEW_KEY));
    CertificateStore::create_certificate_and_key(&data, true, &new_certificate, &new_key)
        .map_err(own)?;
    let io = |error: std::io::Error| own(error.to_string());
    fs::set_permissions(&new_key, fs::Permissions::from_mode(0o600)).map_err(io)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(folder.join(OWN_URI))
        .map_err(io)?;
    file.write_all(uri.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    for path in [&new_key, &new_certificate] {
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(io)?;
    }
    fs::rename(&new_key, folder.join(OWN_KEY)).map_err(io)?;
    fs::rename(&new_certificate, folder.join(OWN_CERTIFICATE)).map_err(io)?;
    tracing::info!(folder = %folder.display(), uri, "made our own OPC UA certificate");
    Ok(())
}

/// Reads a certificate in DER or PEM, whatever its file is called.
pub(crate) fn read_certificate(file: &Path) -> Result<Vec<u8>, SessionError> {
    let failed = |reason: String| SessionError::File { file: file.to_owned(), reason };
    // A device may have no end.
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(failed("it is not a file".to_owned()));
    }
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let certificate = X509::from_der(&bytes).or_else(|_| X509::from_pem(&bytes));
    certificate
        .and_then(|certificate| certificate.to_der())
        .map_err(|_| failed("expected an X.509 certificate in DER or PEM".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    #[test]
    fn makes_a_certificate_once_and_keeps_its_key_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure(folder.path(), None, NOW).unwrap();
        assert!(first.application_uri.starts_with("urn:"), "{first:?}");
        assert_eq!(fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ensure(folder.path(), None, NOW).unwrap(), first);
        assert_eq!(fingerprint(&read_certificate(&first.certificate).unwrap()), first.fingerprint);
        let x509 = CertificateStore::read_cert(&first.certificate).unwrap();
        assert_eq!(x509.key_length().unwrap(), 2_048);
        // Another URI than the one in the certificate would be refused by servers, so it is refused here.
        let error = ensure(folder.path(), Some("urn:other"), NOW).unwrap_err();
        assert!(error.to_string().contains(&first.application_uri), "{error}");
        fs::remove_file(&first.key).unwrap();
        let error = ensure(folder.path(), None, NOW).unwrap_err().to_string();
        assert!(error.contains("without"), "{error}");
    }

    #[test]
    fn a_kill_between_the_two_moves_leaves_what_the_next_start_completes() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure(folder.path(), None, NOW).unwrap();
        fs::rename(&first.certificate, folder.path().join(NEW_CERTIFICATE)).unwrap();
        assert_eq!(ensure(folder.path(), None, NOW).unwrap(), first);
        assert!(!folder.path().join(NEW_CERTIFICATE).exists());
        // A certificate that the user removed is not made up for.
        fs::remove_file(&first.certificate).unwrap();
        let error = ensure(folder.path(), None, NOW).unwrap_err().to_string();
        assert!(error.contains("without"), "{error}");
    }

    #[test]
    fn makes_none_before_the_clock_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let error = ensure(folder.path(), None, Timestamp(0)).unwrap_err().to_string();
        assert!(error.contains("set the clock"), "{error}");
    }
}
