//! One server on loopback that is all services.
//!
//! `https://api.example.com/user` is played at `http://127.0.0.1:PORT/api.example.com/user`: the path is the service's own,
//! and its host is in front, so that a request to the wrong host is seen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use mcp_login::upstream::{ParamKind, Provider, Upstream};
use tokio::net::TcpListener;
use url::form_urlencoded;

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// As the service would have seen it, with `https`.
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The members of its form, in order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        assert_eq!(self.header("content-type"), Some("application/x-www-form-urlencoded"), "{self:?}");
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// A member of its form.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(held, _)| held == name).map(|(_, value)| value)
    }
}

/// What is answered, once, to the next request for an address.
#[derive(Debug)]
struct Answer {
    to: String,
    status: u16,
    body: String,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
}

/// All services.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    base: String,
    script: Arc<Mutex<Script>>,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let services = Self { base, script: Arc::default() };
        let app = Router::new().fallback(answer).with_state(services.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        services
    }

    /// Where this address of a service is played.
    pub(crate) fn moved(&self, text: &str) -> String {
        match text.strip_prefix("https://") {
            Some(rest) => format!("{}/{rest}", self.base),
            None => text.to_owned(),
        }
    }

    /// The service whose address was moved.
    pub(crate) fn meant(&self, text: &str) -> String {
        let played = text.strip_prefix(&self.base).and_then(|rest| rest.strip_prefix('/'));
        played.map_or_else(|| text.to_owned(), |rest| format!("https://{rest}"))
    }

    /// The next request for this address (a query does not count) is answered with this.
    pub(crate) fn answers(&self, to: &str, body: impl Into<String>) {
        self.answers_with(to, 200, body);
    }

    /// The same with another status.
    pub(crate) fn answers_with(&self, to: &str, status: u16, body: impl Into<String>) {
        let to = to.split('?').next().unwrap_or_default().to_owned();
        self.script.lock().unwrap().answers.push_back(Answer { to, status, body: body.into() });
    }

    /// What came in since it was last asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }

    /// The answers that nobody has fetched.
    pub(crate) fn unasked(&self) -> Vec<String> {
        self.script.lock().unwrap().answers.iter().map(|answer| answer.to.clone()).collect()
    }

    /// The same service, here. Nothing but the origin of its addresses changes.
    pub(crate) fn play(&self, upstream: Upstream) -> Upstream {
        upstream.with(|provider| {
            let Provider {
                issuer,
                authorization_endpoint,
                token_endpoint,
                refresh_endpoint,
                userinfo_endpoint,
                email_endpoint,
                jwks_uri,
                revocation_endpoint,
                lists,
                params,
                ..
            } = provider;
            let endpoints = [
                issuer,
                authorization_endpoint,
                token_endpoint,
                refresh_endpoint,
                userinfo_endpoint,
                email_endpoint,
                jwks_uri,
                revocation_endpoint,
            ];
            let lists = lists.values_mut().map(|list| &mut list.endpoint);
            let params = params.values_mut().filter(|param| param.kind == ParamKind::Url);
            let defaults = params.filter_map(|param| param.default.as_mut());
            for address in endpoints.into_iter().flatten().chain(lists).chain(defaults) {
                *address = self.moved(address);
            }
        })
    }
}

async fn answer(
    State(services): State<Services>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = services.script.lock().unwrap();
    let url = format!("https:/{uri}");
    let path = url.split('?').next().unwrap_or_default().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.seen.push(Seen { method, url, headers, body });
    let Some(index) = script.answers.iter().position(|answer| answer.to == path) else {
        return (StatusCode::NOT_FOUND, format!("nobody expected a request to {path}")).into_response();
    };
    let answer = script.answers.remove(index).unwrap();
    let kind = if answer.body.starts_with(['{', '[']) || answer.body.is_empty() {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let status = StatusCode::from_u16(answer.status).unwrap();
    (status, [(header::CONTENT_TYPE, kind)], answer.body).into_response()
}
