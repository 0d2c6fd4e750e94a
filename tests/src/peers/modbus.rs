//! A Modbus server by pymodbus, over TCP or a serial line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;

use super::python::{json, script, times_ready};
use super::serial::SerialLine;
use super::{READY_WITHIN, free_tcp_port};
use crate::process::Process;
use crate::wait::wait_until;

/// Bits per second of the serial server; a pseudo-terminal has no speed, both sides only have to agree.
pub const BAUD: u32 = 19_200;

const REGISTERS_FILE: &str = "registers.json";
const COUNT_FILE: &str = "requests.json";

/// A server that serves the registers of a JSON value; `tests/peers/modbus_server.py` describes its form.
#[derive(Debug)]
pub struct ModbusServer {
    process: Process,
    folder: PathBuf,
    arguments: Vec<String>,
    tcp_port: Option<u16>,
}

impl ModbusServer {
    /// Serves on a free TCP port of loopback.
    pub fn tcp(folder: &Path, registers: &Value) -> Result<Self> {
        let tcp_port = free_tcp_port()?;
        let arguments = vec!["--tcp-port".into(), tcp_port.to_string()];
        Self::start(folder, arguments, Some(tcp_port), registers)
    }

    /// Serves RTU frames on a free TCP port of loopback, as a serial server in transparent mode does.
    pub fn rtu_over_tcp(folder: &Path, registers: &Value) -> Result<Self> {
        let tcp_port = free_tcp_port()?;
        let arguments = vec!["--tcp-port".into(), tcp_port.to_string(), "--rtu-over-tcp".into()];
        Self::start(folder, arguments, Some(tcp_port), registers)
    }

    /// Serves RTU frames on the device's end of a line.
    pub fn rtu(folder: &Path, line: &SerialLine, registers: &Value) -> Result<Self> {
        let serial = line.device_end.display().to_string();
        let arguments = vec!["--serial".into(), serial, "--baud".into(), BAUD.to_string()];
        Self::start(folder, arguments, None, registers)
    }

    fn start(
        folder: &Path,
        arguments: Vec<String>,
        tcp_port: Option<u16>,
        registers: &Value,
    ) -> Result<Self> {
        write_registers(folder, registers)?;
        let process = run(folder, &arguments, 0)?;
        Ok(Self { process, folder: folder.to_owned(), arguments, tcp_port })
    }

    /// Its TCP port; the same over restarts.
    pub fn tcp_port(&self) -> Result<u16> {
        self.tcp_port.context("this server is on a serial line")
    }

    /// Serves other values from the next request on; the addresses must stay.
    pub fn set_registers(&self, registers: &Value) -> Result<()> {
        write_registers(&self.folder, registers)
    }

    /// Requests that have reached a register since it was last started.
    pub fn requests(&self) -> Result<u64> {
        let path = self.folder.join(COUNT_FILE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let count: Value = serde_json::from_str(&text).context("the count file is JSON")?;
        count["requests"].as_u64().context("the count file has `requests`")
    }

    /// [`Self::requests`] with every one that came before this call; the server writes its count ten times a second.
    pub fn requests_by_now(&self) -> Result<u64> {
        let now = SystemTime::now();
        let path = self.folder.join(COUNT_FILE);
        wait_until("a newer count of requests", READY_WITHIN, || {
            let written = fs::metadata(&path).and_then(|file| file.modified());
            Ok(written.is_ok_and(|written| written > now))
        })?;
        self.requests()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills it if it runs and starts it again at the same place; counters start over.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let times = times_ready(&self.process)?;
        self.process = run(&self.folder, &self.arguments, times)?;
        Ok(())
    }

    /// Reads with pymodbus's own client, `at` being `--tcp-port N` or `--serial PATH --baud N`; the answer has `words`,
    /// or `exception_code`.
    pub fn probe(at: &[&str], unit: u8, area: &str, address: u16, count: u16) -> Result<Value> {
        let mut command = script("probe.py")?;
        command.arg("modbus").args(at).args(["--unit", &unit.to_string(), "--area", area]);
        command.args(["--address", &address.to_string(), "--count", &count.to_string()]);
        json(&mut command)
    }
}

/// Replaces the file in one step, because the server reads it while we write.
fn write_registers(folder: &Path, registers: &Value) -> Result<()> {
    let partial = folder.join("registers.partial");
    fs::write(&partial, registers.to_string()).context("cannot write the registers")?;
    fs::rename(&partial, folder.join(REGISTERS_FILE)).context("cannot replace the registers")
}

fn run(folder: &Path, arguments: &[String], times_before: usize) -> Result<Process> {
    let mut command = script("modbus_server.py")?;
    command.arg("--registers").arg(folder.join(REGISTERS_FILE));
    command.arg("--count-file").arg(folder.join(COUNT_FILE)).args(arguments);
    let mut process = Process::start("modbus-server", &command, folder)?;
    process.wait_until("the Modbus server", READY_WITHIN, |process| {
        Ok(times_ready(process)? > times_before)
    })?;
    Ok(process)
}
