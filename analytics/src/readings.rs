//! The meters of a plant from a store: one pass over the rows of all of them, each reading taken as it comes. Must never
//! compute energy; `energy` does, row by row.
//!
//! A figure is made of the readings of its period and of a margin on either side, so that a border inside a gap can be
//! interpolated and a register that is off its way at the border is known to be. Most meters simply climb, and a day
//! tells as much as forty: the wide margin is read for those alone of which the near one does not tell enough.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread;

use arrow_array::RecordBatch;
use config::Problems;
use contract::{
    BoxedRows, Cancel, Cost, DamagedRange, Points, Readings, Request, RowChoice, StoreError, column,
};
use energy::plant::{INTERPOLATION_MAX_MOST, Meter, Plant};
use energy::{Finished, Index, Meters, ReadingsError, Span};
use model::topic::LivePath;
use model::{CommitNumber, DictionaryHash, PointId, Timestamp};
use thiserror::Error;

use crate::columns::{Columns, ColumnsError};
use crate::meanings::Meanings;
use crate::meter_scan::{MeterScan, Settled};

/// How far before and after a period readings are taken at first.
const MARGIN_NEAR_US: i64 = 24 * 3_600 * 1_000_000;
/// How far they are taken where the near margin does not tell enough.
const MARGIN_WIDE_US: i64 = INTERPOLATION_MAX_MOST.as_secs().cast_signed() * 1_000_000;

/// Batches that may be read before they are needed.
const BATCHES_AHEAD: usize = 4;

/// Why readings could not be had.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
    /// A column is not what the contract says.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// All that a meter's point holds for the period are values without an exact decimal.
    #[error(
        "meter `{meter}`: point `{point}` holds floating-point values; state its `resolution` in the device profile"
    )]
    NotExact {
        /// The meter.
        meter: String,
        /// Its point.
        point: PointId,
    },
    /// The readings lie too many powers of ten apart.
    #[error("meter `{meter}`: the readings of point `{point}` do not fit into one scale")]
    Scale {
        /// The meter.
        meter: String,
        /// Its point.
        point: PointId,
    },
    /// Readings do not fit their meters.
    #[error("readings do not fit the plant file:{}", listed(.0))]
    Readings(Vec<ReadingsError>),
    /// Nobody wants the answer any more.
    #[error("reading was cancelled")]
    Cancelled,
}

fn listed(errors: &[ReadingsError]) -> String {
    errors.iter().fold(String::new(), |text, error| text + "\n  " + &error.to_string())
}

/// The indexes of a plant's meters, and what it took to make them.
#[derive(Debug, Default)]
pub struct Metered {
    /// The indexes.
    pub meters: Meters,
    /// What was wanted and could not be read.
    pub damaged: Vec<DamagedRange>,
    /// The meters whose point no gateway ever announced: each costs the figures it is in.
    pub never_read: Problems,
    /// What was read.
    pub cost: Cost,
    /// Rows that were looked at.
    pub rows: u64,
}

/// What a store knows at one commit, for computing figures.
pub struct StoreView {
    readings: Arc<dyn Readings>,
    meanings: Arc<Meanings>,
    commit: CommitNumber,
}

impl StoreView {
    /// The store as of `as_of`, or as of its newest commit.
    pub fn new(
        readings: Arc<dyn Readings>,
        as_of: Option<CommitNumber>,
    ) -> Result<Self, ReadError> {
        let newest = readings.commit_number();
        let commit = as_of.unwrap_or(newest).min(newest);
        let meanings = Meanings::of(readings.as_ref(), commit).map_err(ReadError::Store)?;
        Ok(Self { readings, meanings: Arc::new(meanings), commit })
    }

    /// The same commit of another version of the same store.
    pub(crate) fn with(&self, readings: Arc<dyn Readings>) -> Self {
        Self { readings, meanings: Arc::clone(&self.meanings), commit: self.commit }
    }

    /// The commit that figures are made as of.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    /// Whether some gateway ever announced this point.
    #[must_use]
    pub fn knows(&self, point: &PointId) -> bool {
        self.meanings.knows(point.as_str())
    }

    /// Names of points like one that nobody announced, the nearest first.
    pub(crate) fn near(&self, point: &PointId) -> Vec<String> {
        self.meanings.near(point.as_str())
    }

    /// What a point holds that never held numbers.
    pub(crate) fn other_than_numbers(&self, point: &PointId) -> Option<&'static str> {
        self.meanings.other_than_numbers(point.as_str())
    }

    /// A dictionary that rows of the store follow and that it lacks, and why, where the store says so.
    #[must_use]
    pub fn lacks_dictionary(&self) -> Option<(DictionaryHash, Option<String>)> {
        let hash = self.meanings.lacks_dictionary()?;
        Some((hash, self.readings.dictionary_fault(hash)))
    }

    /// The subjects of a plant at whose place no gateway ever announced a device.
    #[must_use]
    pub fn check_places(&self, plant: &Plant) -> Problems {
        let devices: Vec<LivePath<'_>> =
            self.meanings.places().iter().map(LivePath::of_place).collect();
        plant.check_places(&devices)
    }

    /// The indexes of all meters of the plant that the store knows, for one time.
    pub fn meters(&self, plant: &Plant, span: Span, cancel: &Cancel) -> Result<Metered, ReadError> {
        let mut metered = Metered::default();
        let known = plant.meters.iter().filter(|meter| self.knows(&meter.point.value));
        let mut scans: Vec<MeterScan<'_>> =
            known.map(|meter| self.begin(plant, meter, span)).collect();
        let mut indexes: Vec<Index> = Vec::new();
        let mut wrong = Vec::new();
        let (mut margin, mut finest) = (MARGIN_NEAR_US, 0);
        while !scans.is_empty() {
            let around = Span {
                from: Timestamp(span.from.0.saturating_sub(margin)),
                to: Timestamp(span.to.0.saturating_add(margin)),
            };
            self.scan(&mut scans, around, cancel, &mut metered)?;
            let wider = if margin == MARGIN_NEAR_US {
                self.need_more(&scans, span, cancel, &mut metered)?
            } else {
                Vec::new()
            };
            let mut again = Vec::new();
            for (at, scan) in scans.into_iter().enumerate() {
                if let Some(exponent) = scan.finer_exponent() {
                    // Another row was finer than those before it: all are taken again at its scale.
                    finest += 1;
                    again.push(self.begin(plant, scan.meter(), span).at_exponent(exponent));
                } else if wider.get(at).copied().unwrap_or(false) {
                    again.push(self.begin(plant, scan.meter(), span));
                } else {
                    let (meter, exponent) = (scan.meter(), scan.exponent());
                    match scan.finish()? {
                        Ok(Finished::Index(index)) => indexes.push(*index),
                        // A jump or an event that does not fit: what is further out may tell more about it.
                        Ok(Finished::Again(_)) if margin == MARGIN_NEAR_US => {
                            again.push(self.begin(plant, meter, span));
                        }
                        Ok(Finished::Again(learned)) => {
                            let scan = self.begin(plant, meter, span);
                            again.push(scan.knowing(exponent, learned));
                        }
                        Err(error) => wrong.push(error),
                    }
                }
            }
            scans = again;
            // What is scanned again for its scale may need the wide margin too.
            margin = MARGIN_WIDE_US;
        }
        if !wrong.is_empty() {
            return Err(ReadError::Readings(wrong));
        }
        tracing::debug!(
            rows = metered.rows,
            files = metered.cost.files,
            bytes = metered.cost.bytes,
            scanned_again = finest,
            "meters read"
        );
        metered.meters = Meters::of(indexes);
        Ok(metered)
    }

    fn begin<'a>(&self, plant: &Plant, meter: &'a Meter, span: Span) -> MeterScan<'a> {
        let modulus = self.meanings.modulus(meter.point.value.as_str());
        MeterScan::new(meter, plant.interpolation_max_micros, modulus, span)
    }

    /// Which of the scans need the wide margin: those that do not climb, and those without a reading beyond a border
    /// that have one further out.
    fn need_more(
        &self,
        scans: &[MeterScan<'_>],
        span: Span,
        cancel: &Cancel,
        metered: &mut Metered,
    ) -> Result<Vec<bool>, ReadError> {
        let settled: Vec<Settled> = scans.iter().map(MeterScan::settled).collect();
        let mut further = vec![false; scans.len()];
        let before = Span {
            from: Timestamp(span.from.0.saturating_sub(MARGIN_WIDE_US)),
            to: Timestamp(span.from.0.saturating_sub(MARGIN_NEAR_US)),
        };
        let after = Span {
            from: Timestamp(span.to.0.saturating_add(MARGIN_NEAR_US)),
            to: Timestamp(span.to.0.saturating_add(MARGIN_WIDE_US)),
        };
        for (side, lacks) in [
            (before, (|one: &Settled| !one.climbs || !one.before) as fn(&Settled) -> bool),
            (after, |one: &Settled| !one.climbs || !one.after),
        ] {
            let lacking: Vec<usize> =
                (0..scans.len()).filter(|at| lacks(&settled[*at]) && !further[*at]).collect();
            let points: Vec<PointId> =
                lacking.iter().map(|at| scans[*at].meter().point.value.clone()).collect();
            if points.is_empty() {
                continue;
            }
            let request =
                Request { columns: vec![column::POINT], ..self.request(points, side, cancel) };
            let mut rows = self.readings.last_rows(&request).map_err(ReadError::Store)?;
            for batch in rows.by_ref() {
                let batch = batch.map_err(ReadError::Store)?;
                let columns = Columns::new(&batch)?;
                for (point, _) in columns.points() {
                    for at in &lacking {
                        further[*at] |= scans[*at].meter().point.value.as_str() == point;
                    }
                }
            }
            metered.note(rows.as_ref());
        }
        Ok(further)
    }

    fn request(&self, points: Vec<PointId>, time: Span, cancel: &Cancel) -> Request {
        Request {
            points: Points::Exactly(points),
            from: Some(time.from),
            to: Some(time.to),
            as_of: Some(self.commit),
            choice: RowChoice::All,
            columns: Vec::new(),
            cancel: cancel.clone(),
        }
    }

    /// Hands each scan the rows of its point.
    fn scan(
        &self,
        scans: &mut [MeterScan<'_>],
        time: Span,
        cancel: &Cancel,
        metered: &mut Metered,
    ) -> Result<(), ReadError> {
        let mut by_point: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, scan) in scans.iter().enumerate() {
            by_point.entry(scan.meter().point.value.to_string()).or_default().push(at);
        }
        let points = scans.iter().map(|scan| scan.meter().point.value.clone()).collect();
        let columns = MeterScan::COLUMNS.to_vec();
        let request = Request { columns, ..self.request(points, time, cancel) };
        let rows = self.readings.rows(&request).map_err(ReadError::Store)?;
        let rows = read_ahead(rows, |batch| {
            metered.rows += batch.num_rows() as u64;
            let columns = Columns::new(&batch)?;
            for (point, range) in columns.points() {
                for at in by_point.get(point).into_iter().flatten() {
                    scans[*at].take(&columns, range.clone())?;
                }
            }
            Ok(())
        })?;
        metered.note(rows.as_ref());
        if cancel.is_cancelled() { Err(ReadError::Cancelled) } else { Ok(()) }
    }
}

/// Hands batches to `take` while the next ones are read: arithmetic and decoding take about as long as one another.
fn read_ahead(
    mut rows: BoxedRows,
    mut take: impl FnMut(RecordBatch) -> Result<(), ReadError>,
) -> Result<BoxedRows, ReadError> {
    let (sender, batches) = mpsc::sync_channel(BATCHES_AHEAD);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for batch in rows.by_ref() {
                if sender.send(batch).is_err() {
                    break;
                }
            }
            rows
        });
        let mut taken = Ok(());
        for batch in batches {
            taken = batch.map_err(ReadError::Store).and_then(&mut take);
            if taken.is_err() {
                break;
            }
        }
        let rows = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        taken.map(|()| rows)
    })
}

impl Metered {
    fn note(&mut self, rows: &dyn contract::Rows) {
        let cost = rows.cost();
        self.cost.files += cost.files;
        self.cost.bytes += cost.bytes;
        for damaged in rows.damaged() {
            if !self.damaged.contains(&damaged) {
                self.damaged.push(damaged);
            }
        }
    }
}
