//! One request, there and back.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use mcp_login::core::Secret;
use mcp_login::resource::{Assertions, Caller};

use super::backends::{Backends, Outgoing};
use super::body::{Passing, Upload};
use super::client::BackendClient;
use super::error::{Failure, ProxyError};
use super::headers::{self, X_REQUEST_ID};
use super::target::{BadPath, Target};
use super::template::{Template, Values};
use super::{ProxyOptions, RequestId, caller_of};

/// What one mount needs to pass requests on.
#[derive(Debug)]
pub(super) struct Forward {
    client: BackendClient,
    backends: Backends,
    scheme: &'static str,
    host: HeaderValue,
    names: Vec<HeaderName>,
    templates: Vec<(HeaderName, Template)>,
    max_body: u64,
    assertion: Option<(Assertions, String)>,
}

impl Forward {
    pub(super) fn new(options: ProxyOptions, client: BackendClient) -> Self {
        let (urls, checks) = (&options.backends, options.health.as_ref());
        Self {
            backends: Backends::new(&options.mount, urls, checks, client.clone()),
            client,
            scheme: options.public_scheme,
            host: options.public_host,
            names: options.headers.iter().map(|(name, _)| name.clone()).collect(),
            templates: options.headers,
            max_body: options.max_body,
            assertion: options.assertion,
        }
    }

    /// Where this mount leads, for the log.
    pub(super) fn name(&self) -> &str {
        self.backends.name()
    }

    pub(super) async fn pass(
        &self,
        mut asked: Request<Body>,
        id: &RequestId,
    ) -> Result<Response<Body>, Failure> {
        let session = self.backends.open_session(asked.headers_mut())?;
        let uri = asked.uri().clone();
        let (at, mut response) = self.pass_to(|target| target.of(&uri), session, asked, id).await?;
        self.backends.mark_session(at, response.headers_mut());
        Ok(response)
    }

    /// The answer, and whose it is. `place` says where at a backend the request goes, `session` which backend has its session.
    pub(super) async fn pass_to(
        &self,
        place: impl Fn(&Target) -> Result<Uri, BadPath>,
        session: Option<usize>,
        asked: Request<Body>,
        id: &RequestId,
    ) -> Result<(usize, Response<Body>), Failure> {
        if matches!(*asked.method(), Method::CONNECT | Method::TRACE) {
            return Err(ProxyError::MethodNotAllowed.into());
        }
        self.backends.check(&place)?;
        let upload = Upload::new();
        let (outgoing, passed) = self.outgoing(asked, id, &upload).await?;
        let too_large = ProxyError::BodyTooLarge { limit: self.max_body };
        let (at, answer) = match self.backends.send(outgoing, place, session, &upload).await {
            Err(_) if upload.is_exceeded() => return Err(too_large.into()),
            Err(_) if upload.is_stalled() => return Err(ProxyError::BodyStalled.into()),
            answer => answer?,
        };
        match answer.status() {
            // Nobody asked for that: `Upgrade` is not passed on.
            StatusCode::SWITCHING_PROTOCOLS => return Err(ProxyError::BackendBroke.into()),
            StatusCode::UNAUTHORIZED => return Err(refused(passed).await.into()),
            _ => {}
        }
        let (parts, body) = answer.into_parts();
        let mut response = Response::new(Body::new(Passing::unbounded(body)));
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        headers::clean_response(response.headers_mut());
        Ok((at, response))
    }

    /// What a backend gets: a new request, with what is known to be right of the old one. Made once, whoever gets it.
    async fn outgoing(
        &self,
        asked: Request<Body>,
        id: &RequestId,
        upload: &Upload,
    ) -> Result<(Outgoing, Option<Passed>), ProxyError> {
        let (parts, body) = asked.into_parts();
        if body.size_hint().lower() > self.max_body || announced(&parts.headers) > self.max_body {
            return Err(ProxyError::BodyTooLarge { limit: self.max_body });
        }
        let caller = caller_of(&parts.extensions);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);

        let mut headers = parts.headers;
        headers::clean_request(&mut headers, &self.names);
        if let Some(caller) = caller {
            headers::set_identity(&mut headers, caller)?;
        }
        headers::set_origin(&mut headers, peer, self.scheme, &self.host);
        headers.insert(X_REQUEST_ID, id.0.clone());
        let token = self.upstream_token(caller).await?;
        let values = caller.map(|caller| Values { caller, upstream_token: token.as_ref() });
        for (name, template) in &self.templates {
            if let Some(value) = template.fill(values) {
                headers.insert(name, value);
            } else {
                tracing::debug!(header = %name, "left out: a value is missing");
            }
        }
        // Last: its minute is for the way to the backend, and not for a refresh at the upstream.
        if let (Some(caller), Some((assertions, audience))) = (caller, &self.assertion) {
            headers::set_assertion(&mut headers, &assertions.sign(caller, audience).await?)?;
        }

        let bounds = self.client.bounds(self.max_body);
        let body = Passing::bounded(body, bounds, upload.clone());
        Ok((Outgoing { method: parts.method, headers, body }, caller.cloned().zip(token)))
    }

    /// Asked for only where a header wants it: it may cost a refresh at the upstream.
    async fn upstream_token(&self, caller: Option<&Caller>) -> Result<Option<Secret>, ProxyError> {
        match caller {
            Some(caller) if self.templates.iter().any(|(_, template)| template.needs_upstream_token()) => {
                Ok(Some(caller.upstream_token().await?))
            }
            _ => Ok(None),
        }
    }
}

/// Whose upstream token a request carried, and which.
type Passed = (Caller, Secret);

/// The backend said 401. Where it had the user's upstream token, that may have been ended at the service: then the user
/// signs in again, or it has been renewed by now.
async fn refused(passed: Option<Passed>) -> ProxyError {
    let Some((caller, token)) = passed else { return ProxyError::BackendRefused };
    match caller.upstream_token_after(&token).await {
        Ok(same) if same == token => ProxyError::BackendRefused,
        Ok(_) => ProxyError::UpstreamTokenRenewed,
        Err(error) => error.into(),
    }
}

/// The length that the client announced.
fn announced(headers: &axum::http::HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}
