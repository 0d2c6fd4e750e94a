//! What a server wants to know of who reads it.

use async_opcua::client::IdentityToken;
use async_opcua::types::{EndpointDescription, StatusCode, UserTokenPolicy, UserTokenType};

/// The ways to log in that an endpoint offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ways {
    /// For people: "anonymous; user and password".
    text: String,
    anonymous: bool,
    password: bool,
}

/// What an endpoint offers.
pub(crate) fn offered(endpoint: &EndpointDescription) -> Ways {
    let tokens = endpoint.user_identity_tokens.iter().flatten();
    let has = |kind| tokens.clone().any(|token| token.token_type == kind);
    let mut ways: Vec<String> = tokens.clone().map(describe).collect();
    ways.sort();
    ways.dedup();
    let text = if ways.is_empty() { "no way to log in".to_owned() } else { ways.join("; ") };
    let (anonymous, password) = (has(UserTokenType::Anonymous), has(UserTokenType::UserName));
    Ways { text, anonymous, password }
}

impl Ways {
    /// What a server wants that refused us with `status`, and what to change; goes on after its name.
    pub(crate) fn refusal(&self, user: Option<&str>, status: StatusCode) -> String {
        let Self { text, anonymous, password } = self;
        match (user, password, anonymous) {
            (None, true, _) => format!(
                "wants a user and a password ({status}), and none is configured: set `user` and `password_file`; it takes: {text}"
            ),
            (None, false, true) => format!(
                "offers to let anybody in and refuses it ({status}): look at its access rules; it takes: {text}"
            ),
            (None, false, false) => format!(
                "takes no login that the gateway has ({status}): allow a user with a password, or anonymous reading, on the server; it takes: {text}"
            ),
            (Some(user), true, _) => format!(
                "refuses user `{user}` ({status}): compare name, password and rights with the server's; it takes: {text}"
            ),
            (Some(user), false, true) => format!(
                "takes no user with a password, and `{user}` is configured ({status}): leave out `user` and `password_file`; it takes: {text}"
            ),
            (Some(user), false, false) => format!(
                "takes no user with a password, and `{user}` is configured ({status}): allow one on the server; it takes: {text}"
            ),
        }
    }
}

/// Whether an endpoint takes such a token at all.
pub(crate) fn is_offered(endpoint: &EndpointDescription, token: &IdentityToken) -> bool {
    let wanted = match token {
        IdentityToken::Anonymous => UserTokenType::Anonymous,
        IdentityToken::UserName(..) => UserTokenType::UserName,
        IdentityToken::X509(..) => UserTokenType::Certificate,
        IdentityToken::IssuedToken(_) => UserTokenType::IssuedToken,
    };
    endpoint.find_policy(wanted).is_some()
}

fn describe(token: &UserTokenPolicy) -> String {
    let kind = match token.token_type {
        UserTokenType::Anonymous => "anonymous",
        UserTokenType::UserName => "user and password",
        UserTokenType::Certificate => "a user certificate (not supported)",
        UserTokenType::IssuedToken => "an issued token (not supported)",
    };
    let policy = token.security_policy_uri.as_ref();
    match policy.rsplit_once('#') {
        // `None`: the password is as safe as the connection.
        Some((_, policy)) if token.token_type == UserTokenType::UserName && policy != "None" => {
            format!("{kind} ({policy})")
        }
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use async_opcua::client::Password;

    use super::*;

    #[test]
    fn a_refused_login_can_say_what_the_server_wants() {
        let token = |token_type, policy: &str| UserTokenPolicy {
            token_type,
            security_policy_uri: policy.into(),
            ..UserTokenPolicy::default()
        };
        let policy = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
        let tokens = vec![
            token(UserTokenType::UserName, policy),
            token(UserTokenType::Certificate, policy),
            token(UserTokenType::UserName, policy),
        ];
        let mut endpoint =
            EndpointDescription { user_identity_tokens: Some(tokens), ..Default::default() };
        let expected = "a user certificate (not supported); user and password (Basic256Sha256)";
        assert_eq!(offered(&endpoint).text, expected);
        assert!(!is_offered(&endpoint, &IdentityToken::Anonymous));
        let user = IdentityToken::UserName("reader".to_owned(), Password::new("secret"));
        assert!(is_offered(&endpoint, &user));
        endpoint.user_identity_tokens = None;
        assert_eq!(offered(&endpoint).text, "no way to log in");
        let none = "http://opcfoundation.org/UA/SecurityPolicy#None";
        endpoint.user_identity_tokens = Some(vec![token(UserTokenType::UserName, none)]);
        assert_eq!(offered(&endpoint).text, "user and password");
    }

    #[test]
    fn a_refusal_is_a_sentence_that_says_what_to_change() {
        use UserTokenType::{Anonymous, Certificate, UserName};
        let check = |user, kinds: &[UserTokenType], expected: &str| {
            let token = |kind: &UserTokenType| UserTokenPolicy {
                token_type: *kind,
                ..UserTokenPolicy::default()
            };
            let tokens = Some(kinds.iter().map(token).collect());
            let endpoint =
                EndpointDescription { user_identity_tokens: tokens, ..Default::default() };
            let found = offered(&endpoint).refusal(user, StatusCode::BadIdentityTokenRejected);
            assert!(found.contains(expected), "{found}");
            assert!(found.contains("(BadIdentityTokenRejected)"), "{found}");
            assert!(!found.contains("no user ("), "{found}");
        };
        check(None, &[UserName], "wants a user and a password");
        check(None, &[UserName, Anonymous], "set `user` and `password_file`");
        check(None, &[Anonymous], "look at its access rules");
        check(None, &[Certificate], "takes no login that the gateway has");
        check(None, &[], "no way to log in");
        check(Some("joe"), &[UserName], "refuses user `joe`");
        check(Some("joe"), &[Anonymous], "leave out `user` and `password_file`");
        check(Some("joe"), &[Certificate], "allow one on the server");
    }
}
