//! [`Rights`] as the embedded broker asks for them. The user of a connection is the gateway that it belongs to.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use model::GatewayId;
use mqtt5::broker::AuthProvider;
use mqtt5::broker::auth::AuthResult;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use crate::rights::{self, Denied, Rights, Subscription};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Rights {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let (user, password) = (connect.username.as_deref(), connect.password.as_deref());
        let result = match self.identify(&connect.client_id, user, password) {
            Ok(Some(gateway)) => AuthResult::success_with_user(gateway.as_str()),
            Ok(None) => AuthResult::success(),
            Err(Denied::ClientId) => AuthResult::fail(ReasonCode::ClientIdentifierNotValid),
            Err(Denied::Password | Denied::Unlisted) => {
                AuthResult::fail(ReasonCode::BadUsernameOrPassword)
            }
        };
        Box::pin(std::future::ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(rights::may_publish(gateway_of(user).as_ref(), topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let subscription = rights::subscription(gateway_of(user).as_ref(), filter);
        // The framer narrowed it before; what would still have to be narrowed did not pass by there.
        Box::pin(std::future::ready(subscription == Subscription::As))
    }
}

fn gateway_of(user: Option<&str>) -> Option<GatewayId> {
    user.and_then(|user| GatewayId::new(user).ok())
}
