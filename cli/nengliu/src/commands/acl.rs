//! `nengliu acl`: the rights that a broker elsewhere must have. Must never touch a broker.

use crate::cli::AclBroker;
use crate::exit;

/// The ACL file of Mosquitto. A gateway's user name is its id; the patterns give each its own topics and no other's.
const MOSQUITTO: &str = "\
# Rights for Nengliu: put this into a file and name it in mosquitto.conf:
#   acl_file /etc/mosquitto/nengliu.acl
#   password_file /etc/mosquitto/passwords    (mosquitto_passwd -c /etc/mosquitto/passwords nengliu)
#   allow_anonymous true                      (only where screens may read without a password)
# A gateway connects with `user = \"its id\"` and its password in [uplink]; the centre with `user = \"USER\"` in [broker].

# Everybody: the live values.
topic read PREFIXv1/#

# Each gateway: what begins with its own id, exactly.
pattern write gw/%u/up
pattern write gw/%u/state
pattern read gw/%u/ack

# The centre.
user USER
topic read gw/+/up
topic read gw/+/state
topic write gw/+/ack
topic readwrite PREFIXv1/#
";

pub(crate) fn acl(broker: AclBroker, user: &str, prefix: Option<&str>) -> u8 {
    let AclBroker::Mosquitto = broker;
    let prefix = prefix.map(|prefix| format!("{}/", prefix.trim_matches('/')));
    let text = MOSQUITTO.replace("USER", user).replace("PREFIX", prefix.as_deref().unwrap_or(""));
    super::output::print(text).map_or_else(|code| code, |()| exit::OK)
}
