//! Where figures and samples come from: the plant file, the lake and "as of". Must never compute.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analytics::{FigureService, FiguresError, PlantFiles, ReadError};
use config::Problems;
use contract::{DamagedRange, Readings};
use energy::MissingCoefficient;
use lake::Snapshot;
use model::CommitNumber;
use program::render_problems;

use super::lake_error::{self, Wanted};
use crate::cli::SourceArgs;
use crate::exit;
use crate::settings::Settings;

/// The folder of the lake and the plant file, from the arguments or from the settings they name.
pub(super) fn places(args: &SourceArgs) -> Result<(Option<PathBuf>, Option<PathBuf>), u8> {
    let mut lake = args.lake.clone();
    let mut plant = args.plant.clone();
    if let Some(path) = &args.config {
        let settings = Settings::load(path).map_err(|problems| {
            eprintln!("{}", render_problems(&problems));
            exit::CONFIG
        })?;
        lake = lake.or(Some(settings.lake));
        plant = plant.or(settings.analytics.map(|analytics| analytics.plant));
    }
    Ok((lake, plant))
}

/// The snapshot of a lake.
pub(super) fn snapshot(folder: &Path) -> Result<Snapshot, u8> {
    Snapshot::open(folder).map_err(|e| lake_error::show(&e, Wanted::Read))
}

/// The plant with its facts, and its figures from the lake where one was named.
pub(super) fn open(args: &SourceArgs) -> Result<(PlantFiles, FigureService), u8> {
    let (lake, plant) = places(args)?;
    let Some(plant) = plant else {
        eprintln!("error EN-C007: no plant file is named");
        eprintln!("  try: --plant plant.toml, or -c nengliu.toml with `[analytics] plant = …`");
        return Err(exit::CONFIG);
    };
    let plant = PlantFiles::load(&plant).map_err(|problems| {
        eprintln!("{}", render_problems(&problems));
        exit::CONFIG
    })?;
    doubtful(&plant.plant.warnings);
    let Some(lake) = lake else {
        if !plant.plant.meters.is_empty() {
            eprintln!(
                "note: no lake is named, so only declared facts count; name it with --lake FOLDER"
            );
        }
        return Ok((plant, FigureService::new(None)));
    };
    let lake: Arc<dyn Readings> = Arc::new(snapshot(&lake)?);
    let service = FigureService::new(Some(lake)).as_of(args.as_of.map(CommitNumber));
    Ok((plant, service))
}

/// Names what is doubtful but not wrong.
pub(super) fn doubtful(warnings: &Problems) {
    if !warnings.0.is_empty() {
        eprintln!("{}", render_problems(warnings));
    }
}

/// Names what could not be read. What could be read is printed all the same; the exit code, if there is one, tells a
/// program that the answer lacks rows.
pub(super) fn damaged(ranges: &[DamagedRange]) -> Option<u8> {
    for range in ranges {
        eprintln!("warning EN-L006: {range}");
    }
    (!ranges.is_empty()).then_some(exit::LAKE)
}

/// Shows why there are no figures.
pub(super) fn no_figures(error: &FiguresError) -> u8 {
    match error {
        FiguresError::UnknownPoints(problems) => {
            eprintln!("{}", render_problems(problems));
            exit::CONFIG
        }
        FiguresError::NoDictionary(_) => {
            let help = "nothing was deleted: put its file back from a backup, below `_nengliu/dictionaries` of the lake";
            program::show_error("EN-L008", error, help);
            exit::LAKE
        }
        FiguresError::Read(ReadError::Readings(_)) | FiguresError::Source(_) => {
            program::show_error("EN-K001", error, "correct the plant file");
            exit::CONFIG
        }
        FiguresError::Read(ReadError::Store(e)) => lake_error::show_store(e.as_ref(), Wanted::Read)
            .unwrap_or_else(|| {
                program::show_error("EN-L003", error, "");
                exit::FAILED
            }),
        FiguresError::Read(_) => {
            program::show_error("EN-L003", error, "");
            exit::FAILED
        }
    }
}

/// Shows each coefficient that is missing, with what to add to the plant file, and returns the exit code.
pub(super) fn missing_coefficients(missing: &[MissingCoefficient]) -> u8 {
    for coefficient in missing {
        eprintln!("error EN-K002: {coefficient}\n  try:\n{}", coefficient.add);
    }
    if missing.is_empty() { exit::OK } else { exit::MISSING_COEFFICIENT }
}

/// Reads a period as people write it.
pub(super) fn period(text: &str) -> Result<energy::Period, u8> {
    text.parse().map_err(|e: energy::period::PeriodError| {
        program::show_error("EN-C008", &e, "for example --period 2018 or --period 2018-01");
        exit::CONFIG
    })
}

/// A file or standard output, to be written bit by bit.
pub(super) fn sink(output: Option<&Path>) -> Result<Box<dyn Write + Send>, u8> {
    let Some(path) = output else { return Ok(Box::new(io::BufWriter::new(io::stdout()))) };
    match fs::File::create(path) {
        Ok(file) => Ok(Box::new(io::BufWriter::new(file))),
        Err(e) => Err(not_written(&e).err().unwrap_or(exit::FAILED)),
    }
}

/// Writes to a file or to standard output.
pub(super) fn write(output: Option<&Path>, bytes: &[u8]) -> Result<(), u8> {
    let written = match output {
        Some(path) => fs::write(path, bytes),
        None => io::stdout().lock().write_all(bytes),
    };
    written.or_else(|e| not_written(&e))
}

/// Shows why output could not be written; it is no error when whoever reads our output has seen enough.
pub(super) fn not_written(error: &io::Error) -> Result<(), u8> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    program::show_error("EN-A002", error, "choose another place with --output FILE");
    Err(exit::FAILED)
}
