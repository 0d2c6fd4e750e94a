//! The nodes: one folder per meter in a namespace of its own, `s=e_import` and so on in it. Values are computed when
//! they are asked for.

use std::collections::HashMap;
use std::sync::Arc;

use async_opcua::server::address_space::{AccessLevel, AddressSpace, VariableBuilder};
use async_opcua::server::diagnostics::NamespaceMetadata;
use async_opcua::server::node_manager::memory::{
    InMemoryNodeManager, InMemoryNodeManagerImpl, InMemoryNodeManagerImplBuilder,
};
use async_opcua::server::node_manager::{
    HistoryNode, ParsedReadValueId, RequestContext, ServerContext,
};
use async_opcua::server::{ContinuationPoint, CreateMonitoredItem};
use async_opcua::sync::RwLock;
use async_opcua::types::{
    AttributeId, DataTypeId, DataValue, HistoryData, NodeId, ObjectId, ReadRawModifiedDetails,
    StatusCode, TimestampsToReturn, Variant,
};
use async_trait::async_trait;
use model::host::Clock;
use model::{Decimal, Timestamp};

use super::Grid;
use super::history::{Span, to_date_time};
use crate::device::{Device, Link, Signal, devices};
use crate::plant::Plant;

/// A value that comes sooner than the sampling interval that a client asked for would be given a later time by the server
/// library; so every item is sampled at this interval, which nothing undercuts.
const SAMPLING_MILLIS: f64 = 1.0;

/// What the nodes are computed from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) plant: Arc<Plant>,
    pub(super) clock: Arc<dyn Clock>,
    /// Times of the registers, and of the other values.
    pub(super) counters: Grid,
    pub(super) gauges: Grid,
}

impl Source {
    fn grid(&self, signal: &Signal) -> &Grid {
        if signal.counter { &self.counters } else { &self.gauges }
    }

    /// The value at one time of the grid.
    fn at(&self, signal: &Signal, time: Timestamp) -> DataValue {
        let mantissa = self.plant.moment(signal.what, time);
        let value = Decimal { mantissa, exponent: signal.exponent }.to_f64();
        DataValue::new_at(Variant::Double(value), to_date_time(time))
    }

    /// The newest value there is.
    fn newest(&self, signal: &Signal) -> DataValue {
        match self.grid(signal).at_or_before(self.clock.now()) {
            Some(time) => self.at(signal, time),
            None => DataValue::new_now_status(Variant::Empty, StatusCode::BadNoData),
        }
    }
}

/// The node manager of the plant.
pub(super) type Nodes = InMemoryNodeManager<NodesImpl>;

/// Makes the nodes.
pub(super) struct NodesBuilder(pub(super) Source);

pub(super) struct NodesImpl {
    source: Source,
    namespaces: Vec<NamespaceMetadata>,
    signals: HashMap<NodeId, &'static Signal>,
}

impl InMemoryNodeManagerImplBuilder for NodesBuilder {
    type Impl = NodesImpl;

    fn build(self, context: ServerContext, address_space: &mut AddressSpace) -> NodesImpl {
        let mut namespaces = Vec::new();
        let mut signals = HashMap::new();
        for device in devices().filter(|device| device.link == Link::OpcUa) {
            let uri = device.namespace();
            let index = context.type_tree.write().namespaces_mut().add_namespace(&uri);
            address_space.add_namespace(&uri, index);
            namespaces.push(NamespaceMetadata {
                namespace_uri: uri,
                namespace_index: index,
                ..NamespaceMetadata::default()
            });
            folder(device, index, address_space, &mut signals);
        }
        NodesImpl { source: self.0, namespaces, signals }
    }
}

fn folder(
    device: &'static Device,
    namespace: u16,
    address_space: &mut AddressSpace,
    signals: &mut HashMap<NodeId, &'static Signal>,
) {
    let folder = NodeId::new(namespace, device.id);
    address_space.add_folder(&folder, device.id, device.en, &ObjectId::ObjectsFolder.into());
    let readable = AccessLevel::CURRENT_READ | AccessLevel::HISTORY_READ;
    for signal in device.signals {
        let node = NodeId::new(namespace, signal.metric);
        VariableBuilder::new(&node, signal.metric, signal.metric)
            .data_type(DataTypeId::Double)
            .value(0.0_f64)
            .access_level(readable)
            .user_access_level(readable)
            .historizing(true)
            .organized_by(folder.clone())
            .insert(address_space);
        signals.insert(node, signal);
    }
}

#[expect(clippy::mut_mut, reason = "the library's trait passes its items so")]
#[async_trait]
impl InMemoryNodeManagerImpl for NodesImpl {
    async fn init(&self, _: &mut AddressSpace, _: ServerContext) {}

    fn name(&self) -> &'static str {
        "plant"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps: TimestampsToReturn,
    ) -> Vec<DataValue> {
        let address_space = address_space.read();
        let read = |node: &&ParsedReadValueId| match self.signals.get(&node.node_id) {
            Some(signal) => self.source.newest(signal),
            None => address_space.read(context, node, max_age, timestamps),
        };
        nodes.iter().map(read).collect()
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        for item in items {
            let node = item.item_to_monitor();
            let value = match self.signals.get(&node.node_id) {
                Some(signal) => self.source.newest(signal),
                None => address_space.read().read(context, node, 0.0, TimestampsToReturn::Both),
            };
            if value.status() != StatusCode::BadAttributeIdInvalid {
                item.set_initial_value(value);
            }
            item.revise_sampling_interval(SAMPLING_MILLIS);
            item.set_status(StatusCode::Good);
        }
    }

    async fn history_read_raw_modified(
        &self,
        _: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        _: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        for node in nodes {
            match self.page(node, details) {
                Ok((values, left)) => {
                    let empty = values.is_empty();
                    node.set_result(HistoryData { data_values: Some(values) });
                    node.set_next_continuation_point(
                        left.map(|left| ContinuationPoint::new(Box::new(left))),
                    );
                    node.set_status(if empty { StatusCode::GoodNoData } else { StatusCode::Good });
                }
                Err(status) => node.set_status(status),
            }
        }
        Ok(())
    }
}

impl NodesImpl {
    fn page(
        &self,
        node: &HistoryNode,
        details: &ReadRawModifiedDetails,
    ) -> Result<(Vec<DataValue>, Option<Span>), StatusCode> {
        let signal = self.signals.get(node.node_id());
        let signal = signal.ok_or(StatusCode::BadHistoryOperationUnsupported)?;
        let span = match node.continuation_point() {
            Some(point) => *point.get::<Span>().ok_or(StatusCode::BadContinuationPointInvalid)?,
            None => Span::asked(details)?,
        };
        let now = self.source.clock.now();
        let (times, left) = span.until(now).page(self.source.grid(signal), now);
        Ok((times.into_iter().map(|time| self.source.at(signal, time)).collect(), left))
    }

    /// The values of all nodes that belong to one live time.
    pub(super) fn live(
        &self,
        time: Timestamp,
    ) -> impl Iterator<Item = (DataValue, &NodeId, AttributeId)> {
        self.signals
            .iter()
            .map(move |(node, signal)| (self.source.at(signal, time), node, AttributeId::Value))
    }
}
