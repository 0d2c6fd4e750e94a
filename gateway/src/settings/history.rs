//! `history` and `history_from` of a device: which points are read back, and from when on. Must never know how.

use config::{FromToml, Item, Problems, Spanned, Table, meant};
use device_profiles::{DeviceProfile, ProfilePoint};
use driver::HistoryFrom;

/// What `[[device]]` says of reading back.
#[derive(Debug, Clone)]
pub struct HistorySettings {
    wanted: Wanted,
    from: HistoryFrom,
    from_given: Option<Spanned<Item>>,
}

#[derive(Debug, Clone)]
enum Wanted {
    /// What the profile's points say.
    AsProfile,
    /// All points but those of which the profile says that the device remembers none.
    All,
    None,
    /// These metrics.
    Points(Spanned<Vec<String>>),
}

impl HistorySettings {
    /// Reads both keys and notes every problem.
    pub(super) fn read(table: &mut Table, problems: &mut Problems) -> Self {
        let wanted = match table.optional::<Item>("history", problems) {
            None => Wanted::AsProfile,
            Some(found) => match found.value.clone() {
                Item::Boolean(true) => Wanted::All,
                Item::Boolean(false) => Wanted::None,
                item => match Vec::<String>::from_item(item) {
                    Ok(value) => Wanted::Points(Spanned {
                        value,
                        file: found.file.clone(),
                        span: found.span,
                    }),
                    Err(what) => {
                        let message = format!(
                            "`history`: expected true, false or a list of metrics, found {what}"
                        );
                        let help = "for example history = [\"e_import\"]";
                        problems.push(found.problem("C003", message).help(help));
                        Wanted::None
                    }
                },
            },
        };
        let from_given = table.optional::<Item>("history_from", problems);
        let from = from_given.as_ref().map_or(HistoryFrom::All, |from| read_from(from, problems));
        Self { wanted, from, from_given }
    }

    /// Every metric named is one that the device reads, and `history_from` concerns one.
    pub(crate) fn check<'a>(
        &self,
        device: &str,
        profile: &DeviceProfile,
        read: impl Iterator<Item = &'a str>,
        problems: &mut Problems,
    ) {
        let read: Vec<&str> = read.collect();
        if let Wanted::Points(wanted) = &self.wanted {
            for metric in wanted.value.iter().filter(|metric| !read.contains(&metric.as_str())) {
                let message = format!("`history`: `{device}` reads no point `{metric}`");
                let help = meant(metric, &read, "it reads");
                problems.push(wanted.problem("GW-C032", message).help(help));
            }
        }
        let mut points = profile.points.iter().filter(|p| read.contains(&p.metric.as_str()));
        if let Some(from) = &self.from_given
            && !points.any(|point| self.of(point).is_some())
        {
            let message = "`history_from` is given, but `history` is not `true`";
            problems.push(from.problem("GW-C019", message).help("add `history = true`").warning());
        }
    }

    /// Whether and from when on this point is read back.
    pub(crate) fn of(&self, point: &ProfilePoint) -> Option<HistoryFrom> {
        let wanted = match &self.wanted {
            Wanted::AsProfile => point.history.unwrap_or(false),
            Wanted::All => point.history.unwrap_or(true),
            Wanted::None => false,
            Wanted::Points(wanted) => wanted.value.contains(&point.metric),
        };
        wanted.then_some(self.from)
    }
}

fn read_from(found: &Spanned<Item>, problems: &mut Problems) -> HistoryFrom {
    let time = match found.value.clone() {
        Item::Text(text) if text == "all" => Ok(HistoryFrom::All),
        item => FromToml::from_item(item).map(HistoryFrom::Time),
    };
    time.unwrap_or_else(|what| {
        let message =
            format!("`history_from`: expected \"all\" or a time with its offset, found {what}");
        problems.push(found.problem("C003", message).help("for example 2018-01-01T00:00:00+09:00"));
        HistoryFrom::All
    })
}

#[cfg(test)]
mod tests {
    use config::SourceFile;

    use super::*;

    /// Which of three points are read back: `a`, of which the profile says nothing, `b` that has a history, `c` that has none.
    fn check(keys: &str, expected: &str, problem: &str) {
        let point = |metric: &str, more: &str| {
            format!(
                "[[point]]\nmetric = \"{metric}\"\nunit = \"1\"\nkind = \"gauge\"\nunverified = true\n{more}\n"
            )
        };
        let points = [point("a", ""), point("b", "history = true"), point("c", "history = false")];
        let head = "maker = \"M\"\nmodel = \"m\"\nprotocol = \"opcua\"\n";
        let text = format!("{head}{}", points.concat());
        let mut problems = Problems::default();
        let profile =
            device_profiles::load("m/m", &SourceFile::new("m.toml", text), &mut problems).unwrap();
        let mut table = Table::parse(&SourceFile::new("gateway.toml", keys), &mut problems);
        let settings = HistorySettings::read(&mut table, &mut problems);
        settings.check("d", &profile, ["a", "b", "c"].into_iter(), &mut problems);
        let read_back = profile.points.iter().filter(|point| settings.of(point).is_some());
        let read_back: String = read_back.map(|point| point.metric.as_str()).collect();
        assert_eq!(read_back, expected, "{keys}");
        let text = problems.to_string();
        let is_told =
            if problem.is_empty() { !text.contains("history") } else { text.contains(problem) };
        assert!(is_told, "{keys}: {text}");
    }

    #[test]
    fn the_device_or_the_profile_says_which_points_are_read_back() {
        check("", "b", "");
        check("history = true", "ab", "");
        check("history = false", "", "");
        check("history = [\"a\", \"c\"]", "ac", "");
        check("history_from = \"all\"", "b", "");
        check("history = false\nhistory_from = \"all\"", "", "`history` is not `true`");
        check("history = [\"x\"]", "", "`history`: `d` reads no point `x`");
        check("history = 3", "", "expected true, false or a list of metrics");
        check("history = true\nhistory_from = \"today\"", "ab", "a time with its offset");
    }
}
