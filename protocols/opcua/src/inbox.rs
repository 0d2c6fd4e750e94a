//! What a subscription brings, put into a bounded queue. Values are decoded on the way in, so that what is queued is
//! small however large the server's values are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use async_opcua::types::{
    DataChangeNotification, DataValue, MonitoredItemNotification, NotificationMessage,
    StatusChangeNotification, StatusCode,
};
use tokio::sync::mpsc;

use crate::codec::Decoded;

/// Notifications that may wait while the spool is slow.
const NOTICES_QUEUED_MAX: usize = 64;
/// Values in them: as many as they have when each is full.
const VALUES_QUEUED_MAX: usize = 64_000;

/// One thing that the subscription said.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// Values, by the place of their points.
    Values(Vec<(usize, Decoded)>),
    /// Values between the notices before and after this one are missing: why.
    Gap(&'static str),
    /// The server ended the subscription.
    Ended(StatusCode),
}

/// What a value of an item, by its client handle, is; nothing for an item that is none of ours.
type Decode = Box<dyn Fn(u32, &DataValue) -> Option<(usize, Decoded)> + Send + Sync>;

/// The end that the library calls.
pub(crate) struct Inbox {
    decode: Decode,
    notices: mpsc::Sender<Notice>,
    values_queued: Arc<AtomicUsize>,
    /// The queue was full: a gap stands behind what is in it, and takes its place there once there is room.
    lost: bool,
    next_sequence: Option<u32>,
}

/// The end that takes.
pub(crate) struct Outbox {
    notices: mpsc::Receiver<Notice>,
    values_queued: Arc<AtomicUsize>,
}

impl Outbox {
    /// One that never gives anything.
    pub(crate) fn closed() -> Self {
        Self { notices: mpsc::channel(1).1, values_queued: Arc::default() }
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }

    /// The next notice; `None` once there is no other end.
    pub(crate) async fn take(&mut self) -> Option<Notice> {
        let notice = self.notices.recv().await?;
        if let Notice::Values(values) = &notice {
            self.values_queued.fetch_sub(values.len(), Ordering::AcqRel);
        }
        Some(notice)
    }
}

pub(crate) fn queue(decode: Decode) -> (Inbox, Outbox) {
    let (sender, notices) = mpsc::channel(NOTICES_QUEUED_MAX);
    let values_queued = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox { notices, values_queued: Arc::clone(&values_queued) };
    (Inbox { decode, notices: sender, values_queued, lost: false, next_sequence: None }, outbox)
}

impl Inbox {
    fn put(&mut self, notice: Notice) {
        self.put_gap(1);
        self.lost = self.lost || self.notices.try_send(notice).is_err();
    }

    fn put_values(&mut self, items: &[MonitoredItemNotification]) {
        let decode =
            |item: &MonitoredItemNotification| (self.decode)(item.client_handle, &item.value);
        let values: Vec<(usize, Decoded)> = items.iter().filter_map(decode).collect();
        let count = values.len();
        let queued = self.values_queued.fetch_add(count, Ordering::AcqRel);
        if queued.saturating_add(count) > VALUES_QUEUED_MAX {
            self.lost = true;
        } else {
            self.put(Notice::Values(values));
        }
        if self.lost {
            self.values_queued.fetch_sub(count, Ordering::AcqRel);
        }
    }

    /// Puts the gap that a full queue left, if there is room for it and so many notices more.
    fn put_gap(&mut self, more: usize) {
        if self.lost && self.notices.capacity() > more {
            let gap = Notice::Gap("the spool takes them too slowly");
            self.lost = self.notices.try_send(gap).is_err();
        }
    }

    /// Notices a hole in the sequence of notifications.
    ///
    /// # Source
    /// OPC 10000-4 §7.26: sequence numbers of notification messages rise by one, from 1, and start again at 1.
    fn check_sequence(&mut self, sequence: u32) {
        let expected = self.next_sequence.unwrap_or(1);
        if sequence > expected {
            self.put(Notice::Gap("notifications are missing"));
        }
        if sequence >= expected || sequence == 1 {
            self.next_sequence = Some(sequence.checked_add(1).unwrap_or(1));
        }
    }

    fn receive(&mut self, message: NotificationMessage) {
        let data = message.notification_data.unwrap_or_default();
        if data.is_empty() {
            // A keep-alive carries the number of the next notification.
            self.put_gap(0);
            return;
        }
        self.check_sequence(message.sequence_number);
        for object in data {
            if object.inner_is::<DataChangeNotification>() {
                let change = object.into_inner_as::<DataChangeNotification>();
                let items = change.and_then(|change| change.monitored_items).unwrap_or_default();
                self.put_values(&items);
            } else if let Some(change) = object.inner_as::<StatusChangeNotification>() {
                self.put(Notice::Ended(change.status));
            }
        }
    }
}

impl OnSubscriptionNotificationCore for Inbox {
    fn on_subscription_notification(
        &mut self,
        notification: NotificationMessage,
        _: MonitoredItemMap<'_>,
    ) {
        self.receive(notification);
    }
}

#[cfg(test)]
mod tests {
    use async_opcua::types::{DateTime, Variant};
    use futures::FutureExt;
    use model::{PointIndex, Quality, Sample, Timestamp};

    use super::*;

    fn message(sequence: u32) -> NotificationMessage {
        let item = MonitoredItemNotification {
            client_handle: 7,
            value: DataValue::new_now(Variant::from(1.0)),
        };
        NotificationMessage::data_change(sequence, DateTime::now(), vec![item], Vec::new())
    }

    /// Takes any item for the first point.
    fn decode() -> Decode {
        Box::new(|handle, _| {
            let time = Timestamp(i64::from(handle));
            let sample = Sample::without_value(PointIndex(0), time, time, Quality::BAD);
            Some((0, Decoded { sample, timed: true, overflow: false, mismatch: None }))
        })
    }

    fn now(outbox: &mut Outbox) -> Option<Notice> {
        outbox.take().now_or_never().flatten()
    }

    fn take(outbox: &mut Outbox) -> Vec<&'static str> {
        std::iter::from_fn(|| now(outbox))
            .map(|notice| match notice {
                Notice::Values(_) => "values",
                Notice::Gap(_) => "gap",
                Notice::Ended(_) => "ended",
            })
            .collect()
    }

    #[test]
    fn sees_holes_in_the_sequence() {
        let (mut inbox, mut outbox) = queue(decode());
        let mut check = |sequence, expected: &[&str]| {
            inbox.receive(message(sequence));
            assert_eq!(take(&mut outbox), expected, "{sequence}");
        };
        check(1, &["values"]);
        check(2, &["values"]);
        check(5, &["gap", "values"]);
        check(4, &["values"]);
        check(6, &["values"]);
        check(u32::MAX, &["gap", "values"]);
        check(1, &["values"]);
        check(2, &["values"]);
    }

    #[test]
    fn a_full_queue_drops_and_says_so_where_the_hole_is() {
        let (mut inbox, mut outbox) = queue(decode());
        (1..=66).for_each(|sequence| inbox.receive(message(sequence)));
        // With room for one there is none for the gap and what follows it.
        assert!(now(&mut outbox).is_some());
        inbox.receive(message(67));
        assert!(now(&mut outbox).is_some());
        inbox.receive(message(68));
        let mut expected = vec!["values"; 62];
        expected.extend(["gap", "values"]);
        assert_eq!(take(&mut outbox), expected);
        inbox.receive(message(69));
        assert_eq!(take(&mut outbox), ["values"]);
    }

    #[test]
    fn a_quiet_server_does_not_hide_that_the_queue_was_full() {
        let (mut inbox, mut outbox) = queue(decode());
        (1..=65).for_each(|sequence| inbox.receive(message(sequence)));
        assert_eq!(take(&mut outbox).len(), 64);
        let keep_alive =
            NotificationMessage { sequence_number: 66, ..NotificationMessage::default() };
        inbox.receive(keep_alive);
        assert_eq!(take(&mut outbox), ["gap"]);
    }

    #[test]
    fn hears_the_end_of_a_subscription() {
        let (mut inbox, mut outbox) = queue(decode());
        inbox.receive(NotificationMessage::status_change(
            1,
            DateTime::now(),
            StatusCode::BadTimeout,
        ));
        assert_eq!(now(&mut outbox), Some(Notice::Ended(StatusCode::BadTimeout)));
    }

    #[test]
    fn more_values_than_may_wait_are_a_gap_and_later_ones_come() {
        let (mut inbox, mut outbox) = queue(decode());
        let item = || MonitoredItemNotification { client_handle: 7, value: DataValue::default() };
        let mut sequence = 0;
        let mut put = |inbox: &mut Inbox, count: usize| {
            sequence += 1;
            let items = (0..count).map(|_| item()).collect();
            let time = DateTime::now();
            inbox.receive(NotificationMessage::data_change(sequence, time, items, Vec::new()));
        };
        put(&mut inbox, VALUES_QUEUED_MAX);
        put(&mut inbox, 1);
        put(&mut inbox, 1);
        assert_eq!(take(&mut outbox), ["values"]);
        put(&mut inbox, 1);
        assert_eq!(take(&mut outbox), ["gap", "values"]);
        put(&mut inbox, VALUES_QUEUED_MAX + 1);
        assert_eq!(take(&mut outbox), Vec::<&str>::new());
        put(&mut inbox, VALUES_QUEUED_MAX);
        assert_eq!(take(&mut outbox), ["gap", "values"]);
    }
}
