//! A whole login under test: the authorization server, a protected MCP server and the upstream, each on a real port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderName, Method};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use mcp_login::settings::{AccessRule, Lifetimes, RateLimits, StaticClient, VerificationCache};
use mcp_login::upstream::{TrustedIssuer, Upstream};
use mcp_login::{Access, AuthServer, MaybeCaller, Resource, Store};
use serde_json::json;
use tokio::net::TcpListener;

use crate::clock::MockClock;
use crate::fake_upstream::FakeUpstream;

const EVENTS: &str = "text/event-stream";

/// What can be chosen.
#[derive(Debug)]
pub struct Options {
    /// Where logins are kept.
    pub store: Store,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// Who may finish a login.
    pub access: AccessRule,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// The hosts of redirect URIs.
    pub redirect_hosts: Vec<String>,
    /// How often one address may ask.
    pub rate_limits: RateLimits,
    /// The header that tells the client's address. Without one nobody is limited: all tests come from loopback.
    pub client_address_header: Option<HeaderName>,
    /// Whose identity assertions are taken.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Whether those of the service that people sign in to are taken, too.
    pub trust_upstream: bool,
    /// Whether clients may describe themselves by a document.
    pub metadata_documents: bool,
    /// The hosts whose documents may be fetched from this computer.
    pub metadata_document_hosts: Vec<String>,
    /// MCP servers besides the two.
    pub resources: Vec<Resource>,
    /// The clients that are set up by hand.
    pub static_clients: Vec<StaticClient>,
    /// What is kept in memory.
    pub verification_cache: VerificationCache,
    /// What people sign in to instead of the fake upstream.
    pub sign_in_at: Option<Box<Upstream>>,
}

impl Options {
    /// Everything as it is when an operator says nothing, in memory.
    pub async fn usual() -> Self {
        Self {
            store: Store::open("memory:").await.unwrap(),
            lifetimes: Lifetimes::default(),
            access: AccessRule::default(),
            registration: true,
            redirect_hosts: ["localhost", "127.0.0.1", "[::1]", "client.example"].map(str::to_owned).to_vec(),
            rate_limits: RateLimits::default(),
            client_address_header: None,
            trusted_issuers: Vec::new(),
            trust_upstream: false,
            metadata_documents: true,
            metadata_document_hosts: Vec::new(),
            resources: Vec::new(),
            static_clients: Vec::new(),
            verification_cache: VerificationCache::default(),
            sign_in_at: None,
        }
    }
}

/// The server under test. It ends with the test's runtime.
#[derive(Debug)]
pub struct TestServer {
    /// The issuer.
    pub url: String,
    /// What it calls now.
    pub clock: MockClock,
    /// What people sign in to.
    pub upstream: FakeUpstream,
}

impl TestServer {
    /// Starts one with the usual options.
    pub async fn start() -> Self {
        Self::with(Options::usual().await).await
    }

    /// Starts one. `/mcp` needs a user, `/lazy` lets anybody discover; both answer with what they know of the caller,
    /// or with events.
    pub async fn with(options: Options) -> Self {
        Self::around(options, echoes).await
    }

    /// Starts another node of the same service, with the same clock and upstream, and gives the address that leads to it
    /// alone.
    pub async fn start_node(&self, options: Options) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        serve(listener, &auth_server(&self.url, options, &self.clock, &self.upstream).await, echoes);
        address
    }

    /// Starts one around these MCP servers.
    pub async fn around(options: Options, servers: impl FnOnce(&AuthServer) -> Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (clock, upstream) = (MockClock::new(), FakeUpstream::start().await);
        let upstream_clock = clock.clone();
        upstream.set_now(move || mcp_login::clock::Clock::now(&upstream_clock));
        serve(listener, &auth_server(&url, options, &clock, &upstream).await, servers);
        Self { url, clock, upstream }
    }

    /// The URL of the MCP server that needs a user.
    pub fn mcp(&self) -> String {
        format!("{}/mcp", self.url)
    }
}

/// `/mcp` needs a user, `/lazy` lets anybody discover.
fn echoes(auth: &AuthServer) -> Router {
    let echo = |path: &str| Router::new().route(path, axum::routing::any(echo));
    let required = echo("/mcp").route_layer(auth.protect("/mcp").unwrap());
    required.merge(echo("/lazy").route_layer(auth.protect("/lazy").unwrap()))
}

async fn auth_server(url: &str, options: Options, clock: &MockClock, upstream: &FakeUpstream) -> AuthServer {
    let mut builder = AuthServer::builder(url)
        .upstream(options.sign_in_at.map_or_else(|| upstream.oidc(), |upstream| *upstream))
        .store(options.store)
        .resource(Resource::new("/mcp").scopes(["mcp", "mcp:write"]).name("Echo"))
        .resource(Resource::new("/lazy").access(Access::Lazy).public_tools(["about"]))
        .lifetimes(options.lifetimes)
        .access(options.access)
        .registration(options.registration)
        .redirect_hosts(options.redirect_hosts)
        .rate_limits(options.rate_limits)
        .verification_cache(options.verification_cache)
        .metadata_documents(options.metadata_documents)
        .metadata_document_hosts(options.metadata_document_hosts)
        .clock(Arc::new(clock.clone()));
    for resource in options.resources {
        builder = builder.resource(resource);
    }
    for client in options.static_clients {
        builder = builder.client(client);
    }
    let upstreams_own = options.trust_upstream.then(|| TrustedIssuer::new(upstream.issuer()));
    for issuer in options.trusted_issuers.into_iter().chain(upstreams_own) {
        builder = builder.trusted_issuer(issuer);
    }
    if let Some(name) = options.client_address_header {
        builder = builder.client_address_header(name);
    }
    builder.build().await.unwrap()
}

fn serve(listener: TcpListener, auth: &AuthServer, servers: impl FnOnce(&AuthServer) -> Router) {
    let app = servers(auth).merge(auth.router());
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
}

/// What an MCP server behind the layer sees. Who asks for events gets one, and then a stream that does not end by itself.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && parts.headers.get(ACCEPT).is_some_and(|accept| accept == EVENTS) {
        let begin = stream::iter([Ok::<_, Infallible>("data: {}\n\n")]);
        return ([(CONTENT_TYPE, EVENTS)], Body::from_stream(begin.chain(stream::pending()))).into_response();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let caller = parts.extensions.get::<MaybeCaller>().cloned().and_then(|caller| caller.0);
    let Some(caller) = caller else {
        return Json(json!({"caller": null, "body": String::from_utf8_lossy(&body)})).into_response();
    };
    let token = match caller.upstream_token().await {
        Ok(token) => json!(token.expose_secret()),
        Err(error) => json!({"error": error.to_string()}),
    };
    Json(json!({
        "subject": caller.subject(),
        "email": caller.email(),
        "name": caller.name(),
        "client_id": caller.client_id(),
        "scope": caller.scopes().to_string(),
        "resource": caller.resource(),
        "claims": caller.claims(),
        "upstream_token": token,
        "body": String::from_utf8_lossy(&body),
    }))
    .into_response()
}
