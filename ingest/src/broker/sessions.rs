//! Which gateways have a connection to the embedded broker. A gateway is gone when its last one ended: a network that
//! broke leaves an old connection, which ends after the new one began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{GatewayId, topic};

use crate::inbox::Inbox;

/// Connections of gateways.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    inbox: Inbox,
    open: Arc<Mutex<BTreeMap<GatewayId, usize>>>,
}

/// One connection of a gateway, until dropped.
#[derive(Debug)]
pub(super) struct Session {
    gateway: GatewayId,
    sessions: Sessions,
}

impl Sessions {
    pub(super) fn new(inbox: Inbox) -> Self {
        Self { inbox, open: Arc::default() }
    }

    /// A connection of a gateway begins.
    pub(super) fn begin(&self, gateway: GatewayId) -> Session {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(gateway.clone()).or_default();
        *count = count.saturating_add(1);
        Session { gateway, sessions: self.clone() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Sessions { inbox, open } = &self.sessions;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = open.get_mut(&self.gateway) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            open.remove(&self.gateway);
            inbox.presence(self.gateway.clone(), topic::OFFLINE.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_gone_when_its_last_connection_ended() {
        let (inbox, mut reader) = crate::inbox::inbox();
        let sessions = Sessions::new(inbox);
        let gateway = GatewayId::new("g1").unwrap();
        let old = sessions.begin(gateway.clone());
        let new = sessions.begin(gateway);
        drop(old);
        assert!(reader.queue.try_recv().is_err(), "the new one is there");
        drop(new);
        let inbound = reader.queue.try_recv().unwrap();
        assert!(inbound.is_state && inbound.message == topic::OFFLINE);
        assert!(sessions.open.lock().unwrap().is_empty());
    }
}
