//! The folder of the demo: emptied at the start, but never one that holds anything else.

use std::path::Path;

use super::plant::DemoError;

/// Says that a folder is ours to empty.
const MARKER: &str = ".nengliu-demo";

/// Makes the folder, or empties it when it is of an earlier demo.
pub(super) fn prepare(folder: &Path) -> Result<(), DemoError> {
    let failed = |source| DemoError::Folder { path: folder.to_owned(), source };
    if folder.exists() {
        let empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !empty && !folder.join(MARKER).exists() {
            return Err(DemoError::ForeignFolder { path: folder.to_owned() });
        }
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join(MARKER), "this folder is emptied by `nengliu demo`\n")
        .map_err(failed)
}
