//! `nengliu acl`: the rights that a broker elsewhere must have. Must never touch a broker.

use crate::cli::AclBroker;
use crate::exit;
use crate::settings::live::{PREFIX_CODE, PREFIX_HELP, read_prefix};
use crate::settings::{USER_CODE, check_user};

/// Characters that a user name at Mosquitto cannot have: it ends a name in its password file at `:`, and refuses clients whose
/// name is no level of a topic where there are patterns.
const NOT_AT_MOSQUITTO: [char; 5] = [':', '+', '#', '/', ' '];

/// The ACL file of Mosquitto. A gateway's user name is its id; the patterns give each its own topics and no other's. What
/// stands before the first `user` is for clients without a name alone, and a pattern is for all: so the live values are one.
fn mosquitto(user: &str, prefix: &str) -> String {
    format!(
        "\
# Rights for Nengliu: put this into a file and name it in mosquitto.conf:
#   acl_file /etc/mosquitto/nengliu.acl
#   password_file /etc/mosquitto/passwords    (mosquitto_passwd -c /etc/mosquitto/passwords nengliu)
#   allow_anonymous true                      (only where screens may read without a name and a password)
# A gateway connects with `user = \"its id\"` and its password in [uplink]; the centre with `user = \"{user}\"` in [broker].

# Everybody, with a name or without: the live values. (Mosquitto warns that this pattern is without %c and %u; so it is meant.)
pattern read {prefix}v1/#

# Each gateway: what begins with its own id, exactly.
pattern write gw/%u/up
pattern write gw/%u/state
pattern read gw/%u/ack

# The centre.
user {user}
topic read gw/+/up
topic read gw/+/state
topic write gw/+/ack
topic readwrite {prefix}v1/#
"
    )
}

pub(crate) fn acl(broker: AclBroker, user: &str, prefix: Option<&str>) -> u8 {
    let AclBroker::Mosquitto = broker;
    let wrong_user = check_user(user).and_then(|()| {
        let is_known = !user.contains(NOT_AT_MOSQUITTO);
        is_known.then_some(()).ok_or_else(|| {
            format!("expected a name that Mosquitto can have, without spaces and : + # /, found `{user}`")
        })
    });
    if let Err(wrong) = wrong_user {
        program::show_words(
            USER_CODE,
            &format!("--user: {wrong}"),
            "as `[broker] user`, for example nengliu",
        );
        return exit::CONFIG;
    }
    let prefix = match prefix.map(read_prefix).transpose() {
        Ok(prefix) => prefix.map(|levels| format!("{levels}/")).unwrap_or_default(),
        Err(wrong) => {
            program::show_words(PREFIX_CODE, &format!("--prefix: {wrong}"), PREFIX_HELP);
            return exit::CONFIG;
        }
    };
    super::output::print(mosquitto(user, &prefix)).map_or_else(|code| code, |()| exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_other_lines_or_filters_are_refused() {
        let ends = |user: &str, prefix: Option<&str>| acl(AclBroker::Mosquitto, user, prefix);
        for user in ["", "a\ntopic readwrite #", " a", "a b", "a:b", "a/b", "+", "#"] {
            assert_eq!(ends(user, None), exit::CONFIG, "{user:?}");
        }
        let long = "p".repeat(201);
        for prefix in
            ["", "/", "#", "a/+", "a//b", "a b", "a\nuser x", "gw", "gw/x", "%u", "$SYS", &long]
        {
            assert_eq!(ends("nengliu", Some(prefix)), exit::CONFIG, "{prefix:?}");
        }
        for prefix in ["plants/north", "/plants/", "gwent", "\u{5382}"] {
            assert_eq!(ends("PREFIX", Some(prefix)), exit::OK, "{prefix:?}");
        }
        let text = mosquitto("PREFIX", "plants/north/");
        assert!(
            text.contains("user PREFIX\n") && text.contains("pattern read plants/north/v1/#\n")
        );
        // Whatever is said of topics alone stands below a user, so it is for that one.
        let first_topic = text.lines().position(|line| line.starts_with("topic"));
        assert!(first_topic > text.lines().position(|line| line.starts_with("user ")));
    }
}
