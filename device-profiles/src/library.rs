//! Finds a profile by its id: first in the folders of the user, then among those that come with the program. Must never
//! know what a profile says.

use std::path::PathBuf;
use std::sync::Arc;

use config::{Problem, Problems, SourceFile, Spanned, nearest};

use crate::embedded::PROFILES;
use crate::load::{draft, load};
use crate::profile::DeviceProfile;

/// All profiles that can be named.
#[derive(Debug, Clone, Default)]
pub struct Library {
    folders: Vec<PathBuf>,
}

impl Library {
    /// The embedded profiles, overridden by `<folder>/<maker>/<model>.toml` in any of `folders`, first one first.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The ids of all profiles, sorted, each once.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = PROFILES.iter().map(|(id, _)| (*id).to_owned()).collect();
        for folder in &self.folders {
            for maker in entries(folder) {
                let models = entries(&maker).into_iter();
                ids.extend(models.filter_map(|model| {
                    let maker = maker.file_name()?.to_str()?;
                    let model = model.file_name()?.to_str()?.strip_suffix(".toml")?;
                    Some(format!("{maker}/{model}"))
                }));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Loads the profile that a device names. Call it once per id and share the result: each call reads anew.
    pub fn get(&self, id: &Spanned<String>, problems: &mut Problems) -> Option<Arc<DeviceProfile>> {
        self.find(id, problems, load)
    }

    /// The profile that a device names, as far as it can be read: for finding out what else is wrong. Nothing may run on
    /// it when one of the problems is fatal.
    pub fn draft(
        &self,
        id: &Spanned<String>,
        problems: &mut Problems,
    ) -> Option<Arc<DeviceProfile>> {
        let mut found = Problems::default();
        let profile =
            self.find(id, &mut found, |id, file, problems| Some(draft(id, file, problems)));
        problems.append(found);
        profile
    }

    fn find(
        &self,
        id: &Spanned<String>,
        problems: &mut Problems,
        read: impl Fn(&str, &Arc<SourceFile>, &mut Problems) -> Option<DeviceProfile>,
    ) -> Option<Arc<DeviceProfile>> {
        match self.text(&id.value) {
            Ok(Some(file)) => read(&id.value, &file, problems).map(Arc::new),
            Ok(None) => {
                problems.push(self.unknown(id));
                None
            }
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    /// The text of a profile and where it stands; `None` when there is none of this id.
    ///
    /// # Errors
    /// A problem when the file is there and cannot be read.
    pub fn text(&self, id: &str) -> Result<Option<Arc<SourceFile>>, Problem> {
        // Only an id of the form `<maker>/<model>` may become a path: `../../etc/x` must not.
        let safe = id.split_once('/').is_some_and(|(maker, model)| {
            model::id::check_id(maker).is_ok() && model::id::check_id(model).is_ok()
        });
        if !safe {
            return Ok(None);
        }
        for folder in &self.folders {
            let path = folder.join(format!("{id}.toml"));
            match config::read_text(&path, config::TEXT_BYTES_MAX) {
                Ok(text) => return Ok(Some(SourceFile::new(path.display().to_string(), text))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("profile `{}` cannot be read: {error}", path.display());
                    let help = config::read_help(&error, "put the profile's file there");
                    return Err(Problem::new("GW-C049", message).help(help));
                }
            }
        }
        let embedded = PROFILES.iter().find(|(known, _)| *known == id);
        Ok(embedded.map(|(id, text)| SourceFile::new(format!("<built in>/{id}.toml"), *text)))
    }

    fn unknown(&self, id: &Spanned<String>) -> Problem {
        let ids = self.ids();
        let known: Vec<&str> = ids.iter().map(String::as_str).collect();
        let same_model = |known: &&&str| {
            known.rsplit_once('/').map(|(_, model)| model)
                == id.value.rsplit('/').next().filter(|model| !model.is_empty())
        };
        let near = nearest(&id.value, &known).or(known.iter().find(same_model).copied());
        let problem = id.problem("GW-C040", format!("there is no device profile `{}`", id.value));
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("profiles: {}", ids.join(", "))),
        }
    }
}

/// What is in a folder; a folder that cannot be read counts as empty.
fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str) -> Spanned<String> {
        let text = format!("profile = \"{id}\"\n");
        let span = 10..text.len() - 1;
        Spanned { value: id.to_owned(), file: SourceFile::new("gateway.toml", text), span }
    }

    #[test]
    fn every_embedded_profile_is_without_problems() {
        let library = Library::default();
        for id in library.ids() {
            let mut problems = Problems::default();
            let profile = library.get(&named(&id), &mut problems);
            assert_eq!(problems.to_string(), "", "{id}");
            assert_eq!(profile.unwrap().id, id);
        }
    }

    #[test]
    fn every_file_beside_this_crate_is_embedded() {
        let beside = Library::new(vec![PathBuf::from(env!("CARGO_MANIFEST_DIR"))]);
        let embedded: Vec<&str> = PROFILES.iter().map(|(id, _)| *id).collect();
        assert_eq!(beside.ids(), embedded);
    }

    #[test]
    fn an_unknown_id_gets_the_nearest_one() {
        let check = |id: &str, help: &str| {
            let mut problems = Problems::default();
            assert!(Library::default().get(&named(id), &mut problems).is_none());
            let text = problems.to_string();
            let start =
                format!("GW-C040 gateway.toml:1:11: there is no device profile `{id}`; {help}");
            assert!(text.starts_with(&start), "{text}");
        };
        check("eastron/sdm360", "did you mean `eastron/sdm630`?");
        check("sdm630", "did you mean `eastron/sdm630`?");
        check("../../etc/passwd", "profiles: ");
        check("nobody/nothing", "profiles: ");
    }

    #[test]
    fn a_folder_of_the_user_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("eastron")).unwrap();
        let text = "maker = \"Eastron\"\nmodel = \"mine\"\nprotocol = \"modbus\"\n[[point]]\n\
                    metric = \"u\"\nunit = \"V\"\nkind = \"gauge\"\nunverified = true\n";
        std::fs::write(folder.path().join("eastron/sdm630.toml"), text).unwrap();
        let library = Library::new(vec![folder.path().to_owned()]);
        let mut problems = Problems::default();
        let profile = library.get(&named("eastron/sdm630"), &mut problems).unwrap();
        assert_eq!((profile.model.as_str(), problems.0.len()), ("mine", 0));
        assert_eq!(library.ids(), Library::default().ids());
    }
}
