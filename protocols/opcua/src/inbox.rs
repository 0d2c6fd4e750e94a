//! What a subscription brings, put into a bounded queue. Must never wait: the library calls it while it holds its locks.

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
    /// Values between the notices before and after this one are missing: why.
    Gap(&'static str),
    /// The server ended the subscription.
    Ended(StatusCode),
}

/// The end that the library calls.
pub(crate) struct Inbox {
    notices: mpsc::Sender<Notice>,
    /// The queue was full: a gap stands behind what is in it, and takes its place there once there is room.
    lost: bool,
    next_sequence: Option<u32>,
}

pub(crate) fn queue() -> (Inbox, mpsc::Receiver<Notice>) {
    let (sender, notices) = mpsc::channel(NOTICES_QUEUED_MAX);
    (Inbox { notices: sender, lost: false, next_sequence: None }, notices)
}

impl Inbox {
    fn put(&mut self, notice: Notice) {
        self.put_gap(1);
        self.lost = self.lost || self.notices.try_send(notice).is_err();
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

    fn take(outbox: &mut mpsc::Receiver<Notice>) -> Vec<&'static str> {
        std::iter::from_fn(|| outbox.try_recv().ok())
            .map(|notice| match notice {
                Notice::Values(_) => "values",
                Notice::Gap(_) => "gap",
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
    fn a_full_queue_drops_and_says_so_where_the_hole_is() {
        let (mut inbox, mut outbox) = queue();
        (1..=66).for_each(|sequence| inbox.receive(message(sequence)));
        // With room for one there is none for the gap and what follows it.
        assert!(outbox.try_recv().is_ok());
        inbox.receive(message(67));
        assert!(outbox.try_recv().is_ok());
        inbox.receive(message(68));
        let mut expected = vec!["values"; 62];
        expected.extend(["gap", "values"]);
        assert_eq!(take(&mut outbox), expected);
        inbox.receive(message(69));
        assert_eq!(take(&mut outbox), ["values"]);
    }

    #[test]
    fn a_quiet_server_does_not_hide_that_the_queue_was_full() {
        let (mut inbox, mut outbox) = queue();
        (1..=65).for_each(|sequence| inbox.receive(message(sequence)));
        assert_eq!(take(&mut outbox).len(), 64);
        let keep_alive =
            NotificationMessage { sequence_number: 66, ..NotificationMessage::default() };
        inbox.receive(keep_alive);
        assert_eq!(take(&mut outbox), ["gap"]);
    }

    #[test]
    fn hears_the_end_of_a_subscription() {
        let (mut inbox, mut outbox) = queue();
        inbox.receive(NotificationMessage::status_change(
            1,
            DateTime::now(),
            StatusCode::BadTimeout,
        ));
        assert_eq!(outbox.try_recv(), Ok(Notice::Ended(StatusCode::BadTimeout)));
    }
}
