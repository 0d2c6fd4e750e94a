//! The requests that are sent in a session, and what their answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_opcua::client::services::{CreateMonitoredItems, Read};
use async_opcua::client::{HistoryReadAction, Session, UARequest};
use async_opcua::core::ResponseMessage;
use async_opcua::types::{
    AttributeId, ByteString, CreateMonitoredItemsRequest, DataChangeFilter, DataChangeTrigger,
    DataValue, ExtensionObject, HistoryData, HistoryReadValueId, MonitoredItemCreateRequest,
    MonitoredItemCreateResult, MonitoringMode, MonitoringParameters, NodeId,
    ReadRawModifiedDetails, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant,
};
use model::Timestamp;

use crate::codec::{storable, to_date_time};
use crate::history::Failure;
use crate::inbox::Inbox;
use crate::settings::Settings;

/// Most values in one notification.
pub(crate) const NOTIFICATIONS_PER_PUBLISH: u32 = 1_000;
/// Items that are created, or values that are read, at once; small servers refuse more.
pub(crate) const ITEMS_PER_REQUEST: usize = 100;
/// Values that a server may keep for us between two notifications: as many as it will for points with history, so
/// that reading back is rarely needed.
const QUEUE_MAX: u32 = 1_000;
const QUEUE_MIN: u32 = 4;
/// The server forgets a subscription that heard nothing from us for so many keep-alives.
const LIFETIME_KEEP_ALIVES: u32 = 10;
/// Longest sampling interval that a server may claim.
const SAMPLING_MAX: Duration = Duration::from_hours(1);
/// A session that says nothing for so many keep-alives is dead.
pub(crate) const WATCHDOG_KEEP_ALIVES: u32 = 3;

/// A subscription as the server granted it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) id: u32,
    pub(crate) publish_interval: Duration,
    /// How long it may be silent.
    pub(crate) silence_max: Duration,
}

/// Makes the subscription of a session.
pub(crate) async fn subscribe(
    session: &Session,
    settings: &Settings,
    values_max: u32,
    inbox: Inbox,
) -> Result<Granted, StatusCode> {
    let interval = settings.publish_interval;
    let keep_alives = settings.keep_alive.as_millis().div_ceil(interval.as_millis().max(1));
    let keep_alives = u32::try_from(keep_alives).unwrap_or(u32::MAX).max(1);
    let lifetime = keep_alives.saturating_mul(LIFETIME_KEEP_ALIVES);
    let id = session
        .create_subscription(interval, lifetime, keep_alives, values_max, 0, true, inbox)
        .await
        .map_err(|error| error.status())?;
    let granted = session.subscription_state().lock().get(id).map(|subscription| {
        (subscription.publishing_interval(), subscription.max_keep_alive_count())
    });
    let (interval, keep_alives) = granted.unwrap_or((interval, keep_alives));
    let keep_alive = interval.saturating_mul(keep_alives).max(settings.keep_alive);
    let silence_max = keep_alive.saturating_mul(WATCHDOG_KEEP_ALIVES);
    Ok(Granted { id, publish_interval: interval, silence_max })
}

/// An item to be monitored.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) handle: u32,
    pub(crate) node: NodeId,
    /// `None`: each change (points with history).
    pub(crate) sampling: Option<Duration>,
}

/// What the server made of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Monitored {
    pub(crate) handle: u32,
    /// The server's name for it.
    pub(crate) id: u32,
    pub(crate) status: StatusCode,
    /// Whether each change is queued, and said so when one is lost: without a queue no overflow is told, and what
    /// lies between two samplings is skipped in silence.
    ///
    /// # Source
    /// OPC 10000-4 §5.13.1.2 (sampling interval 0: exception-based) and §5.13.1.5 (a queue of one sets no overflow
    /// bit).
    pub(crate) every_change: bool,
    /// How old a change may be when the server sees it.
    pub(crate) sampling: Duration,
    /// Values that the server keeps between two notifications.
    pub(crate) queue: u32,
}

impl Monitored {
    /// The server's answer was too short to hold this item.
    pub(crate) fn unanswered(handle: u32) -> Self {
        Self::refused(handle, StatusCode::BadUnknownResponse)
    }

    pub(crate) fn refused(handle: u32, status: StatusCode) -> Self {
        let sampling = Duration::ZERO;
        Self { handle, id: 0, status, every_change: false, sampling, queue: 0 }
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        self.status == StatusCode::BadUnknownResponse
    }
}

/// Monitors items; gives the server's word for each.
pub(crate) async fn monitor(
    session: &Session,
    subscription: &Granted,
    settings: &Settings,
    items: &[Item],
) -> Result<Vec<Monitored>, StatusCode> {
    let mut results = Vec::with_capacity(items.len());
    let mut size = ITEMS_PER_REQUEST;
    let mut rest = items;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        let mut answers = match create(session, subscription, settings, batch, true).await {
            Err(StatusCode::BadTooManyOperations) if size > 1 => {
                size = size.div_ceil(4);
                continue;
            }
            answers => answers?,
        };
        let unfiltered: Vec<Item> = batch
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| is_filter_refused(answer.status))
            .map(|(item, _)| item.clone())
            .collect();
        answers.retain(|answer| !is_filter_refused(answer.status));
        results.append(&mut answers);
        if !unfiltered.is_empty() {
            let mut answers = create(session, subscription, settings, &unfiltered, false).await?;
            results.append(&mut answers);
        }
        rest = after;
    }
    Ok(results)
}

async fn create(
    session: &Session,
    subscription: &Granted,
    settings: &Settings,
    items: &[Item],
    filtered: bool,
) -> Result<Vec<Monitored>, StatusCode> {
    // The library throws a short answer away as a whole, so the request is sent by hand; its builder knows the header.
    let request = CreateMonitoredItemsRequest {
        request_header: CreateMonitoredItems::new(subscription.id, session).header().clone(),
        subscription_id: subscription.id,
        timestamps_to_return: TimestampsToReturn::Both,
        items_to_create: Some(
            items.iter().map(|item| to_request(item, subscription, filtered)).collect(),
        ),
    };
    let answer = session.channel().send(request, settings.timeout).await;
    let (status, results) = match answer.map_err(|error| error.status())? {
        ResponseMessage::CreateMonitoredItems(response) => {
            (response.response_header.service_result, response.results.unwrap_or_default())
        }
        ResponseMessage::ServiceFault(fault) => (fault.response_header.service_result, Vec::new()),
        _ => (StatusCode::BadUnknownResponse, Vec::new()),
    };
    if status.is_bad() {
        return Err(status);
    }
    Ok(all_monitored(items, &results))
}

/// Has the server forget items of which nothing comes. It may know them no longer, so its answer says nothing.
pub(crate) async fn forget_items(session: &Session, subscription: u32, ids: &[u32]) {
    for ids in ids.chunks(ITEMS_PER_REQUEST) {
        if let Err(error) = session.delete_monitored_items(subscription, ids).await {
            tracing::debug!(status = %error.status(), "the server does not forget dead items");
        }
    }
}

/// What a short answer says nothing of was not created.
fn all_monitored(items: &[Item], results: &[MonitoredItemCreateResult]) -> Vec<Monitored> {
    let results = results.iter().map(Some).chain(std::iter::repeat(None));
    let made = |(item, result): (&Item, Option<&MonitoredItemCreateResult>)| {
        result.map_or(Monitored::unanswered(item.handle), |result| monitored(item.handle, result))
    };
    items.iter().zip(results).map(made).collect()
}

fn monitored(handle: u32, result: &MonitoredItemCreateResult) -> Monitored {
    let every_change = result.revised_sampling_interval == 0.0 && result.revised_queue_size > 1;
    let sampling = Duration::try_from_secs_f64(result.revised_sampling_interval / 1_000.0);
    let sampling = sampling.unwrap_or_default().min(SAMPLING_MAX);
    let (id, status) = (result.monitored_item_id, result.status_code);
    let queue = result.revised_queue_size.max(1);
    Monitored { handle, id, status, every_change, sampling, queue }
}

fn to_request(item: &Item, subscription: &Granted, filtered: bool) -> MonitoredItemCreateRequest {
    // A value that is written again with a new time is a new reading, so the time is part of the trigger.
    let filter = DataChangeFilter {
        trigger: DataChangeTrigger::StatusValueTimestamp,
        deadband_type: 0,
        deadband_value: 0.0,
    };
    let queue_size = item.sampling.map_or(QUEUE_MAX, |sampling| {
        // By the interval that was granted, not by ours: a server that publishes once a minute has to keep a minute.
        let per_publish = values_between(subscription.publish_interval, sampling);
        per_publish.saturating_mul(2).clamp(QUEUE_MIN, QUEUE_MAX)
    });
    let parameters = MonitoringParameters {
        client_handle: item.handle,
        sampling_interval: item.sampling.map_or(0.0, |sampling| sampling.as_secs_f64() * 1_000.0),
        filter: if filtered {
            ExtensionObject::from_message(filter)
        } else {
            ExtensionObject::null()
        },
        queue_size,
        discard_oldest: true,
    };
    let node = ReadValueId::new(item.node.clone(), AttributeId::Value);
    MonitoredItemCreateRequest::new(node, MonitoringMode::Reporting, parameters)
}

/// Values that are sampled between two notifications.
pub(crate) fn values_between(publishing: Duration, sampling: Duration) -> u32 {
    let values = publishing.as_millis().div_ceil(sampling.as_millis().max(1));
    u32::try_from(values).unwrap_or(u32::MAX)
}

/// Whether the server says that it does not let itself be subscribed to, or not to that much.
pub(crate) fn is_subscribing_refused(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadServiceUnsupported
            | StatusCode::BadNotSupported
            | StatusCode::BadNotImplemented
            | StatusCode::BadTooManySubscriptions
            | StatusCode::BadTooManyMonitoredItems
    )
}

/// Whether the server says that it does not let us have a value, and not only that there is none now.
pub(crate) fn is_point_refused(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadNodeIdUnknown
            | StatusCode::BadNodeIdInvalid
            | StatusCode::BadAttributeIdInvalid
            | StatusCode::BadNotReadable
            | StatusCode::BadUserAccessDenied
    )
}

/// Whether the server says that there is no such session or subscription any more.
pub(crate) fn is_session_over(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadSessionIdInvalid
            | StatusCode::BadSessionClosed
            | StatusCode::BadSessionNotActivated
            | StatusCode::BadSecureChannelIdInvalid
            | StatusCode::BadSecureChannelClosed
            | StatusCode::BadNoSubscription
            | StatusCode::BadSubscriptionIdInvalid
    )
}

/// Whether an answer was too large for us, or could not be read: some value in it is not as the others are.
pub(crate) fn is_unreadable(status: StatusCode) -> bool {
    is_too_large(status) || status == StatusCode::BadDecodingError
}

/// Whether an answer was too large.
pub(crate) fn is_too_large(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadEncodingLimitsExceeded
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadTcpMessageTooLarge
    )
}

fn is_filter_refused(status: StatusCode) -> bool {
    status == StatusCode::BadMonitoredItemFilterUnsupported
        || status == StatusCode::BadMonitoredItemFilterInvalid
        || status == StatusCode::BadFilterNotAllowed
}

/// A page of history.
#[derive(Debug)]
pub(crate) struct HistoryPage {
    pub(crate) values: Vec<DataValue>,
    pub(crate) continuation: Option<Vec<u8>>,
}

/// Reads a page of at most `page_size` values from `from` on, forward.
///
/// # Source
/// OPC 10000-11 §6.5.3 (`ReadRawModifiedDetails`): with start, end and a number of values the server reads forward and
/// gives a continuation point when more is left.
pub(crate) async fn read_history(
    session: &Session,
    node: &NodeId,
    from: Timestamp,
    continuation: Option<Vec<u8>>,
    page_size: usize,
) -> Result<HistoryPage, StatusCode> {
    let details = ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: to_date_time(from),
        // Far away rather than open: some servers take an open end for a wish to read backward.
        end_time: to_date_time(Timestamp(Timestamp::MAX.0.max(from.0.saturating_add(1)))),
        num_values_per_node: u32::try_from(page_size).unwrap_or(u32::MAX),
        return_bounds: false,
    };
    let wanted = HistoryReadValueId {
        node_id: node.clone(),
        continuation_point: continuation.map_or_else(ByteString::null, ByteString::from),
        ..HistoryReadValueId::default()
    };
    let action = HistoryReadAction::ReadRawModifiedDetails(details);
    let results = session
        .history_read(action, TimestampsToReturn::Both, false, &[wanted])
        .await
        .map_err(|error| error.status())?;
    let result = results.into_iter().next().ok_or(StatusCode::BadUnknownResponse)?;
    if result.status_code.is_bad() && result.status_code != StatusCode::BadNoData {
        return Err(result.status_code);
    }
    let continuation = result.continuation_point.value.filter(|token| !token.is_empty());
    let values = match result.history_data.into_inner_as::<HistoryData>() {
        Some(data) => data.data_values.unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(HistoryPage { values, continuation })
}

/// Whether a history that could not be read can be read later.
pub(crate) fn failure(status: StatusCode) -> Failure {
    match status {
        StatusCode::BadContinuationPointInvalid => Failure::ContinuationLost,
        StatusCode::BadHistoryOperationUnsupported
        | StatusCode::BadHistoryOperationInvalid
        | StatusCode::BadServiceUnsupported
        | StatusCode::BadNotSupported
        | StatusCode::BadNotImplemented
        | StatusCode::BadNotReadable
        | StatusCode::BadUserAccessDenied
        | StatusCode::BadNodeIdUnknown
        | StatusCode::BadNodeIdInvalid
        | StatusCode::BadDecodingError => Failure::Unsupported,
        _ => Failure::Temporary,
    }
}

/// How many values are read at once: fewer once the server said that it gives no more (its `MaxNodesPerRead`).
#[derive(Debug, Clone)]
pub(crate) struct ReadSize(Arc<AtomicUsize>);

impl Default for ReadSize {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(ITEMS_PER_REQUEST)))
    }
}

/// Reads the values of `nodes`, no older than `age_max`; the server's word for each, in their order. It may take
/// `time_limit`, or the session's own where there is none.
///
/// # Source
/// OPC 10000-4 §5.11.2.2 (`maxAge`): a server reads a new value where the one that it remembers is older; 0 asks for a new
/// one always.
pub(crate) async fn read(
    session: &Session,
    nodes: &[NodeId],
    age_max: Duration,
    time_limit: Option<Duration>,
    size_max: &ReadSize,
) -> Result<Vec<DataValue>, StatusCode> {
    let age_max_ms = age_max.as_secs_f64() * 1_000.0;
    let mut values = Vec::with_capacity(nodes.len());
    let mut size = size_max.0.load(Ordering::Relaxed);
    let mut rest = nodes;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        let wanted: Vec<ReadValueId> =
            batch.iter().map(|node| ReadValueId::new(node.clone(), AttributeId::Value)).collect();
        let mut request = Read::new(session)
            .nodes_to_read(wanted)
            .timestamps_to_return(TimestampsToReturn::Both)
            .max_age(age_max_ms);
        if let Some(time_limit) = time_limit {
            request = request.timeout(time_limit);
        }
        match request.send(session.channel()).await {
            Ok(response) => {
                let mut answers = response.results.unwrap_or_default();
                let status = Some(StatusCode::BadUnknownResponse);
                let nothing = || DataValue { status, ..DataValue::default() };
                answers.resize_with(batch.len(), nothing);
                values.extend(answers);
            }
            Err(error) if error.status() == StatusCode::BadTooManyOperations && size > 1 => {
                size = size.div_ceil(2);
                size_max.0.store(size, Ordering::Relaxed);
                continue;
            }
            Err(error) if is_too_large(error.status()) && batch.len() > 1 => {
                size = batch.len().div_ceil(2);
                continue;
            }
            Err(error) if is_too_large(error.status()) => {
                values.push(DataValue { status: Some(error.status()), ..DataValue::default() });
            }
            Err(error) => return Err(error.status()),
        }
        rest = after;
    }
    Ok(values)
}

/// Asks the server whether it runs, and for its time: something small to measure its answer by. Gives its time where it
/// says one.
pub(crate) async fn probe(session: &Session) -> Result<Option<Timestamp>, StatusCode> {
    let wanted =
        [VariableId::Server_ServerStatus_State, VariableId::Server_ServerStatus_CurrentTime];
    let wanted = wanted.map(|variable| ReadValueId::new(variable.into(), AttributeId::Value));
    let read = session.read(&wanted, TimestampsToReturn::Neither, 0.0).await;
    let values = read.map_err(|error| error.status())?;
    Ok(match values.get(1).and_then(|value| value.value.as_ref()) {
        Some(Variant::DateTime(time)) => storable(Some(time)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_granted_decides_whether_each_change_comes() {
        let check = |revised_sampling_interval, revised_queue_size, expected| {
            let result = MonitoredItemCreateResult {
                revised_sampling_interval,
                revised_queue_size,
                ..MonitoredItemCreateResult::default()
            };
            let monitored = monitored(7, &result);
            assert_eq!((monitored.handle, monitored.every_change), (7, expected), "{result:?}");
        };
        check(0.0, 1_000, true);
        check(0.0, 1, false);
        check(1_000.0, 1_000, false);
        check(-1.0, 1_000, false);
        check(f64::NAN, 1_000, false);
    }

    #[test]
    fn a_server_that_publishes_rarely_is_asked_to_keep_more() {
        let queue = |publish_s: u64, sampling_ms: u64| {
            let publish_interval = Duration::from_secs(publish_s);
            let granted = Granted { id: 1, publish_interval, silence_max: Duration::MAX };
            let sampling = Some(Duration::from_millis(sampling_ms));
            let item = Item { handle: 1, node: NodeId::new(2, 1), sampling };
            to_request(&item, &granted, true).requested_parameters.queue_size
        };
        assert_eq!(queue(1, 1_000), QUEUE_MIN);
        assert_eq!(queue(60, 1_000), 120);
        assert_eq!(queue(3_600, 100), QUEUE_MAX);
    }

    #[test]
    fn a_short_answer_costs_only_the_items_that_it_leaves_out() {
        let item = |handle| Item { handle, node: NodeId::new(2, handle), sampling: None };
        let items: Vec<Item> = (1..=3).map(item).collect();
        let good = MonitoredItemCreateResult::default();
        let bad = MonitoredItemCreateResult {
            status_code: StatusCode::BadNodeIdUnknown,
            ..MonitoredItemCreateResult::default()
        };
        let of = |results: &[MonitoredItemCreateResult]| -> Vec<(u32, StatusCode)> {
            all_monitored(&items, results).iter().map(|made| (made.handle, made.status)).collect()
        };
        let unknown = StatusCode::BadUnknownResponse;
        let expected = [(1, StatusCode::Good), (2, StatusCode::BadNodeIdUnknown), (3, unknown)];
        assert_eq!(of(&[good.clone(), bad]), expected);
        assert_eq!(of(&[]), [(1, unknown), (2, unknown), (3, unknown)]);
        assert_eq!(of(&vec![good; 9]).len(), 3);
    }
}
