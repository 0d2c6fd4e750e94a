//! A file in the spool folder that says that its log lives elsewhere too: a restart must not forget it, since the frames
//! read meanwhile hide what happened. Moved away with the folder, it is gone. Must never decide that there is a conflict.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::uplink::Conflict;

/// Name of the file.
const FILE_NAME: &str = "uplink-conflict";
/// Said for a file without words in it.
const NO_WORDS: &str = "an earlier run met frames of this spool in the centre that are not here";

fn path(spool_folder: &Path) -> PathBuf {
    spool_folder.join(FILE_NAME)
}

/// What an earlier run wrote; a file that cannot be read counts too.
pub(crate) fn known(spool_folder: &Path) -> Option<String> {
    match std::fs::read_to_string(path(spool_folder)) {
        Ok(text) if text.trim().is_empty() => Some(NO_WORDS.to_owned()),
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(NO_WORDS.to_owned()),
    }
}

/// What happened and what to do.
pub(crate) fn in_words(conflict: Conflict, spool_folder: &Path) -> String {
    let Conflict { committed, durable } = conflict;
    format!(
        "the centre has frames up to {committed} of this spool, but only {durable} were ever here: an old copy of the spool \
         was put back, or two gateways run on copies of it; nothing is sent or freed any more. Stop this gateway, move \
         `{}` away and start again: a new log begins. Keep the old folder: readings since then are only in it",
        spool_folder.display()
    )
}

/// Makes it durable.
pub(crate) fn keep(spool_folder: &Path, words: &str) -> std::io::Result<()> {
    let mut file = File::create(path(spool_folder))?;
    writeln!(file, "{words}")?;
    file.sync_all()?;
    File::open(spool_folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use model::Sequence;

    use super::*;

    #[test]
    fn a_restart_remembers_a_conflict_until_the_folder_is_moved_away() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("spool");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(known(&folder), None);
        let conflict = Conflict { committed: Sequence(100), durable: Sequence(90) };
        let words = in_words(conflict, &folder);
        assert!(words.contains("up to 100") && words.contains("only 90"), "{words}");
        keep(&folder, &words).unwrap();
        assert_eq!(known(&folder), Some(words));
        std::fs::write(path(&folder), "\n").unwrap();
        assert_eq!(known(&folder).unwrap(), NO_WORDS);
        std::fs::rename(&folder, root.path().join("spool.old")).unwrap();
        assert_eq!(known(&folder), None);
    }
}
