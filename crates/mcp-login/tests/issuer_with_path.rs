//! A public URL with a path: where everything then stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use axum::routing::any;
use mcp_login::{AuthServer, Resource, Store, presets};
use serde_json::Value;
use tower::ServiceExt;

const ISSUER: &str = "https://example.com/base";

async fn app() -> Router {
    let auth = AuthServer::builder(ISSUER)
        .upstream(presets::github("id", "secret"))
        .store(Store::open("memory:").await.unwrap())
        .resource(Resource::new("/mcp"))
        .build()
        .await
        .unwrap();
    let mcp = Router::new().route("/base/mcp", any(async || "reached"));
    mcp.route_layer(auth.protect("/mcp").unwrap()).merge(auth.router())
}

async fn ask(method: Method, path: &str) -> (u16, Option<String>, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = app().await.oneshot(request).await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, challenge, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn the_documents_stand_where_the_paths_are_inserted() {
    for path in ["", "/base", "/base/mcp"] {
        let (status, _, document) =
            ask(Method::GET, &format!("/.well-known/oauth-authorization-server{path}")).await;
        assert_eq!((status, document["issuer"].as_str()), (200, Some(ISSUER)), "{path}");
        assert_eq!(document["token_endpoint"], format!("{ISSUER}/token"));
    }
    for path in ["", "/base/mcp"] {
        let (status, _, document) =
            ask(Method::GET, &format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(
            (status, document["resource"].as_str()),
            (200, Some("https://example.com/base/mcp")),
            "{path}"
        );
    }
    assert_eq!(ask(Method::GET, "/.well-known/oauth-protected-resource/mcp").await.0, 404);
}

#[tokio::test]
async fn the_endpoints_stand_below_the_path_and_at_the_root() {
    for prefix in ["/base", ""] {
        assert_eq!(
            ask(Method::POST, &format!("{prefix}/token")).await.2["error"],
            "invalid_request",
            "{prefix}"
        );
        assert_eq!(ask(Method::GET, &format!("{prefix}/authorize")).await.0, 400, "{prefix}");
        assert_eq!(
            ask(Method::POST, &format!("{prefix}/register")).await.2["error"],
            "invalid_client_metadata"
        );
    }
}

#[tokio::test]
async fn the_challenge_leads_to_the_document() {
    let (status, challenge, _) = ask(Method::POST, "/base/mcp").await;
    assert_eq!(status, 401);
    let document = "https://example.com/.well-known/oauth-protected-resource/base/mcp";
    assert!(challenge.unwrap().contains(&format!("resource_metadata=\"{document}\"")));
}
