//! [`AuthServerBuilder`]: what has to be said, and what is wrong with what was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderName;
use axum::http::header::FORWARDED;
use mcp_login_core::client::RedirectPolicy;
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::token::GrantType;
use url::Url;

use super::AuthServer;
use super::checks::{check_access, check_document_hosts, check_public_url, check_resources, check_upstreams};
use crate::assertion::Signer;
use crate::client::known::{known_clients, looks_into_results};
use crate::client::{Clients, ConfiguredClients, KeySets, MetadataDocuments};
use crate::clock::{Clock, SystemClock};
use crate::endpoint::AuthorizationServer;
use crate::endpoint::rate_limit::AddressLimits;
use crate::resource::{Challenge, GrantCache, Protection, Resource, Verifier};
use crate::settings::{AccessRule, Lifetimes, RateLimits, ResourceSettings, StaticClient, VerificationCache};
use crate::store::Store;
use crate::upstream::{SignIn, SignIns, TrustedIssuer, Upstream};

/// What is wrong with a configuration: every fault at once, each with what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the login cannot be set up: {}", .0.join("; "))]
pub struct BuildError(pub Vec<String>);

/// Puts an [`AuthServer`] together.
#[derive(Debug)]
pub struct AuthServerBuilder {
    public_url: String,
    upstreams: Vec<(String, Upstream)>,
    store: Option<Store>,
    resources: Vec<Resource>,
    lifetimes: Lifetimes,
    access: AccessRule,
    redirect_hosts: Vec<String>,
    redirect_schemes: Vec<String>,
    registration: bool,
    rate_limits: RateLimits,
    verification_cache: VerificationCache,
    client_address_header: Option<HeaderName>,
    metadata_documents: bool,
    metadata_document_hosts: Vec<String>,
    trusted_issuers: Vec<TrustedIssuer>,
    static_clients: Vec<StaticClient>,
    clock: Arc<dyn Clock>,
}

impl AuthServerBuilder {
    pub(super) fn new(public_url: String) -> Self {
        let known = known_clients();
        Self {
            public_url,
            upstreams: Vec::new(),
            store: None,
            resources: Vec::new(),
            lifetimes: Lifetimes::default(),
            access: AccessRule::default(),
            redirect_hosts: known.redirect_hosts.clone(),
            redirect_schemes: known.redirect_schemes.clone(),
            registration: true,
            rate_limits: RateLimits::default(),
            verification_cache: VerificationCache::default(),
            client_address_header: None,
            metadata_documents: true,
            metadata_document_hosts: Vec::new(),
            trusted_issuers: Vec::new(),
            static_clients: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The service that people sign in to. Required, unless there are [several](Self::upstream_named).
    #[must_use]
    pub fn upstream(self, upstream: Upstream) -> Self {
        self.upstream_named("", upstream)
    }

    /// One of several services: the [`Resource`]s name theirs ([`Resource::upstream`]). It sends browsers back to
    /// `/callback/NAME`, which is the redirect URI to register there. A name has lower-case letters, digits, `-` and `_`.
    #[must_use]
    pub fn upstream_named(mut self, name: impl Into<String>, upstream: Upstream) -> Self {
        self.upstreams.push((name.into(), upstream));
        self
    }

    /// Where logins are kept. Required.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// An MCP server to protect; at least one. The first is the one that is meant when a client names none.
    #[must_use]
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resources.push(resource);
        self
    }

    /// How long things live.
    #[must_use]
    pub const fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Who may finish a login; whoever the upstream lets in, unless said otherwise.
    #[must_use]
    pub fn access(mut self, access: AccessRule) -> Self {
        self.access = access;
        self
    }

    /// The hosts of redirect URIs that are allowed, instead of those of the well-known clients; `*` is any with https.
    #[must_use]
    pub fn redirect_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redirect_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// The private-use schemes of redirect URIs that are allowed, instead of those of the well-known clients.
    #[must_use]
    pub fn redirect_schemes(mut self, schemes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redirect_schemes = schemes.into_iter().map(Into::into).collect();
        self
    }

    /// Whether clients may register themselves (RFC 7591); they may, unless said otherwise.
    #[must_use]
    pub const fn registration(mut self, registration: bool) -> Self {
        self.registration = registration;
        self
    }

    /// How often one address may ask.
    ///
    /// The address is the peer's, which the server has to hand on (axum's `into_make_service_with_connect_info`). A
    /// loopback or private peer is most often the TLS proxy in front, with everybody's requests, and is not limited. Name
    /// the header in which that proxy tells the address with [`client_address_header`](Self::client_address_header), and
    /// do so always when the proxy has a public address (a CDN): it would be limited as one client.
    #[must_use]
    pub const fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = limits;
        self
    }

    /// What is kept in memory of the logins that are in use, and for how long they outlive the store.
    #[must_use]
    pub const fn verification_cache(mut self, cache: VerificationCache) -> Self {
        self.verification_cache = cache;
        self
    }

    /// The header in which a proxy tells the client's address: `X-Forwarded-For`, `X-Real-IP` and the like. Of several
    /// addresses the last counts, which the nearest proxy has added. `Forwarded` (RFC 7239) is not read.
    ///
    /// Only when every request comes through that proxy: whoever can go round it can write any address.
    #[must_use]
    pub fn client_address_header(mut self, name: HeaderName) -> Self {
        self.client_address_header = Some(name);
        self
    }

    /// Whether clients may describe themselves by a document whose address is their `client_id` (Client ID Metadata
    /// Documents); they may, unless said otherwise.
    #[must_use]
    pub const fn metadata_documents(mut self, metadata_documents: bool) -> Self {
        self.metadata_documents = metadata_documents;
        self
    }

    /// The hosts, each `host` or `host:port`, whose metadata documents and key sets are fetched even from private addresses
    /// and without https: for closed networks and tests. All others have to be on the internet.
    #[must_use]
    pub fn metadata_document_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.metadata_document_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// An identity provider whose identity assertions are taken for a login (ID-JAG, SEP-990), from clients that
    /// authenticate. [`access`](Self::access) holds for its people, too.
    #[must_use]
    pub fn trusted_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(issuer);
        self
    }

    /// A client that is set up by hand, beside those that register or describe themselves.
    #[must_use]
    pub fn client(mut self, client: StaticClient) -> Self {
        self.static_clients.push(client);
        self
    }

    /// Where the time comes from: for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Everything that is wrong with what was said so far; the store is not looked at. For whoever checks a configuration
    /// without running it.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.lifetimes.faults();
        faults.extend(self.rate_limits.faults());
        faults.extend(self.verification_cache.faults());
        if self.client_address_header == Some(FORWARDED) {
            faults.push(
                "client_address_header: Forwarded is not read; name X-Forwarded-For or the like".into(),
            );
        }
        faults.extend(check_public_url(&self.public_url).err());
        let resources = check_resources(&self.public_url, &self.resources, &mut faults);
        ConfiguredClients::check(&self.static_clients, &resources.all_scopes(), &mut faults);
        check_document_hosts(&self.metadata_document_hosts, &mut faults);
        for (n, issuer) in self.trusted_issuers.iter().enumerate() {
            let wrong = issuer.faults().into_iter();
            faults.extend(wrong.map(|(key, fault)| format!("trusted_issuers[{n}].{key}: {fault}")));
        }
        check_upstreams(&self.upstreams, &self.resources, &mut faults);
        check_access(&self.access, &self.upstreams, &mut faults);
        faults
    }

    /// The server.
    ///
    /// # Errors
    /// [`BuildError`], with everything that is missing or does not fit.
    #[allow(clippy::unused_async)] // Later versions look up what they are told here; callers await today.
    pub async fn build(self) -> Result<AuthServer, BuildError> {
        let faults = self.faults();
        let public_url = check_public_url(&self.public_url).ok();
        let resources = check_resources(&self.public_url, &self.resources, &mut Vec::new());
        let indicators = Resources::new(resources.0.iter().map(|resource| resource.url.clone()));
        let claims: Vec<String> = self.access.claims.keys().cloned().collect();
        let upstreams = self.upstreams.into_iter().map(|(name, upstream)| (name, upstream.fetching(&claims)));
        let wanted = resources.0.iter().zip(&self.resources);
        let wanted = wanted.map(|(settings, resource)| (settings.url.as_str(), resource.upstream.as_deref()));
        let sign_ins = SignIns::new(&self.public_url, upstreams.collect(), wanted);
        let (Some(public_url), Some(sign_ins), Some(store), Some(indicators), true) =
            (public_url, sign_ins, self.store, indicators, faults.is_empty())
        else {
            return Err(BuildError(with_missing(faults)));
        };
        let grants = GrantCache::new(store.clone(), Arc::clone(&self.clock), self.verification_cache);
        let verifiers: BTreeMap<&str, Arc<Verifier>> = sign_ins
            .iter()
            .map(|SignIn { name, upstream, .. }| {
                let (grants, upstream) = (Arc::clone(&grants), Arc::clone(upstream));
                let verifier = Verifier::new(store.clone(), grants, upstream, Arc::clone(&self.clock));
                (name.as_str(), Arc::new(verifier))
            })
            .collect();
        let protections = self.resources.iter().zip(&resources.0).filter_map(|(resource, settings)| {
            let verifier = verifiers.get(sign_ins.of(&settings.url).name.as_str())?;
            Some((resource.path.clone(), Arc::new(protection(verifier, &public_url, resource, settings))))
        });
        let protections = protections.collect();
        let redirects = RedirectPolicy::new(&self.redirect_hosts, &self.redirect_schemes);
        let document_hosts = check_document_hosts(&self.metadata_document_hosts, &mut Vec::new());
        let documents = self
            .metadata_documents
            .then(|| MetadataDocuments::new(document_hosts.clone(), redirects.clone()));
        let clients = Clients {
            store: store.clone(),
            idle: self.lifetimes.client_idle(),
            configured: ConfiguredClients::check(
                &self.static_clients,
                &resources.all_scopes(),
                &mut Vec::new(),
            ),
            documents,
            key_sets: KeySets::new(document_hosts.clone()),
            issuer: self.public_url.clone(),
            token_endpoint: format!("{}/token", self.public_url),
        };
        let grant_types = grant_types(&clients.configured, &self.trusted_issuers);
        let signer = Signer::new(&self.public_url, store.clone(), Arc::clone(&self.clock));
        let server = AuthorizationServer {
            origin: public_url.origin().ascii_serialization(),
            issuer: self.public_url,
            clients,
            store,
            sign_ins,
            clock: self.clock,
            lifetimes: self.lifetimes,
            redirects,
            document_hosts,
            registration: self.registration,
            access: self.access,
            resources,
            indicators,
            grant_types,
            trusted_issuers: self.trusted_issuers,
            limits: AddressLimits::new(self.rate_limits, self.client_address_header),
            signer,
        };
        Ok(AuthServer { server: Arc::new(server), protections })
    }
}

fn with_missing(mut faults: Vec<String>) -> Vec<String> {
    if faults.is_empty() {
        faults.push("an upstream, a store and at least one resource are needed".to_owned());
    }
    faults
}

/// Two are always there; the others are where the operator has said who may use them.
fn grant_types(configured: &ConfiguredClients, trusted_issuers: &[TrustedIssuer]) -> Vec<GrantType> {
    let offered = |grant_type: &GrantType| match grant_type {
        GrantType::AuthorizationCode | GrantType::RefreshToken => true,
        GrantType::ClientCredentials => configured.any_may_use(*grant_type),
        GrantType::JwtBearer => !trusted_issuers.is_empty(),
    };
    GrantType::ALL.into_iter().filter(offered).collect()
}

fn protection(
    verifier: &Arc<Verifier>,
    public_url: &Url,
    resource: &Resource,
    settings: &ResourceSettings,
) -> Protection {
    let origin = public_url.origin().ascii_serialization();
    let path = Url::parse(&settings.url).map(|url| url.path().to_owned()).unwrap_or_default();
    Protection {
        verifier: Arc::clone(verifier),
        resource: settings.url.clone(),
        challenge: Challenge {
            resource_metadata: format!(
                "{origin}/.well-known/oauth-protected-resource{}",
                path.trim_end_matches('/')
            ),
            scopes: settings.supported.clone(),
        },
        baseline: settings.scopes.clone(),
        tool_scopes: resource.parsed_tool_scopes(drop),
        public: resource.public(),
        form: resource.challenge,
        hides_tools: resource.hides_tools,
        session_query: resource.session_query.clone(),
        looks_into_results,
    }
}
