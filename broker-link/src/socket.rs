//! A Unix socket that this process alone can use, in a folder that is removed with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, io};

use tempfile::TempDir;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};

use crate::error::LinkError;

/// Where a folder is made if the system's one for temporary files has no room, or its path is too long for a socket.
const OTHER_FOLDERS: [&str; 2] = ["/tmp", "/dev/shm"];
/// For the owner alone.
const MODE: u32 = 0o700;

/// A socket that waits for one connection.
#[derive(Debug)]
pub(crate) struct PrivateSocket {
    listener: UnixListener,
    path: String,
    _folder: TempDir,
}

impl PrivateSocket {
    /// Makes the folder and the socket.
    pub(crate) fn new() -> Result<Self, LinkError> {
        let first = std::env::temp_dir();
        Self::within_one_of(&first, &OTHER_FOLDERS.map(Path::new))
    }

    fn within_one_of(first: &Path, others: &[&Path]) -> Result<Self, LinkError> {
        Self::within(first).or_else(|why| {
            let other = others.iter().find_map(|folder| Self::within(folder).ok());
            other.ok_or_else(|| LinkError::Socket { folder: first.display().to_string(), why })
        })
    }

    #[expect(clippy::disallowed_methods, reason = "environment: a socket of this process")]
    fn within(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("nengliu-")
            .permissions(fs::Permissions::from_mode(MODE))
            .tempdir_in(parent)?;
        let path = folder.path().join("s");
        // The client takes a text for the path.
        let Some(text) = path.to_str() else {
            return Err(io::Error::other("its path is not UTF-8"));
        };
        let text = text.to_owned();
        Ok(Self { listener: UnixListener::bind(&path)?, path: text, _folder: folder })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Waits for the connection of this process, then removes the socket. Others are refused: the password comes over it.
    pub(crate) async fn accept(self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?;
            if is_ours(peer) {
                return Ok(stream);
            }
            tracing::warn!(pid = ?peer.pid(), uid = peer.uid(), "another process was refused at our own socket");
        }
    }
}

/// The kernel notes who connects when it does; as long as this process is there, its number is no other's.
fn is_ours(peer: UCred) -> bool {
    let pid = i32::try_from(std::process::id()).ok();
    pid.is_some() && peer.pid() == pid
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    /// Tells the program of these tests, started once more, which socket to connect to.
    const PATH: &str = "BROKER_LINK_TEST_SOCKET";

    /// Only does something as another process.
    #[test]
    fn as_another_process() {
        use std::io::Read as _;

        let Some(path) = std::env::var_os(PATH) else { return };
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "refused");
    }

    #[tokio::test]
    async fn only_this_process_is_let_in_and_nothing_is_left() {
        let socket = PrivateSocket::new().unwrap();
        let path = socket.path().to_owned();
        let folder = Path::new(&path).parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, MODE);
        let accepted = tokio::spawn(socket.accept());
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["--exact", "socket::tests::as_another_process"]).env(PATH, &path);
        let other = tokio::task::spawn_blocking(move || other.status());
        assert!(tokio::time::timeout(PATIENCE, other).await.unwrap().unwrap().unwrap().success());
        assert!(!accepted.is_finished());
        let _client = UnixStream::connect(&path).await.unwrap();
        tokio::time::timeout(PATIENCE, accepted).await.unwrap().unwrap().unwrap();
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_folder_whose_path_is_too_long_for_a_socket_is_an_error_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        assert!(PrivateSocket::within(&long).is_err());
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_or_read_only_is_passed_over_and_named_where_there_is_no_other()
     {
        let parent = tempfile::tempdir().unwrap();
        let missing = parent.path().join("missing");
        let socket = PrivateSocket::within_one_of(&missing, &[&missing, parent.path()]).unwrap();
        assert!(Path::new(socket.path()).starts_with(parent.path()));
        // Nothing can be made there, whoever this is.
        let first = Path::new("/proc");
        let error = PrivateSocket::within_one_of(first, &[&missing]).unwrap_err().to_string();
        assert!(error.starts_with("cannot make a private socket in `/proc`: "), "{error}");
    }
}
