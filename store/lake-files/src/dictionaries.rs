//! The dictionaries beside the table: what the point indexes of frames meant, one file per content. Must never choose
//! between them: which rows follow which one is in the book of logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::LogBook;
use model::{Dictionary, DictionaryHash};

use crate::damage::Damage;
use crate::disk::{Disk, IfThere, create_directories, is_staged, publish};
use crate::lock::place;
use crate::{LakeError, regular};

/// Where the dictionary of that hash is kept.
pub fn path(dir: &Path, hash: DictionaryHash) -> PathBuf {
    place::dictionaries(dir).join(format!("{hash}.json"))
}

/// Keeps `dictionary`, durable when this returns. One that is there already is written anew: an earlier call may have
/// failed to sync its name, and a second sync of the same name proves nothing.
pub fn put(
    disk: &dyn Disk,
    dir: &Path,
    dictionary: &Dictionary,
) -> Result<DictionaryHash, LakeError> {
    let json = dictionary.to_json();
    let hash = dictionary.hash();
    let folder = place::dictionaries(dir);
    create_directories(disk, &folder).map_err(LakeError::io("create", &folder))?;
    let path = path(dir, hash);
    publish(disk, &path, &json, IfThere::Replace).map_err(LakeError::io("write", &path))?;
    Ok(hash)
}

/// The dictionary of that hash, where it is kept.
pub fn get(dir: &Path, hash: DictionaryHash) -> Result<Option<Dictionary>, LakeError> {
    let path = path(dir, hash);
    let Some(json) = regular::if_there(regular::read(&path))? else { return Ok(None) };
    read(&path, &json).map(|(dictionary, _)| Some(dictionary))
}

/// The dictionaries beside a table.
#[derive(Debug, Clone, Default)]
pub struct KeptDictionaries {
    /// Those that are sound, by their hashes.
    pub sound: BTreeMap<DictionaryHash, Arc<Dictionary>>,
    /// Files that are damaged or missing. What a row is, its unit included, is in the row; a gateway sends its dictionary again.
    pub damage: Vec<Damage>,
}

/// All that are kept. One that is missing, though rows of the table follow it, is damage.
pub fn all(dir: &Path, book: &LogBook) -> Result<KeptDictionaries, LakeError> {
    let mut kept = found(dir)?;
    let used: BTreeSet<DictionaryHash> =
        book.dictionary_uses().into_iter().map(|used| used.dictionary).collect();
    for hash in used.into_iter().filter(|hash| !kept.sound.contains_key(hash)) {
        let path = path(dir, hash);
        if !kept.damage.iter().any(|one| one.path == path) {
            kept.damage.push(Damage::of_file(path, "the file is missing"));
        }
    }
    kept.damage.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(kept)
}

fn found(dir: &Path) -> Result<KeptDictionaries, LakeError> {
    let folder = place::dictionaries(dir);
    let mut kept = KeptDictionaries::default();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(kept),
        // Those that rows follow are missing, and whatever is here hides no other damage.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            kept.damage.push(Damage::of_file(folder, "it is no folder"));
            return Ok(kept);
        }
        entries => entries.map_err(LakeError::io("list", &folder))?,
    };
    for entry in entries {
        let path = entry.map_err(LakeError::io("list", &folder))?.path();
        if path.file_name().is_some_and(|name| is_staged(&name.to_string_lossy())) {
            continue;
        }
        match regular::read(&path).and_then(|json| read(&path, &json)) {
            Ok((dictionary, hash)) => {
                kept.sound.insert(hash, Arc::new(dictionary));
            }
            Err(error) if error.is_of_process() => return Err(error),
            Err(error) => kept.damage.push(Damage::of_error(&error)),
        }
    }
    Ok(kept)
}

/// What is wrong with the dictionary of that hash.
pub fn fault(dir: &Path, hash: DictionaryHash) -> Option<Damage> {
    match get(dir, hash) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Damage::of_file(path(dir, hash), "the file is missing")),
        Err(error) if error.is_of_process() => None,
        Err(error) => Some(Damage::of_error(&error)),
    }
}

/// Reads the text and checks that it is the one its name promises.
fn read(path: &Path, json: &[u8]) -> Result<(Dictionary, DictionaryHash), LakeError> {
    let (dictionary, hash) = Dictionary::from_json(json)
        .map_err(|source| LakeError::Dictionary { path: path.to_owned(), source })?;
    if path.file_stem().is_none_or(|stem| stem.to_string_lossy() != hash.to_string()) {
        return Err(LakeError::damaged(
            path,
            format!("it does not have its hash: its content has hash {hash}"),
        ));
    }
    Ok((dictionary, hash))
}
