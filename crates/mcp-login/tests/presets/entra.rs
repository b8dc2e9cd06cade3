//! Microsoft Entra: the issuer is that of the person's tenant, whichever door they came in by.

use mcp_login::settings::AccessRule;
use mcp_login::upstream::{Login, Upstream, UpstreamError};
use serde_json::{Value, json};

use crate::door::Door;
use crate::run::Run;
use crate::shape::shape;

const ACME: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const OTHER: &str = "11111111-2222-3333-4444-555555555555";
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn issuer(run: &Run<'_>, tenant: &str) -> Value {
    json!(run.services.moved(&format!("https://login.microsoftonline.com/{tenant}/v2.0")))
}

/// A login by this door, with this tenant in the claims and that in the issuer.
async fn log_in(door: &str, tid: Value, iss: &str) -> Result<Login, UpstreamError> {
    let mut run = Run::new("microsoft", shape("microsoft")).await;
    run.upstream = run.upstream.param("tenant", door);
    let mut claims = run.claims();
    claims["iss"] = issuer(&run, iss);
    claims["tid"] = tid;
    let id_token = run.sign(&claims);
    let shape = run.shape;
    let at = |text: &str| text.replace("/common/", &format!("/{door}/"));
    run.services.answers(&at(&shape.exchange.to), shape.answer.replace("{id_token}", &id_token));
    run.services.answers(&at(shape.jwks.as_ref().unwrap()), run.jwks());
    run.exchange(&shape.callback).await
}

#[tokio::test]
async fn each_door_lets_its_own_tenants_in() {
    for (door, tenant) in [
        ("common", ACME),
        ("common", CONSUMERS),
        ("organizations", ACME),
        ("consumers", CONSUMERS),
        (ACME, ACME),
    ] {
        let login = log_in(door, json!(tenant), tenant).await.unwrap();
        assert_eq!(login.identity.subject, format!("{tenant}:690222be-ff1a"), "{door}");
        assert_eq!(login.identity.claims["tid"], tenant);
    }
}

#[tokio::test]
async fn no_door_lets_in_whom_the_issuer_does_not_name() {
    for (door, tid, iss) in [
        ("common", json!(ACME), OTHER),
        ("common", json!(ACME), "common"),
        ("common", json!(ACME), "{tenantid}"),
        ("common", json!("common"), "common"),
        ("common", json!(null), ACME),
        ("organizations", json!(CONSUMERS), CONSUMERS),
        ("consumers", json!(ACME), ACME),
        (ACME, json!(OTHER), OTHER),
        // The tenant of the issuer counts where there is one door only; the tenant claim goes into the subject.
        (ACME, json!(ACME), "common"),
    ] {
        let refused = log_in(door, tid.clone(), iss).await;
        let Err(UpstreamError::Untrusted(why)) = refused else { panic!("{door} {tid} {iss}: {refused:?}") };
        assert_eq!(why, "the id_token is from another issuer", "{door} {tid} {iss}");
    }
}

#[tokio::test]
async fn a_whole_login_and_a_rule_on_the_tenant() {
    let rule = |tenant: &str| AccessRule {
        claims: [("tid".to_owned(), vec![json!(tenant)])].into(),
        ..AccessRule::default()
    };
    let door = Door::at("microsoft", rule(ACME), |_| {}).await;
    let known = door.known(&door.log_in().await).await;
    assert_eq!(known["subject"], format!("{ACME}:690222be-ff1a"));
    assert_eq!(known["email"], Value::Null, "nobody says that it was verified");
    let door = Door::at("microsoft", rule(OTHER), |_| {}).await;
    let refused = door.come_back().await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("access_denied"), "and the way back to the client");
}

#[test]
fn a_tenant_is_named_by_its_id() {
    for (tenant, good) in [(ACME, true), ("common", true), ("acme.onmicrosoft.com", false), ("a/b", false)] {
        let provider = mcp_login::upstream::preset("microsoft").unwrap();
        let upstream = Upstream::new(provider, "id", Some("secret".into())).param("tenant", tenant);
        assert_eq!(upstream.validate().is_ok(), good, "{tenant}");
    }
}
