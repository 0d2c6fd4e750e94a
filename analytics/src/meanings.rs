//! What points are, as the dictionaries of a store say. Must never read rows: each row says its own unit.

use std::collections::{BTreeSet, HashMap};

use contract::{DictionaryUse, Readings, StoreError};
use model::{CommitNumber, Decimal, DictionaryHash, Place, ValueType};

/// Names of points that are suggested for one that is not there.
const NEAR_MAX: usize = 3;

/// What every point of a store is and was.
#[derive(Debug, Default)]
pub(crate) struct Meanings {
    /// What dictionaries state as a point's modulus; more than one where it was changed.
    moduli: HashMap<String, Vec<(DictionaryHash, Option<Decimal>)>>,
    /// Points whose values never were numbers, and what they were last.
    no_numbers: HashMap<String, &'static str>,
    /// Where devices stand and stood.
    places: Vec<Place>,
    uses: Vec<DictionaryUse>,
    /// Dictionaries that are known to have come after another one.
    later: BTreeSet<DictionaryHash>,
    /// A dictionary that rows follow and the store lacks.
    lacks: Option<DictionaryHash>,
}

impl Meanings {
    /// Those of a store, as of a commit.
    pub(crate) fn of(readings: &dyn Readings, as_of: CommitNumber) -> Result<Self, StoreError> {
        let mut uses = readings.dictionary_uses();
        uses.retain(|one| one.commit <= as_of);
        let mut meanings = Self { later: later(&uses), uses, ..Self::default() };
        let dictionaries = readings.dictionaries()?;
        let mut used = meanings.uses.iter().map(|one| one.dictionary);
        meanings.lacks = used.find(|hash| !dictionaries.contains_key(hash));
        let mut numbers = BTreeSet::new();
        for (hash, dictionary) in dictionaries {
            for point in &dictionary.points {
                let of_others = match point.value_type {
                    ValueType::Decimal { .. } | ValueType::Float => None,
                    ValueType::Bool => Some("true or false"),
                    ValueType::Text => Some("texts"),
                };
                match of_others {
                    Some(values) => drop(meanings.no_numbers.insert(point.id.to_string(), values)),
                    None => drop(numbers.insert(point.id.to_string())),
                }
                let known = meanings.moduli.entry(point.id.to_string()).or_default();
                known.push((hash, point.modulus));
                // The points of a device follow one another.
                if meanings.places.last() != Some(&point.place) {
                    meanings.places.push(point.place.clone());
                }
            }
        }
        meanings.no_numbers.retain(|point, _| !numbers.contains(point));
        Ok(meanings)
    }

    /// What a point holds that never held numbers.
    pub(crate) fn other_than_numbers(&self, point: &str) -> Option<&'static str> {
        self.no_numbers.get(point).copied()
    }

    /// Where devices stand and stood, some more than once.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// A dictionary that rows follow and the store lacks: it was damaged or removed.
    pub(crate) fn lacks_dictionary(&self) -> Option<DictionaryHash> {
        self.lacks
    }

    /// Whether some gateway ever announced this point.
    pub(crate) fn knows(&self, point: &str) -> bool {
        self.moduli.contains_key(point)
    }

    /// Names of points that are most like one that nobody announced, the nearest first.
    pub(crate) fn near(&self, point: &str) -> Vec<String> {
        let known: Vec<&str> = self.moduli.keys().map(String::as_str).collect();
        let slip = config::nearest(point, &known);
        let levels: BTreeSet<&str> = point.split('/').skip(1).collect();
        let last = point.rsplit('/').next();
        let alike = |name: &str| {
            let shared = name.split('/').skip(1).filter(|level| levels.contains(level)).count();
            shared + usize::from(name.rsplit('/').next() == last)
        };
        let mut near: Vec<(usize, &str)> =
            known.iter().map(|name| (alike(name), *name)).filter(|(alike, _)| *alike > 0).collect();
        near.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
        let rest = near.into_iter().map(|(_, name)| name).filter(|name| Some(*name) != slip);
        slip.into_iter().chain(rest).take(NEAR_MAX).map(str::to_owned).collect()
    }

    /// The modulus that was stated last: a correction of it says what the register always was.
    pub(crate) fn modulus(&self, point: &str) -> Option<Decimal> {
        let known = self.moduli.get(point)?;
        let stated = |hash| known.iter().find(|(one, _)| *one == hash).map(|(_, modulus)| *modulus);
        if let Some(last) = self.uses.iter().rev().find_map(|one| stated(one.dictionary)) {
            return last;
        }
        let mut unused = known.iter().filter(|(hash, _)| !self.later.contains(hash));
        let first = unused.next()?.1;
        unused.all(|(_, other)| *other == first).then_some(first).flatten()
    }
}

/// Dictionaries that are noted, and only ever after another one of the same log.
fn later(uses: &[DictionaryUse]) -> BTreeSet<DictionaryHash> {
    let mut begun = BTreeSet::new();
    let (mut first, mut later) = (BTreeSet::new(), BTreeSet::new());
    for one in uses {
        let of_log = if begun.insert(one.generation) { &mut first } else { &mut later };
        of_log.insert(one.dictionary);
    }
    later.difference(&first).copied().collect()
}
