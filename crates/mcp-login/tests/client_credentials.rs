//! Clients that act for themselves (OAuth 2.1 §4.2, SEP-1046), and what introspection tells (RFC 7662).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mcp_login::core::Secret;
use mcp_login::settings::StaticClient;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, changed, error_of};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};

const SECRET: &str = "a secret of a robot that nobody can guess";

async fn with_robot() -> (TestServer, OAuthClient) {
    let robot = StaticClient::new("robot")
        .secret(Secret::from(SECRET))
        .grant_types(["client_credentials"])
        .scopes(["mcp"]);
    let server = TestServer::with(Options { static_clients: vec![robot], ..Options::usual().await }).await;
    let robot = OAuthClient::known_as(&server, "robot");
    (server, robot)
}

async fn ask(robot: &OAuthClient, changes: &[(&str, &str)]) -> Response {
    let usual = [("grant_type", "client_credentials"), ("client_id", robot.id()), ("client_secret", SECRET)];
    robot.form("/token", &changed(&usual, changes)).await
}

async fn introspect(client: &OAuthClient, token: &str, secret: &str) -> Response {
    client
        .form("/introspect", &[("token", token), ("client_id", client.id()), ("client_secret", secret)])
        .await
}

async fn told(client: &OAuthClient, token: &str, secret: &str) -> Value {
    let response = introspect(client, token, secret).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_named_client_gets_a_token_of_its_own() {
    let (_server, robot) = with_robot().await;
    let answer: Value = ask(&robot, &[]).await.json().await.unwrap();
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("mcp")));
    assert!(answer.get("refresh_token").is_none());
    let token = answer["access_token"].as_str().unwrap();
    let call = |path| robot.call(path, token);
    // The server asks for more than the robot may have.
    assert_eq!(call("/mcp").await.status(), 403);
    assert_eq!(call("/lazy").await.status(), 401, "another server");
}

#[tokio::test]
async fn it_is_nobody_who_could_sign_in() {
    let robot = StaticClient::new("ada").secret(Secret::from(SECRET)).grant_types(["client_credentials"]);
    let server = TestServer::with(Options { static_clients: vec![robot], ..Options::usual().await }).await;
    let robot = OAuthClient::known_as(&server, "ada");
    let answer: Value = ask(&robot, &[]).await.json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let seen: Value = robot.call("/mcp", token).await.json().await.unwrap();
    assert_eq!(seen["subject"], "client:ada", "RFC 9700 section 4.15");
    assert_eq!(seen["upstream_token"]["error"], "this login has no account at the upstream service");
    let lazy = format!("{}/lazy", server.url);
    let answer: Value = ask(&robot, &[("resource", &lazy)]).await.json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(robot.call("/lazy", token).await.status(), 200);
}

#[tokio::test]
async fn nobody_else_does_and_not_for_more() {
    let (server, robot) = with_robot().await;
    for (changes, status, error) in [
        (vec![("client_secret", "")], 401, "invalid_client"),
        (vec![("client_secret", "another secret of the same length......")], 401, "invalid_client"),
        (vec![("scope", "mcp:write")], 400, "invalid_scope"),
        (vec![("scope", "a\"")], 400, "invalid_scope"),
        (vec![("resource", "https://other.example/mcp")], 400, "invalid_target"),
        (vec![("grant_type", "authorization_code"), ("code", "mlc_x")], 400, "unauthorized_client"),
    ] {
        assert_eq!(error_of(ask(&robot, &changes).await).await, (status, error.to_owned()), "{changes:?}");
    }
    let answer: Value = ask(&robot, &[("scope", "mcp mcp:write")]).await.json().await.unwrap();
    assert_eq!(answer["scope"], "mcp");
    let public = OAuthClient::register(&server).await;
    let refused = ask(&public, &[("client_secret", "")]).await;
    assert_eq!(error_of(refused).await, (400, "unauthorized_client".to_owned()));
    let metadata =
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"});
    let registered = OAuthClient::register_as(&server, metadata).await;
    let secret = registered.registered["client_secret"].as_str().unwrap().to_owned();
    let refused = ask(&registered, &[("client_secret", &secret)]).await;
    assert_eq!(error_of(refused).await, (400, "unauthorized_client".to_owned()));
    let plain = TestServer::start().await;
    let nobody = OAuthClient::register(&plain).await;
    let refused = ask(&nobody, &[("client_secret", "")]).await;
    assert_eq!(error_of(refused).await, (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn introspection_is_for_clients_that_prove_who_they_are() {
    let (server, robot) = with_robot().await;
    let public = OAuthClient::register(&server).await;
    let tokens = public.log_in(&Browser::new()).await;
    for form in [
        vec![("token", tokens.access.as_str())],
        vec![("token", &tokens.access), ("client_id", public.id())],
        vec![("token", &tokens.access), ("client_id", robot.id())],
        vec![("token", &tokens.access), ("client_id", robot.id()), ("client_secret", "x")],
    ] {
        let refused = error_of(public.form("/introspect", &form).await).await;
        assert_eq!(refused, (401, "invalid_client".to_owned()), "{form:?}");
    }
    let missing = public.form("/introspect", &[("client_id", "robot"), ("client_secret", SECRET)]).await;
    assert_eq!(error_of(missing).await, (400, "invalid_request".to_owned()));
    let get = reqwest::get(format!("{}/introspect", server.url)).await.unwrap();
    assert_eq!(error_of(get).await, (405, "invalid_request".to_owned()));
}

#[tokio::test]
async fn introspection_tells_what_a_token_is_good_for() {
    let (server, robot) = with_robot().await;
    let public = OAuthClient::register(&server).await;
    let tokens = public.log_in(&Browser::new()).await;
    let answer = told(&robot, &tokens.access, SECRET).await;
    assert_eq!(answer["active"], true);
    assert_eq!(answer["iss"], server.url);
    assert_eq!(answer["aud"], server.mcp());
    assert_eq!(answer["client_id"], public.id());
    assert_eq!(answer["scope"], "mcp mcp:write");
    assert_eq!(answer["token_type"], "Bearer");
    let expires = mcp_login::clock::Clock::now(&server.clock).as_secs() + 3600;
    assert_eq!(answer["exp"], expires);
    // A refresh token is its own client's only, and what is not good is nothing but that.
    let silence = json!({"active": false});
    let code = public.code(&Browser::new()).await;
    for token in [tokens.refresh.as_str(), &code, "mla_x", "", "x"] {
        let answer = introspect(&robot, token, SECRET).await;
        if token.is_empty() {
            assert_eq!(answer.status(), 400);
        } else {
            assert_eq!(answer.json::<Value>().await.unwrap(), silence, "{token}");
        }
    }
    public.form("/revoke", &[("token", &tokens.refresh), ("client_id", public.id())]).await;
    assert_eq!(told(&robot, &tokens.access, SECRET).await, silence);
}

#[tokio::test]
async fn a_client_that_has_registered_sees_its_own_tokens_only() {
    let (server, _robot) = with_robot().await;
    let metadata =
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"});
    let register = || OAuthClient::register_as(&server, metadata.clone());
    let (own, other) = (register().await, register().await);
    let secret_of = |client: &OAuthClient| client.registered["client_secret"].as_str().unwrap().to_owned();
    let code = own.code(&Browser::new()).await;
    let answer = own.exchange(&code, &[("client_secret", &secret_of(&own))]).await;
    let tokens: Value = answer.json().await.unwrap();
    for name in ["access_token", "refresh_token"] {
        let token = tokens[name].as_str().unwrap();
        assert_eq!(told(&own, token, &secret_of(&own)).await["active"], true, "{name}");
        assert_eq!(told(&other, token, &secret_of(&other)).await, json!({"active": false}), "{name}");
    }
}
