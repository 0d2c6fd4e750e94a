//! What a store holds of each point: its description, as the gateways announced it, and the times of its first and last
//! reading. [`table`] is these as the columns of the `points` table, which is the same for every engine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use model::quality::Severity;
use model::{
    Decimal, Dictionary, DictionaryHash, GatewayId, PointInfo, PointKind, Quality, Timestamp, topic,
};

use crate::error::StoreError;
use crate::readings::{BoxedRows, Cancel, DamagedRange, Readings, column};

/// First and last source time of readings that have a value.
pub type FirstAndLast = (Timestamp, Timestamp);

/// First and last reading of each point that has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointTimes {
    /// By point id. A sample of Bad quality has no value and is no reading.
    pub times: BTreeMap<String, FirstAndLast>,
    /// What could not be read; readings in it are not taken into account.
    pub damaged: Vec<DamagedRange>,
}

/// A point of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPoint {
    /// Its id.
    pub id: String,
    /// Its description; `None` where rows have the point and the dictionary is missing.
    pub described: Option<Described>,
    /// First and last reading; `None` where there is none yet.
    pub times: Option<FirstAndLast>,
}

/// What a gateway announced of a point, last.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    dictionary: Arc<Dictionary>,
    index: usize,
    /// The gateway; `None` where no row follows the dictionary yet.
    pub gateway: Option<GatewayId>,
    /// Whether the newest description of its device still has the point.
    pub is_current: bool,
}

impl Described {
    /// The description.
    ///
    /// # Panics
    /// Never: the index is that of a point of the dictionary.
    #[must_use]
    pub fn info(&self) -> &PointInfo {
        self.dictionary.points.get(self.index).expect("made from this very list")
    }
}

/// The points of a store with their times, in the order of their ids.
///
/// # Errors
/// When the store cannot be read.
pub fn stored_points(
    readings: &dyn Readings,
    cancel: &Cancel,
) -> Result<(Vec<StoredPoint>, Vec<DamagedRange>), StoreError> {
    let described = described(readings)?;
    let PointTimes { times, damaged } = readings.point_times(cancel)?;
    Ok((joined(&described, &times), damaged))
}

/// Points that are described, that have readings, or both.
#[must_use]
pub fn joined(
    described: &BTreeMap<String, Described>,
    times: &BTreeMap<String, FirstAndLast>,
) -> Vec<StoredPoint> {
    let ids: BTreeSet<&String> = described.keys().chain(times.keys()).collect();
    let point = |id: &String| StoredPoint {
        id: id.clone(),
        described: described.get(id).cloned(),
        times: times.get(id).copied(),
    };
    ids.into_iter().map(point).collect()
}

/// The newest description of each point that a gateway ever announced.
///
/// A dictionary describes whole devices, so a point that an older dictionary of its device has and the newest does not
/// was removed from the device: it stays, and is not current.
///
/// # Errors
/// When the dictionaries cannot be read.
pub fn described(readings: &dyn Readings) -> Result<BTreeMap<String, Described>, StoreError> {
    let dictionaries = readings.dictionaries()?;
    let gateways: HashMap<_, GatewayId> = readings
        .watermarks()
        .into_iter()
        .map(|((gateway, _), mark)| (mark.generation, gateway))
        .collect();
    let mut found = Newest::default();
    for one in readings.dictionary_uses().iter().rev() {
        if let Some(dictionary) = dictionaries.get(&one.dictionary) {
            found.add(one.dictionary, dictionary, gateways.get(&one.generation));
        }
    }
    // Announced, and no row follows them yet.
    for (hash, dictionary) in &dictionaries {
        found.add(*hash, dictionary, None);
    }
    Ok(found.points)
}

/// Descriptions from the newest dictionary back.
#[derive(Default)]
struct Newest {
    points: BTreeMap<String, Described>,
    seen: BTreeSet<DictionaryHash>,
    devices: BTreeSet<String>,
}

impl Newest {
    fn add(&mut self, hash: DictionaryHash, dictionary: &Arc<Dictionary>, of: Option<&GatewayId>) {
        if !self.seen.insert(hash) {
            return;
        }
        let mut here = BTreeSet::new();
        for (index, point) in dictionary.points.iter().enumerate() {
            let device = topic::live_device(point);
            let is_current = !self.devices.contains(&device);
            let dictionary = Arc::clone(dictionary);
            self.points.entry(point.id.to_string()).or_insert(Described {
                dictionary,
                index,
                gateway: of.cloned(),
                is_current,
            });
            here.insert(device);
        }
        self.devices.extend(here);
    }
}

/// The times of points from all rows of an answer, which has at least the columns [`TIMES_COLUMNS`].
///
/// # Errors
/// When the rows cannot be read, or are not of the contract.
pub fn times_of_rows(rows: &mut BoxedRows) -> Result<PointTimes, StoreError> {
    let mut times = BTreeMap::new();
    for batch in rows.by_ref() {
        take_times(&batch?, &mut times)?;
    }
    Ok(PointTimes { times, damaged: rows.damaged() })
}

/// Columns that times are taken from.
pub const TIMES_COLUMNS: [&str; 3] = [column::POINT, column::TS, column::STATUS];

fn take_times(
    batch: &RecordBatch,
    times: &mut BTreeMap<String, FirstAndLast>,
) -> Result<(), StoreError> {
    let missing = || ArrowError::SchemaError("a column of the contract is missing".to_owned());
    let columns = || {
        let points = batch.column_by_name(column::POINT)?.as_dictionary_opt::<Int32Type>()?;
        let ts = batch.column_by_name(column::TS)?;
        let status = batch.column_by_name(column::STATUS)?;
        Some((
            points,
            points.values().as_string_opt::<i32>()?,
            ts.as_primitive_opt::<TimestampMicrosecondType>()?,
            status.as_primitive_opt::<Int64Type>()?,
        ))
    };
    let (points, words, ts, status) = columns().ok_or_else(missing)?;
    // A few points with many rows each: one look at the map for each point and batch.
    let mut here: HashMap<i32, FirstAndLast> = HashMap::new();
    let rows = points.keys().values().iter().zip(ts.values()).zip(status.values());
    for ((key, at), _) in rows.filter(|(_, status)| has_value(**status)) {
        widen(here.entry(*key), Timestamp(*at));
    }
    for (key, (first, last)) in here {
        let at = usize::try_from(key).ok().filter(|at| *at < words.len()).ok_or_else(missing)?;
        let known = times.entry(words.value(at).to_owned()).or_insert((first, last));
        *known = (known.0.min(first), known.1.max(last));
    }
    Ok(())
}

fn widen(entry: std::collections::hash_map::Entry<'_, i32, FirstAndLast>, at: Timestamp) {
    let known = entry.or_insert((at, at));
    *known = (known.0.min(at), known.1.max(at));
}

/// Whether a row with this status code is a reading: one of Bad quality has no value (INV-1).
#[must_use]
pub fn has_value(status: i64) -> bool {
    let quality = u32::try_from(status).map_or(Quality::BAD, Quality);
    quality.severity() != Severity::Bad
}

/// The columns of the `points` table, one row for each point.
///
/// # Shape
/// | column | Arrow type | meaning | null |
/// |---|---|---|---|
/// | `point` | Utf8 | id; joins with the column `point` of the readings | never |
/// | `name_zh`, `name_en` | Utf8 | display name of the device | not given |
/// | `enterprise`, `site`, `area`, `line` | Utf8 | where the device stands | not given |
/// | `device`, `metric` | Utf8 | last two levels of its live topic | no description |
/// | `unit` | Utf8 | unit of its newest description, `1` for none; each reading states its own | no description |
/// | `kind` | Utf8 | `counter`, `gauge` or `state` | no description |
/// | `type` | Utf8 | `decimal`, `float`, `bool` or `text` | no description |
/// | `modulus` | Float64 | of a counter: the reading, in `unit`, at which it starts again from 0 | unknown |
/// | `interval_ms` | Int64 | how often a value is expected; null where it is reported on change | unknown |
/// | `profile` | Utf8 | device profile that it comes from | none |
/// | `states` | Utf8 | JSON list of the states of an enumeration: `value`, `zh`, `en` | not named |
/// | `gateway` | Utf8 | gateway that brings it | no reading yet |
/// | `in_use` | Boolean | whether the newest description of its device still has it | never |
/// | `first_ts`, `last_ts` | Timestamp(µs, UTC) | source time of its first and last reading with a value | none yet |
#[must_use]
pub fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new(column::POINT, DataType::Utf8, false),
        text("name_zh"),
        text("name_en"),
        text("enterprise"),
        text("site"),
        text("area"),
        text("line"),
        text("device"),
        text("metric"),
        text("unit"),
        text("kind"),
        text("type"),
        Field::new("modulus", DataType::Float64, true),
        Field::new("interval_ms", DataType::Int64, true),
        text("profile"),
        text("states"),
        text("gateway"),
        Field::new("in_use", DataType::Boolean, false),
        Field::new("first_ts", time(), true),
        Field::new("last_ts", time(), true),
    ]))
}

/// The `points` table.
///
/// # Panics
/// Never: the columns are those of [`schema`].
#[must_use]
pub fn table(points: &[StoredPoint]) -> RecordBatch {
    fn given(text: &str) -> Option<&str> {
        (!text.is_empty()).then_some(text)
    }
    let infos: Vec<Option<&PointInfo>> =
        points.iter().map(|point| point.described.as_ref().map(Described::info)).collect();
    let texts = |of: fn(&PointInfo) -> Option<&str>| {
        let texts = infos.iter().map(|info| info.and_then(of));
        Arc::new(texts.collect::<StringArray>()) as ArrayRef
    };
    let times = |of: fn(FirstAndLast) -> Timestamp| {
        let times = points.iter().map(|point| point.times.map(|times| of(times).0));
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let gateways = points.iter().map(|point| point.described.as_ref()?.gateway.as_ref());
    let gateways = gateways.map(|gateway| gateway.map(GatewayId::as_str));
    let states = infos.iter().map(|info| info.and_then(states));
    let moduli = infos.iter().map(|info| info.and_then(|info| info.modulus).and_then(nearest));
    let intervals = infos.iter().map(|info| {
        info.and_then(|info| info.interval_ms).and_then(|interval| i64::try_from(interval).ok())
    });
    let in_use = points
        .iter()
        .map(|point| Some(point.described.as_ref().is_some_and(|described| described.is_current)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(points.iter().map(|point| Some(point.id.as_str())).collect::<StringArray>()),
        texts(|info| given(&info.device_name.zh)),
        texts(|info| given(&info.device_name.en)),
        texts(|info| given(&info.place.enterprise)),
        texts(|info| given(&info.place.site)),
        texts(|info| info.place.area.as_deref()),
        texts(|info| info.place.line.as_deref()),
        texts(|info| Some(info.device.as_str())),
        texts(|info| Some(info.metric.as_str())),
        texts(|info| Some(info.unit.symbol())),
        texts(|info| Some(kind(info.kind))),
        texts(|info| Some(info.value_type.kind())),
        Arc::new(moduli.collect::<Float64Array>()),
        Arc::new(intervals.collect::<Int64Array>()),
        texts(|info| info.profile.as_deref()),
        Arc::new(states.collect::<StringArray>()),
        Arc::new(gateways.collect::<StringArray>()),
        Arc::new(in_use.collect::<BooleanArray>()),
        times(|(first, _)| first),
        times(|(_, last)| last),
    ];
    RecordBatch::try_new(schema(), columns).expect("the arrays above are those of the schema")
}

/// What a point is for, in one word.
#[must_use]
pub const fn kind(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Counter => "counter",
        PointKind::Gauge => "gauge",
        PointKind::State => "state",
    }
}

/// The states of an enumeration as a JSON list; `None` where they are not named.
fn states(info: &PointInfo) -> Option<String> {
    let named = Some(&info.states).filter(|states| !states.is_empty())?;
    serde_json::to_string(named).ok()
}

fn nearest(decimal: Decimal) -> Option<f64> {
    decimal.to_string().parse().ok()
}
