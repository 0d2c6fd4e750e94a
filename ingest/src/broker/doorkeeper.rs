//! The rights of the embedded broker, and what is told of those who may not: anybody on this machine may connect as
//! often as they like, so their lines are few and counted.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use broker_guard::Rights;
use model::host::Clock;
use model::topic;
use mqtt5::broker::AuthProvider;
use mqtt5::broker::auth::AuthResult;
use mqtt5::packet::connect::ConnectPacket;

use crate::damper::Damper;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lines a minute about subscriptions that were refused.
const FILTER_LINES_MAX: u32 = 1;

/// The rights, and the lines about them.
pub(super) struct Doorkeeper {
    pub(super) rights: Rights,
    clock: Arc<dyn Clock>,
    told: Mutex<Damper>,
    /// Of subscriptions: a program that is refused one asks for it again and again.
    told_of_filters: Mutex<Damper>,
}

impl Doorkeeper {
    pub(super) fn new(rights: Rights, clock: Arc<dyn Clock>) -> Self {
        let told_of_filters = Mutex::new(Damper::of(FILTER_LINES_MAX));
        Self { rights, clock, told: Mutex::default(), told_of_filters }
    }

    /// Tells something about a client, unless clients brought as many lines lately as they may; with how many were not told
    /// since the last line.
    pub(super) fn tell(&self, line: impl FnOnce(u64)) {
        self.tell_of(&self.told, line);
    }

    fn tell_of(&self, told: &Mutex<Damper>, line: impl FnOnce(u64)) {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(not_told) = told.tells(self.clock.monotonic()) {
            line(not_told);
        }
    }
}

impl AuthProvider for Doorkeeper {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        self.rights.authenticate(connect, address)
    }

    fn authorize_publish<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let (client, allowed) =
            (client.to_owned(), self.rights.authorize_publish(client, user, topic));
        Box::pin(async move {
            let allowed = allowed.await;
            if !allowed {
                self.tell(|not_told| {
                    tracing::warn!(
                        client,
                        user,
                        topic,
                        not_told,
                        "message refused: only a gateway may write, and only to its own topics"
                    );
                });
            }
            allowed
        })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let (client, allowed) =
            (client.to_owned(), self.rights.authorize_subscribe(client, user, filter));
        Box::pin(async move {
            let allowed = allowed.await;
            if !allowed {
                self.tell_of(&self.told_of_filters, |not_told| {
                    tracing::warn!(
                        client,
                        filter,
                        not_told,
                        "subscription refused: subscribe to `{}/#` for all live values; `gw/…` is between gateways and the centre",
                        topic::LIVE_ROOT
                    );
                });
            }
            allowed
        })
    }
}
