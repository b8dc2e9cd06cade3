//! What one client does, and others at the same program do not suffer.

use axum::http::StatusCode;
use mcp_login_gateway::proxy::Sharing;
use serde_json::json;

use super::proxy_setup::caller;
use super::setup::Setup;

#[tokio::test]
async fn two_logins_of_one_person_are_two_processes() {
    let setup = Setup { sharing: Sharing::User, ..Setup::with_env(&[("TOKEN", "{upstream.access_token}")]) };
    let server = setup.start();
    let (mut one, mut two) =
        (server.client(Some(caller(Ok("login-1")))), server.client(Some(caller(Ok("login-2")))));
    one.initialize().await;
    two.initialize().await;
    for (client, token) in [(&one, "login-1"), (&two, "login-2")] {
        assert_eq!(client.call(json!(1), "environment", json!({})).await["TOKEN"], token);
    }
    // A renewed token ends the process that has the old one, and no other.
    one.caller = Some(caller(Ok("login-1-renewed")));
    assert_eq!(one.request("heard", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(two.call(json!(1), "heard", json!({})).await, json!([]));
    server.proxy.end().await;
}
