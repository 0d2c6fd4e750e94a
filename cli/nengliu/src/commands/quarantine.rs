//! `nengliu quarantine`: frames that the centre could not read. Must never read what is in one.

use std::path::{Path, PathBuf};

use ingest::quarantine::Quarantine;
use jiff::Timestamp;

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
    let quarantine = Quarantine::new(folder(&lake));
    let done = match &args.command {
        QuarantineCommand::List => list(&quarantine),
        QuarantineCommand::Show { name, output } => show(&quarantine, name, output.as_deref()),
        QuarantineCommand::Drop { name } => quarantine.remove(name),
    };
    match done {
        Ok(()) => exit::OK,
        Err(e) => {
            program::show_error("EN-Q001", &e, "`nengliu quarantine list` shows what is there");
            exit::FAILED
        }
    }
}

fn list(quarantine: &Quarantine) -> std::io::Result<()> {
    for (name, label) in quarantine.list()? {
        let at = Timestamp::from_microsecond(label.at.0).unwrap_or_default();
        println!("{name}\t{at:.0}\t{} samples\t{}", label.samples, label.reason);
    }
    Ok(())
}

fn show(quarantine: &Quarantine, name: &str, output: Option<&Path>) -> std::io::Result<()> {
    let frame = quarantine.get(name)?;
    println!("{}", serde_json::to_string_pretty(&frame.label)?);
    if let Some(path) = output {
        return std::fs::write(path, &frame.bytes);
    }
    println!("{} bytes; --output FILE writes them", frame.bytes.len());
    Ok(())
}
