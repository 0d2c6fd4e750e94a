//! What a server wants to know of who reads it. Must never hold a password.

use async_opcua::client::IdentityToken;
use async_opcua::types::{EndpointDescription, UserTokenPolicy, UserTokenType};

/// The ways to log in that an endpoint offers, for people: "anonymous; user and password".
pub(crate) fn offered(endpoint: &EndpointDescription) -> String {
    let tokens = endpoint.user_identity_tokens.iter().flatten();
    let mut ways: Vec<String> = tokens.map(describe).collect();
    ways.sort();
    ways.dedup();
    if ways.is_empty() { "no way to log in".to_owned() } else { ways.join("; ") }
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
        Some((_, policy)) if token.token_type == UserTokenType::UserName => {
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
        assert_eq!(offered(&endpoint), expected);
        assert!(!is_offered(&endpoint, &IdentityToken::Anonymous));
        let user = IdentityToken::UserName("reader".to_owned(), Password::new("secret"));
        assert!(is_offered(&endpoint, &user));
        endpoint.user_identity_tokens = None;
        assert_eq!(offered(&endpoint), "no way to log in");
    }
}
