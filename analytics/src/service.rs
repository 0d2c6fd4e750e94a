//! Figures as a service: answers for a plant and a period from the newest commit of a store, or from what it computed
//! before. Must never ask what time it is.
//!
//! A figure depends on the commit, the plant with what was declared, the period, the basis and its kind alone, so that is
//! what it is kept by. The readings of a period are kept once for all kinds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{Problem, Problems};
use contract::{Cancel, DamagedRange, Readings};
use energy::{BasisChoice, Explanations, Period};
use model::CommitNumber;

use crate::kpi::{Kpi, KpiFigures, kpi, kpis_for};
use crate::plant::{FiguresError, PlantFiles, PlantHash};
use crate::readings::{Metered, ReadError, StoreView};

/// Figures that are kept; the one that was not asked for longest goes first.
const FIGURES_MAX: usize = 128;
/// Periods whose readings are kept: some megabytes for each.
const METERED_MAX: usize = 4;

/// What figures of one period depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Basics {
    commit: Option<CommitNumber>,
    plant: PlantHash,
    period: Period,
}

type FigureKey = (Basics, BasisChoice, &'static str);

/// Figures, and what is to be said of what they were made from.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The figures.
    pub figures: Arc<KpiFigures>,
    /// The commit that they are of; `None` without a store.
    pub commit: Option<CommitNumber>,
    /// What was wanted of the store and could not be read.
    pub damaged: Vec<DamagedRange>,
    /// What is doubtful in the readings and can be settled in the plant file.
    pub warnings: Problems,
}

/// Computes figures and keeps them.
pub struct FigureService {
    source: Option<Arc<dyn Readings>>,
    kept: Mutex<Kept>,
    as_of: Option<CommitNumber>,
}

#[derive(Default)]
struct Kept {
    view: Option<Arc<StoreView>>,
    newest: Option<Arc<dyn Readings>>,
    figures: Recent<FigureKey, Answer>,
    metered: Recent<Basics, Arc<Metered>>,
}

impl FigureService {
    /// Of a store, as of its newest commit at each answer; without one of what was declared alone.
    #[must_use]
    pub fn new(source: Option<Arc<dyn Readings>>) -> Self {
        Self { source, kept: Mutex::default(), as_of: None }
    }

    /// As of one commit, whatever comes after it.
    #[must_use]
    pub fn as_of(self, commit: Option<CommitNumber>) -> Self {
        Self { as_of: commit, ..self }
    }

    /// The figures of one kind for a period.
    pub fn figures(
        &self,
        plant: &PlantFiles,
        kind: &'static dyn Kpi,
        period: Period,
        basis: BasisChoice,
        cancel: &Cancel,
    ) -> Result<Answer, FiguresError> {
        let view = self.view()?;
        let commit = view.as_deref().map(StoreView::commit);
        let basics = Basics { commit, plant: plant.hash, period };
        let key = (basics, basis, kind.name());
        if let Some(answer) = self.kept().figures.get(&key) {
            return Ok(answer);
        }
        // Computed without the lock: another answer need not wait for this one.
        let metered = self.metered(plant, view.as_deref(), basics, cancel)?;
        let figures = kind.compute(&plant.inputs(&metered.meters, commit), period, basis)?;
        let damaged = metered.damaged.clone();
        let mut warnings = plant.plant.check_resets(&metered.meters);
        let never_read = metered.never_read.0.iter().cloned();
        warnings.append(Problems(never_read.map(Problem::warning).collect()));
        if let Some(view) = &view {
            warnings.append(view.check_places(&plant.plant));
        }
        let answer = Answer { figures: Arc::new(figures), commit, damaged, warnings };
        self.kept().figures.put(key, answer.clone(), FIGURES_MAX);
        Ok(answer)
    }

    /// What stands behind a figure, of whichever kind it is.
    ///
    /// # Errors
    /// The names of all figures of the kind that it seems to be of, where there is no such figure.
    pub fn explain(
        &self,
        plant: &PlantFiles,
        figure: &str,
        period: Period,
        cancel: &Cancel,
    ) -> Result<Result<Answer, Explanations>, FiguresError> {
        let mut first: Option<Answer> = None;
        for kind in kpis_for(figure) {
            let answer = self.figures(plant, kind, period, BasisChoice::Both, cancel)?;
            if answer.figures.explanations.contains_key(figure) {
                return Ok(Ok(answer));
            }
            first.get_or_insert(answer);
        }
        let nearest = first.map(|answer| answer.figures.explanations.clone());
        Ok(Err(nearest.unwrap_or_default()))
    }

    /// Whether some kind of figures has that name.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        kpi(name).is_some()
    }

    /// The store at its newest commit; what was known of it stays while there is no newer one.
    fn view(&self) -> Result<Option<Arc<StoreView>>, ReadError> {
        let Some(source) = &self.source else { return Ok(None) };
        let known = {
            let kept = self.kept();
            (kept.view.clone(), kept.newest.clone())
        };
        if let ((Some(view), _), Some(_)) = (&known, self.as_of) {
            return Ok(Some(Arc::clone(view)));
        }
        let newest = known.1.as_ref().unwrap_or(source).renewed().map_err(ReadError::Store)?;
        if let Some(view) = known.0.filter(|view| view.commit() == newest.commit_number()) {
            // The files behind it may have been merged since.
            let view = Arc::new(view.with(Arc::clone(&newest)));
            let mut kept = self.kept();
            (kept.view, kept.newest) = (Some(Arc::clone(&view)), Some(newest));
            return Ok(Some(view));
        }
        let view = Arc::new(StoreView::new(Arc::clone(&newest), self.as_of)?);
        let mut kept = self.kept();
        (kept.view, kept.newest) = (Some(Arc::clone(&view)), Some(newest));
        Ok(Some(view))
    }

    fn metered(
        &self,
        plant: &PlantFiles,
        view: Option<&StoreView>,
        basics: Basics,
        cancel: &Cancel,
    ) -> Result<Arc<Metered>, FiguresError> {
        if let Some(metered) = self.kept().metered.get(&basics) {
            return Ok(metered);
        }
        let metered = Arc::new(plant.metered(view, basics.period, cancel)?);
        self.kept().metered.put(basics, Arc::clone(&metered), METERED_MAX);
        Ok(metered)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is kept is whole after each change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values that were asked for last.
struct Recent<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        let found = self.0.remove(at)?;
        let value = found.1.clone();
        self.0.push_back(found);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, most: usize) {
        self.0.retain(|(known, _)| *known != key);
        while self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back((key, value));
    }
}
