//! Where figures and samples come from: the plant file, the lake and "as of". Must never compute.

use std::path::Path;
use std::sync::Arc;

use analytics::{FigureService, FiguresError, PlantFiles, ReadError};
use config::Problems;
use contract::{DamagedRange, Readings};
use energy::MissingCoefficient;
use jiff::tz::TimeZone;
use lake::Snapshot;
use model::CommitNumber;
use program::render_problems;

use super::lake_error::{self, Wanted};
use crate::cli::SourceArgs;
use crate::exit;
use crate::settings::Settings;

/// The settings that an argument names.
pub(super) fn settings(config: Option<&Path>) -> Result<Option<Settings>, u8> {
    config.map(Settings::load).transpose().map_err(|problems| {
        program::tell!("{}", render_problems(&problems));
        exit::CONFIG
    })
}

/// The snapshot of a lake, in which this commit is, if one is named.
pub(super) fn snapshot(folder: &Path, as_of: Option<u64>) -> Result<Snapshot, u8> {
    let snapshot = Snapshot::open(folder).map_err(|e| lake_error::show(&e, Wanted::Read))?;
    let newest = snapshot.commit_number();
    if let Some(beyond) = as_of.filter(|as_of| *as_of > newest.0) {
        let words = format!("`--as-of {beyond}`: the newest commit of the lake is {}", newest.0);
        program::show_words("EN-C019", &words, "leave it out for the newest commit");
        return Err(exit::CONFIG);
    }
    Ok(snapshot)
}

/// The time zone of a plant file.
pub(super) fn time_zone(plant: &Path) -> Result<TimeZone, u8> {
    let plant = PlantFiles::load(plant).map_err(|problems| {
        program::tell!("{}", render_problems(&problems));
        exit::CONFIG
    })?;
    Ok(plant.plant.time_zone)
}

/// The plant with its facts, and its figures from the lake where one was named.
pub(super) fn open(args: &SourceArgs) -> Result<(PlantFiles, FigureService), u8> {
    let settings = settings(args.config.as_deref())?;
    let (of_settings, analytics) =
        settings.map_or((None, None), |settings| (Some(settings.lake), settings.analytics));
    let lake = args.lake.clone().or(of_settings);
    let plant = args.plant.clone().or(analytics.map(|analytics| analytics.plant));
    let Some(plant) = plant else {
        program::tell!("error EN-C007: no plant file is named");
        program::tell!(
            "  try: --plant plant.toml, or -c nengliu.toml with `[analytics] plant = …`"
        );
        return Err(exit::CONFIG);
    };
    let plant = PlantFiles::load(&plant).map_err(|problems| {
        program::tell!("{}", render_problems(&problems));
        exit::CONFIG
    })?;
    doubtful(&plant.plant.warnings);
    let Some(lake) = lake else {
        if !plant.plant.meters.is_empty() {
            program::tell!(
                "note: no lake is named, so only declared facts count; name it with --lake FOLDER"
            );
        }
        return Ok((plant, FigureService::new(None)));
    };
    let lake: Arc<dyn Readings> = Arc::new(snapshot(&lake, args.as_of)?);
    let service = FigureService::new(Some(lake)).as_of(args.as_of.map(CommitNumber));
    Ok((plant, service))
}

/// Names what is doubtful but not wrong.
pub(super) fn doubtful(warnings: &Problems) {
    if !warnings.0.is_empty() {
        program::tell!("{}", render_problems(warnings));
    }
}

/// Names what could not be read. What could be read is printed all the same; the exit code, if there is one, tells a
/// program that the answer lacks rows.
pub(super) fn damaged(ranges: &[DamagedRange]) -> Option<u8> {
    for range in ranges {
        program::tell!("warning EN-L006: {range}");
    }
    (!ranges.is_empty()).then_some(exit::LAKE)
}

/// Shows why there are no figures.
pub(super) fn no_figures(error: &FiguresError) -> u8 {
    match error {
        FiguresError::UnknownPoints(problems) => {
            program::tell!("{}", render_problems(problems));
            exit::CONFIG
        }
        FiguresError::NoDictionary { .. } => {
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
        let message = coefficient.message();
        let message = message.get(program::language());
        program::tell!("error EN-K002: {message}\n  try:\n{}", coefficient.add);
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
