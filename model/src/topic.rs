//! The topics of Nengliu. Fixed depth, so that `+` works; a level that is not used is `_`.

use std::fmt;

use crate::dictionary::{Place, PlaceInSite, PointInfo};
use crate::id::GatewayId;

/// First level of what gateways and ingest say to each other.
pub const GATEWAY_ROOT: &str = "gw";
/// First level of the live topics; its number is the version of the contract in `docs/mqtt.md`.
pub const LIVE_ROOT: &str = "v1";
/// Filter that matches the uplink of every gateway.
pub const UP_FILTER: &str = "gw/+/up";
/// Filter that matches the state of every gateway.
pub const STATE_FILTER: &str = "gw/+/state";
/// A gateway says that it is there.
pub const ONLINE: &str = "online";
/// A gateway, or its last will, says that it is gone.
pub const OFFLINE: &str = "offline";

/// Where a gateway sends its messages.
#[must_use]
pub fn up(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/up")
}

/// Where a gateway hears its commit acks.
#[must_use]
pub fn ack(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/ack")
}

/// The gateway that an uplink topic belongs to; `None` for any other topic.
#[must_use]
pub fn gateway_of_up(topic: &str) -> Option<GatewayId> {
    let id = topic.strip_prefix("gw/")?.strip_suffix("/up")?;
    GatewayId::new(id).ok()
}

/// Where a gateway says that it is there, and its last will that it is gone: [`ONLINE`] or [`OFFLINE`], not retained.
#[must_use]
pub fn state(gateway: &GatewayId) -> String {
    format!("gw/{gateway}/state")
}

/// The gateway that a state topic belongs to; `None` for any other topic.
#[must_use]
pub fn gateway_of_state(topic: &str) -> Option<GatewayId> {
    let id = topic.strip_prefix("gw/")?.strip_suffix("/state")?;
    GatewayId::new(id).ok()
}

/// Where everything about a device begins: `v1/{enterprise}/{site}/{area}/{line}/{device}`.
#[must_use]
pub fn live_device(point: &PointInfo) -> String {
    LivePath::of(point).to_string()
}

/// Where a device or a subject of figures stands: `v1/{enterprise}/{site}/{area}/{line}/{device}`, with `_` for a level
/// that is not used. What is the same thing for a gateway and for a plant file has the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivePath<'a> {
    /// The enterprise.
    pub enterprise: &'a str,
    /// The site.
    pub site: Option<&'a str>,
    /// The area (workshop).
    pub area: Option<&'a str>,
    /// The line.
    pub line: Option<&'a str>,
    /// The device or equipment.
    pub device: Option<&'a str>,
}

/// How long the period of a figure is, in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// A slot of 15 minutes.
    QuarterHour,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// The basis of a figure in coal equivalent, in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureBasis {
    /// 当量值.
    Equivalent,
    /// 等价值.
    EqualValue,
}

impl<'a> LivePath<'a> {
    /// That of the device of a point.
    #[must_use]
    pub fn of(point: &'a PointInfo) -> Self {
        Self { device: Some(&point.device), ..Self::of_place(&point.place) }
    }

    /// That of the area or line in which devices stand.
    #[must_use]
    pub fn of_place(place: &'a Place) -> Self {
        let Place { enterprise, site, area, line } = place;
        let (area, line) = (area.as_deref(), line.as_deref());
        Self { enterprise, site: Some(site), area, line, device: None }
    }

    /// That of a whole enterprise.
    #[must_use]
    pub fn enterprise(enterprise: &'a str) -> Self {
        Self { enterprise, site: None, area: None, line: None, device: None }
    }

    /// That of a site of it.
    #[must_use]
    pub fn with_site(self, site: &'a str) -> Self {
        Self { site: Some(site), ..self }
    }

    /// That of an area or line of it.
    #[must_use]
    pub fn with_place(self, place: &'a PlaceInSite) -> Self {
        Self { area: Some(&place.area), line: place.line.as_deref(), ..self }
    }

    /// The state of a machine, retained. Reserved: nothing is published there yet.
    #[must_use]
    pub fn machine_state(&self) -> String {
        format!("{self}/s")
    }

    /// Events and alarms of one type, an id such as `over-limit`. Reserved: nothing is published there yet.
    #[must_use]
    pub fn event(&self, kind: &str) -> String {
        format!("{self}/e/{kind}")
    }

    /// A figure, retained; `measure` as in `nengliu kpi`. Reserved: nothing is published there yet.
    #[must_use]
    pub fn figure(&self, measure: &str, granularity: Granularity, basis: FigureBasis) -> String {
        format!("{self}/kpi/{measure}/{granularity}/{basis}")
    }
}

impl fmt::Display for LivePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enterprise, site, area, line, device } = self;
        let [site, area, line, device] =
            [site, area, line, device].map(|level| level.unwrap_or("_"));
        write!(f, "{LIVE_ROOT}/{enterprise}/{site}/{area}/{line}/{device}")
    }
}

impl Granularity {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::QuarterHour, Self::Hour, Self::Day, Self::Month, Self::Year];
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuarterHour => "15min",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        })
    }
}

impl FigureBasis {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Equivalent, Self::EqualValue];
}

impl fmt::Display for FigureBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equivalent => "equivalent",
            Self::EqualValue => "equal-value",
        })
    }
}

/// Where everything about a gateway begins: `v1/{enterprise}/{site}/_/_/{gateway}`.
#[must_use]
pub fn live_gateway(enterprise: &str, site: &str, gateway: &GatewayId) -> String {
    format!("{LIVE_ROOT}/{enterprise}/{site}/_/_/{gateway}")
}

/// Where the last value of a point is kept, retained:
/// `v1/{enterprise}/{site}/{area}/{line}/{device}/v/{metric}`.
#[must_use]
pub fn live_value(point: &PointInfo) -> String {
    format!("{}/v/{}", live_device(point), point.metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::tests::point;

    #[test]
    fn a_gateway_is_found_in_its_own_topic_only() {
        let id = GatewayId::new("gw-01_a").unwrap();
        assert_eq!(up(&id), "gw/gw-01_a/up");
        assert_eq!(ack(&id), "gw/gw-01_a/ack");
        assert_eq!(gateway_of_state(&state(&id)), Some(id.clone()));
        assert_eq!(gateway_of_state(&up(&id)), None);
        assert_eq!(gateway_of_up(&up(&id)), Some(id.clone()));
        let others = [
            "",
            "gw",
            "gw/up",
            "gw//up",
            "gw/a/b/up",
            "gw/A/up",
            "gw/+/up",
            "gw/a/up/",
            "x/gw/a/up",
        ];
        for topic in others.into_iter().chain([ack(&id).as_str()]) {
            assert_eq!(gateway_of_up(topic), None, "{topic}");
        }
    }

    #[test]
    fn a_live_value_has_the_same_depth_everywhere() {
        let mut point = point("e_import");
        assert_eq!(live_value(&point), "v1/acme/north/_/_/m1/v/e_import");
        point.place.area = Some("melting".to_owned());
        point.place.line = Some("l2".to_owned());
        assert_eq!(live_value(&point), "v1/acme/north/melting/l2/m1/v/e_import");
    }

    /// The table of `docs/mqtt.md` is the contract: each of its topics comes out with its levels put in.
    #[test]
    fn topics_are_those_that_the_document_fixes() {
        let document = include_str!("../../docs/mqtt.md");
        let mut point = point("e_import");
        point.place.area = Some("melting".to_owned());
        point.place.line = Some("l2".to_owned());
        let path = LivePath::of(&point);
        let gateway = GatewayId::new("gw-1").unwrap();
        let device = "v1/{enterprise}/{site}/{area}/{line}/{device}";
        let mut filled = Vec::new();
        for line in document.lines().filter(|line| line.starts_with("| `")) {
            let topic = line.split('`').nth(1).unwrap();
            if !topic.starts_with("v1/") && !topic.starts_with("…/{device}/") {
                continue;
            }
            let topic = topic.replace("…/{device}", device);
            assert!(topic.split('/').count() > 6, "{topic}");
            filled.push(
                [
                    ("{enterprise}", "acme"),
                    ("{site}", "north"),
                    ("{area}", "melting"),
                    ("{line}", "l2"),
                    ("{device}", "m1"),
                    ("{gateway}", "gw-1"),
                    ("{metric}", "e_import"),
                    ("{type}", "over-limit"),
                    ("{measure}", "total"),
                    ("{granularity}", "15min"),
                    ("{basis}", "equal-value"),
                ]
                .iter()
                .fold(topic, |topic, (level, word)| topic.replace(level, word)),
            );
        }
        let quarter = Granularity::QuarterHour;
        let here = [
            live_value(&point),
            format!("{path}/m/{{group}}"),
            format!("{path}/$meta"),
            format!("{}/$state", live_gateway("acme", "north", &gateway)),
            format!("{}/$durable", live_gateway("acme", "north", &gateway)),
            path.machine_state(),
            path.event("over-limit"),
            path.figure("total", quarter, FigureBasis::EqualValue),
        ];
        assert_eq!(filled, here);
        for word in Granularity::ALL.map(|one| one.to_string()) {
            assert!(document.contains(&format!("`{word}`")), "{word}");
        }
        for word in FigureBasis::ALL.map(|one| one.to_string()) {
            assert!(document.contains(&format!("`{word}`")), "{word}");
        }
    }

    #[test]
    fn what_a_level_lacks_is_a_mark_and_every_figure_has_one_depth() {
        let place: PlaceInSite = "melting".parse().unwrap();
        let enterprise = LivePath::enterprise("acme");
        let site = enterprise.with_site("north");
        for (path, expected) in [
            (enterprise, "v1/acme/_/_/_/_/kpi/total/day/equivalent"),
            (site, "v1/acme/north/_/_/_/kpi/total/day/equivalent"),
            (site.with_place(&place), "v1/acme/north/melting/_/_/kpi/total/day/equivalent"),
        ] {
            let topic = path.figure("total", Granularity::Day, FigureBasis::Equivalent);
            assert_eq!(topic, expected);
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "A", "a/_", "_/b", "a b"] {
            assert!(bad.parse::<PlaceInSite>().is_err(), "{bad}");
        }
        assert_eq!("a/b".parse::<PlaceInSite>().unwrap().to_string(), "a/b");
    }
}
