//! A server behind the layer, spoken to without a connection, so that time can stand still around it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use mcp_login::resource::ProtectLayer;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt};

pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) client: OAuthClient,
    layer: ProtectLayer,
    resource: String,
}

/// What comes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Data(Bytes),
    /// It is over, as if it were whole.
    End,
    Broken,
    /// It goes on, and nothing comes.
    Nothing,
}

/// Both ends of a stream.
pub(crate) struct Stream {
    body: Body,
    events: Option<mpsc::UnboundedSender<Bytes>>,
    /// How often the server behind was asked for more.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::usual().await).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::at("/mcp", options).await
    }

    /// The server at this path.
    pub(crate) async fn at(path: &'static str, options: Options) -> Self {
        let mut layer = None;
        let server = TestServer::around(options, |auth| {
            layer = auth.protect(path).ok();
            Router::new()
        });
        let server = server.await;
        let client = OAuthClient::register(&server).await;
        Self { resource: format!("{}{path}", server.url), server, client, layer: layer.unwrap() }
    }

    pub(crate) async fn log_in(&self) -> Tokens {
        let url = self.client.authorization_url(&[("resource", &self.resource)]);
        let code = param(&Browser::new().log_in(&url, REDIRECT_URI).await, "code").unwrap();
        Tokens::read(self.client.exchange(&code, &[("resource", &self.resource)]).await).await
    }

    pub(crate) async fn revoke(&self, token: &str) {
        let form = [("token", token), ("client_id", self.client.id())];
        assert_eq!(self.client.form("/revoke", &form).await.status(), 200);
    }

    pub(crate) async fn open(&self, method: Method, content_type: &'static str, token: &str) -> Stream {
        self.send(request(method, token), content_type, async {}).await
    }

    /// A subscription of MCP 2026-07-28.
    pub(crate) async fn subscribe(&self, token: &str) -> Stream {
        let mut request = request(Method::POST, token);
        request.headers_mut().insert("mcp-method", HeaderValue::from_static("subscriptions/listen"));
        self.send(request, "text/event-stream", async {}).await
    }

    /// The answer begins when something else is over.
    pub(crate) async fn open_after(
        &self,
        method: Method,
        token: &str,
        first: impl Future<Output = ()> + Send,
    ) -> Stream {
        self.send(request(method, token), "text/event-stream", first).await
    }

    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        content_type: &'static str,
        first: impl Future<Output = ()> + Send,
    ) -> Stream {
        let (events, mut receiver) = mpsc::unbounded_channel::<Bytes>();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let body = Body::from_stream(stream::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::SeqCst);
            receiver.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>))
        }));
        let answer = Response::builder().header(CONTENT_TYPE, content_type).body(body).unwrap();
        let (begin, may_begin) = tokio::sync::oneshot::channel();
        let answering = Arc::new(std::sync::Mutex::new(Some((answer, may_begin))));
        let behind = tower::service_fn(move |_: Request<Body>| {
            let (answer, may_begin) = answering.lock().unwrap().take().expect("one request");
            async move {
                may_begin.await.unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        let protected = self.layer.layer(behind);
        let begin = async {
            first.await;
            begin.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(protected.oneshot(request), begin);
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        Stream { body: answer.into_body(), events: Some(events), asked }
    }
}

fn request(method: Method, token: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri("/mcp");
    request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

impl Stream {
    pub(crate) fn send(&self, event: &'static str) {
        // Nobody listens where it has been ended.
        let _ = self.events.as_ref().unwrap().send(Bytes::from_static(event.as_bytes()));
    }

    pub(crate) fn finish(&mut self) {
        self.events = None;
    }

    /// Whether the server behind has been told that nobody listens.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.events.as_ref().unwrap().is_closed()
    }

    /// What comes within this time of tokio's, which stands still but for those who wait.
    pub(crate) async fn next(&mut self, within: Duration) -> Next {
        tokio::time::pause();
        let next = match tokio::time::timeout(within, self.body.frame()).await {
            Ok(Some(Ok(frame))) => Next::Data(frame.into_data().unwrap()),
            Ok(Some(Err(_))) => Next::Broken,
            Ok(None) => Next::End,
            Err(_) => Next::Nothing,
        };
        tokio::time::resume();
        next
    }
}
