#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use mcp_login::core::scope::Scopes;
use mcp_login::resource::{CallerIdentity, UpstreamTokenError, UpstreamTokenSource};
use serde_json::json;

use super::*;

struct NoTokens;

// What `#[async_trait]` writes; the macro is no dependency of this crate.
impl UpstreamTokenSource for NoTokens {
    fn upstream_token<'s, 'f>(
        &'s self,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, UpstreamTokenError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async { Err(UpstreamTokenError::LoginNeeded) })
    }
}

fn caller() -> Caller {
    let claims = json!({ "org": "acme", "n": 7, "groups": ["a,b", "c"], "gone": null, "bad": "x\r\nY: z" });
    let identity = CallerIdentity {
        subject: "u1".to_owned(),
        name: Some("Zoë".to_owned()),
        claims: claims.as_object().unwrap().clone(),
        client_id: "c1".to_owned(),
        scopes: Scopes::parse("mcp x").unwrap(),
        ..CallerIdentity::default()
    };
    Caller::new(identity, Arc::new(NoTokens))
}

fn fill(template: &str) -> Option<String> {
    let caller = caller();
    let token = Secret::new("t0k");
    let values = Values { caller: &caller, upstream_token: Some(&token) };
    let value = Template::parse(template).unwrap().fill(Some(values))?;
    assert!(value.is_sensitive());
    Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

#[test]
fn every_placeholder_is_filled() {
    assert_eq!(fill("Bearer {upstream.access_token}").as_deref(), Some("Bearer t0k"));
    assert_eq!(fill("{user.sub}/{user.name}/{client.id}/{scope}").as_deref(), Some("u1/Zoë/c1/mcp x"));
    assert_eq!(fill("{claims.org}:{claims.n}").as_deref(), Some("acme:7"));
    assert_eq!(fill("{claims.groups}").as_deref(), Some(r#"["a,b","c"]"#));
    assert_eq!(fill("{{}} {{{scope}}}").as_deref(), Some("{} {mcp x}"));
    assert_eq!(fill("").as_deref(), Some(""));
}

#[test]
fn a_missing_or_dangerous_value_leaves_the_header_out() {
    for template in ["{user.email}", "x {claims.gone}", "{claims.absent}", "{claims.bad}"] {
        assert_eq!(fill(template), None, "{template}");
    }
}

#[test]
fn without_a_user_only_constants_are_sent() {
    assert!(Template::parse("key {user.sub}").unwrap().fill(None).is_none());
    assert_eq!(Template::parse("constant").unwrap().fill(None).unwrap(), "constant");
    assert!(!Template::parse("{{scope}}").unwrap().needs_user());
}

#[test]
fn what_is_no_template_is_refused() {
    for bad in
        ["{", "}", "{user.sub", "a}b", "{user}", "{User.sub}", "{claims.}", "{}", "a\nb", "{claims.{x}"]
    {
        assert!(Template::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn debug_shows_no_literal() {
    let shown = format!("{:?}", Template::parse("hunter2 {user.sub}").unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("UserSub"), "{shown}");
}
