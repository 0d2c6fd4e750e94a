//! Modbus TCP: several unit ids behind one endpoint. A unit that is not there is answered as a gateway does, exception
//! 11.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use model::host::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Response, SlaveRequest};
use tokio_util::sync::CancellationToken;

use super::{answer, device};
use crate::device::Link;
use crate::plant::Plant;

#[derive(Clone)]
struct Units {
    plant: Arc<Plant>,
    clock: Arc<dyn Clock>,
}

impl Service for Units {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: SlaveRequest<'static>) -> Self::Future {
        let found = device(Link::ModbusTcp(request.slave));
        ready(match found {
            Some(device) => answer(&self.plant, device, &request.request, self.clock.now()),
            None => Err(ExceptionCode::GatewayTargetDevice),
        })
    }
}

/// Serves until stopped; a connection that breaks ends alone.
pub(crate) async fn serve(
    listener: TcpListener,
    plant: Arc<Plant>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let units = Units { plant, clock };
    let served = run(listener, move || units.clone(), stop).await;
    if let Err(error) = served {
        tracing::error!(%error, "the Modbus TCP endpoint of the simulated plant ended");
    }
}

/// Accepts connections and gives each a service of its own.
pub(super) async fn run<S>(
    listener: TcpListener,
    service: impl Fn() -> S + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: Service<Request = SlaveRequest<'static>> + Send + Sync + 'static,
    S::Future: Send,
{
    let connected = move |stream: TcpStream, from: SocketAddr| {
        let service = service.clone();
        async move {
            // Small answers go out at once; waiting for more would cost every poll 40 ms.
            stream.set_nodelay(true)?;
            accept_tcp_connection(stream, from, move |_| Ok(Some(service())))
        }
    };
    let broken = |error: io::Error| tracing::debug!(%error, "a Modbus TCP connection ended");
    Server::new(listener).serve_until(&connected, broken, stop.cancelled_owned()).await.map(drop)
}
