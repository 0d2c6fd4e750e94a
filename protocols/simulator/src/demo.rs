//! The files of the demo, written for a newcomer to read and copy: `gateway.toml`, `plant.toml`, `facts.csv`.

mod facts;
mod gateway;
mod plant_file;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::SimulatorError;
use crate::month::Month;
use crate::plant::Plant;
use crate::simulation::Running;

/// Enterprise and site of the demo; they begin every point id.
pub const SITE: &str = "demo/plant-1";

/// Where the files of the demo are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoFiles {
    /// For the gateway.
    pub gateway: PathBuf,
    /// For the figures.
    pub plant: PathBuf,
    /// Declared output, value and coal of the last two complete months; `plant.toml` names it.
    pub facts: PathBuf,
}

/// What the files have to say of a running plant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Links {
    uplink: String,
    modbus: String,
    serial: String,
    opcua: String,
    certificate: String,
}

/// Writes all files into a folder, which is made when it is not there. `uplink` is the URL of the broker.
pub fn write_demo_files(
    folder: &Path,
    running: &Running,
    uplink: &str,
) -> Result<DemoFiles, SimulatorError> {
    let links = Links {
        uplink: uplink.to_owned(),
        modbus: format!("tcp://{}", running.modbus_tcp()),
        serial: running.serial_path().display().to_string(),
        opcua: running.opcua_url().to_owned(),
        certificate: absolute(running.opcua_certificate()).display().to_string(),
    };
    write(folder, &links, running.plant(), running.last_complete_month())
}

fn write(
    folder: &Path,
    links: &Links,
    plant: &Plant,
    month: Month,
) -> Result<DemoFiles, SimulatorError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SimulatorError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(failed(&path)).map(|()| path)
    };
    Ok(DemoFiles {
        gateway: file("gateway.toml", gateway::text(links))?,
        plant: file("plant.toml", plant_file::text(month))?,
        facts: file("facts.csv", facts::text(plant, month))?,
    })
}

/// A gateway reads paths relative to its own file; the certificate lies elsewhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests;
