//! The requests that are sent in a session, and what their answers mean. Must never try again by itself.

use std::time::Duration;

use async_opcua::client::{HistoryReadAction, Session};
use async_opcua::types::{
    AttributeId, ByteString, DataChangeFilter, DataChangeTrigger, DataValue, ExtensionObject,
    HistoryData, HistoryReadValueId, MonitoredItemCreateRequest, MonitoredItemCreateResult,
    MonitoringMode, MonitoringParameters, NodeId, ReadRawModifiedDetails, ReadValueId, StatusCode,
    TimestampsToReturn, VariableId,
};
use model::Timestamp;

use crate::codec::to_date_time;
use crate::history::Failure;
use crate::inbox::Inbox;
use crate::settings::Settings;

/// Most values in one notification.
pub(crate) const NOTIFICATIONS_PER_PUBLISH: u32 = 1_000;
/// Items that are created at once; small servers refuse more.
const ITEMS_PER_REQUEST: usize = 100;
/// Values that a server may keep for us between two notifications: as many as it will for points with history, so
/// that reading back is rarely needed.
const QUEUE_MAX: u32 = 1_000;
const QUEUE_MIN: u32 = 4;
/// The server forgets a subscription that heard nothing from us for so many keep-alives.
const LIFETIME_KEEP_ALIVES: u32 = 10;
/// A session that says nothing for so many keep-alives is dead.
pub(crate) const WATCHDOG_KEEP_ALIVES: u32 = 3;

/// A subscription as the server granted it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) id: u32,
    /// How long it may be silent.
    pub(crate) silence_max: Duration,
}

/// Makes the subscription of a session.
pub(crate) async fn subscribe(
    session: &Session,
    settings: &Settings,
    inbox: Inbox,
) -> Result<Granted, StatusCode> {
    let interval = settings.publish_interval;
    let keep_alives = settings.keep_alive.as_millis().div_ceil(interval.as_millis().max(1));
    let keep_alives = u32::try_from(keep_alives).unwrap_or(u32::MAX).max(1);
    let lifetime = keep_alives.saturating_mul(LIFETIME_KEEP_ALIVES);
    let id = session
        .create_subscription(
            interval,
            lifetime,
            keep_alives,
            NOTIFICATIONS_PER_PUBLISH,
            0,
            true,
            inbox,
        )
        .await
        .map_err(|error| error.status())?;
    let granted = session.subscription_state().lock().get(id).map(|subscription| {
        subscription.publishing_interval().saturating_mul(subscription.max_keep_alive_count())
    });
    let keep_alive = granted.unwrap_or_default().max(settings.keep_alive);
    Ok(Granted { id, silence_max: keep_alive.saturating_mul(WATCHDOG_KEEP_ALIVES) })
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
    pub(crate) status: StatusCode,
    /// Whether each change is queued, and said so when one is lost: without a queue no overflow is told, and what
    /// lies between two samplings is skipped in silence.
    ///
    /// # Source
    /// OPC 10000-4 §5.13.1.2 (sampling interval 0: exception-based) and §5.13.1.5 (a queue of one sets no overflow
    /// bit).
    pub(crate) every_change: bool,
}

/// Monitors items; gives the server's word for each.
pub(crate) async fn monitor(
    session: &Session,
    subscription: u32,
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
    subscription: u32,
    settings: &Settings,
    items: &[Item],
    filtered: bool,
) -> Result<Vec<Monitored>, StatusCode> {
    let requests = items.iter().map(|item| to_request(item, settings, filtered)).collect();
    let created = session
        .create_monitored_items(subscription, TimestampsToReturn::Both, requests)
        .await
        .map_err(|error| error.status())?;
    Ok(items.iter().zip(&created).map(|(item, c)| monitored(item.handle, &c.result)).collect())
}

fn monitored(handle: u32, result: &MonitoredItemCreateResult) -> Monitored {
    let every_change = result.revised_sampling_interval == 0.0 && result.revised_queue_size > 1;
    Monitored { handle, status: result.status_code, every_change }
}

fn to_request(item: &Item, settings: &Settings, filtered: bool) -> MonitoredItemCreateRequest {
    // A value that is written again with a new time is a new reading, so the time is part of the trigger.
    let filter = DataChangeFilter {
        trigger: DataChangeTrigger::StatusValueTimestamp,
        deadband_type: 0,
        deadband_value: 0.0,
    };
    let queue_size = item.sampling.map_or(QUEUE_MAX, |sampling| {
        let per_publish =
            settings.publish_interval.as_millis().div_ceil(sampling.as_millis().max(1));
        u32::try_from(per_publish * 2).unwrap_or(QUEUE_MAX).clamp(QUEUE_MIN, QUEUE_MAX)
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
        | StatusCode::BadNodeIdInvalid => Failure::Unsupported,
        _ => Failure::Temporary,
    }
}

/// Reads the values of `nodes` as they are now; the server's word for each, in their order.
pub(crate) async fn read(
    session: &Session,
    nodes: &[NodeId],
) -> Result<Vec<DataValue>, StatusCode> {
    let mut values = Vec::with_capacity(nodes.len());
    let mut size = ITEMS_PER_REQUEST;
    let mut rest = nodes;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        let wanted: Vec<ReadValueId> =
            batch.iter().map(|node| ReadValueId::new(node.clone(), AttributeId::Value)).collect();
        match session.read(&wanted, TimestampsToReturn::Both, 0.0).await {
            Ok(answers) if answers.len() == batch.len() => values.extend(answers),
            Ok(_) => return Err(StatusCode::BadUnknownResponse),
            Err(error) if error.status() == StatusCode::BadTooManyOperations && size > 1 => {
                size = size.div_ceil(4);
                continue;
            }
            Err(error) => return Err(error.status()),
        }
        rest = after;
    }
    Ok(values)
}

/// Asks the server whether it runs: something small to measure its answer by.
pub(crate) async fn probe(session: &Session) -> Result<(), StatusCode> {
    let state = ReadValueId::new(VariableId::Server_ServerStatus_State.into(), AttributeId::Value);
    let read = session.read(&[state], TimestampsToReturn::Neither, 0.0).await;
    read.map(|_| ()).map_err(|error| error.status())
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
}
