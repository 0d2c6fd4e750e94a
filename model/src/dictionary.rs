//! The point dictionary: what the indexes in a frame mean, so that a frame can be read years later without any
//! configuration of ours.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::decimal::{Decimal, EXPONENT_RANGE};
use crate::id::{ID_CHARS_MAX, IdError, PointId, PointIndex, check_id, from_hex};
use crate::unit::Unit;

/// Points up to which a gateway puts whole devices of one port into one dictionary.
pub const DICTIONARY_POINTS_TARGET: usize = 4_096;
/// Most points in one dictionary: a device that has more than [`DICTIONARY_POINTS_TARGET`] has a dictionary of its own.
pub const DICTIONARY_POINTS_MAX: usize = 20_000;
/// Most states that a point may name.
pub const STATES_MAX: usize = 256;
/// Longest name of a state or of a profile, in characters.
pub const NAME_CHARS_MAX: usize = 80;
/// Most bytes of a dictionary's JSON text.
pub const DICTIONARY_BYTES_MAX: usize = 16 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 3;

/// SHA-256 of a dictionary's JSON text; in JSON 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DictionaryHash(pub [u8; 32]);

impl fmt::Display for DictionaryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DictionaryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DictionaryHash({self})")
    }
}

impl From<DictionaryHash> for String {
    fn from(hash: DictionaryHash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for DictionaryHash {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let hash = from_hex(&text).map(Self);
        hash.ok_or(IdError { text, chars_max: 64, alphabet: "0-9 a-f (64 of them)" })
    }
}

/// How a value is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// An exact integer times a power of ten: counters, states, and analogues with a stated resolution.
    Decimal {
        /// The power of ten.
        exponent: i8,
    },
    /// A double.
    Float,
    /// On or off.
    Bool,
    /// A text of at most [`crate::text::TEXT_BYTES_MAX`] bytes.
    Text,
}

impl ValueType {
    /// What kind of value this is, for people.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Decimal { .. } => "decimal",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Text => "text",
        }
    }
}

/// What a point is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// A cumulative register.
    #[doc(alias = "cumulative")]
    Counter,
    /// A momentary value.
    #[doc(alias = "analogue")]
    Gauge,
    /// One of a few states, on or off, or a text.
    State,
}

/// Where a device stands, in the four levels of the topic tree; `None` is written `_` there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The enterprise.
    pub enterprise: String,
    /// The site.
    pub site: String,
    /// The area (workshop), where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// The line, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// A place inside a site, as `gateway.toml` says it of a device and `plant.toml` of a subject: `area` or `area/line`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceInSite {
    /// The area (workshop).
    pub area: String,
    /// The line in it.
    pub line: Option<String>,
}

/// A text that is not a place inside a site.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `area` or `area/line`, found `{0}`")]
pub struct PlaceError(String);

impl FromStr for PlaceInSite {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (area, line) = match text.split_once('/') {
            Some((area, line)) => (area, Some(line)),
            None => (text, None),
        };
        // `_` stands for a level that is not used.
        let is_level = |level: &str| check_id(level).is_ok() && level != "_";
        if !is_level(area) || line.is_some_and(|line| !is_level(line)) {
            return Err(PlaceError(text.to_owned()));
        }
        Ok(Self { area: area.to_owned(), line: line.map(str::to_owned) })
    }
}

impl fmt::Display for PlaceInSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.area)?;
        self.line.as_ref().map_or(Ok(()), |line| write!(f, "/{line}"))
    }
}

/// A display name in Chinese and English; both empty when none was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayName {
    /// Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub en: String,
}

/// What one value of an enumeration means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointState {
    /// The value; of a bool 0 or 1.
    pub value: i64,
    /// Chinese.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub en: String,
}

/// What one point is.
#[doc(alias = "测点")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointInfo {
    /// Its name over all gateways.
    pub id: PointId,
    /// Where its device stands.
    pub place: Place,
    /// Its device, one level of the topic tree.
    pub device: String,
    /// What it measures, one level of the topic tree (`e_import`, `p_total`).
    pub metric: String,
    /// The device's display name.
    #[serde(default)]
    pub device_name: DisplayName,
    /// What the value is measured in.
    pub unit: Unit,
    /// What the point is for.
    pub kind: PointKind,
    /// How its values are held.
    pub value_type: ValueType,
    /// For a counter: the reading at which it starts again from zero, in its unit, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modulus: Option<Decimal>,
    /// The states of an enumeration, where they are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<PointState>,
    /// How often a value is expected, in milliseconds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// The device profile that the point comes from, where it comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// The points of some devices of a gateway under one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dictionary {
    /// Version of this text: [`DICTIONARY_VERSION`], or an older one that was read.
    pub version: u32,
    /// The points; a [`PointIndex`] is a position here.
    pub points: Vec<PointInfo>,
}

/// Version of the dictionary text that this program writes. It reads version 1 too, which has no `states`,
/// `interval_ms` and `profile`, and no bool or text.
pub const DICTIONARY_VERSION: u32 = 2;

/// Why a dictionary could not be read or made.
#[derive(Debug, Error)]
pub enum DictionaryError {
    /// It is larger than we accept.
    #[error("dictionary too large: {found} {what}, at most {max} are accepted")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The compressed bytes are damaged.
    #[error("dictionary cannot be decompressed")]
    Compression(#[source] std::io::Error),
    /// The text is not a dictionary.
    #[error("dictionary is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
    /// A newer program wrote it.
    #[error(
        "dictionary version {found} is unknown: expected {DICTIONARY_VERSION}; update this program"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// A point cannot be told from others, named in a topic or stored.
    #[error("point {} of the dictionary: {what}; correct it at the gateway", index.0)]
    Point {
        /// The point.
        index: PointIndex,
        /// What is wrong with it.
        what: String,
    },
}

impl Dictionary {
    /// A dictionary of `points`.
    ///
    /// # Errors
    /// Refuses too many points, an id that stands twice (its rows would pass for replays, INV-4), a place, device or
    /// metric that is no level of a topic, and an exponent that no decimal of ours has.
    pub fn new(points: Vec<PointInfo>) -> Result<Self, DictionaryError> {
        let (found, max) = (points.len(), DICTIONARY_POINTS_MAX);
        if found > max {
            return Err(DictionaryError::TooLarge { what: "points", found, max });
        }
        let mut indexes = HashMap::with_capacity(points.len());
        for (index, point) in (0..).map(PointIndex).zip(&points) {
            let first = indexes.insert(&point.id, index);
            let twice = first.map(|PointIndex(first)| {
                format!("its id `{}` is that of point {first}: expected another", point.id)
            });
            if let Some(what) = twice.or_else(|| fault_of(point)) {
                return Err(DictionaryError::Point { index, what });
            }
        }
        Ok(Self { version: DICTIONARY_VERSION, points })
    }

    /// The point at `index`.
    #[must_use]
    pub fn point(&self, index: PointIndex) -> Option<&PointInfo> {
        self.points.get(usize::try_from(index.0).ok()?)
    }

    /// The JSON text that is hashed and kept.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain structs with text keys serialize to JSON")
    }

    /// The hash by which frames name this dictionary.
    #[must_use]
    pub fn hash(&self) -> DictionaryHash {
        hash_of_json(&self.to_json())
    }

    /// The body of a DICT record: the JSON text, compressed with zstd.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        zstd::bulk::compress(&self.to_json(), ZSTD_LEVEL)
            .expect("compression into memory does not fail")
    }

    /// The JSON text in the body of a DICT record, not yet checked.
    ///
    /// # Errors
    /// Refuses damaged bytes, and more than [`DICTIONARY_BYTES_MAX`] of text.
    pub fn text_of_record(body: &[u8]) -> Result<Vec<u8>, DictionaryError> {
        zstd::bulk::decompress(body, DICTIONARY_BYTES_MAX).map_err(DictionaryError::Compression)
    }

    /// Reads the body of a DICT record and returns the hash with it.
    pub fn from_record(body: &[u8]) -> Result<(Self, DictionaryHash), DictionaryError> {
        Self::from_json(&Self::text_of_record(body)?)
    }

    /// Reads the JSON text and returns its hash with it.
    ///
    /// # Errors
    /// Refuses what is no dictionary, and one that [`Self::new`] would not make: the text may come from any program.
    pub fn from_json(json: &[u8]) -> Result<(Self, DictionaryHash), DictionaryError> {
        /// Only the version, so that a newer text is named as such and not as bad JSON.
        #[derive(Deserialize)]
        #[serde(expecting = "a JSON object")]
        struct Versioned {
            version: u32,
        }
        let Versioned { version: found } =
            serde_json::from_slice(json).map_err(DictionaryError::Json)?;
        if !(1..=DICTIONARY_VERSION).contains(&found) {
            return Err(DictionaryError::Version { found });
        }
        let Self { version, points } =
            serde_json::from_slice(json).map_err(DictionaryError::Json)?;
        Ok((Self { version, ..Self::new(points)? }, hash_of_json(json)))
    }
}

/// What is wrong with a point taken by itself.
fn fault_of(point: &PointInfo) -> Option<String> {
    let place = &point.place;
    let levels = [
        ("place.enterprise", Some(&place.enterprise)),
        ("place.site", Some(&place.site)),
        ("place.area", place.area.as_ref()),
        ("place.line", place.line.as_ref()),
        ("device", Some(&point.device)),
        ("metric", Some(&point.metric)),
    ];
    for (field, level) in levels {
        let Some(error) = level.and_then(|level| check_id(level).err()) else { continue };
        // Foreign text ends in logs and on terminals: no control characters of it, and no megabytes.
        let shown: String =
            error.text.chars().take(ID_CHARS_MAX).flat_map(char::escape_debug).collect();
        let cut = if error.text.chars().nth(ID_CHARS_MAX).is_some() { "…" } else { "" };
        let (max, alphabet) = (error.chars_max, error.alphabet);
        return Some(format!(
            "`{field}` is `{shown}{cut}`: expected 1 to {max} characters of {alphabet}"
        ));
    }
    if let Some(fault) = fault_of_names(point) {
        return Some(fault);
    }
    match point.value_type {
        ValueType::Decimal { exponent } if !EXPONENT_RANGE.contains(&exponent) => {
            let (least, most) = (EXPONENT_RANGE.start(), EXPONENT_RANGE.end());
            Some(format!("its exponent is {exponent}: expected {least} to {most}"))
        }
        _ => None,
    }
}

/// What is wrong with the states and the profile of a point.
fn fault_of_names(point: &PointInfo) -> Option<String> {
    let states = point.states.as_slice();
    let found = states.len();
    if found > STATES_MAX {
        return Some(format!("it names {found} states: at most {STATES_MAX} are accepted"));
    }
    let has_states =
        matches!(point.value_type, ValueType::Decimal { exponent: 0 } | ValueType::Bool);
    if found > 0 && !has_states {
        let found = point.value_type.kind();
        return Some(format!(
            "it names states and is a {found}: expected a decimal with exponent 0, or a bool"
        ));
    }
    let mut values: Vec<i64> = states.iter().map(|state| state.value).collect();
    values.sort_unstable();
    if let Some(value) = values.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
    {
        return Some(format!("its state {value} is named twice: expected one name for a value"));
    }
    let names = states.iter().flat_map(|state| [&state.zh, &state.en]).chain(&point.profile);
    let length = names.map(|name| name.chars().count()).find(|&length| length > NAME_CHARS_MAX)?;
    Some(format!(
        "the name of a state or of its profile has {length} characters: at most {NAME_CHARS_MAX} are accepted"
    ))
}

fn hash_of_json(json: &[u8]) -> DictionaryHash {
    DictionaryHash(Sha256::digest(json).into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::BODY_BYTES_MAX;

    /// A point of a meter.
    pub(crate) fn point(metric: &str) -> PointInfo {
        PointInfo {
            id: PointId::new(format!("acme/north/m1/{metric}")).unwrap(),
            place: Place {
                enterprise: "acme".to_owned(),
                site: "north".to_owned(),
                area: None,
                line: None,
            },
            device: "m1".to_owned(),
            metric: metric.to_owned(),
            device_name: DisplayName::default(),
            unit: Unit::KilowattHour,
            kind: PointKind::Counter,
            value_type: ValueType::Decimal { exponent: -2 },
            modulus: Some("1000000".parse().unwrap()),
            states: vec![],
            interval_ms: None,
            profile: None,
        }
    }

    fn state(value: i64, zh: &str, en: &str) -> PointState {
        PointState { value, zh: zh.to_owned(), en: en.to_owned() }
    }

    #[test]
    fn a_record_gives_back_the_dictionary_and_its_hash() {
        let mut gauge = point("p_total");
        gauge.device_name = DisplayName { zh: "一号炉".to_owned(), en: "furnace 1".to_owned() };
        (gauge.kind, gauge.value_type) = (PointKind::Gauge, ValueType::Float);
        (gauge.unit, gauge.modulus) = (Unit::Kilowatt, None);
        gauge.place.area = Some("melting".to_owned());
        let mut mode = point("mode");
        (mode.kind, mode.value_type) = (PointKind::State, ValueType::Decimal { exponent: 0 });
        mode.states = vec![state(0, "停机", "stopped"), state(1, "", "running")];
        (mode.interval_ms, mode.profile) = (Some(1_000), Some("acme/furnace".to_owned()));
        let mut program = point("program");
        (program.kind, program.value_type) = (PointKind::State, ValueType::Text);
        let dictionary = Dictionary::new(vec![point("e_import"), gauge, mode, program]).unwrap();
        let (back, hash) = Dictionary::from_record(&dictionary.to_record()).unwrap();
        assert_eq!((&back, hash), (&dictionary, dictionary.hash()));
        assert_eq!(back.point(PointIndex(1)).unwrap().metric, "p_total");
        assert_eq!(back.point(PointIndex(4)), None);
    }

    /// Frames on disk name dictionaries by this hash: the text must not change under them.
    #[test]
    fn the_text_stays() {
        let mut mode = point("mode");
        mode.value_type = ValueType::Bool;
        (mode.unit, mode.kind, mode.modulus) = (Unit::One, PointKind::State, None);
        mode.states = vec![state(0, "停机", "stopped"), state(1, "运行", "running")];
        (mode.interval_ms, mode.profile) = (Some(1_000), Some("acme/furnace".to_owned()));
        let mut program = mode.clone();
        (program.id, program.metric) = (point("program").id, "program".to_owned());
        (program.value_type, program.states) = (ValueType::Text, vec![]);
        let dictionary = Dictionary::new(vec![point("e_import"), mode, program]).unwrap();
        let text = concat!(
            r#"{"version":2,"points":[{"id":"acme/north/m1/e_import","#,
            r#""place":{"enterprise":"acme","site":"north"},"device":"m1","metric":"e_import","#,
            r#""device_name":{},"unit":"kWh","kind":"counter","#,
            r#""value_type":{"decimal":{"exponent":-2}},"modulus":"1000000"},"#,
            r#"{"id":"acme/north/m1/mode","#,
            r#""place":{"enterprise":"acme","site":"north"},"device":"m1","metric":"mode","#,
            r#""device_name":{},"unit":"1","kind":"state","value_type":"bool","#,
            r#""states":[{"value":0,"zh":"停机","en":"stopped"},"#,
            r#"{"value":1,"zh":"运行","en":"running"}],"#,
            r#""interval_ms":1000,"profile":"acme/furnace"},"#,
            r#"{"id":"acme/north/m1/program","#,
            r#""place":{"enterprise":"acme","site":"north"},"device":"m1","metric":"program","#,
            r#""device_name":{},"unit":"1","kind":"state","value_type":"text","#,
            r#""interval_ms":1000,"profile":"acme/furnace"}]}"#
        );
        assert_eq!(String::from_utf8(dictionary.to_json()).unwrap(), text);
        assert_eq!(dictionary.hash().to_string().len(), 64);
    }

    #[test]
    fn a_dictionary_of_version_1_is_still_read_and_keeps_its_hash() {
        let text = concat!(
            r#"{"version":1,"points":[{"id":"acme/north/m1/e_import","#,
            r#""place":{"enterprise":"acme","site":"north"},"device":"m1","metric":"e_import","#,
            r#""device_name":{},"unit":"kWh","kind":"counter","#,
            r#""value_type":{"decimal":{"exponent":-2}},"modulus":"1000000"}]}"#
        );
        let (dictionary, hash) = Dictionary::from_json(text.as_bytes()).unwrap();
        assert_eq!((dictionary.version, &dictionary.points), (1, &vec![point("e_import")]));
        assert_eq!(
            (dictionary.hash(), String::from_utf8(dictionary.to_json()).unwrap()),
            (hash, text.to_owned())
        );
    }

    #[test]
    fn states_that_no_reader_could_use_are_refused() {
        let check = |value_type, states: Vec<PointState>, expected: &str| {
            let mut point = point("mode");
            (point.value_type, point.states) = (value_type, states);
            let error = Dictionary::new(vec![point]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let whole = ValueType::Decimal { exponent: 0 };
        let one = || vec![state(1, "运行", "running")];
        check(ValueType::Float, one(), "it names states and is a float");
        check(ValueType::Text, one(), "it names states and is a text");
        check(ValueType::Decimal { exponent: -2 }, one(), "it names states and is a decimal");
        check(whole, [one(), one()].concat(), "its state 1 is named twice");
        let many = |count: i64| (0..count).map(|value| state(value, "", "")).collect::<Vec<_>>();
        check(whole, many(257), "it names 257 states: at most 256");
        let mut full = point("mode");
        (full.value_type, full.states) = (whole, many(256));
        full.states[0].zh = "号".repeat(NAME_CHARS_MAX);
        assert!(Dictionary::new(vec![full]).is_ok());
        check(whole, vec![state(0, "", &"a".repeat(81))], "has 81 characters: at most 80");
        let mut point = point("mode");
        point.profile = Some("p".repeat(81));
        assert!(Dictionary::new(vec![point]).is_err());
    }

    #[test]
    fn the_number_of_points_has_a_limit() {
        let points: Vec<PointInfo> =
            (0..=DICTIONARY_POINTS_MAX).map(|i| point(&format!("e_{i}"))).collect();
        assert!(Dictionary::new(points[1..].to_vec()).is_ok());
        let error = Dictionary::new(points.clone()).unwrap_err().to_string();
        assert_eq!(error, "dictionary too large: 20001 points, at most 20000 are accepted");
        let over = Dictionary { version: DICTIONARY_VERSION, points };
        assert!(Dictionary::from_record(&over.to_record()).is_err());
    }

    /// Each is refused when made and when read: what a gateway sends is not believed.
    #[test]
    fn a_point_that_would_lose_rows_or_break_a_topic_is_refused() {
        let check = |expected: &str, change: &dyn Fn(&mut PointInfo)| {
            let mut points = vec![point("e_import"), point("p_total")];
            change(&mut points[1]);
            let sent = Dictionary { version: DICTIONARY_VERSION, points: points.clone() };
            for error in [
                Dictionary::new(points).unwrap_err(),
                Dictionary::from_json(&sent.to_json()).unwrap_err(),
                Dictionary::from_record(&sent.to_record()).unwrap_err(),
            ] {
                assert!(matches!(error, DictionaryError::Point { index: PointIndex(1), .. }));
                let expected =
                    format!("point 1 of the dictionary: {expected}; correct it at the gateway");
                assert_eq!(error.to_string(), expected);
            }
        };
        check("its id `acme/north/m1/e_import` is that of point 0: expected another", &|point| {
            point.id = PointId::new("acme/north/m1/e_import").unwrap();
        });
        let id = "expected 1 to 40 characters of a-z 0-9 _ -";
        check(&format!("`place.enterprise` is ``: {id}"), &|p| p.place.enterprise.clear());
        check(&format!("`place.site` is `a/b`: {id}"), &|p| p.place.site = "a/b".to_owned());
        let area = |text: &str| Some(text.to_owned());
        check(&format!("`place.area` is `#`: {id}"), &|p| p.place.area = area("#"));
        check(&format!("`place.line` is `l\\t2`: {id}"), &|p| p.place.line = area("l\t2"));
        let long = "号".repeat(70_000);
        let shown = format!("{}…", "号".repeat(ID_CHARS_MAX));
        check(&format!("`device` is `{shown}`: {id}"), &|p| p.device.clone_from(&long));
        check(&format!("`metric` is `p\\u{{1b}}[2J`: {id}"), &|p| {
            p.metric = "p\u{1b}[2J".to_owned();
        });
        for exponent in [i8::MIN, -19, 19, i8::MAX] {
            let expected = format!("its exponent is {exponent}: expected -18 to 18");
            check(&expected, &|p| p.value_type = ValueType::Decimal { exponent });
        }
    }

    #[test]
    fn the_largest_plausible_dictionary_fits_a_frame() {
        let points = (0..DICTIONARY_POINTS_MAX).map(|i| {
            let mut point = point("e_import");
            point.id = PointId::new(format!("acme/north/meter-{i}/e_import")).unwrap();
            point.device = format!("meter-{i}");
            point.device_name =
                DisplayName { zh: format!("{i}号电表"), en: format!("meter {i}") };
            point
        });
        let dictionary = Dictionary::new(points.collect()).unwrap();
        assert!(dictionary.to_json().len() < DICTIONARY_BYTES_MAX);
        assert!(dictionary.to_record().len() < BODY_BYTES_MAX);
    }

    #[test]
    fn refuses_what_is_no_dictionary() {
        let record = |json: &[u8]| zstd::bulk::compress(json, ZSTD_LEVEL).unwrap();
        let check = |body: &[u8], expected: &str| {
            let error = Dictionary::from_record(body).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "not the JSON");
        check(b"not zstd", "cannot be decompressed");
        check(&record(b"not json"), "not the JSON");
        check(&record(br#"{"version":1,"points":[{}]}"#), "not the JSON");
        check(&record(br#"{"version":3,"entries":[]}"#), "version 3 is unknown");
        check(&record(br#"{"version":0,"points":[]}"#), "version 0 is unknown");
        let bomb = vec![b' '; DICTIONARY_BYTES_MAX + 1];
        check(&record(&bomb), "cannot be decompressed");
        let good = Dictionary::new(vec![point("e_import")]).unwrap().to_record();
        for length in 0..good.len() {
            assert!(Dictionary::from_record(&good[..length]).is_err(), "cut at {length}");
        }
    }
}
