//! `nengliu quarantine`: frames that the centre could not read, and data files of the lake that are damaged. Must never
//! read what is in one.

use std::io;
use std::path::{Path, PathBuf};

use ingest::quarantine::{Label, Quarantine};
use jiff::Timestamp;
use lake::{Damage, LakeError, Snapshot};
use program::{Output, OutputError, print_line};
use serde::Serialize;

use super::lake_error::{self, Wanted};
use super::output;
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
                program::tell!("{}", program::render_problems(&problems));
                return exit::CONFIG;
            }
        },
        (None, None) => Settings::default().lake,
    };
    if let Err(e) = look_for(&lake, |path| std::fs::metadata(path).map(|found| found.is_dir())) {
        return lake_error::show(&e, Wanted::Read);
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
        QuarantineCommand::Drop { name } => quarantine.remove(name).map_err(Fault::from),
    };
    match done {
        Ok(()) => exit::OK,
        Err(Fault::Output(e)) => {
            output::written::<()>(Err(e)).map_or_else(|code| code, |()| exit::OK)
        }
        Err(Fault::Quarantine(e)) => {
            program::show_error("EN-Q001", &e, "`nengliu quarantine list` shows what is there");
            match e.kind() {
                io::ErrorKind::NotFound => exit::CONFIG,
                io::ErrorKind::PermissionDenied => exit::ACCESS,
                _ => exit::FAILED,
            }
        }
    }
}

/// Whether there is a lake. Frames may be in quarantine before there is a table.
fn look_for(lake: &Path, is_dir: impl Fn(&Path) -> io::Result<bool>) -> Result<(), LakeError> {
    for part in ["_delta_log", "_nengliu"] {
        let path = lake.join(part);
        match is_dir(&path) {
            Ok(true) => return Ok(()),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(LakeError::Io { action: "read", path, source });
            }
            Ok(false) | Err(_) => {}
        }
    }
    Err(LakeError::NoTable { dir: lake.to_owned() })
}

/// Why a command of the quarantine failed.
#[derive(Debug)]
enum Fault {
    Quarantine(io::Error),
    Output(OutputError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Quarantine(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Quarantine(error.into())
    }
}

impl From<OutputError> for Fault {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
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
fn list(quarantine: &Quarantine, json: bool) -> Result<(), Fault> {
    let (mut readable, mut unreadable) = (Vec::new(), None);
    for (name, label) in quarantine.list()? {
        match label {
            Ok(label) => readable.push((name, label)),
            Err(e) => unreadable = unreadable.or(Some(e)),
        }
    }
    if json {
        let frames = readable.iter().map(|(name, label)| Listed { name, bytes: None, label });
        print_line(serde_json::to_string_pretty(&frames.collect::<Vec<_>>())?)?;
    } else {
        for (name, label) in &readable {
            let at = Timestamp::from_microsecond(label.at.0).unwrap_or_default();
            let (samples, reason) = (label.samples, &label.reason);
            print_line(format_args!("{name}\t{at:.0}\t{samples} samples\t{reason}"))?;
        }
        if readable.is_empty() && unreadable.is_none() {
            program::tell!("no frames in quarantine");
        }
    }
    unreadable.map_or(Ok(()), |e| Err(e.into()))
}

/// The damaged files of the lake; data files with the frames whose rows cannot be read.
fn list_files(lake: &Path) -> u8 {
    let listed = Snapshot::open(lake)
        .and_then(|snapshot| Ok((snapshot.damage_at_a_glance()?, snapshot.quarantined())));
    let (mut others, noted) = match listed {
        Ok(listed) => listed,
        // Frames may be there before the lake is.
        Err(LakeError::NoTable { .. }) => return exit::OK,
        Err(e) => return lake_error::show(&e, Wanted::Read),
    };
    // A note that cannot be read is one damaged file more.
    let noted = noted.unwrap_or_else(|e| {
        others.push(Damage::of_error(&e));
        Vec::new()
    });
    others.retain(|one| noted.iter().all(|(_, known)| known.path != one.path));
    for (since, damage) in noted {
        let at = Timestamp::from_microsecond(since.0).unwrap_or_default();
        let name = damage.path.file_name().unwrap_or_default().display();
        let rows = damage.lost.as_ref().map_or(0, |lost| lost.rows);
        let line = format_args!("{name}\t{at:.0}\t{rows} rows\t{damage}");
        if let Err(code) = output::print_line(line) {
            return code;
        }
    }
    // No writer has noted these, so since when is not known.
    for damage in others {
        let name = damage.path.file_name().unwrap_or_default().display();
        let rows = damage.lost.as_ref().map_or(0, |lost| lost.rows);
        if let Err(code) = output::print_line(format_args!("{name}\t-\t{rows} rows\t{damage}")) {
            return code;
        }
    }
    exit::OK
}

fn show(
    quarantine: &Quarantine,
    name: &str,
    output: Option<&Path>,
    json: bool,
) -> Result<(), Fault> {
    let frame = quarantine.get(name)?;
    let (label, bytes) = (&frame.label, frame.bytes.len());
    if json {
        let listed = Listed { name, bytes: Some(bytes), label };
        print_line(serde_json::to_string_pretty(&listed)?)?;
    } else {
        print_line(serde_json::to_string_pretty(label)?)?;
        if output.is_none() {
            print_line(format_args!("{bytes} bytes; --output FILE writes them"))?;
        }
    }
    if let Some(path) = output {
        Output::to(Some(path))?.write_whole(&frame.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_that_this_user_may_not_read_is_not_taken_for_none() {
        let look = |found: fn() -> io::Result<bool>| look_for(Path::new("lake"), |_| found());
        assert!(look(|| Ok(true)).is_ok());
        assert!(matches!(look(|| Ok(false)), Err(LakeError::NoTable { .. })));
        let missing = look(|| Err(io::ErrorKind::NotFound.into()));
        assert!(matches!(missing, Err(LakeError::NoTable { .. })));
        let denied = look(|| Err(io::ErrorKind::PermissionDenied.into())).unwrap_err();
        assert!(denied.is_permission_denied(), "{denied}");
        assert_eq!(lake_error::show(&denied, Wanted::Read), exit::ACCESS);
    }
}
