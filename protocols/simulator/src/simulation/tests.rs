//! A whole plant is started, read over each of its protocols, and stopped.

use tokio_modbus::prelude::*;

use super::*;

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// 2026-11-23T11:30:01Z.
const NOW: Timestamp = Timestamp(1_795_433_401_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_serves_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimulationConfig::new(1, Arc::new(At(NOW)), folder.path().join("pki"));
    let running = Simulation::start(config).await.unwrap();
    assert!(running.opcua_certificate().is_file());
    let mut client = client::tcp::connect_slave(running.modbus_tcp(), Slave(11)).await.unwrap();
    let words = client.read_holding_registers(0, 8).await.unwrap().unwrap();
    assert!((6_300..9_400).contains(&words[2]), "{words:?}");
    let settings = tokio_serial::new(running.serial_path().to_string_lossy(), 9_600);
    let port = tokio_serial::SerialStream::open(&settings).unwrap();
    let mut client = client::rtu::attach_slave(port, Slave(1));
    assert_eq!(client.read_holding_registers(0, 6).await.unwrap().unwrap().len(), 6);
    let url = running.opcua_url().to_owned();
    let host = url.trim_start_matches("opc.tcp://").trim_end_matches('/').to_owned();
    tokio::net::TcpStream::connect(&host).await.unwrap();
    let modbus = running.modbus_tcp();
    running.stop().await;
    for gone in [host, modbus.to_string()] {
        tokio::net::TcpStream::connect(&gone).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = SimulationConfig::new(1, Arc::new(At(NOW)), folder.path().join("pki"));
    config.modbus_tcp_port = taken.local_addr().unwrap().port();
    let error = Simulation::start(config).await.err().unwrap();
    assert!(error.to_string().starts_with("the Modbus TCP server"), "{error}");
}

#[test]
fn a_month_is_expected_as_table_1_prints_it() {
    let plant = Plant::new(1);
    let month = Month::last_complete(NOW);
    let rows = expected(&plant, month);
    let kinds: Vec<_> = rows.iter().map(|row| (row.energy_kind, row.own)).collect();
    assert_eq!(
        kinds,
        [
            ("raw_coal", false),
            ("electricity", false),
            ("natural_gas", false),
            ("steam", false),
            ("steam", true),
            ("water", false),
        ]
    );
    assert_eq!(rows[0].quantity, None);
    let main = plant.integral(&METERS[0], month.from(), month.to());
    let printed = rows[1].quantity.unwrap();
    assert_eq!((printed.mantissa, printed.exponent), (main.mantissa, -6));
    assert_eq!(rows[1].unit, Unit::TenThousandKilowattHours);
}

#[test]
fn the_history_begins_a_day_before_the_last_complete_month() {
    let (counters, gauges) = grids(Timestamp(0), NOW, Duration::from_secs(5));
    assert_eq!(counters.live_from, Timestamp(1_795_433_400_000_000));
    assert_eq!((counters.coarse, gauges.coarse), (900_000_000, 3_600_000_000));
}
