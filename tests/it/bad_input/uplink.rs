//! Files of the uplink that are wrong, whoever starts it: `gateway.toml` names the same with their places. Must never reach a broker.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gateway::UplinkSettings;
use gateway::mqtt::Broker;
use model::GatewayId;

use super::told::Told;

#[test]
fn an_uplink_whose_files_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("key.pem"), "this is no certificate\n").unwrap();
    let settings = |url: &str| UplinkSettings {
        id: model::DestinationId::default(),
        url: url.to_owned(),
        ca_file: None,
        credentials: None,
        resend_after: Duration::from_secs(10),
        backoff_max: Duration::from_mins(1),
    };
    let secure = |ca_file: &Path| UplinkSettings {
        ca_file: Some(ca_file.to_owned()),
        ..settings("mqtts://broker.example")
    };
    let mut told = Told::new("uplink");
    let mut tell = |case: &str, settings: &UplinkSettings| {
        let error = Broker::new(settings, &GatewayId::new("gw-1").unwrap()).err().unwrap();
        let mut words = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            words = format!("{words}\n  because: {source}");
        }
        told.row(case, "", &(words.replace(&format!("{}/", folder.path().display()), "") + "\n"));
    };
    let credentials = Some(("gw-1".to_owned(), at("password")));
    let plain = settings("mqtt://127.0.0.1:1883");
    tell("a password file that is not there", &UplinkSettings { credentials, ..plain });
    tell("a certificate that is not there", &secure(&at("ca.pem")));
    tell("a certificate that is none", &secure(&at("key.pem")));
    tell("a TCP port that does not exist", &settings("mqtt://127.0.0.1:188300"));
    tell("an address without a host", &settings("mqtt://"));
    tell("a password in the address", &settings("mqtt://joe:secret@127.0.0.1:1883"));
    tell("a topic behind the address", &settings("mqtt://127.0.0.1:1883/gw/gw-1/up"));
    tell("a key behind the path of a WebSocket", &settings("wss://broker.example/mqtt?key=1"));
    told.finish();
}
