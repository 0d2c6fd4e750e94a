//! Where the workspace lies and how its chores start other programs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The folder of the workspace's `Cargo.toml`. Asked at run time, because a folder that was moved together with what was
/// built in it would still carry its old name.
pub(crate) fn workspace_root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR");
    let own = own.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().expect("xtask lies in the workspace").into()
}

/// A cargo command in the workspace, by the cargo that runs us. It does not see what that cargo said about *this* package:
/// build scripts watch some of it, and ring with all that stands on it would be compiled anew after each plain `cargo build`.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name.to_str().is_some_and(|name| of_package.iter().any(|start| name.starts_with(start)))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Where cargo puts what it builds; `CARGO_TARGET_DIR` and cargo's own configuration are honoured.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .current_dir(workspace_root())
        .exec()
        .context("`cargo metadata` failed; run it by hand to see why")?;
    Ok(metadata.target_directory.into())
}

/// Prints the command line, runs it to its end with our own output, and fails unless it succeeds.
pub(crate) fn run_loudly(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status =
        command.status().with_context(|| format!("cannot start `{}`", program_name(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}; what it printed above says why", shown(command));
    }
    Ok(())
}

/// Runs a command without any output and tells whether it succeeded.
pub(crate) fn succeeds_silently(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The full path of a program on `PATH` or in the system's sbin folders (which a user's `PATH` on Debian leaves out).
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|candidate| fs::metadata(candidate).is_ok_and(|found| found.is_file()))
}

/// Fails with the line to type when there is no C compiler, which several foreign crates need.
pub(crate) fn require_c_compiler() -> Result<()> {
    if find_program("cc").is_none() {
        bail!(
            "no C compiler found (`cc`); install one and run this again, on Debian: \
             sudo apt-get install -y --no-install-recommends gcc libc6-dev make"
        );
    }
    Ok(())
}

/// A time span for people: `7.3 s` or `5 min 41 s`.
pub(crate) fn human(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 60 {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(program_name(command))
        .chain(command.get_args().map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

fn program_name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn quoted(argument: &OsStr) -> String {
    let text = argument.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{text}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_person_says_them() {
        let check = |millis, text: &str| assert_eq!(human(Duration::from_millis(millis)), text);
        check(7_340, "7.3 s");
        check(59_900, "59.9 s");
        check(60_000, "1 min 0 s");
        check(341_999, "5 min 41 s");
    }

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--workspace", "a b"]);
        assert_eq!(shown(&command), "cargo test --workspace 'a b'");
    }
}
