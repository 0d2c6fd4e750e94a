//! Where subjects stand in the tree of live topics: on the same path as the devices of `gateway.toml`. Must never publish.

use std::collections::BTreeMap;

use config::{Problem, Problems, Spanned};
use model::PlaceInSite;
use model::topic::LivePath;

use super::{CODE_DUPLICATE, CODE_PLACE, CODE_PLANT, Plant, SubjectKind};
use crate::id::SubjectId;

/// What a subject says of its place.
pub(super) struct PlaceDraft {
    pub(super) subject: Spanned<SubjectId>,
    pub(super) place: Option<Spanned<PlaceInSite>>,
}

impl Plant {
    /// The path of a subject in the tree of live topics, under which its figures have their topics; `None` where the plant
    /// file gives it no `place`, and nothing of it can be published.
    ///
    /// The enterprise and its sites have the path of their ids. Equipment stands on the level of devices, with its id:
    /// subject `furnace` at `heat-treatment` has the path of the device `furnace` there.
    #[must_use]
    pub fn live_path(&self, id: &SubjectId) -> Option<LivePath<'_>> {
        let subject = self.subject(id)?;
        let enterprise = LivePath::enterprise(self.enterprise.as_str());
        match subject.kind {
            SubjectKind::Enterprise => Some(enterprise),
            SubjectKind::Site => Some(enterprise.with_site(subject.id.as_str())),
            kind => {
                let place = subject.place.as_ref()?;
                let path =
                    enterprise.with_site(self.site_of(id)?.as_str()).with_place(&place.value);
                let device = (kind == SubjectKind::Equipment).then_some(subject.id.as_str());
                Some(LivePath { device, ..path })
            }
        }
    }

    /// Names the subjects at whose place, or below it, no device stands, with their places in the file: `devices` are the
    /// paths of those that are known.
    #[must_use]
    pub fn check_places(&self, devices: &[LivePath<'_>]) -> Problems {
        let absent = self.subjects.iter().filter_map(|subject| {
            let place = subject.place.as_ref()?;
            let path = self.live_path(&subject.id)?;
            let holds = |device: &LivePath<'_>| {
                (device.enterprise, device.site, device.area)
                    == (path.enterprise, path.site, path.area)
                    && (path.line.is_none() || device.line == path.line)
            };
            (!devices.iter().any(holds)).then(|| without_device(place, &subject.id, path))
        });
        Problems(absent.collect())
    }

    /// The site that a subject lies in: the nearest one above it, else `plant.site`.
    fn site_of(&self, id: &SubjectId) -> Option<&SubjectId> {
        let mut at = self.subject(id);
        while let Some(subject) = at {
            if subject.kind == SubjectKind::Site {
                return Some(&subject.id);
            }
            at = subject.parent.as_ref().and_then(|parent| self.subject(parent));
        }
        self.site.as_ref()
    }
}

/// Each path belongs to one subject.
pub(super) fn check(plant: &Plant, drafts: &[PlaceDraft], problems: &mut Problems) {
    let mut taken: BTreeMap<String, &SubjectId> = BTreeMap::new();
    for draft in drafts {
        let Some(place) = &draft.place else { continue };
        let id = &draft.subject.value;
        let found = match plant.subject(id).map(|subject| subject.kind) {
            Some(SubjectKind::Enterprise | SubjectKind::Site) => Err(misplaced(place)),
            _ => plant.live_path(id).ok_or_else(|| without_site(place, id)),
        };
        match found.map(|path| path.to_string()) {
            Ok(path) => match taken.get(&path) {
                Some(first) if *first != id => problems.push(taken_by(place, first)),
                _ => drop(taken.insert(path, id)),
            },
            Err(problem) => problems.push(problem),
        }
    }
}

fn without_device(place: &Spanned<PlaceInSite>, id: &SubjectId, path: LivePath<'_>) -> Problem {
    let LivePath { enterprise, site, .. } = path;
    let site = site.unwrap_or("_");
    place
        .problem(
            CODE_PLACE,
            format!(
                "no device of `{enterprise}/{site}` stands at `{}`, the place of subject `{id}`",
                place.value
            ),
        )
        .help("write it as the `place` of its devices in gateway.toml")
        .warning()
}

fn misplaced(place: &Spanned<PlaceInSite>) -> Problem {
    place
        .problem(CODE_PLANT, "`place`: an enterprise or site has no place inside a site")
        .help("leave `place` out: the `id` of a site is its level of the path")
}

fn without_site(place: &Spanned<PlaceInSite>, id: &SubjectId) -> Problem {
    place
        .problem(CODE_PLANT, format!("`place`: it is not known in which site subject `{id}` lies"))
        .help("name the site in `[plant]`, for `site = \"acme/nb-1\"` of gateway.toml: site = \"nb-1\"")
}

fn taken_by(place: &Spanned<PlaceInSite>, first: &SubjectId) -> Problem {
    place
        .problem(
            CODE_DUPLICATE,
            format!("`place`: `{}` is that of subject `{first}` above", place.value),
        )
        .help("figures of two subjects would have one topic; only equipment may share a place")
}
