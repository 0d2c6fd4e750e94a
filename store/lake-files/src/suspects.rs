//! What somebody in this process could not read: the writer looks at it before all others, so that damage is noted and
//! counted as soon as anybody meets it. Knows nothing of what is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::lock::place;

/// Files that wait; more are found when their turn comes.
const WAITING_MAX: usize = 1_024;

/// The data files that a reader could not read, for the writer of the same lake. Clones are one list.
#[derive(Debug, Clone, Default)]
pub struct Suspects(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<BTreeSet<String>>,
    new: Notify,
}

impl Suspects {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A thread that panicked left nothing half done.
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a data file of the lake in `dir`.
    pub fn tell(&self, dir: &Path, path: &Path) {
        let name = path.strip_prefix(place::data(dir)).ok().and_then(Path::to_str);
        let Some(name) = name else { return };
        let mut names = self.names();
        if names.len() < WAITING_MAX && names.insert(name.to_owned()) {
            drop(names);
            self.wake();
        }
    }

    /// The next one.
    pub fn take(&self) -> Option<String> {
        self.names().pop_first()
    }

    /// Whether there is one.
    pub fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Ends a [`Self::told`] that waits, or the next one.
    pub fn wake(&self) {
        self.0.new.notify_one();
    }

    /// Ends when there is something to do.
    pub async fn told(&self) {
        self.0.new.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_file_waits_once_and_their_number_is_bounded() {
        let (dir, suspects) = (Path::new("/lake"), Suspects::default());
        suspects.tell(dir, &place::data_file(dir, "a"));
        suspects.clone().tell(dir, &place::data_file(dir, "a"));
        suspects.tell(dir, Path::new("/elsewhere/b"));
        suspects.told().await;
        assert_eq!((suspects.take().as_deref(), suspects.take()), (Some("a"), None));
        for number in 0..WAITING_MAX + 9 {
            suspects.tell(dir, &place::data_file(dir, &number.to_string()));
        }
        let all = std::iter::from_fn(|| suspects.take()).count();
        assert_eq!(all, WAITING_MAX);
        assert!(suspects.is_empty());
    }
}
