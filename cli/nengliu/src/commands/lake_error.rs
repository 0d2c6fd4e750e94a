//! Why a lake cannot be read or written, in words and as an exit code: the same for every command. Must never open one.

use std::error::Error;
use std::io;

use lake::LakeError;

use crate::exit;

/// What the command wanted of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Read,
    Write,
}

/// Shows why a lake cannot be used, with what to do about it; returns the exit code.
pub(super) fn show(error: &LakeError, wanted: Wanted) -> u8 {
    let (code, help, exit) = told(error, wanted);
    program::show_error(code, error, help);
    exit
}

/// Shows an error of a store where it is one of a lake; `None` where it is another.
pub(super) fn show_store(error: &(dyn Error + 'static), wanted: Wanted) -> Option<u8> {
    error.downcast_ref().map(|error| show(error, wanted))
}

fn told(error: &LakeError, wanted: Wanted) -> (&'static str, &'static str, u8) {
    match error {
        LakeError::NoTable { .. } => no_lake(),
        LakeError::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => no_lake(),
        LakeError::Locked { .. } => ("EN-L005", "or name another `[lake] folder`", exit::ACCESS),
        e if e.is_disk_full() => ("EN-L005", "free some space on its disk", exit::DISK_FULL),
        e if e.is_permission_denied() => {
            let help = match wanted {
                Wanted::Read => {
                    "give this user the right to read it, for example by `[lake] group`"
                }
                Wanted::Write => "give this user the right to write there",
            };
            ("EN-L005", help, exit::ACCESS)
        }
        LakeError::Layout { .. } | LakeError::Protocol { .. } => (
            "EN-L007",
            "the lake may be sound: use the release of `nengliu` that wrote it, or name another folder",
            exit::OTHER_LAKE,
        ),
        LakeError::Unlisted { .. } => (
            "EN-L008",
            "put `_delta_log` and `_nengliu/head` back from the backup that these files are of; without one, move the files out \
             of `_data` and keep them: the lake then goes on after its newest entry, and gateways send again what they still \
             hold",
            exit::LAKE,
        ),
        LakeError::Damaged { .. } | LakeError::Dictionary { .. } => (
            "EN-L008",
            "nothing was deleted: put this file back from a backup; what cannot be put back is lost, then begin a \
             new lake and keep this one as evidence",
            exit::LAKE,
        ),
        LakeError::Unproven { .. } => (
            "EN-L008",
            "put `_nengliu/head` and the newest entries of `_delta_log` back from a backup; without one, move these data \
             files out of `_data` and keep them: the lake then goes on after its newest entry, and \
             gateways send again what they still hold",
            exit::LAKE,
        ),
        LakeError::EndLost { .. } => (
            "EN-L008",
            "put this file back from a backup; without one, move it if it is there, `_nengliu/head`, and these \
             data files out of the lake and keep them: the lake then goes on after its newest sound version, and gateways send again \
             what they still hold",
            exit::LAKE,
        ),
        LakeError::Beyond { .. } => (
            "EN-L008",
            "put this file back from a backup; without one, move what stands behind the proved end out of `_delta_log`, \
             and these data files out of `_data`, and keep them: the lake then goes on after its \
             proved end",
            exit::LAKE,
        ),
        LakeError::Changed { .. } => (
            "EN-L008",
            "let one `nengliu serve` write the lake, and leave its folder to it",
            exit::LAKE,
        ),
        LakeError::Io { .. } | LakeError::Parquet { .. } => {
            ("EN-L005", "look at the disk of the lake, then try again", exit::LAKE)
        }
        LakeError::Draft(_) | LakeError::Worker { .. } | LakeError::Full { .. } => {
            ("EN-L005", "", exit::FAILED)
        }
    }
}

fn no_lake() -> (&'static str, &'static str, u8) {
    ("EN-L001", "name the lake with --lake FOLDER; `nengliu serve` makes one", exit::CONFIG)
}

#[cfg(test)]
mod tests {
    use lake::Unnamed;

    use super::*;

    fn check(error: &LakeError, wanted: Wanted, code: &str, exit: u8) {
        let found = told(error, wanted);
        assert_eq!((found.0, found.2), (code, exit), "{error}");
        // An error that says what to do needs no more; the others have advice.
        assert!(!found.1.is_empty(), "{error}");
    }

    fn io(kind: io::ErrorKind) -> LakeError {
        LakeError::Io { action: "read", path: "lake/_delta_log".into(), source: kind.into() }
    }

    #[test]
    fn each_reason_has_its_code_and_its_advice() {
        let dir = || "lake".into();
        check(&LakeError::NoTable { dir: dir() }, Wanted::Read, "EN-L001", exit::CONFIG);
        check(&io(io::ErrorKind::NotADirectory), Wanted::Read, "EN-L001", exit::CONFIG);
        let layout = LakeError::Layout { dir: dir(), found: Some("1".into()) };
        check(&layout, Wanted::Read, "EN-L007", exit::OTHER_LAKE);
        check(&layout, Wanted::Write, "EN-L007", exit::OTHER_LAKE);
        let protocol = LakeError::Protocol { dir: dir(), reader: 3, writer: 7 };
        check(&protocol, Wanted::Read, "EN-L007", exit::OTHER_LAKE);
        let damaged = LakeError::Damaged { path: dir(), what: "is cut".into() };
        check(&damaged, Wanted::Read, "EN-L008", exit::LAKE);
        let unlisted = LakeError::Unlisted { dir: dir(), files: Unnamed(vec![dir()]) };
        check(&unlisted, Wanted::Write, "EN-L008", exit::LAKE);
        let unproven =
            LakeError::Unproven { dir: dir(), what: "no head".into(), files: Unnamed(vec![dir()]) };
        check(&unproven, Wanted::Write, "EN-L008", exit::LAKE);
        let lost = LakeError::EndLost {
            path: dir(),
            what: "is cut".into(),
            end: 7,
            files: Unnamed(Vec::new()),
        };
        check(&lost, Wanted::Write, "EN-L008", exit::LAKE);
        let beyond = LakeError::Beyond {
            path: dir(),
            what: "is cut".into(),
            end: 7,
            files: Unnamed(Vec::new()),
        };
        check(&beyond, Wanted::Write, "EN-L008", exit::LAKE);
        check(&io(io::ErrorKind::Other), Wanted::Read, "EN-L005", exit::LAKE);
        check(&io(io::ErrorKind::PermissionDenied), Wanted::Read, "EN-L005", exit::ACCESS);
        check(&io(io::ErrorKind::ReadOnlyFilesystem), Wanted::Write, "EN-L005", exit::ACCESS);
        check(&io(io::ErrorKind::StorageFull), Wanted::Write, "EN-L005", exit::DISK_FULL);
        let locked = LakeError::Locked { dir: dir(), pid: "7".into(), ends: false };
        check(&locked, Wanted::Write, "EN-L005", exit::ACCESS);
        let boxed: Box<dyn Error + Send + Sync> = Box::new(LakeError::NoTable { dir: dir() });
        assert_eq!(show_store(boxed.as_ref(), Wanted::Read), Some(exit::CONFIG));
        assert_eq!(show_store(&io::Error::other("else"), Wanted::Read), None);
    }
}
