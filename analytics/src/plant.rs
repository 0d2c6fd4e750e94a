//! A plant file with its declared facts, and the figures made of them and of a lake. Must never render.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Problem, Problems, SourceFile};
use energy::plant::Plant;
use energy::unit_product::UnitProduct;
use energy::{BasisChoice, Facts, Inputs, Meters, Period, ReadingsError, SourceError, Table1};
use thiserror::Error;

use crate::readings::{LakeView, ReadError};

/// A plant and what was declared about it.
#[derive(Debug, Clone)]
pub struct PlantFiles {
    /// The plant.
    pub plant: Plant,
    /// What was declared.
    pub facts: Facts,
    /// The plant file, for places in messages.
    pub path: PathBuf,
}

/// Why there are no figures.
#[derive(Debug, Error)]
pub enum FiguresError {
    /// The readings could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Readings do not fit their meters.
    #[error("readings do not fit the plant file:{}", listed(.0))]
    Readings(Vec<ReadingsError>),
    /// A quantity is given twice.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The plant file names meters that the lake does not know.
    #[error("{0}")]
    UnknownPoints(Problems),
}

fn listed(errors: &[ReadingsError]) -> String {
    errors.iter().fold(String::new(), |text, error| text + "\n  " + &error.to_string())
}

impl PlantFiles {
    /// Reads a plant file and the CSV files that it names; all problems at once.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let plant =
            Plant::read(&read(path, "EN-C000", "name the plant file with --plant plant.toml")?)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut problems = Problems::default();
        let mut files = Vec::new();
        for name in &plant.fact_files {
            match read(
                &folder.join(name),
                "EN-C001",
                "correct `facts` in the plant file, or add the CSV",
            ) {
                Ok(file) => files.push(file),
                Err(missing) => problems.0.extend(missing.0),
            }
        }
        if problems.is_fatal() {
            return Err(problems);
        }
        let facts = Facts::read(&plant, &files)?;
        Ok(Self { plant, facts, path: path.to_owned() })
    }

    /// The validated meters for one period; none without a lake.
    ///
    /// # Errors
    /// A meter whose point no gateway ever announced is an error: a wrong name must not look like missing readings.
    pub fn meters(&self, lake: Option<&LakeView>, period: Period) -> Result<Meters, FiguresError> {
        let Some(lake) = lake else { return Ok(Meters::default()) };
        let unknown = self.plant.check_points(|point| lake.knows(point));
        if unknown.is_fatal() {
            return Err(FiguresError::UnknownPoints(unknown));
        }
        let readings = lake.readings(&self.plant, period)?;
        Meters::build(&self.plant, &readings).map_err(FiguresError::Readings)
    }

    /// Table 1 for one period.
    pub fn table1(
        &self,
        lake: Option<&LakeView>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<Table1, FiguresError> {
        let meters = self.meters(lake, period)?;
        Ok(energy::table1(&self.inputs(&meters, lake), period, basis)?)
    }

    /// Unit-product energy for one period.
    pub fn unit_products(
        &self,
        lake: Option<&LakeView>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<UnitProduct, FiguresError> {
        let meters = self.meters(lake, period)?;
        Ok(energy::unit_product::unit_product(&self.inputs(&meters, lake), period, basis)?)
    }

    fn inputs<'a>(&'a self, meters: &'a Meters, lake: Option<&LakeView>) -> Inputs<'a> {
        let commit = lake.map(LakeView::commit);
        Inputs { plant: &self.plant, facts: &self.facts, meters, commit }
    }
}

fn read(path: &Path, code: &'static str, help: &str) -> Result<Arc<SourceFile>, Problems> {
    let name = path.display().to_string();
    let problem = |text: String, help: &str| Problems(vec![Problem::new(code, text).help(help)]);
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        // What Excel on a Chinese Windows calls CSV is GBK.
        std::io::ErrorKind::InvalidData => problem(
            format!("`{name}` is not UTF-8 text"),
            "save it as UTF-8; in Excel as *CSV UTF-8 (comma delimited)* (CSV UTF-8（逗号分隔）), \
             not as plain CSV",
        ),
        _ => problem(format!("cannot read `{name}`: {e}"), help),
    })?;
    Ok(SourceFile::new(&name, text))
}
