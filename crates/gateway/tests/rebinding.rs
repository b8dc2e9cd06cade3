//! Whose pages may ask, and by which name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use mcp_login_gateway::command::serve::application;
use mcp_login_gateway::config::{Environment, Sources};
use tower::ServiceExt;

/// The whole gateway; discovery is public, and nothing is behind it.
async fn gateway(lines: &str) -> Router {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = format!(
        "{lines}\nstore = {{ url = \"memory:\" }}\n[upstream]\nprovider = \"github\"\nclient_id = \"id\"\nclient_secret = \"s\"\n\
         [[mcp]]\npath = \"/mcp\"\nbackend = \"http://127.0.0.1:9/mcp\"\nauth = \"lazy\"\n"
    );
    let environment = Environment::default();
    let sources =
        Sources { text: &text, folder: Path::new("/"), environment: &environment, providers: &["github"] };
    let config = sources.check().unwrap_or_else(|faults| panic!("{faults}")).config;
    application(&config).await.unwrap().router
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
/// What comes through finds nobody behind it.
const THROUGH: StatusCode = StatusCode::BAD_GATEWAY;
const HERE: &str = "public_url = \"http://127.0.0.1:8080\"";
const PUBLIC: &str = "public_url = \"https://mcp.example.com\"";

async fn ask(gateway: &Router, method: &str, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = gateway.clone().oneshot(request.body(Body::from(LIST)).unwrap()).await.unwrap();
    let status = answer.status();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_page_that_has_taken_our_address_gets_nothing() {
    let gateway = gateway(HERE).await;
    for uri in ["/mcp", "/mcp/x", "/authorize", "/token", "/.well-known/oauth-protected-resource/mcp"] {
        let (status, said) = ask(&gateway, "POST", uri, &[("host", "evil.example:8080")]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{uri}");
        assert!(said.contains("allowed_hosts") && !said.contains("evil"), "{said}");
    }
    let two = [("host", "127.0.0.1:8080"), ("host", "evil.example")];
    assert_eq!(ask(&gateway, "POST", "/mcp", &two).await.0, StatusCode::FORBIDDEN);
    // The name stands in the target of the request, as HTTP/2 has it.
    let named = ask(&gateway, "POST", "http://evil.example/mcp", &[("host", "127.0.0.1")]).await;
    assert_eq!(named.0, StatusCode::FORBIDDEN);
    for headers in
        [&[("host", "127.0.0.1:8080")][..], &[("host", "localhost:1")], &[("host", "gateway")], &[]]
    {
        assert_eq!(ask(&gateway, "POST", "/mcp", headers).await.0, THROUGH, "{headers:?}");
    }
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(ask(&gateway, "GET", probe, &[("host", "probe.example")]).await.0, StatusCode::OK);
    }
}

/// A backend asks for the keys by the name of the service in its cluster, or of the computer that its container runs on.
#[tokio::test]
async fn the_keys_of_assertions_are_there_by_any_name() {
    let named = [("host", "gateway.ns.svc"), ("host", "host.docker.internal:8080")];
    let below = "http://127.0.0.1:8080/login";
    for (lines, path) in [(HERE, ""), (&format!("public_url = {below:?}"), "/login")] {
        let gateway = gateway(lines).await;
        let keys = "/.well-known/jwks.json";
        for (uri, header) in
            ["", path].into_iter().flat_map(|at| named.map(|header| (format!("{at}{keys}"), header)))
        {
            assert_eq!(ask(&gateway, "GET", &uri, &[header]).await.0, StatusCode::OK, "{uri} {header:?}");
        }
        // That path and no other.
        for uri in [
            format!("{path}/mcp{keys}"),
            format!("{keys}/x"),
            "/.well-known/oauth-authorization-server".into(),
        ] {
            assert_eq!(ask(&gateway, "GET", &uri, &named[..1]).await.0, StatusCode::FORBIDDEN, "{uri}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_website_gets_nothing_from_this_computer() {
    let gateway = gateway(HERE).await;
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        for method in ["POST", "GET", "DELETE", "OPTIONS"] {
            let headers = [("host", "127.0.0.1:8080"), ("origin", origin), ("authorization", "Bearer x")];
            let (status, said) = ask(&gateway, method, "/mcp", &headers).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {origin}");
            assert!(said.contains("allowed_origins") && !said.contains("evil"), "{said}");
        }
    }
    for origin in ["http://localhost:6274", "http://127.0.0.1:8080", "vscode-webview://x"] {
        assert_eq!(ask(&gateway, "POST", "/mcp", &[("origin", origin)]).await.0, THROUGH, "{origin}");
    }
    // What a program in a browser logs in with is not the MCP server.
    let (status, _) =
        ask(&gateway, "GET", "/.well-known/oauth-protected-resource/mcp", &[("origin", "https://a.example")])
            .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn behind_a_proxy_on_the_internet_any_name_and_page_is_right_unless_listed() {
    let headers = [("host", "gateway.svc.cluster.local"), ("origin", "https://app.example")];
    assert_eq!(ask(&gateway(PUBLIC).await, "POST", "/mcp", &headers).await.0, THROUGH);
    let lists =
        "allowed_hosts = [\"gateway.svc.cluster.local\"]\nallowed_origins = [\"https://app.example\"]";
    let listed = gateway(&format!("{PUBLIC}\n{lists}")).await;
    assert_eq!(ask(&listed, "POST", "/mcp", &headers).await.0, THROUGH);
    for (name, value) in
        [("host", "evil.example"), ("origin", "http://localhost:1"), ("origin", "https://evil.example")]
    {
        assert_eq!(ask(&listed, "POST", "/mcp", &[(name, value)]).await.0, StatusCode::FORBIDDEN, "{value}");
    }
    let http2 = Request::builder().version(Version::HTTP_2).method("POST").uri("https://mcp.example.com/mcp");
    let answer = listed
        .oneshot(http2.header("content-type", "application/json").body(Body::from(LIST)).unwrap())
        .await;
    assert_eq!(answer.unwrap().status(), THROUGH);
}
