//! How the lake is kept: `keep`, `keep_size`, `free` and `group` of `[lake]`. Never opens it.

use std::ops::RangeInclusive;
use std::time::Duration;

use config::{ByteSize, Problems, Table};
use lake::{Keep, LakeOptions};

use super::duration;

/// How long replaced files may be kept.
const AGES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24 * 366);
/// Where groups are listed.
const GROUPS: &str = "/etc/group";

/// How the lake is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// How long replaced files stay for readers of older versions.
    pub(crate) keep: Keep,
    /// Bytes that must be free before a commit is begun.
    pub(crate) free_bytes_min: u64,
    /// The group that may read the lake.
    pub(crate) group: Option<u32>,
}

impl Default for Keeping {
    fn default() -> Self {
        let free_bytes_min = LakeOptions::FREE_BYTES_MIN_DEFAULT;
        Self { keep: Keep::default(), free_bytes_min, group: None }
    }
}

pub(super) fn read(table: &mut Table, problems: &mut Problems) -> Keeping {
    let mut keeping = Keeping::default();
    if let Some(age) = duration(table, "keep", &AGES, problems) {
        keeping.keep.age = age;
    }
    let ByteSize(bytes) = table.or("keep_size", ByteSize(keeping.keep.bytes), problems);
    keeping.keep.bytes = bytes;
    let ByteSize(bytes) = table.or("free", ByteSize(keeping.free_bytes_min), problems);
    keeping.free_bytes_min = bytes;
    if let Some(group) = table.optional::<String>("group", problems) {
        keeping.group = group_id(&group.value);
        if keeping.group.is_none() {
            let message = format!("`group` is `{}`: expected a group of {GROUPS}", group.value);
            problems.push(group.problem("EN-C017", message).help("`getent group` lists them"));
        }
    }
    keeping
}

/// The number of a group, by its name or as it is.
fn group_id(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let groups = std::fs::read_to_string(GROUPS).ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use config::SourceFile;

    use super::*;

    #[test]
    fn what_is_kept_is_what_the_settings_say() {
        let check = |text: &str, expected: Result<Keep, &str>| {
            let mut problems = Problems::default();
            let mut table = Table::parse(&SourceFile::new("nengliu.toml", text), &mut problems);
            let found = read(&mut table, &mut problems).keep;
            match expected {
                Ok(expected) => {
                    assert_eq!((found, problems.to_string()), (expected, String::new()));
                }
                Err(expected) => assert!(problems.to_string().contains(expected), "{problems}"),
            }
        };
        let day = Duration::from_hours(24);
        check("", Ok(Keep { age: day, bytes: 20 << 30 }));
        check("keep = \"7d\"", Ok(Keep { age: 7 * day, bytes: 20 << 30 }));
        check("keep_size = \"1 GiB\"", Ok(Keep { age: day, bytes: 1 << 30 }));
        check("keep = \"1min\"\nkeep_size = \"0 B\"", Ok(Keep { age: day / 1_440, bytes: 0 }));
        check("keep = \"59s\"", Err("`keep`"));
        check("keep = \"367d\"", Err("`keep`"));
    }

    #[test]
    fn a_group_is_known_by_its_name() {
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("1000"), Some(1_000));
        assert_eq!(group_id("no such group"), None);
    }
}
