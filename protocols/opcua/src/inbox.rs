//! What a subscription brings, put into a bounded queue. Must never wait: the library calls it while it holds its locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use async_opcua::types::{
    DataChangeNotification, DataValue, NotificationMessage, StatusChangeNotification, StatusCode,
};
use tokio::sync::mpsc;

/// Notifications that may wait while the spool is slow; each holds at most
/// [`crate::request::NOTIFICATIONS_PER_PUBLISH`] values.
const NOTICES_QUEUED_MAX: usize = 64;

/// One thing that the subscription said.
#[derive(Debug, PartialEq)]
pub(crate) enum Notice {
    /// Values, by the client handle of their items.
    Values(Vec<(u32, DataValue)>),
    /// Notifications before this one are missing.
    Gap,
    /// The server ended the subscription.
    Ended(StatusCode),
}

/// The end that the library calls.
pub(crate) struct Inbox {
    notices: mpsc::Sender<Notice>,
    lost: Arc<AtomicBool>,
    next_sequence: Option<u32>,
}

/// The end that the session reads.
pub(crate) struct Outbox {
    pub(crate) notices: mpsc::Receiver<Notice>,
    lost: Arc<AtomicBool>,
}

pub(crate) fn queue() -> (Inbox, Outbox) {
    let (sender, notices) = mpsc::channel(NOTICES_QUEUED_MAX);
    let lost = Arc::new(AtomicBool::new(false));
    let inbox = Inbox { notices: sender, lost: Arc::clone(&lost), next_sequence: None };
    (inbox, Outbox { notices, lost })
}

impl Outbox {
    /// Whether the queue was full since it was last asked, so that notices are missing.
    pub(crate) fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }
}

impl Inbox {
    fn put(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Notices a hole in the sequence of notifications.
    ///
    /// # Source
    /// OPC 10000-4 §7.26: sequence numbers of notification messages rise by one, from 1, and start again at 1.
    fn check_sequence(&mut self, sequence: u32) {
        let expected = self.next_sequence.unwrap_or(1);
        if sequence > expected {
            self.put(Notice::Gap);
        }
        if sequence >= expected || sequence == 1 {
            self.next_sequence = Some(sequence.checked_add(1).unwrap_or(1));
        }
    }

    fn receive(&mut self, message: NotificationMessage) {
        let data = message.notification_data.unwrap_or_default();
        if data.is_empty() {
            // A keep-alive carries the number of the next notification.
            return;
        }
        self.check_sequence(message.sequence_number);
        for object in data {
            if object.inner_is::<DataChangeNotification>() {
                let change = object.into_inner_as::<DataChangeNotification>();
                let items = change.and_then(|change| change.monitored_items).unwrap_or_default();
                let values = items.into_iter().map(|item| (item.client_handle, item.value));
                self.put(Notice::Values(values.collect()));
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
    use async_opcua::types::{DateTime, MonitoredItemNotification, Variant};

    use super::*;

    fn message(sequence: u32) -> NotificationMessage {
        let item = MonitoredItemNotification {
            client_handle: 7,
            value: DataValue::new_now(Variant::from(1.0)),
        };
        NotificationMessage::data_change(sequence, DateTime::now(), vec![item], Vec::new())
    }

    fn take(outbox: &mut Outbox) -> Vec<&'static str> {
        std::iter::from_fn(|| outbox.notices.try_recv().ok())
            .map(|notice| match notice {
                Notice::Values(_) => "values",
                Notice::Gap => "gap",
                Notice::Ended(_) => "ended",
            })
            .collect()
    }

    #[test]
    fn sees_holes_in_the_sequence() {
        let (mut inbox, mut outbox) = queue();
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
    fn a_full_queue_drops_and_says_so_once() {
        let (mut inbox, outbox) = queue();
        (1..=64).for_each(|sequence| inbox.receive(message(sequence)));
        assert!(!outbox.take_lost());
        inbox.receive(message(65));
        assert!(outbox.take_lost());
        assert!(!outbox.take_lost());
    }

    #[test]
    fn hears_the_end_of_a_subscription() {
        let (mut inbox, mut outbox) = queue();
        inbox.receive(NotificationMessage::status_change(
            1,
            DateTime::now(),
            StatusCode::BadTimeout,
        ));
        assert_eq!(outbox.notices.try_recv(), Ok(Notice::Ended(StatusCode::BadTimeout)));
    }
}
