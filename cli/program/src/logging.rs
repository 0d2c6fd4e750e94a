//! What a program sets up before anything else: its log and its TLS provider.

use tracing_subscriber::EnvFilter;

/// What a long-running program tells unless `RUST_LOG` says otherwise. The OPC UA library reports every refused
/// handshake several times over; our own faults say the same once, with what to do. So do those of the MQTT client, which
/// has a line for each refused message, and of the embedded broker, which has one for each refused client and message.
pub const DEFAULT_LOG: &str = "info,opcua_client=off,opcua_crypto=off,opcua_core=off,opcua_types=off,opcua_server=off,rumqttc=off,\
     mqtt5=warn,mqtt5::broker::client_handler=error,\
     buoyant_kernel=error,deltalake_core=error";
/// What a command that only answers tells.
pub const QUIET_LOG: &str = "warn,opcua_client=off,opcua_crypto=off,opcua_core=off,opcua_types=off,opcua_server=off,rumqttc=off,\
     mqtt5=error,\
     buoyant_kernel=error,deltalake_core=error";

/// What a command tells that says itself all that happened.
pub const ANSWER_LOG: &str = "error,opcua_client=off,opcua_crypto=off,opcua_core=off,opcua_types=off,opcua_server=off,rumqttc=off";

/// Logs to standard error at `RUST_LOG`, else at `level`, and names the TLS provider. Once in a process, at its start.
pub fn set_up(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        // It would print that it cannot print, and panic where the terminal is gone.
        .log_internal_errors(false)
        .init();
    // One TLS provider for the whole process, named before anything can ask for one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MQTT client wrote a line for each refused message beside our own, which is damped.
    #[test]
    fn each_filter_is_one_that_can_be_read_and_keeps_the_mqtt_client_silent() {
        for level in [DEFAULT_LOG, QUIET_LOG, ANSWER_LOG] {
            let filter = EnvFilter::builder().parse(level);
            let text = filter.map(|filter| filter.to_string()).unwrap();
            assert!(text.contains("rumqttc=off"), "{text}");
        }
    }
}
