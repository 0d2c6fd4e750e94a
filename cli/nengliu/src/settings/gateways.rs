//! `[[gateway]]`: who may send to the embedded broker. Must never keep a password longer than the settings.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Problems, Table};
use model::GatewayId;

use super::BrokerSettings;

/// Reads them into the settings of the embedded broker.
pub(super) fn read(
    tables: Vec<Table>,
    broker: BrokerSettings,
    folder: &Path,
    problems: &mut Problems,
) -> BrokerSettings {
    let tcp_port = match broker {
        BrokerSettings::Embedded { tcp_port, .. } => tcp_port,
        BrokerSettings::External { .. } => {
            if let Some(table) = tables.first() {
                let message = "`[[gateway]]` belongs to the embedded broker, and `[broker] url` names another";
                let help = "`nengliu acl mosquitto` prints what that broker needs";
                problems.push(table.problem("EN-C012", message).help(help));
            }
            for mut table in tables {
                // Taken, so that each is named as one problem and not as unknown keys.
                table.optional::<String>("id", problems);
                table.optional::<String>("password_file", problems);
                table.finish(problems);
            }
            return broker;
        }
    };
    let mut passwords = BTreeMap::new();
    for mut table in tables {
        let id = table.required::<String>("id", problems);
        let file = table.required::<String>("password_file", problems);
        table.finish(problems);
        let (Some(id), Some(file)) = (id, file) else { continue };
        let Ok(gateway) = GatewayId::new(&id.value) else {
            let message = format!("`id` is `{}`: expected that of a gateway", id.value);
            problems
                .push(id.problem("EN-C013", message).help("as `[gateway] id` in its gateway.toml"));
            continue;
        };
        match config::read_secret(&folder.join(&file.value)) {
            Ok(password) => {
                if passwords.insert(gateway, password).is_some() {
                    let message = format!("gateway `{}` stands here twice", id.value);
                    problems.push(id.problem("EN-C013", message).help("leave one of them out"));
                }
            }
            Err(e) => problems.push(file.problem("EN-C014", model::error_chain(&e))),
        }
    }
    BrokerSettings::Embedded { tcp_port, passwords }
}
