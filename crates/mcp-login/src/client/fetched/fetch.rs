//! Fetching a document from an address that a stranger chose: https, no redirects, no proxy, public addresses only, and
//! bounds on time and size (draft-ietf-oauth-client-id-metadata-document-00 §6.5, §6.6).

use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mcp_login_core::client::DocumentHosts;
use mcp_login_core::client::metadata_document::is_public_address;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{ClientBuilder, Response, StatusCode, redirect};
use url::{Host, Url};

/// How long one fetch may take, from the name to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a document is used that says nothing of it.
const USUAL_AGE: Duration = Duration::from_secs(60 * 60);
/// The least that one is used: nobody makes us fetch at every request.
const MIN_AGE: Duration = Duration::from_secs(5 * 60);
/// The most that one is used.
pub(super) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What was found.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    /// How long it may be used.
    pub(super) max_age: Duration,
}

/// Why nothing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchError {
    /// Nobody knows what is there. The reason is for the log.
    Unreachable(&'static str),
    /// There is something else.
    Wrong(WrongAnswer),
}

/// What is there instead of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongAnswer {
    /// Nothing.
    Missing,
    /// The way to somewhere else.
    Redirect,
    /// Not JSON.
    ContentType,
    /// More than any honest document.
    TooLarge,
}

/// Where a fetcher may go.
#[derive(Debug)]
pub(crate) enum Reach {
    /// Wherever a stranger says: the internet, and the hosts that the operator has named.
    Internet(DocumentHosts),
    /// Wherever the operator says.
    Anywhere,
}

/// Two HTTP clients, made on first use: one for the internet, one for where the operator vouches.
#[derive(Debug)]
pub(super) struct Fetcher {
    reach: Reach,
    timeout: Duration,
    max_length: usize,
    public_client: OnceLock<Option<reqwest::Client>>,
    named_client: OnceLock<Option<reqwest::Client>>,
}

impl Fetcher {
    pub(super) fn new(reach: Reach, max_length: usize, timeout: Duration) -> Self {
        let (public_client, named_client) = (OnceLock::new(), OnceLock::new());
        Self { reach, timeout, max_length, public_client, named_client }
    }

    /// The JSON that is there.
    pub(super) async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        let client = self.client_for(url)?;
        let request = client.get(url.clone()).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        check_status(response.status())?;
        if !is_json(&response) {
            return Err(FetchError::Wrong(WrongAnswer::ContentType));
        }
        let max_age = max_age(&response);
        Ok(Fetched { body: read(response, self.max_length).await?, max_age })
    }

    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, FetchError> {
        let vouched = match &self.reach {
            Reach::Anywhere => true,
            Reach::Internet(named) => named.contains(url),
        };
        let client = if vouched {
            self.named_client.get_or_init(|| self.build(|builder| builder))
        } else {
            // The HTTP client asks no resolver for a host that is an address.
            let literal = match url.host() {
                Some(Host::Ipv4(address)) => Some(address.into()),
                Some(Host::Ipv6(address)) => Some(address.into()),
                _ => None,
            };
            if literal.is_some_and(|address| !is_public_address(address)) {
                return Err(FetchError::Unreachable(NOT_PUBLIC));
            }
            self.public_client.get_or_init(|| {
                self.build(|builder| builder.https_only(true).dns_resolver(Arc::new(PublicAddresses)))
            })
        };
        let no_tls = "TLS cannot be set up on this machine (are CA certificates installed?)";
        client.as_ref().ok_or(FetchError::Unreachable(no_tls))
    }

    fn build(&self, finish: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Option<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("mcp-login/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(self.timeout)
            .timeout(self.timeout)
            .pool_max_idle_per_host(0);
        finish(builder).build().ok()
    }
}

/// For the log only: whoever asks learns nothing of the network around us.
const NOT_PUBLIC: &str = "its host has an address that is not public";

/// The system's resolver, without answers that lead anywhere but to the internet. The connection is made to what is
/// answered here, so a name that changes its address in between gains nothing.
#[derive(Debug)]
struct PublicAddresses;

#[derive(Debug, thiserror::Error)]
#[error("{NOT_PUBLIC}")]
struct NotPublic;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() || !found.iter().all(|address| is_public_address(address.ip())) {
                return Err(Box::from(NotPublic));
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn unreachable(error: &reqwest::Error) -> FetchError {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    FetchError::Unreachable(if causes.any(<dyn Error>::is::<NotPublic>) {
        NOT_PUBLIC
    } else if error.is_timeout() {
        "its host did not answer in time"
    } else if error.is_connect() {
        "its host cannot be reached"
    } else {
        "the connection to its host broke"
    })
}

/// A host that says that there is no document, or sends us on, has answered. One that is out of order, or lets no
/// programs in today (which large sites do by address), has not.
fn check_status(status: StatusCode) -> Result<(), FetchError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => {
            Err(FetchError::Unreachable("its host does not give it to this server"))
        }
        status if status.is_server_error() => {
            Err(FetchError::Unreachable("its host answered with a server error"))
        }
        status if status.is_redirection() => Err(FetchError::Wrong(WrongAnswer::Redirect)),
        _ => Err(FetchError::Wrong(WrongAnswer::Missing)),
    }
}

fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}

async fn read(mut response: Response, max_length: usize) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > max_length {
            return Err(FetchError::Wrong(WrongAnswer::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How long it may be used (RFC 9111 §5.2.2), within our bounds.
fn max_age(response: &Response) -> Duration {
    let values = response.headers().get_all(CACHE_CONTROL).iter();
    usable_for(values.filter_map(|value| value.to_str().ok()))
}

fn usable_for<'a>(cache_control: impl Iterator<Item = &'a str>) -> Duration {
    let mut age = USUAL_AGE;
    for directive in cache_control.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return MIN_AGE,
            "max-age" => {
                let seconds = value.trim().trim_matches('"').parse().unwrap_or_default();
                age = Duration::from_secs(seconds);
            }
            _ => {}
        }
    }
    age.clamp(MIN_AGE, MAX_AGE)
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
