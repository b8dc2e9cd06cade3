//! One request, there and back.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use mcp_login::core::Secret;
use mcp_login::resource::{Assertions, Caller, MaybeCaller};

use super::body::{Passing, Upload};
use super::client::BackendClient;
use super::error::{Failure, ProxyError};
use super::headers::{self, X_REQUEST_ID};
use super::target::Target;
use super::template::{Template, Values};
use super::{ProxyOptions, RequestId};

/// What one mount needs to pass requests on.
#[derive(Debug)]
pub(super) struct Forward {
    client: BackendClient,
    target: Target,
    scheme: &'static str,
    host: HeaderValue,
    names: Vec<HeaderName>,
    templates: Vec<(HeaderName, Template)>,
    max_body: u64,
    assertion: Option<(Assertions, String)>,
}

impl Forward {
    pub(super) fn new(options: ProxyOptions, client: BackendClient) -> Self {
        Self {
            client,
            target: Target::new(&options.mount, &options.backend),
            scheme: options.public_scheme,
            host: options.public_host,
            names: options.headers.iter().map(|(name, _)| name.clone()).collect(),
            templates: options.headers,
            max_body: options.max_body,
            assertion: options.assertion,
        }
    }

    /// Where this mount leads, for the log.
    pub(super) fn origin(&self) -> &str {
        self.target.origin()
    }

    pub(super) async fn pass(&self, asked: Request<Body>, id: &RequestId) -> Result<Response<Body>, Failure> {
        if matches!(*asked.method(), Method::CONNECT | Method::TRACE) {
            return Err(ProxyError::MethodNotAllowed.into());
        }
        let target = self.target.of(asked.uri()).map_err(|_| ProxyError::BadPath)?;
        self.pass_to(target, asked, id).await
    }

    /// To this address of the backend.
    pub(super) async fn pass_to(
        &self,
        target: Uri,
        asked: Request<Body>,
        id: &RequestId,
    ) -> Result<Response<Body>, Failure> {
        let upload = Upload::new();
        let (request, passed) = self.request(target, asked, id, &upload).await?;
        let too_large = ProxyError::BodyTooLarge { limit: self.max_body };
        let answer = match self.client.send(request, &upload).await {
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
        Ok(response)
    }

    /// The request that the backend gets: a new one, with what is known to be right of the old one.
    async fn request(
        &self,
        target: Uri,
        asked: Request<Body>,
        id: &RequestId,
        upload: &Upload,
    ) -> Result<(Request<Passing<Body>>, Option<Passed>), ProxyError> {
        let (parts, body) = asked.into_parts();
        if body.size_hint().lower() > self.max_body || announced(&parts.headers) > self.max_body {
            return Err(ProxyError::BodyTooLarge { limit: self.max_body });
        }
        let caller = match parts.extensions.get::<Caller>() {
            Some(caller) => Some(caller),
            None => parts.extensions.get::<MaybeCaller>().and_then(|caller| caller.0.as_ref()),
        };
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);

        let mut headers = parts.headers;
        headers::clean_request(&mut headers, &self.names);
        if let Some(caller) = caller {
            headers::set_identity(&mut headers, caller)?;
            if let Some((assertions, audience)) = &self.assertion {
                headers::set_assertion(&mut headers, &assertions.sign(caller, audience).await?)?;
            }
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

        let bounds = self.client.bounds(self.max_body);
        let mut request = Request::new(Passing::bounded(body, bounds, upload.clone()));
        *request.method_mut() = parts.method;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        Ok((request, caller.cloned().zip(token)))
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
