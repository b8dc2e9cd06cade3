//! Organizations, teams and tenants: fetched when a rule asks for them, and not otherwise.

use std::collections::BTreeMap;

use mcp_login::settings::AccessRule;
use mcp_login_testkit::client::param;
use serde_json::json;

use crate::door::Door;
use crate::shape::shapes;

fn asking(claim: &str, value: &str) -> AccessRule {
    let claims = BTreeMap::from([(claim.to_owned(), vec![json!(value)])]);
    AccessRule { claims, ..AccessRule::default() }
}

/// Every list of every service: the claim, its entry, and the preset.
fn lists() -> impl Iterator<Item = (&'static str, &'static str)> {
    shapes()
        .iter()
        .flat_map(|(name, shape)| shape.lists.keys().map(move |list| (name.as_str(), list.as_str())))
}

#[test]
fn every_list_is_played() {
    for provider in mcp_login::upstream::all() {
        let played = shapes().get(&provider.name).map(|shape| shape.lists.keys().collect::<Vec<_>>());
        assert_eq!(
            provider.lists.keys().collect::<Vec<_>>(),
            played.unwrap_or_default(),
            "{}",
            provider.name
        );
    }
}

#[tokio::test]
async fn a_rule_fetches_its_list_and_lets_in_who_is_on_it() {
    for (name, claim) in lists() {
        let list = &shapes()[name].lists[claim];
        for (entry, admitted) in
            list.holds.iter().map(|entry| (entry.as_str(), true)).chain([("nobody", false)])
        {
            let door = Door::at(name, asking(claim, entry), |_| {}).await;
            let sent = door.to_service().await;
            let scope = param(&sent, "scope").unwrap_or_default();
            let asked: Vec<&str> = scope.split(' ').filter(|scope| !scope.is_empty()).collect();
            let usual = &door.run.upstream.provider().scopes;
            let wanted: Vec<&str> = usual.iter().chain(&list.scope).map(String::as_str).collect();
            assert_eq!(asked, wanted, "{name}.{claim}");
            door.play(&sent);
            door.run.services.answers(&list.from, &list.answer);
            let back = door.browser.open_from_elsewhere(door.back(&sent).as_str()).await;
            let told = mcp_login_testkit::browser::way_on(back).await.parse().unwrap();
            let seen = door.run.services.seen();
            let token = format!("Bearer {}", door.run.shape.tokens.access_token);
            let asked = seen.iter().find(|seen| seen.url == list.from).unwrap();
            assert_eq!((asked.method.as_str(), asked.header("authorization")), ("GET", Some(token.as_str())));
            if admitted {
                assert_eq!(door.known(&told).await["claims"][claim], json!(list.holds), "{name}.{claim}");
            } else {
                assert_eq!(param(&told, "error").as_deref(), Some("access_denied"), "{name}.{claim}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_rule_no_list_is_fetched_and_no_scope_asked() {
    for (name, _) in lists() {
        let door = Door::at(name, AccessRule::default(), |_| {}).await;
        let sent = door.to_service().await;
        let lists = door.run.shape.lists.values();
        let scope = param(&sent, "scope").unwrap_or_default();
        assert!(
            lists.clone().filter_map(|list| list.scope.as_ref()).all(|of_list| !scope.contains(of_list)),
            "{name}"
        );
        door.play(&sent);
        door.browser.open_from_elsewhere(door.back(&sent).as_str()).await;
        let seen = door.run.services.seen();
        assert!(seen.iter().all(|seen| lists.clone().all(|list| seen.url != list.from)), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_neither_a_yes_nor_a_no() {
    for (status, answer, error) in [
        (503, "", "temporarily_unavailable"),
        (429, "", "temporarily_unavailable"),
        // The scope is missing at the service: the operator's to see to.
        (403, r#"{"message":"Forbidden"}"#, "server_error"),
    ] {
        let door = Door::at("github", asking("orgs", "acme"), |_| {}).await;
        door.run.services.answers_with("https://api.github.com/user/orgs", status, answer);
        let told = door.log_in().await;
        assert_eq!(param(&told, "code"), None, "{status}: no yes");
        assert_eq!(param(&told, "error").as_deref(), Some(error), "{status}: no no");
        // And the next one goes through.
        let list = &door.run.shape.lists["orgs"];
        door.run.services.answers(&list.from, &list.answer);
        assert_eq!(door.known(&door.log_in().await).await["claims"]["orgs"], json!(["acme", "other"]));
    }
}

#[tokio::test]
async fn what_is_no_list_is_not_believed() {
    let door = Door::at("github", asking("orgs", "acme"), |_| {}).await;
    door.run.services.answers("https://api.github.com/user/orgs", r#"{"login":"acme"}"#);
    let sent = door.to_service().await;
    door.play(&sent);
    let back = door.browser.open_from_elsewhere(door.back(&sent).as_str()).await;
    assert_eq!(back.status(), 400, "a page: the client is told nothing");
}
