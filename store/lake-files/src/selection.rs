//! Which rows a reader wants, and what can be skipped because of it. Pure.

use model::{CommitNumber, Timestamp};

use crate::facts::Extent;

/// Which rows are wanted. All of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ranges of point ids: the first that is wanted, and the first after it that is not. All when empty.
    pub points: Vec<(String, String)>,
    /// Source time, first that is wanted.
    pub from: Option<Timestamp>,
    /// Source time, first that is no longer wanted.
    pub to: Option<Timestamp>,
    /// Only what this commit and those before it brought.
    pub as_of: Option<CommitNumber>,
    /// Names of the columns that are wanted; all when `None`.
    pub columns: Option<Vec<&'static str>>,
}

impl Selection {
    /// The range of ids that begin with `prefix`. Point ids are ASCII.
    #[must_use]
    pub fn beginning_with(prefix: &str) -> (String, String) {
        (prefix.to_owned(), format!("{prefix}\u{7f}"))
    }

    /// The range of one id.
    #[must_use]
    pub fn exactly(point: &str) -> (String, String) {
        (point.to_owned(), format!("{point}\0"))
    }

    /// Whether rows with source times from `first` to `last`, in microseconds, may be wanted.
    #[must_use]
    pub fn may_hold_times(&self, first: i64, last: i64) -> bool {
        self.from.is_none_or(|from| last >= from.0) && self.to.is_none_or(|to| first < to.0)
    }

    /// Whether rows may be wanted of which the first belongs to this commit.
    #[must_use]
    pub fn may_hold_commit(&self, first: i64) -> bool {
        let first = u64::try_from(first).unwrap_or_default();
        self.as_of.is_none_or(|as_of| first <= as_of.0)
    }

    /// Whether rows of the points from `first` to `last` may be wanted.
    #[must_use]
    pub fn may_hold_points(&self, first: &str, last: &str) -> bool {
        let holds = |(from, to): &(String, String)| last >= from.as_str() && first < to.as_str();
        self.points.is_empty() || self.points.iter().any(holds)
    }

    /// Whether a file of that extent may hold rows.
    pub fn may_hold(&self, extent: &Extent) -> bool {
        let commit = i64::try_from(extent.commit.0).unwrap_or(i64::MAX);
        self.may_hold_times(extent.ts.0.0, extent.ts.1.0)
            && self.may_hold_commit(commit)
            && self.may_hold_points(&extent.point.0, &extent.point.1)
    }
}
