//! A plant file with its declared facts, and what figures are made of from them and from a store. Must never render.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Problem, Problems, SourceFile};
use contract::Cancel;
use energy::plant::Plant;
use energy::{BasisChoice, Facts, Inputs, Meters, Period, SourceError, Table1};
use model::{CommitNumber, DictionaryHash, Localized, text};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::readings::{Metered, ReadError, StoreView};
use crate::workbook::{self, WORKBOOK_BYTES_MAX};

/// What a plant file and what was declared about the plant are known by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PlantHash([u8; 32]);

/// A plant and what was declared about it.
#[derive(Debug, Clone)]
pub struct PlantFiles {
    /// The plant.
    pub plant: Plant,
    /// What was declared.
    pub facts: Facts,
    /// The plant file, for places in messages.
    pub path: PathBuf,
    /// SHA-256 of all files.
    pub hash: PlantHash,
}

/// Why there are no figures.
#[derive(Debug, Error)]
pub enum FiguresError {
    /// The readings could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A quantity is given twice.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The plant file names meters that the store does not know, or whose points hold no numbers.
    #[error("{0}")]
    UnknownPoints(Problems),
    /// The store does not know a meter, and lacks a dictionary that may describe it.
    #[error("the store has no sound dictionary `{hash}`, which describes points that it has rows of{}", because(fault.as_deref()))]
    NoDictionary {
        /// Its hash.
        hash: DictionaryHash,
        /// What is wrong with it, where the store says so.
        fault: Option<String>,
    },
}

fn because(fault: Option<&str>) -> String {
    fault.map_or_else(String::new, |fault| format!(": {fault}"))
}

/// Most bytes of a CSV of facts: about a million rows.
const FACTS_BYTES_MAX: u64 = 64 << 20;
const CODE_FACTS: &str = "EN-C001";

impl PlantFiles {
    /// Reads a plant file and the CSV files and workbooks that it names; all problems at once.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let help = "name the plant file with --plant plant.toml";
        let file = read(path, config::TEXT_BYTES_MAX, "EN-C000", help)?;
        let mut plant = Plant::read(&file)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut problems = Problems::default();
        let mut files = Vec::new();
        for name in &plant.fact_files {
            files.extend(facts_file(&folder.join(name), &mut problems));
        }
        if problems.is_fatal() {
            return Err(problems);
        }
        let facts = Facts::read(&plant, &files)?;
        plant.warnings.append(problems);
        plant.warnings.append(facts.warnings.clone());
        let hash = hash_of(std::iter::once(&file).chain(&files));
        Ok(Self { plant, facts, path: path.to_owned(), hash })
    }

    /// The validated meters for one period; none without a store. A meter whose point no gateway ever announced has no
    /// index, and the reason is kept with the others': a wrong name must not look like missing readings.
    ///
    /// # Errors
    /// A meter whose point holds texts is an error.
    pub fn metered(
        &self,
        store: Option<&StoreView>,
        period: Period,
        cancel: &Cancel,
    ) -> Result<Metered, FiguresError> {
        let Some(store) = store else { return Ok(Metered::default()) };
        let unknown =
            self.plant.check_points(|point| store.knows(point), |point| store.near(point));
        if unknown.is_fatal()
            && let Some((hash, fault)) = store.lacks_dictionary()
        {
            return Err(FiguresError::NoDictionary { hash, fault });
        }
        let no_meters = self.plant.check_values(|point| store.other_than_numbers(point));
        if no_meters.is_fatal() {
            return Err(FiguresError::UnknownPoints(no_meters));
        }
        let metered = store.meters(&self.plant, period.span(&self.plant.time_zone), cancel)?;
        let absent = self.plant.never_read(|point| store.knows(point));
        Ok(Metered { meters: metered.meters.without(absent), never_read: unknown, ..metered })
    }

    /// Table 1 for one period, for whoever wants it as such; see [`crate::FigureService`] for figures of all kinds.
    ///
    /// # Errors
    /// Here a meter whose point no gateway ever announced is an error.
    pub fn table1(
        &self,
        store: Option<&StoreView>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<Table1, FiguresError> {
        let metered = self.metered(store, period, &Cancel::default())?;
        if metered.never_read.is_fatal() {
            return Err(FiguresError::UnknownPoints(metered.never_read));
        }
        let commit = store.map(StoreView::commit);
        Ok(energy::table1(&self.inputs(&metered.meters, commit), period, basis)?)
    }

    /// What figures are made of.
    #[must_use]
    pub fn inputs<'a>(&'a self, meters: &'a Meters, commit: Option<CommitNumber>) -> Inputs<'a> {
        Inputs { plant: &self.plant, facts: &self.facts, meters, commit }
    }
}

/// Each file with its length, so that no two lists of files have one text.
fn hash_of<'a>(files: impl Iterator<Item = &'a Arc<SourceFile>>) -> PlantHash {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.text.len() as u64).to_be_bytes());
        hash.update(&file.text);
    }
    PlantHash(hash.finalize().into())
}

/// Reads a file of facts: CSV, or the sheets of a workbook.
fn facts_file(path: &Path, problems: &mut Problems) -> Vec<Arc<SourceFile>> {
    let help = "correct `facts` in the plant file, or add the file";
    let is_workbook = path.extension().is_some_and(|one| one.eq_ignore_ascii_case("xlsx"));
    if !is_workbook {
        return match read(path, FACTS_BYTES_MAX, CODE_FACTS, help) {
            Ok(file) => vec![file],
            Err(unreadable) => {
                problems.append(unreadable);
                Vec::new()
            }
        };
    }
    let name = path.display().to_string();
    match config::read_bytes(path, WORKBOOK_BYTES_MAX) {
        Ok(bytes) => workbook::sheets(&name, &bytes, problems),
        Err(e) => {
            let problem = Problem::new(CODE_FACTS, format!("cannot read `{name}`: {e}"));
            problems.push(problem.help(config::read_help(&e, help)));
            Vec::new()
        }
    }
}

/// What to do about a file that is not text in UTF-8. What Excel on a Chinese Windows calls CSV is GBK, and what it calls
/// Unicode text is UTF-16.
fn not_text(path: &Path) -> Localized {
    let is_csv = path.extension().is_some_and(|one| one.eq_ignore_ascii_case("csv"));
    if is_csv {
        text!(
            en: "in Excel choose *File > Save As* and the type *CSV UTF-8 (comma delimited)*, not *CSV* and not *Unicode Text*",
            zh: "请在 Excel 中选“文件 > 另存为”，类型选“CSV UTF-8（逗号分隔）”，不要选“CSV”或“Unicode 文本”",
        )
    } else {
        text!(
            en: "save it as UTF-8: in the editor choose *Save As* and the encoding UTF-8",
            zh: "请在编辑器中选“另存为”，编码选 UTF-8",
        )
    }
}

fn read(
    path: &Path,
    bytes_max: u64,
    code: &'static str,
    help: &str,
) -> Result<Arc<SourceFile>, Problems> {
    let name = path.display().to_string();
    let problem =
        |text: String, help: Localized| Problems(vec![Problem::new(code, text).help(help)]);
    let text = config::read_text(path, bytes_max).map_err(|e| match e.kind() {
        std::io::ErrorKind::InvalidData => problem(format!("`{name}`: {e}"), not_text(path)),
        _ => problem(format!("cannot read `{name}`: {e}"), config::read_help(&e, help).into()),
    })?;
    Ok(SourceFile::new(&name, text))
}
