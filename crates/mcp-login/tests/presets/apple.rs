//! Sign in with Apple: a secret that is signed, a callback that is another site's form, a name that comes once.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mcp_login::settings::AccessRule;
use mcp_login::upstream::{Upstream, UpstreamError, preset};
use mcp_login_testkit::browser::location;
use mcp_login_testkit::client::param;
use serde_json::{Value, json};
use url::Url;

use crate::door::Door;
use crate::run::{CLIENT, CODE, Run, SECRET};
use crate::shape::shape;

/// The claims of a secret that the public half vouches for.
fn claims_of(run: &Run<'_>, secret: &str) -> Value {
    let header = jsonwebtoken::decode_header(secret).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("KEY1234567")));
    let jwk: Jwk = serde_json::from_value(run.client_key.jwk()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    // The time is that of the test.
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode(secret, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn the_secret_is_a_jwt_of_the_clients_key() {
    let run = Run::new("apple", shape("apple")).await;
    let login = run.log_in().await.unwrap();
    run.services.answers(&run.shape.exchange.to, &run.shape.refresh.as_ref().unwrap().answer);
    run.upstream.refresh(&login.tokens, run.now).await.unwrap();
    let sent: Vec<String> = run
        .services
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST")
        .map(|seen| seen.get("client_secret").unwrap())
        .collect();
    assert_eq!(sent.len(), 2);
    let now = run.now.as_secs();
    for secret in sent {
        assert_eq!(
            claims_of(&run, &secret),
            json!({
                "iss": "TEAM123456", "sub": CLIENT, "aud": run.services.moved("https://appleid.apple.com"),
                "iat": now, "exp": now + 300,
            })
        );
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_the_operators_mistake() {
    let run = Run::new("apple", shape("apple")).await;
    let unusable = Upstream::new(preset("apple").unwrap(), CLIENT, Some(SECRET.into()))
        .param("team_id", "TEAM123456")
        .param("key_id", "KEY1234567");
    let login = run.log_in().await.unwrap();
    run.services.seen();
    let error = run.services.play(unusable).refresh(&login.tokens, run.now).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Misconfigured(_)), "{error}");
    assert!(error.to_string().starts_with("client_secret: "), "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert!(run.services.seen().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn the_form_of_another_site_becomes_a_login() {
    let door = Door::at("apple", AccessRule::default(), |_| {}).await;
    let sent = door.to_service().await;
    assert_eq!(param(&sent, "response_mode").as_deref(), Some("form_post"));
    door.play(&sent);
    let back = door.back(&sent);
    let mut form: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    form.push(("id_token".to_owned(), "of-the-front-channel".to_owned()));
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let callback = param(&sent, "redirect_uri").unwrap();
    let posted = door.browser.post_from_elsewhere(&callback, &form).await;
    assert_eq!(posted.status(), 303);
    let on = Url::parse(&location(&posted)).unwrap();
    assert_eq!((on.path(), param(&on, "code").as_deref()), ("/callback", Some(CODE)));
    assert_eq!(param(&on, "id_token"), None, "it comes from the service itself");
    assert!(door.run.services.seen().is_empty(), "without the cookie nothing is asked");
    let told = location(&door.browser.open_from_elsewhere(on.as_str()).await);
    let known = door.known(&Url::parse(&told).unwrap()).await;
    assert_eq!(known["subject"], "001234.aabb.0123");
    assert_eq!(known["name"], "Ada Lovelace");
    assert_eq!(known["email"], "x@privaterelay.appleid.com");
}

#[tokio::test]
async fn the_form_alone_is_worth_nothing() {
    let door = Door::at("apple", AccessRule::default(), |_| {}).await;
    let sent = door.to_service().await;
    let callback = param(&sent, "redirect_uri").unwrap();
    let state = param(&sent, "state").unwrap();
    let posted = door.browser.post_from_elsewhere(&callback, &[("code", CODE), ("state", &state)]).await;
    // Another browser has no cookie of this login.
    let stranger = mcp_login_testkit::browser::Browser::new();
    assert_eq!(stranger.open_from_elsewhere(&location(&posted)).await.status(), 400);
    assert!(door.run.services.seen().is_empty());
}

#[tokio::test]
async fn who_cancels_is_told_so() {
    let door = Door::at("apple", AccessRule::default(), |_| {}).await;
    let sent = door.to_service().await;
    let (callback, state) = (param(&sent, "redirect_uri").unwrap(), param(&sent, "state").unwrap());
    let form = [("error", "access_denied"), ("state", state.as_str())];
    let on = location(&door.browser.post_from_elsewhere(&callback, &form).await);
    let told = Url::parse(&location(&door.browser.open_from_elsewhere(&on).await)).unwrap();
    assert_eq!(param(&told, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn no_other_service_answers_with_a_form() {
    let door = Door::at("github", AccessRule::default(), |_| {}).await;
    let sent = door.to_service().await;
    let state = param(&sent, "state").unwrap();
    let callback = param(&sent, "redirect_uri").unwrap();
    let posted = door.browser.post_from_elsewhere(&callback, &[("code", CODE), ("state", &state)]).await;
    assert_eq!(posted.status(), 405);
    assert!(door.run.services.seen().is_empty());
}
