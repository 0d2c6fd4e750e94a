//! Makes a bare Debian machine ready for the tests: Debian packages and a Python environment with the independent
//! peers. Says what it installs and why before it does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{find_program, run_loudly, succeeds_silently, workspace_root};

/// A program that the tests start, the Debian package that brings it, and why it is wanted.
struct Need {
    package: &'static str,
    why: &'static str,
    present: fn() -> bool,
}

/// Everything that comes from Debian.
const NEEDS: &[Need] = &[
    Need {
        package: "gcc",
        why: "some Rust crates compile C code",
        present: || find_program("cc").is_some(),
    },
    Need {
        package: "libc6-dev",
        why: "headers and start files for the C compiler",
        present: || Path::new("/usr/include/stdio.h").exists(),
    },
    Need {
        package: "make",
        why: "some Rust crates build C code with it",
        present: || find_program("make").is_some(),
    },
    Need {
        package: "mosquitto",
        why: "an MQTT broker that is not ours",
        present: || find_program("mosquitto").is_some(),
    },
    Need {
        package: "mosquitto-clients",
        why: "MQTT clients that are not ours",
        present: || find_program("mosquitto_sub").is_some(),
    },
    Need {
        package: "socat",
        why: "a pair of pseudo-terminals in place of a serial line",
        present: || find_program("socat").is_some(),
    },
    Need {
        package: "faketime",
        why: "a clock that jumps under a running program",
        present: || find_program("faketime").is_some(),
    },
    Need {
        package: "python3-venv",
        why: "a Python environment for the Modbus, OPC UA and Delta Lake peers",
        present: || python_for_venv().is_some(),
    },
];

/// The file that names the Python packages, each with its version.
const REQUIREMENTS: &str = "tests/peers/requirements.txt";
/// Beside the Python environment's own files: the requirements that it was filled from.
const STAMP: &str = "requirements-installed.txt";

/// Installs what is missing and returns the Python interpreter of the peers' environment.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf> {
    prepare_debian()?;
    prepare_python(&target.join("peers-venv"))
}

fn prepare_debian() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("the tests need Debian packages that are not installed here:");
    for need in &missing {
        eprintln!("  {:<18} {}", need.package, need.why);
    }
    let packages: BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    let line = packages.iter().copied().collect::<Vec<_>>().join(" ");
    if find_program("apt-get").is_none() {
        bail!("no `apt-get` here; install the programs named above by hand and run this again");
    }
    if !is_root() {
        bail!(
            "not root, so nothing was installed; type this line and run `cargo xtask test` again:\n  \
             sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends {line}'"
        );
    }
    run_loudly(Command::new("apt-get").args(["update", "-q"]))?;
    run_loudly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(&packages),
    )?;
    if packages.contains("mosquitto") {
        stop_the_packaged_broker();
    }
    match NEEDS.iter().find(|need| !(need.present)()) {
        Some(need) => bail!("`{}` is installed, yet what it brings is not found", need.package),
        None => Ok(()),
    }
}

/// Debian starts a broker on port 1883 when the package arrives. The tests run their own, so the one that *we* just
/// brought is stopped again; one that was there before is left alone.
fn stop_the_packaged_broker() {
    eprintln!("stopping the broker that the package starts by itself (the tests start their own)");
    let stopped = if Path::new("/run/systemd/system").exists() {
        succeeds_silently(Command::new("systemctl").args(["disable", "--now", "mosquitto"]))
    } else {
        succeeds_silently(Command::new("/etc/init.d/mosquitto").arg("stop"))
    };
    if !stopped {
        eprintln!("it was not running");
    }
}

fn prepare_python(environment: &Path) -> Result<PathBuf> {
    let requirements = workspace_root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read `{}`", requirements.display()))?;
    let interpreter = environment.join("bin").join("python");
    let stamp = environment.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
        && succeeds_silently(Command::new(&interpreter).args(["-c", "import asyncua, pymodbus"]))
    {
        return Ok(interpreter);
    }
    let python = python_for_venv().context("no Python 3 with the `venv` module")?;
    eprintln!(
        "filling a Python environment of its own at {} with the peers of {REQUIREMENTS}",
        environment.display()
    );
    run_loudly(Command::new(python).args(["-m", "venv", "--clear"]).arg(environment))?;
    run_loudly(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--only-binary", ":all:", "--requirement"])
            .arg(&requirements),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write `{}`", stamp.display()))?;
    Ok(interpreter)
}

/// The first Python 3 that can make an environment with pip in it; Debian splits that off into `python3-venv`.
fn python_for_venv() -> Option<PathBuf> {
    let candidates = [find_program("python3"), Some(PathBuf::from("/usr/bin/python3"))];
    candidates.into_iter().flatten().find(|python| {
        succeeds_silently(Command::new(python).args(["-c", "import venv, ensurepip"]))
    })
}

/// Whether this process may install packages: its effective user is 0.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            .is_some_and(|effective| effective == "0")
    })
}
