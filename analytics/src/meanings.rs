//! What the rows of a point mean: which dictionary each of them follows. Must never read rows.
//!
//! The table notes with each commit from which frame on a log follows which dictionary, so a row is found by its
//! generation and sequence: a corrected unit counts from the frame on that states it, never before. Rows from before
//! the table noted it are read only where all dictionaries that they can follow say the same.

use std::collections::{BTreeSet, HashMap};

use lake::{DictionaryUse, LakeError, Snapshot};
use model::{CommitNumber, Decimal, DictionaryHash, Generation, PointInfo, Sequence, Unit};

/// What every point of a lake means and meant.
#[derive(Debug, Default)]
pub(crate) struct Meanings {
    /// What dictionaries say about a point; more than one where it was changed.
    points: HashMap<String, Vec<(DictionaryHash, PointInfo)>>,
    uses: Vec<DictionaryUse>,
    /// Dictionaries that are known to have come after another one: no row without a note follows them.
    later: BTreeSet<DictionaryHash>,
}

/// What the rows of one point mean.
#[derive(Debug, Default)]
pub(crate) struct PointMeanings<'a> {
    /// From this frame of this generation on; in the order of both.
    uses: Vec<(Generation, Sequence, Option<&'a PointInfo>)>,
    /// What rows without a note can mean.
    unnoted: Vec<&'a PointInfo>,
    /// What was said last.
    last: Option<&'a PointInfo>,
}

impl Meanings {
    /// Those of a snapshot, as of a commit.
    pub(crate) fn of(snapshot: &Snapshot, as_of: CommitNumber) -> Result<Self, LakeError> {
        let mut uses = snapshot.dictionary_uses();
        uses.retain(|one| one.commit <= as_of);
        let mut meanings = Self { later: later(&uses), uses, ..Self::default() };
        for (hash, dictionary) in snapshot.dictionaries()?.sound {
            for point in &dictionary.points {
                let known = meanings.points.entry(point.id.to_string()).or_default();
                known.push((hash, point.clone()));
            }
        }
        Ok(meanings)
    }

    /// Whether some gateway ever announced this point.
    pub(crate) fn knows(&self, point: &str) -> bool {
        self.points.contains_key(point)
    }

    /// Those of one point.
    pub(crate) fn point(&self, point: &str) -> PointMeanings<'_> {
        let Some(known) = self.points.get(point) else { return PointMeanings::default() };
        let in_dictionary = |hash| known.iter().find(|(one, _)| *one == hash).map(|(_, info)| info);
        let last = self.uses.iter().rev().find_map(|one| in_dictionary(one.dictionary));
        let mut uses: Vec<_> = self
            .uses
            .iter()
            .map(|one| (one.generation, one.from, in_dictionary(one.dictionary)))
            .collect();
        uses.sort_by_key(|(generation, from, _)| (*generation, *from));
        let unnoted = known.iter().filter(|(hash, _)| !self.later.contains(hash));
        PointMeanings { uses, unnoted: unnoted.map(|(_, info)| info).collect(), last }
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

impl<'a> PointMeanings<'a> {
    /// The unit of a row; `None` where that is not known.
    pub(crate) fn unit(&self, generation: Generation, sequence: Sequence) -> Option<Unit> {
        match self.noted(generation, sequence) {
            Some(point) => Some(point.unit),
            None => all_say(self.unnoted.iter().map(|point| point.unit)),
        }
    }

    /// The unit that was stated last, of whichever rows.
    pub(crate) fn last_unit(&self) -> Option<Unit> {
        self.last.map(|point| point.unit).or_else(|| self.unnoted.first().map(|point| point.unit))
    }

    /// The modulus that was stated last: a correction of it says what the register always was.
    pub(crate) fn modulus(&self) -> Option<Decimal> {
        match self.last {
            Some(point) => point.modulus,
            None => all_say(self.unnoted.iter().map(|point| point.modulus)).flatten(),
        }
    }

    fn noted(&self, generation: Generation, sequence: Sequence) -> Option<&'a PointInfo> {
        let after =
            self.uses.partition_point(|(of, from, _)| (*of, *from) <= (generation, sequence));
        let (of, _, point) = self.uses.get(after.checked_sub(1)?)?;
        if *of == generation { *point } else { None }
    }
}

/// What all of them say, where they agree.
fn all_say<T: PartialEq>(mut said: impl Iterator<Item = T>) -> Option<T> {
    let first = said.next()?;
    said.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use model::dictionary::DisplayName;
    use model::{Place, PointId, PointKind, ValueType};

    use super::*;

    const POINT: &str = "acme/nb-1/main/e_import";

    fn info(unit: Unit, modulus: Option<&str>) -> PointInfo {
        PointInfo {
            id: PointId::new(POINT).unwrap(),
            place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
            device: "main".into(),
            metric: "e_import".into(),
            device_name: DisplayName::default(),
            unit,
            kind: PointKind::Counter,
            value_type: ValueType::Decimal { exponent: -2 },
            modulus: modulus.map(|text| text.parse().unwrap()),
            states: Vec::new(),
            interval_ms: None,
            profile: None,
        }
    }

    /// Dictionaries by the byte of their hash, uses as (generation, first sequence, dictionary, commit).
    fn meanings(said: &[(u8, PointInfo)], uses: &[(u64, u64, u8, u64)]) -> Meanings {
        let hash = |byte: u8| DictionaryHash([byte; 32]);
        let uses: Vec<_> = uses
            .iter()
            .map(|&(generation, from, dictionary, commit)| DictionaryUse {
                generation: Generation(generation),
                from: Sequence(from),
                dictionary: hash(dictionary),
                commit: CommitNumber(commit),
            })
            .collect();
        let known = said.iter().map(|(byte, info)| (hash(*byte), info.clone())).collect();
        Meanings { points: [(POINT.to_owned(), known)].into(), later: later(&uses), uses }
    }

    fn unit(meanings: &Meanings, generation: u64, sequence: u64) -> Option<Unit> {
        meanings.point(POINT).unit(Generation(generation), Sequence(sequence))
    }

    #[test]
    fn each_row_has_the_unit_that_its_own_frame_stated() {
        let (kwh, mwh) = (Unit::KilowattHour, Unit::MegawattHour);
        // The dictionary that was corrected back to has the smallest hash.
        let said = [(1, info(kwh, Some("1000"))), (9, info(mwh, None))];
        let meanings = meanings(&said, &[(1, 1, 1, 1), (1, 10, 9, 4), (2, 5, 9, 6), (1, 20, 1, 8)]);
        for (generation, sequence, expected) in
            [(1, 1, kwh), (1, 9, kwh), (1, 10, mwh), (1, 19, mwh), (1, 20, kwh), (2, 5, mwh)]
        {
            assert_eq!(unit(&meanings, generation, sequence), Some(expected));
        }
        assert_eq!(meanings.point(POINT).last_unit(), Some(kwh));
        assert_eq!(meanings.point(POINT).modulus(), Some("1000".parse().unwrap()));
        // Generation 3 began before the table noted dictionaries, and the two disagree: 9 came first in generation 2.
        assert_eq!(unit(&meanings, 3, 1), None);
    }

    #[test]
    fn rows_of_an_older_program_follow_none_of_the_later_dictionaries() {
        let (kwh, mwh) = (Unit::KilowattHour, Unit::MegawattHour);
        let said = [(1, info(kwh, Some("1000"))), (9, info(mwh, Some("9999")))];
        let upgraded = meanings(&said, &[(1, 50, 1, 30), (1, 70, 9, 40)]);
        assert_eq!(unit(&upgraded, 1, 49), Some(kwh));
        assert_eq!(unit(&upgraded, 1, 70), Some(mwh));
        let unknown = meanings(&said, &[]);
        assert_eq!(unit(&unknown, 1, 49), None);
        assert_eq!(unknown.point(POINT).modulus(), None);
        let agreed = meanings(&[(1, info(kwh, None)), (9, info(kwh, None))], &[]);
        assert_eq!(unit(&agreed, 1, 49), Some(kwh));
        assert_eq!(agreed.point("acme/nb-1/other").last_unit(), None);
    }
}
