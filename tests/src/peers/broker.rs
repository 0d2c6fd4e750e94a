//! A Mosquitto broker with persistence off: what it holds is gone when it dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::{free_tcp_port, python, wait_for_tcp_port};
use crate::process::Process;

/// The one user of a broker that asks for credentials.
pub const USER: &str = "gateway";
/// That user's password.
pub const PASSWORD: &str = "not a secret";

/// A broker on a port of its own.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    folder: PathBuf,
    tcp_port: u16,
    secure: bool,
    web_socket: Option<u16>,
}

impl Mosquitto {
    /// Starts a broker that anybody on loopback may use.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "allow_anonymous true", false)
    }

    /// Starts a broker that anybody on loopback may use, and that takes packets of at most so many bytes.
    pub fn start_limited(folder: &Path, packet_bytes_max: usize) -> Result<Self> {
        let access = format!("allow_anonymous true\nmax_packet_size {packet_bytes_max}");
        Self::start_with(folder, &access, false)
    }

    /// Starts a broker that speaks TLS only and lets in only `USER` with `PASSWORD`.
    pub fn start_secure(folder: &Path) -> Result<Self> {
        let (access, tls) = secure_access(folder)?;
        Self::start_with(folder, &format!("{access}\n{tls}"), true)
    }

    /// Starts a broker as `start_secure` does, whose address is that of a second listener for WebSocket.
    pub fn start_web_socket(folder: &Path) -> Result<Self> {
        let (access, tls) = secure_access(folder)?;
        let tcp_port = free_tcp_port()?;
        // Mosquitto 2.0 does not start with a listener for WebSocket alone.
        let both = format!(
            "{access}\n{tls}\nlistener {tcp_port} 127.0.0.1\nprotocol websockets\nsocket_domain ipv4\n{tls}"
        );
        let mut broker = Self::start_with(folder, &both, true)?;
        wait_for_tcp_port(&mut broker.process, tcp_port)?;
        broker.web_socket = Some(tcp_port);
        Ok(broker)
    }

    /// Starts a broker with these lines about access.
    pub fn start_with(folder: &Path, access: &str, secure: bool) -> Result<Self> {
        let tcp_port = free_tcp_port()?;
        // The queue limits are lifted because Debian's defaults drop messages that were PUBACKed. Without `user root` a
        // broker started by root changes its user, and the kernel then forgets to kill it with the test.
        let config = format!(
            "listener {tcp_port} 127.0.0.1\n\
             {access}\n\
             persistence false\n\
             user root\n\
             max_inflight_messages 100\n\
             max_queued_messages 0\n\
             max_queued_bytes 0\n"
        );
        let path = folder.join("mosquitto.conf");
        fs::write(&path, config).with_context(|| format!("cannot write `{}`", path.display()))?;
        let process = run(folder, tcp_port)?;
        Ok(Self { process, folder: folder.to_owned(), tcp_port, secure, web_socket: None })
    }

    /// Its port; the same over restarts.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// Its address as a configuration names it.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, tcp_port) = match (self.web_socket, self.secure) {
            (Some(tcp_port), _) => ("wss", tcp_port),
            (None, true) => ("mqtts", self.tcp_port),
            (None, false) => ("mqtt", self.tcp_port),
        };
        format!("{scheme}://127.0.0.1:{tcp_port}")
    }

    /// The authority that vouches for a secure broker (PEM).
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// `kill -9`: sessions, queues and retained messages are gone.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills it if it runs and starts it on the same port, remembering nothing.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = run(&self.folder, self.tcp_port)?;
        Ok(())
    }

    /// Publishes one message with `mosquitto_pub` and QoS 1.
    pub fn publish(&self, topic: &str, payload: &str, retain: bool) -> Result<()> {
        let mut command = self.client("mosquitto_pub");
        command.args(["-q", "1", "-t", topic, "-m", payload]);
        if retain {
            command.arg("-r");
        }
        let output = command.output().context("cannot start `mosquitto_pub`")?;
        succeeded("mosquitto_pub", &output)
    }

    /// A `mosquitto_sub` that prints `topic payload` for each message; it runs until it is dropped.
    pub fn subscribe(&self, name: &str, topics: &str) -> Result<Process> {
        let mut command = self.client("mosquitto_sub");
        command.args(["-q", "1", "-v", "-t", topics]);
        Process::start(name, &command, &self.folder)
    }

    /// What `mosquitto_sub` gets of retained messages in one second, as lines `topic payload`.
    pub fn retained(&self, topics: &str) -> Result<Vec<String>> {
        let mut command = self.client("mosquitto_sub");
        command.args(["-q", "1", "-v", "--retained-only", "-W", "1", "-t", topics]);
        let output = command.output().context("cannot start `mosquitto_sub`")?;
        // 27 is its exit code when the waiting time is over.
        if output.status.code() != Some(27) {
            succeeded("mosquitto_sub", &output)?;
        }
        let text = String::from_utf8(output.stdout).context("a retained message is no text")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &self.tcp_port.to_string()]);
        if self.secure {
            command.args(["-u", USER, "-P", PASSWORD, "--cafile"]).arg(self.authority());
        }
        command
    }
}

/// Makes the password file and the certificates, and names them: once for all listeners, and for each one.
fn secure_access(folder: &Path) -> Result<(String, String)> {
    python::json(python::script("certificates.py")?.arg(folder))?;
    let passwords = folder.join("passwords");
    let output = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args([USER, PASSWORD])
        .output()
        .context("cannot start `mosquitto_passwd`")?;
    succeeded("mosquitto_passwd", &output)?;
    let file = |name: &str| folder.join(name).display().to_string();
    let access = format!("allow_anonymous false\npassword_file {}", file("passwords"));
    let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(file);
    Ok((access, format!("cafile {ca}\ncertfile {certificate}\nkeyfile {key}")))
}

fn run(folder: &Path, tcp_port: u16) -> Result<Process> {
    // Debian keeps it out of a user's PATH.
    let sbin = Path::new("/usr/sbin/mosquitto");
    let program = if sbin.exists() { sbin } else { Path::new("mosquitto") };
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    let mut process = Process::start("mosquitto", &command, folder)?;
    wait_for_tcp_port(&mut process, tcp_port)?;
    Ok(process)
}

fn succeeded(program: &str, output: &Output) -> Result<()> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program}` ended with {}: {said}", output.status);
    }
    Ok(())
}
