//! A day's figure reads days; all meters are read in one pass; what is wanted no more is not computed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use contract::{BoxedRows, Dictionaries, DictionaryUse, LogKey, StoreError, Watermark};

use super::*;
use crate::ReadError;

/// A store that notes what it is asked.
struct Asked {
    store: Arc<dyn Readings>,
    requests: Mutex<Vec<Request>>,
}

impl Readings for Asked {
    fn commit_number(&self) -> CommitNumber {
        self.store.commit_number()
    }
    fn watermarks(&self) -> BTreeMap<LogKey, Watermark> {
        self.store.watermarks()
    }
    fn dictionaries(&self) -> Result<Dictionaries, StoreError> {
        self.store.dictionaries()
    }
    fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        self.store.dictionary_uses()
    }
    fn rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        self.requests.lock().unwrap().push(request.clone());
        self.store.rows(request)
    }
    fn last_rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        self.store.last_rows(request)
    }
    fn renewed(&self) -> Result<Arc<dyn Readings>, StoreError> {
        self.store.renewed()
    }
}

const HOUR_US: i64 = 3_600_000_000;

fn asked(
    samples: Vec<(i64, Option<i64>)>,
    cancel: &Cancel,
) -> (Vec<Request>, Result<(), ReadError>) {
    let store = store_of(&[samples]);
    let asked = Arc::new(Asked { store: store.readings(), requests: Mutex::default() });
    let plant = plant(PLANT);
    let view = StoreView::new(Arc::clone(&asked) as Arc<dyn Readings>, None).unwrap();
    let span = "2018-01-15".parse::<Period>().unwrap().span(&plant.time_zone);
    let done = view.meters(&plant, span, cancel).map(|_| ());
    let requests = asked.requests.lock().unwrap().clone();
    (requests, done)
}

/// Days that a request spans.
fn days(request: &Request) -> i64 {
    (request.to.unwrap().0 - request.from.unwrap().0) / (24 * HOUR_US)
}

#[test]
fn the_figure_of_a_day_reads_three_days() {
    let hour = |at: i64| (YEAR_START.0 + at * HOUR_US, Some(at * 10));
    let (requests, done) = asked((0..900).map(hour).collect(), &Cancel::default());
    done.unwrap();
    assert_eq!(requests.iter().map(days).collect::<Vec<_>>(), [3]);
    assert_eq!(requests[0].points, Points::Exactly(vec![point().id]));
    // At the end of what there is, nothing further is read either.
    let (requests, _) = asked((300..350).map(hour).collect(), &Cancel::default());
    assert_eq!(requests.iter().map(days).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_register_that_falls_is_looked_at_in_a_wider_time() {
    let hour = |at: i64| (YEAR_START.0 + at * HOUR_US, Some(at * 10 % 700));
    let (requests, done) = asked((0..900).map(hour).collect(), &Cancel::default());
    done.unwrap();
    assert_eq!(requests.iter().map(days).collect::<Vec<_>>(), [3, 81]);
}

#[test]
fn what_nobody_wants_any_more_is_not_computed() {
    let cancel = Cancel::default();
    cancel.cancel();
    let hour = |at: i64| (YEAR_START.0 + at * HOUR_US, Some(at * 10));
    let (_, done) = asked((0..900).map(hour).collect(), &cancel);
    assert!(matches!(done, Err(ReadError::Cancelled)), "{done:?}");
}
