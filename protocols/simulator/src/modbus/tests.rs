//! What is served, read back by a client of tokio-modbus over real sockets and a real pseudo-terminal.

use std::time::Duration;

use model::host::Clock;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_modbus::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::plant::{Machine, Source, What};

/// A clock that stands still: 2026-11-23T11:30:01.5Z.
pub(crate) struct Still;

const NOW: Timestamp = Timestamp(1_795_433_401_500_000);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

async fn tcp() -> (client::Context, Arc<Plant>, CancellationToken) {
    let plant = Arc::new(Plant::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Arc::clone(&plant), Arc::new(Still), stop.clone()));
    (client::tcp::connect(address).await.unwrap(), plant, stop)
}

#[tokio::test]
async fn a_machine_is_read_over_tcp() {
    let (mut client, plant, stop) = tcp().await;
    client.set_slave(Slave(3));
    let words = client.read_holding_registers(0, 20).await.unwrap().unwrap();
    let expect = |what| plant.moment(what, NOW);
    assert_eq!(i64::from(words[0]), expect(What::State(Machine::B1)));
    assert_eq!(i64::from(words[1]), expect(What::Program(Machine::B1)));
    let parts = (i64::from(words[10]) << 16) + i64::from(words[11]);
    assert_eq!(parts, expect(What::Reading(&[Source::Parts(Machine::B1)])));
    let energy = words[16..20].iter().fold(0, |sum, word| (sum << 16) + i64::from(*word));
    assert_eq!(energy, expect(What::Reading(&[Source::Machine(Machine::B1)])));
    assert!(parts > 10_000 && energy > 1_000_000, "{parts} {energy}");
    // A part of a value is that part.
    let half = client.read_input_registers(17, 2).await.unwrap().unwrap();
    assert_eq!(half, words[17..19]);
    stop.cancel();
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let (mut client, _, stop) = tcp().await;
    client.set_slave(Slave(99));
    let refused = client.read_holding_registers(0, 1).await.unwrap();
    assert_eq!(refused, Err(ExceptionCode::GatewayTargetDevice));
    client.set_slave(Slave(1));
    let refused = client.read_holding_registers(20, 1).await.unwrap();
    assert_eq!(refused, Err(ExceptionCode::IllegalDataAddress));
    let refused = client.read_coils(0, 1).await.unwrap();
    assert_eq!(refused, Err(ExceptionCode::IllegalFunction));
    stop.cancel();
}

#[tokio::test]
async fn the_serial_line_answers_its_units_and_outlives_noise() {
    let plant = Arc::new(Plant::new(1));
    let line = SerialLine::open().unwrap();
    let settings = tokio_serial::new(line.path().to_string_lossy(), 9_600);
    let stop = CancellationToken::new();
    let served = tokio::spawn(line.serve(Arc::clone(&plant), Arc::new(Still), stop.clone()));
    // Two clients after one another: the line survives that one closes it.
    for _ in 0..2 {
        let mut port = tokio_serial::SerialStream::open(&settings).unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut port, &[0x55; 300]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut client = client::rtu::attach_slave(port, Slave(2));
        let words = client.read_holding_registers(0, 4).await.unwrap().unwrap();
        let volume = words.iter().fold(0, |sum, word| (sum << 16) + i64::from(*word));
        assert_eq!(volume, plant.moment(What::Reading(&[Source::Water]), NOW));
        client.set_slave(Slave(3));
        let words = client.read_input_registers(0, 2).await.unwrap().unwrap();
        let volts = f32::from_bits((u32::from(words[0]) << 16) + u32::from(words[1]));
        assert!((225.0..238.0).contains(&volts), "{volts}");
        let refused = client.read_input_registers(200, 1).await.unwrap();
        assert_eq!(refused, Err(ExceptionCode::IllegalDataAddress));
        // Nobody answers for a unit that is not on the line.
        client.set_slave(Slave(9));
        let nobody = client.read_input_registers(0, 1);
        assert!(tokio::time::timeout(Duration::from_millis(100), nobody).await.is_err());
    }
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn the_endpoint_for_measurements_counts_what_it_served() {
    let flood = Flood::start("127.0.0.1:0".parse().unwrap(), 1_000).await.unwrap();
    let mut client = client::tcp::connect_slave(flood.address(), Slave(7)).await.unwrap();
    let first = client.read_input_registers(1_998, 2).await.unwrap().unwrap();
    let second = client.read_input_registers(1_998, 2).await.unwrap().unwrap();
    assert_ne!(first, second);
    client.read_holding_registers(1_999, 2).await.unwrap().unwrap_err();
    let expected = FloodCount { requests: 2, registers: 4, refused: 1, connections: 1 };
    assert_eq!(flood.stop().await, expected);
}
