//! The points of a gateway as it runs: their names, units and types, and which dictionary holds each. A gateway may have
//! 100 000 points, so it must never keep more of each than this: a dictionary is kept as it travels.

use bytes::Bytes;
use model::dictionary::{DICTIONARY_POINTS_TARGET, DictionaryError};
use model::{Dictionary, DictionaryHash, PointIndex, PointInfo, Unit, ValueType};

/// Most points of one gateway.
pub const GATEWAY_POINTS_MAX: usize = 200_000;

/// A dictionary as it travels, and which points it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDictionary {
    /// How frames name it.
    pub hash: DictionaryHash,
    /// The body of its DICT record.
    pub record: Bytes,
    /// Its first point, counted over the gateway.
    pub first: PointIndex,
}

/// All points of a gateway, port by port and device by device. A [`PointIndex`] counts over the whole gateway here, and
/// in a frame only over its dictionary.
#[derive(Debug, Clone, Default)]
pub struct PointTable {
    /// The ids, one behind the other.
    ids: String,
    /// Where each id ends.
    ends: Vec<u32>,
    kinds: Vec<(Unit, ValueType)>,
    dictionaries: Vec<PlannedDictionary>,
    /// Each device and its first point.
    devices: Vec<(PointIndex, Box<str>)>,
}

/// What is known of one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePoint<'a> {
    /// Its id.
    pub id: &'a str,
    /// What its values are measured in.
    pub unit: Unit,
    /// How they are held.
    pub value_type: ValueType,
}

/// Gathers the points of a gateway, device by device.
#[derive(Debug, Default)]
pub struct PointTableBuilder {
    table: PointTable,
    /// Whole devices that share the next dictionary.
    group: Vec<PointInfo>,
}

impl PointTableBuilder {
    /// How many points were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len() + self.group.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a device with its points. A dictionary holds as many whole devices as fit [`DICTIONARY_POINTS_TARGET`], or
    /// one that has more.
    ///
    /// # Errors
    /// When the points of the gateway, or of the device, are too many, or a point is one that no dictionary may hold.
    pub fn add_device(&mut self, points: Vec<PointInfo>) -> Result<(), DictionaryError> {
        let (found, max) = (self.len() + points.len(), GATEWAY_POINTS_MAX);
        if found > max {
            return Err(DictionaryError::TooLarge { what: "points of a gateway", found, max });
        }
        if self.group.len() + points.len() > DICTIONARY_POINTS_TARGET {
            self.close_group()?;
        }
        self.group.extend(points);
        Ok(())
    }

    /// The table of all that was added.
    ///
    /// # Errors
    /// As [`Self::add_device`].
    pub fn finish(mut self) -> Result<PointTable, DictionaryError> {
        self.close_group()?;
        Ok(self.table)
    }

    fn close_group(&mut self) -> Result<(), DictionaryError> {
        let points = std::mem::take(&mut self.group);
        if points.is_empty() {
            return Ok(());
        }
        let table = &mut self.table;
        let first = PointIndex(to_u32(table.len()));
        let dictionary = Dictionary::new(points)?;
        for point in &dictionary.points {
            if table.devices.last().is_none_or(|(_, device)| **device != *point.device) {
                table
                    .devices
                    .push((PointIndex(to_u32(table.ends.len())), point.device.as_str().into()));
            }
            table.ids.push_str(point.id.as_str());
            table.ends.push(to_u32(table.ids.len()));
            table.kinds.push((point.unit, point.value_type));
        }
        let (hash, record) = (dictionary.hash(), dictionary.to_record().into());
        table.dictionaries.push(PlannedDictionary { hash, record, first });
        Ok(())
    }
}

impl PointTable {
    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The dictionaries, in the order of their points.
    #[must_use]
    pub fn dictionaries(&self) -> &[PlannedDictionary] {
        &self.dictionaries
    }

    /// Each device with its first point; those up to the first of the next device are its own.
    pub fn devices(&self) -> impl Iterator<Item = (PointIndex, &str)> {
        self.devices.iter().map(|(first, device)| (*first, &**device))
    }

    /// A point of the gateway.
    #[must_use]
    pub fn point(&self, index: PointIndex) -> Option<TablePoint<'_>> {
        let at = usize::try_from(index.0).ok()?;
        let (unit, value_type) = *self.kinds.get(at)?;
        let end = *self.ends.get(at)?;
        let start =
            at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end);
        let id = self.ids.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
        Some(TablePoint { id, unit, value_type })
    }

    /// All points, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PointIndex, TablePoint<'_>)> {
        (0..to_u32(self.len())).map(PointIndex).filter_map(|at| Some((at, self.point(at)?)))
    }

    /// Which dictionary holds a point: its place among [`Self::dictionaries`].
    #[must_use]
    pub fn dictionary_of(&self, index: PointIndex) -> Option<usize> {
        let after = self.dictionaries.partition_point(|dictionary| dictionary.first <= index);
        after
            .checked_sub(1)
            .filter(|_| self.kinds.len() > usize::try_from(index.0).unwrap_or(usize::MAX))
    }

    /// An id that two points have.
    #[must_use]
    pub fn twice(&self) -> Option<&str> {
        let mut ids: Vec<&str> = self.iter().map(|(_, point)| point.id).collect();
        ids.sort_unstable();
        ids.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair[0]))
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use model::dictionary::{DICTIONARY_POINTS_MAX, DisplayName};
    use model::{Place, PointId, PointKind};

    use super::*;

    fn device(name: usize, points: usize) -> Vec<PointInfo> {
        let point = |metric| PointInfo {
            id: PointId::new(format!("acme/nb/d{name}/u{metric}")).unwrap(),
            place: Place { enterprise: "acme".into(), site: "nb".into(), area: None, line: None },
            device: format!("d{name}"),
            metric: format!("u{metric}"),
            device_name: DisplayName::default(),
            unit: Unit::Volt,
            kind: PointKind::Gauge,
            value_type: if metric == 0 { ValueType::Text } else { ValueType::Float },
            modulus: None,
            states: Vec::new(),
            interval_ms: None,
            profile: None,
        };
        (0..points).map(point).collect()
    }

    fn table(devices: &[usize]) -> PointTable {
        let mut table = PointTableBuilder::default();
        for (name, points) in (1..).zip(devices) {
            table.add_device(device(name, *points)).unwrap();
        }
        table.finish().unwrap()
    }

    #[test]
    fn a_dictionary_holds_whole_devices() {
        let firsts = |devices: &[usize]| -> Vec<u32> {
            table(devices).dictionaries().iter().map(|dictionary| dictionary.first.0).collect()
        };
        assert_eq!(firsts(&[]), [0_u32; 0]);
        assert_eq!(firsts(&[1_000, 2_000, 10]), [0]);
        assert_eq!(firsts(&[4_000, 96, 1]), [0, 4_096]);
        assert_eq!(firsts(&[10, 5_000, 10, 10]), [0, 10, 5_010]);
        assert_eq!(firsts(&[1_000; 10]), [0, 4_000, 8_000]);
    }

    #[test]
    fn each_point_is_found_by_its_place() {
        let table = table(&[2, 4_096, 3]);
        let check = |index: u32, id: &str, dictionary: usize| {
            let index = PointIndex(index);
            let point = table.point(index).unwrap();
            assert_eq!((point.id, table.dictionary_of(index)), (id, Some(dictionary)));
            assert_eq!(point.value_type == ValueType::Text, id.ends_with("u0"));
            // The dictionary as it travels says the same.
            let planned = &table.dictionaries()[dictionary];
            let (sent, hash) = Dictionary::from_record(&planned.record).unwrap();
            let local = PointIndex(index.0 - planned.first.0);
            assert_eq!((sent.point(local).unwrap().id.as_str(), hash), (id, planned.hash));
        };
        check(0, "acme/nb/d1/u0", 0);
        check(1, "acme/nb/d1/u1", 0);
        check(2, "acme/nb/d2/u0", 1);
        check(4_097, "acme/nb/d2/u4095", 1);
        check(4_098, "acme/nb/d3/u0", 2);
        check(4_100, "acme/nb/d3/u2", 2);
        for beyond in [4_101, u32::MAX] {
            assert_eq!(table.point(PointIndex(beyond)), None);
            assert_eq!(table.dictionary_of(PointIndex(beyond)), None);
        }
        assert_eq!((table.iter().count(), table.twice()), (4_101, None));
    }

    #[test]
    fn an_id_that_stands_in_two_dictionaries_is_found() {
        let mut table = PointTableBuilder::default();
        for points in [4_000, 97] {
            table.add_device(device(1, points)).unwrap();
        }
        assert_eq!(table.finish().unwrap().twice(), Some("acme/nb/d1/u0"));
    }

    #[test]
    fn a_gateway_and_a_device_have_limits() {
        let mut table = PointTableBuilder::default();
        table.add_device(device(1, DICTIONARY_POINTS_MAX + 1)).unwrap();
        assert_eq!(
            table.finish().unwrap_err().to_string(),
            "dictionary too large: 20001 points, at most 20000 are accepted"
        );
        let mut table = PointTableBuilder::default();
        table.table.ends = vec![0; GATEWAY_POINTS_MAX - 1];
        table.add_device(device(1, 1)).unwrap();
        let error = table.add_device(device(2, 1)).unwrap_err().to_string();
        assert!(error.contains("200001 points of a gateway, at most 200000"), "{error}");
    }

    /// What a run keeps of a point beside its last sample.
    #[test]
    fn a_point_costs_little_memory() {
        let table = table(&[4_000, 4_000]);
        let bytes = table.ids.capacity()
            + 4 * table.ends.capacity()
            + size_of::<(Unit, ValueType)>() * table.kinds.capacity()
            + table.dictionaries.iter().map(|d| d.record.len()).sum::<usize>();
        assert!(bytes / table.len() < 100, "{} bytes a point", bytes / table.len());
    }
}
