//! Starts and stops everything that the demo consists of, and asks it for figures. Must never print.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use analytics::{FiguresError, PlantFiles, StoreView};
use config::Secret;
use energy::{BasisChoice, Period, Table1};
use ingest::Ingest;
use lake::{Snapshot, Suspects};
use model::host::{Clock, Entropy};
use model::{GatewayId, text};
use program::{SystemClock, SystemEntropy, render_problems};
use simulator::{Month, Running, Simulation, SimulationConfig, SimulatorError, write_demo_files};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::edge::{self, Edge, EdgeError};
use super::outcome::{self, Outcome};
use crate::cli::DemoArgs;
use crate::commands::serve::{self, StartError};
use crate::exit;
use crate::settings::{BrokerSettings, Settings};

/// How long the end waits for the last commit ack.
const LAST_ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two renewals of the `points` table: a demo does not run for long.
const POINTS_EVERY: Duration = Duration::from_secs(5);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("cannot use the folder `{}`", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the folder `{}` holds files that are not of a demo", path.display())]
    ForeignFolder { path: PathBuf },
    #[error("`{}` is in use by process {holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("the simulated plant does not start")]
    Simulator(#[from] SimulatorError),
    #[error("the centre does not start")]
    Centre(StartError),
    #[error("the demo's own files have problems:\n{0}")]
    Files(String),
    #[error("there is no gateway")]
    Gateway(#[from] EdgeError),
    #[error("the figures cannot be computed: {0}")]
    Figures(String),
    #[error("a computation ended abnormally")]
    Task(#[from] tokio::task::JoinError),
}

impl DemoError {
    /// Shows it and returns the exit code.
    pub(super) fn show(&self) -> u8 {
        if let Self::InUse { path, holder } = self {
            let path = path.display();
            let words = text!(
                en: "a demo, or a program on its files, runs in `{path}` already (process {holder}); nothing was changed",
                zh: "`{path}` 中已有演示程序或使用其文件的程序在运行（进程 {holder}）；未做任何改动"
            );
            let help = text!(
                en: "stop it first, or use another folder: `nengliu demo --folder demo2`",
                zh: "先停止它，或使用另一个文件夹：`nengliu demo --folder demo2`"
            );
            let language = program::language();
            program::show_words("EN-D004", words.get(language), help.get(language));
            return exit::ACCESS;
        }
        let help = match self {
            Self::ForeignFolder { .. } | Self::Folder { .. } => "name another folder with --folder",
            Self::Centre(e) => return e.show(),
            Self::Gateway(EdgeError::Missing { .. }) => {
                "the demo starts the gateway as a program: put it beside `nengliu`, or build both with \
                 `cargo build --workspace --bins`"
            }
            _ => "run again with RUST_LOG=info to see more",
        };
        program::show_error("EN-D001", self, help);
        exit::FAILED
    }
}

/// The running demo.
pub(super) struct DemoPlant {
    simulation: Running,
    ingest: Ingest,
    stop_ingest: CancellationToken,
    stop_points: CancellationToken,
    points: JoinHandle<()>,
    gateway: Edge,
    plant: PlantFiles,
    lake: PathBuf,
    month: Month,
    period: Period,
}

impl DemoPlant {
    /// Starts the plant, the centre and the gateway, in this order.
    pub(super) async fn start(args: &DemoArgs) -> Result<Self, DemoError> {
        let gateway_program = edge::program()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let now = clock.now();
        let pki = args.folder.join("simulator-certificates");
        let config = SimulationConfig::new(args.seed, clock, pki);
        let simulation = Simulation::start(config).await?;
        let (gateway, password) = gateway_password(&args.folder, &SystemEntropy)?;
        let settings = Settings {
            lake: args.folder.join("lake"),
            broker: BrokerSettings::Embedded {
                tcp_port: 0,
                passwords: BTreeMap::from([(gateway, password)]),
            },
            ..Settings::default()
        };
        let stop_ingest = CancellationToken::new();
        let ingest = serve::start(&settings, serve::host(), stop_ingest.clone())
            .await
            .map_err(DemoError::Centre)?;
        let stop_points = CancellationToken::new();
        let (lake, until) = (settings.lake.clone(), stop_points.clone());
        let points =
            tokio::spawn(serve::points::keep(lake, Suspects::default(), POINTS_EVERY, until));
        let uplink = format!("mqtt://127.0.0.1:{}", ingest.tcp_port().unwrap_or_default());
        let files = write_demo_files(&args.folder, &simulation, &uplink)?;
        let plant =
            PlantFiles::load(&files.plant).map_err(|e| DemoError::Files(render_problems(&e)))?;
        let gateway = Edge::start(gateway_program, &files.gateway, LAST_ACK_TIMEOUT).await?;
        let month = simulation.last_complete_month();
        let [_, period] = serve::this_and_last_month(now, &plant.plant.time_zone);
        Ok(Self {
            simulation,
            ingest,
            stop_ingest,
            stop_points,
            points,
            gateway,
            plant,
            lake: settings.lake,
            month,
            period,
        })
    }

    /// The port of its broker.
    pub(super) fn tcp_port(&self) -> u16 {
        self.ingest.tcp_port().unwrap_or_default()
    }

    /// The last complete month.
    pub(super) fn period(&self) -> Period {
        self.period
    }

    /// How the gateway does.
    pub(super) async fn gateway_status(&mut self) -> Result<edge::Status, DemoError> {
        Ok(self.gateway.status().await?)
    }

    /// Whether everything that the meters remember of the month is durable at the edge.
    pub(super) fn has_read_back(&self, status: &edge::Status) -> bool {
        has_read_back(self.month, status)
    }

    /// Table 1 of the month; `None` while a metered row is not complete in the lake.
    pub(super) async fn complete_table(&self) -> Result<Option<Table1>, DemoError> {
        Ok(self.table().await?.filter(is_complete))
    }

    /// `None` until the lake has a sample of each point.
    async fn table(&self) -> Result<Option<Table1>, DemoError> {
        let (plant, lake, period) = (self.plant.clone(), self.lake.clone(), self.period);
        let work = move || {
            let failed = |e: &dyn std::error::Error| DemoError::Figures(model::error_chain(e));
            let snapshot = Arc::new(Snapshot::open(&lake).map_err(|e| failed(&e))?);
            let view = StoreView::new(snapshot, None).map_err(|e| failed(&e))?;
            match plant.table1(Some(&view), period, BasisChoice::Both) {
                Err(FiguresError::UnknownPoints(_)) => Ok(None),
                table => table.map(Some).map_err(|e| failed(&e)),
            }
        };
        tokio::task::spawn_blocking(work).await?
    }

    /// Stops reading, waits at most [`LAST_ACK_TIMEOUT`] for the last commit ack, stops the rest and sums up.
    pub(super) async fn stop(self) -> Result<Outcome, DemoError> {
        let Self { simulation, ingest, gateway, plant, lake, month, period, .. } = self;
        let status = gateway.stop(LAST_ACK_TIMEOUT).await?;
        self.stop_ingest.cancel();
        let commits = ingest.commits();
        ingest.stopped().await;
        self.stop_points.cancel();
        if let Err(e) = self.points.await {
            tracing::warn!(error = %e, "the table of points is not up to date");
        }
        let samples_committed = commits.borrow().rows;
        let expected = simulator::expected(simulation.plant(), month);
        simulation.stop().await;
        let work = move || {
            let failed = |e: &dyn std::error::Error| DemoError::Figures(model::error_chain(e));
            let snapshot = Arc::new(Snapshot::open(&lake).map_err(|e| failed(&e))?);
            let view = StoreView::new(snapshot.clone(), None).map_err(|e| failed(&e))?;
            let table = match plant.table1(Some(&view), period, BasisChoice::Both) {
                // The end came before the first sample of each point.
                Err(FiguresError::UnknownPoints(_)) => None,
                table => Some(table.map_err(|e| failed(&e))?),
            };
            let duplicates = analytics::soundness::rows_sharing_identity(snapshot.as_ref())
                .map_err(|e| failed(&e))?;
            Ok(Outcome {
                samples_read: status.spool.appended,
                samples_committed,
                frames_waiting: status.uplink.frames_waiting,
                month_complete: has_read_back(month, &status)
                    && table.as_ref().is_some_and(is_complete),
                samples_lost: status.spool.lost.saturating_add(status.spool.refused),
                duplicates,
                table1: table.map_or_else(Vec::new, |table| outcome::compare(&table, &expected)),
            })
        };
        tokio::task::spawn_blocking(work).await?
    }
}

/// Whether the marks of all points with a memory are at the month's end.
fn has_read_back(month: Month, status: &edge::Status) -> bool {
    let end = month.to().as_millis();
    let mut marks = status.points.iter().filter_map(|point| point.history_mark_ms).peekable();
    marks.peek().is_some() && marks.all(|mark| mark >= end)
}

/// Whether no metered row has a gap.
fn is_complete(table: &Table1) -> bool {
    table.rows.iter().map(|row| &row.quantity).all(|quantity| {
        quantity.complete && quantity.coverage.is_none_or(energy::Coverage::is_full)
    })
}

/// Makes a password for the demo's gateway, in the file that its `gateway.toml` names.
fn gateway_password(
    folder: &Path,
    entropy: &dyn Entropy,
) -> Result<(GatewayId, Secret), DemoError> {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    let password = format!("{:032x}", u128::from_le_bytes(random));
    let path = folder.join("gw-1.password");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(password.as_bytes())
    };
    write().map_err(|source| DemoError::Folder { path: path.clone(), source })?;
    Ok((GatewayId::new("gw-1").expect("letters and digits"), Secret::new(password)))
}
