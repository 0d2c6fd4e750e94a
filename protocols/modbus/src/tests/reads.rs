//! Well-behaved peers, and devices that refuse some of their addresses.

use std::sync::Arc;
use std::time::Duration;

use driver::{Protocol, RawKind};
use model::{Quality, Value};

use super::peer::{Act, Asked, register, tcp};
use super::support::{Running, TestDevice, planned, port_spec};

const POLL: Duration = Duration::from_millis(20);

/// A profile with u16 points named `r<register>`.
fn words(options: &str, area: &str, registers: impl IntoIterator<Item = u16>) -> String {
    let mut text = format!(
        "maker = \"m\"\nmodel = \"m\"\nprotocol = \"modbus\"\n[modbus]\narea = \"{area}\"\n{options}\n"
    );
    for register in registers {
        text += &format!(
            "[[point]]\nmetric = \"r{register}\"\nunit = \"V\"\nkind = \"gauge\"\n\
             unverified = true\nregister = {register}\n"
        );
    }
    text
}

async fn run_one(
    profile: &str,
    script: impl Fn(usize, Asked) -> Act + Send + Sync + 'static,
) -> (Running, super::peer::Log) {
    let (tcp_port, log) = tcp(Arc::new(script)).await;
    let keys = format!("address = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"200ms\"");
    let device = TestDevice { id: "dev", keys: "unit = 3", profile, poll: POLL };
    (Running::start(planned(port_spec(&keys, &[device]))), log)
}

#[tokio::test]
async fn reads_every_register_of_a_poll_with_its_own_value() {
    let profile = words("type = \"u16\"", "input", 0..200);
    let (mut running, log) = run_one(&profile, |_, _| Act::Answer).await;
    let samples = running.next().await;
    assert_eq!(samples.len(), 200);
    for sample in &samples {
        let expected = register(3, 4, u16::try_from(sample.point.0).unwrap());
        assert_eq!(sample.value, Some(Value::Decimal(i64::from(expected))), "{sample:?}");
        assert_eq!((sample.quality, sample.source_time), (Quality::GOOD, sample.gateway_time));
        assert!(sample.source_time.is_storable());
    }
    running.stop().await;
    let asked: Vec<(u16, u16)> =
        log.lock().unwrap().iter().take(2).map(|asked| (asked.start, asked.count)).collect();
    assert_eq!(asked, [(0, 125), (125, 75)]);
}
