//! A plant that runs: all its servers, and where they are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::host::Clock;
use model::{Decimal, Timestamp, Unit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::SimulatorError;
use crate::modbus::{self, SerialLine};
use crate::month::Month;
use crate::opcua::{self, Endpoint, Grid, OpcUaServer};
use crate::plant::{METERS, Plant, SLOT_MICROS};

/// Momentary values are remembered once an hour.
const GAUGE_MICROS: i64 = 4 * SLOT_MICROS;
/// The history begins so long before the last complete month, so that its first border lies within.
const BEFORE_MONTH_MICROS: i64 = 24 * 4 * SLOT_MICROS;

/// What to simulate and where to serve it.
pub struct SimulationConfig {
    /// The plant's seed.
    pub seed: u64,
    /// What time it is there.
    pub clock: Arc<dyn Clock>,
    /// The address that the servers listen on.
    pub bind: IpAddr,
    /// TCP port of the Modbus endpoint; 0 for any free one.
    pub modbus_tcp_port: u16,
    /// TCP port of the OPC UA server; 0 for any free one.
    pub opcua_tcp_port: u16,
    /// Folder for the certificates of the OPC UA server; made when it is not there.
    pub pki: PathBuf,
    /// When the OPC UA history begins; a day before the last complete month unless given.
    pub history_from: Option<Timestamp>,
    /// How often live values change.
    pub live_step: Duration,
}

impl SimulationConfig {
    /// Serves on loopback at free TCP ports, with new values every five seconds.
    #[must_use]
    pub fn new(seed: u64, clock: Arc<dyn Clock>, pki: PathBuf) -> Self {
        Self {
            seed,
            clock,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            modbus_tcp_port: 0,
            opcua_tcp_port: 0,
            pki,
            history_from: None,
            live_step: Duration::from_secs(5),
        }
    }
}

/// A quantity that Table 1 of a month should show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The energy kind, as the demo's `plant.toml` names it.
    pub energy_kind: &'static str,
    /// The meter that measures it, as the demo's `plant.toml` names it; none where the quantity is declared.
    pub meter: Option<&'static str>,
    /// Whether it is made on site and enters no total.
    pub own: bool,
    /// The unit that the demo's Table 1 prints.
    pub unit: Unit,
    /// The meter's exact integral; none where the quantity is declared.
    pub quantity: Option<Decimal>,
}

/// A simulated plant that serves.
pub struct Running {
    plant: Arc<Plant>,
    clock: Arc<dyn Clock>,
    modbus: SocketAddr,
    serial: PathBuf,
    opcua: OpcUaServer,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts plants.
#[derive(Debug, Clone, Copy)]
pub struct Simulation;

impl Simulation {
    /// Starts all servers; when this returns, they answer.
    #[expect(clippy::disallowed_methods, reason = "environment: the ports of the simulated plant")]
    pub async fn start(config: SimulationConfig) -> Result<Running, SimulatorError> {
        let SimulationConfig { seed, clock, bind, pki, .. } = config;
        let plant = Arc::new(Plant::new(seed));
        let stop = CancellationToken::new();
        let address = SocketAddr::new(bind, config.modbus_tcp_port);
        let failed = |source| SimulatorError::Bind { what: "Modbus TCP", address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let modbus = listener.local_addr().map_err(failed)?;
        let line = SerialLine::open().map_err(|source| SimulatorError::SerialLine { source })?;
        let serial = line.path().to_path_buf();
        let now = clock.now();
        let from = config
            .history_from
            .unwrap_or_else(|| Timestamp(Month::last_complete(now).from().0 - BEFORE_MONTH_MICROS));
        let grids = grids(from, now, config.live_step);
        let endpoint = Endpoint { bind: SocketAddr::new(bind, config.opcua_tcp_port), pki: &pki };
        let opcua =
            opcua::start(endpoint, Arc::clone(&plant), Arc::clone(&clock), grids, stop.clone())
                .await?;
        let tasks = vec![
            tokio::spawn(modbus::serve(
                listener,
                Arc::clone(&plant),
                Arc::clone(&clock),
                stop.clone(),
            )),
            tokio::spawn(line.serve(Arc::clone(&plant), Arc::clone(&clock), stop.clone())),
        ];
        Ok(Running { plant, clock, modbus, serial, opcua, stop, tasks })
    }
}

/// The times of registers and of momentary values: remembered slots up to now, live steps from now on.
fn grids(from: Timestamp, now: Timestamp, live_step: Duration) -> (Grid, Grid) {
    let fine = i64::try_from(live_step.as_micros()).unwrap_or(i64::MAX).clamp(100_000, SLOT_MICROS);
    let live_from = Timestamp(now.0 - now.0.rem_euclid(fine));
    let grid = |coarse| Grid { from, live_from, coarse, fine };
    (grid(SLOT_MICROS), grid(GAUGE_MICROS))
}

impl Running {
    /// The plant, which knows what each meter should show.
    #[must_use]
    pub fn plant(&self) -> &Arc<Plant> {
        &self.plant
    }

    /// Where the Modbus TCP endpoint listens.
    #[must_use]
    pub fn modbus_tcp(&self) -> SocketAddr {
        self.modbus
    }

    /// The pseudo-terminal that stands for the serial line.
    #[must_use]
    pub fn serial_path(&self) -> &Path {
        &self.serial
    }

    /// Where the OPC UA server is.
    #[must_use]
    pub fn opcua_url(&self) -> &str {
        &self.opcua.url
    }

    /// The certificate of the OPC UA server (DER), for a client that is to trust it.
    #[must_use]
    pub fn opcua_certificate(&self) -> &Path {
        &self.opcua.certificate
    }

    /// The last month that is over at the plant.
    #[must_use]
    pub fn last_complete_month(&self) -> Month {
        Month::last_complete(self.clock.now())
    }

    /// Stops all servers and waits for them.
    pub async fn stop(self) {
        self.stop.cancel();
        self.opcua.stop().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a server of the simulated plant had ended");
            }
        }
    }
}

/// What Table 1 of a month should show, in the order of the demo's plant file.
#[must_use]
pub fn expected(plant: &Plant, month: Month) -> Vec<Expected> {
    let coal = Expected {
        energy_kind: "raw_coal",
        meter: None,
        own: false,
        unit: Unit::Tonne,
        quantity: None,
    };
    let metered = METERS.iter().filter(|meter| meter.incoming || meter.is_own()).map(|meter| {
        let integral = plant.integral(meter, month.from(), month.to());
        // Table 1 prints 10 000 kWh and 10 000 m³ as one; the digits stay.
        let (unit, shift) = match meter.energy_kind {
            "electricity" => (Unit::TenThousandKilowattHours, 4),
            "natural_gas" => (Unit::TenThousandCubicMetres, 4),
            _ => (meter.unit, 0),
        };
        let quantity = Decimal { exponent: integral.exponent - shift, ..integral };
        Expected {
            energy_kind: meter.energy_kind,
            meter: Some(meter.id),
            own: meter.is_own(),
            unit,
            quantity: Some(quantity),
        }
    });
    std::iter::once(coal).chain(metered).collect()
}

#[cfg(test)]
mod tests;
