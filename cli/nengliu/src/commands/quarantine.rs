//! `nengliu quarantine`: frames that the centre could not read, and data files of the lake that are damaged. Must never
//! read what is in one.

use std::io;
use std::path::{Path, PathBuf};

use ingest::quarantine::{Label, Quarantine};
use jiff::Timestamp;
use lake::{LakeError, Snapshot};
use serde::Serialize;

use super::lake_error::{self, Wanted};
use crate::cli::{QuarantineArgs, QuarantineCommand};
use crate::exit;
use crate::settings::Settings;

/// Where the quarantine of a lake is.
pub(super) fn folder(lake: &Path) -> PathBuf {
    lake.join("_nengliu").join("quarantine")
}

pub(crate) fn quarantine(args: &QuarantineArgs) -> u8 {
    let lake = match (&args.lake, &args.config) {
        (Some(lake), _) => lake.clone(),
        (None, Some(config)) => match Settings::load(config) {
            Ok(settings) => settings.lake,
            Err(problems) => {
                eprintln!("{}", program::render_problems(&problems));
                return exit::CONFIG;
            }
        },
        (None, None) => Settings::default().lake,
    };
    // Frames may be in quarantine before there is a table.
    if !["_delta_log", "_nengliu"].iter().any(|part| lake.join(part).is_dir()) {
        return lake_error::show(&LakeError::NoTable { dir: lake }, Wanted::Read);
    }
    let quarantine = Quarantine::new(folder(&lake));
    let done = match &args.command {
        QuarantineCommand::List => match list(&quarantine, args.json) {
            Ok(()) if !args.json => return list_files(&lake),
            listed => listed,
        },
        QuarantineCommand::Show { name, output } => {
            show(&quarantine, name, output.as_deref(), args.json)
        }
        QuarantineCommand::Drop { name } => quarantine.remove(name),
    };
    match done {
        Ok(()) => exit::OK,
        Err(e) => {
            program::show_error("EN-Q001", &e, "`nengliu quarantine list` shows what is there");
            match e.kind() {
                io::ErrorKind::NotFound => exit::CONFIG,
                io::ErrorKind::PermissionDenied => exit::ACCESS,
                _ => exit::FAILED,
            }
        }
    }
}

/// A frame as `--json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// Only by `show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(flatten)]
    label: &'a Label,
}

/// Prints the frames whose label can be read, then fails if there is another.
fn list(quarantine: &Quarantine, json: bool) -> io::Result<()> {
    let (mut readable, mut unreadable) = (Vec::new(), None);
    for (name, label) in quarantine.list()? {
        match label {
            Ok(label) => readable.push((name, label)),
            Err(e) => unreadable = unreadable.or(Some(e)),
        }
    }
    if json {
        let frames = readable.iter().map(|(name, label)| Listed { name, bytes: None, label });
        println!("{}", serde_json::to_string_pretty(&frames.collect::<Vec<_>>())?);
    } else {
        for (name, label) in &readable {
            let at = Timestamp::from_microsecond(label.at.0).unwrap_or_default();
            println!("{name}\t{at:.0}\t{} samples\t{}", label.samples, label.reason);
        }
        if readable.is_empty() && unreadable.is_none() {
            eprintln!("no frames in quarantine");
        }
    }
    unreadable.map_or(Ok(()), Err)
}

/// The damaged data files, with the frames whose rows cannot be read.
fn list_files(lake: &Path) -> u8 {
    let files = match Snapshot::open(lake).and_then(|snapshot| snapshot.quarantined()) {
        Ok(files) => files,
        // Frames may be there before the lake is.
        Err(LakeError::NoTable { .. }) => return exit::OK,
        Err(e) => return lake_error::show(&e, Wanted::Read),
    };
    for (since, damage) in files {
        let at = Timestamp::from_microsecond(since.0).unwrap_or_default();
        let name = damage.path.file_name().unwrap_or_default().display();
        let rows = damage.lost.as_ref().map_or(0, |lost| lost.rows);
        println!("{name}\t{at:.0}\t{rows} rows\t{damage}");
    }
    exit::OK
}

fn show(quarantine: &Quarantine, name: &str, output: Option<&Path>, json: bool) -> io::Result<()> {
    let frame = quarantine.get(name)?;
    let (label, bytes) = (&frame.label, frame.bytes.len());
    if json {
        let listed = Listed { name, bytes: Some(bytes), label };
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else {
        println!("{}", serde_json::to_string_pretty(label)?);
        if output.is_none() {
            println!("{bytes} bytes; --output FILE writes them");
        }
    }
    output.map_or(Ok(()), |path| std::fs::write(path, &frame.bytes))
}
