//! From the configuration to the library: the one place where the two meet.

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::server::AuthServerBuilder;
use mcp_login::settings::StaticClient;
use mcp_login::upstream::{self, TrustedIssuer, Upstream};
use mcp_login::{Access, AuthServer, Resource, Store};

use crate::config::valid::{Auth, Config, McpConfig, StaticClientConfig, Transport, UpstreamConfig};
use crate::proxy::SESSION_QUERY;

/// The authorization server that the configuration asks for.
pub async fn auth_server(config: &Config) -> anyhow::Result<AuthServer> {
    let store = Store::open_with(config.store.url.expose_secret(), &config.store.options()).await?;
    // A store that is away now may come back; one that lacks logins would log people out.
    if store.is_unfinished_copy(SystemClock.now()).await.unwrap_or(false) {
        anyhow::bail!(
            "store.url: a copy to this store was broken off, so it lacks logins; finish it with `mcp-login store copy`"
        );
    }
    Ok(builder(config)?.store(store).build().await?)
}

/// What the library finds wrong with a configuration that the gateway finds nothing wrong with.
#[must_use]
pub fn faults(config: &Config) -> Vec<String> {
    match builder(config) {
        Ok(builder) => builder.faults(),
        Err(error) => vec![error.to_string()],
    }
}

fn builder(config: &Config) -> anyhow::Result<AuthServerBuilder> {
    let mut builder = AuthServer::builder(config.public_url.as_str())
        .lifetimes(config.lifetimes)
        .verification_cache(config.store.cache)
        .access(config.access.clone())
        .registration(config.clients.registration)
        .metadata_documents(config.clients.metadata_documents)
        .metadata_document_hosts(&config.clients.metadata_document_hosts);
    for (name, config) in &config.upstreams {
        builder = builder.upstream_named(name, upstream(config)?);
    }
    if let Some(name) = &config.client_address_header {
        builder = builder.client_address_header(name.clone());
    }
    if let Some(hosts) = &config.clients.redirect_hosts {
        builder = builder.redirect_hosts(hosts);
    }
    if let Some(schemes) = &config.clients.redirect_schemes {
        builder = builder.redirect_schemes(schemes);
    }
    for trusted in &config.trusted_issuers {
        let issuer = TrustedIssuer::new(&trusted.issuer);
        builder = builder.trusted_issuer(match &trusted.jwks_uri {
            Some(uri) => issuer.jwks_uri(uri),
            None => issuer,
        });
    }
    for client in &config.clients.static_clients {
        builder = builder.client(static_client(client));
    }
    for mcp in &config.mcp {
        builder = builder.resource(resource(mcp));
    }
    Ok(builder)
}

fn static_client(config: &StaticClientConfig) -> StaticClient {
    let mut client = StaticClient::new(&config.client_id).redirect_uris(&config.redirect_uris);
    if let Some(name) = &config.client_name {
        client = client.name(name);
    }
    if let Some(secret) = &config.client_secret {
        client = client.secret(secret.clone());
    }
    if let Some(jwks) = &config.jwks {
        client = client.jwks(jwks.clone());
    }
    if let Some(jwks_uri) = &config.jwks_uri {
        client = client.jwks_uri(jwks_uri.clone());
    }
    if let Some(grant_types) = &config.grant_types {
        client = client.grant_types(grant_types);
    }
    if let Some(scopes) = &config.scopes {
        client = client.scopes(scopes);
    }
    client
}

fn resource(mcp: &McpConfig) -> Resource {
    let mut resource = Resource::new(mcp.path.as_str()).scopes(mcp.scopes.iter()).hide_tools(mcp.hide_tools);
    for (glob, scopes) in &mcp.tool_scopes {
        resource = resource.tool_scopes(glob, scopes.iter());
    }
    for (scope, description) in &mcp.scope_descriptions {
        resource = resource.scope_description(scope, description);
    }
    if mcp.transport == Transport::Sse {
        resource = resource.session_query(SESSION_QUERY);
    }
    if let Some(name) = &mcp.upstream {
        resource = resource.upstream(name);
    }
    match &mcp.auth {
        Auth::Required => resource.access(Access::Required),
        Auth::Lazy { public_methods, public_tools, challenge } => resource
            .access(Access::Lazy)
            .public_methods(public_methods)
            .public_tools(public_tools)
            .challenge(*challenge),
    }
}

/// The preset with everything that the configuration says otherwise.
fn upstream(config: &UpstreamConfig) -> anyhow::Result<Upstream> {
    let Some(preset) = upstream::preset(&config.provider) else {
        anyhow::bail!("upstream.provider: no preset is called {:?}", config.provider);
    };
    let preset = preset.with_fields(config.fields.clone()).map_err(anyhow::Error::msg)?;
    let mut upstream = Upstream::new(preset, &config.client_id, config.client_secret.clone());
    if let Some(name) = &config.display_name {
        upstream = upstream.named(name);
    }
    if let Some(issuer) = &config.issuer {
        upstream = upstream.issuer(issuer);
    }
    if let Some(url) = &config.authorization_endpoint {
        upstream = upstream.authorization_endpoint(url);
    }
    if let Some(url) = &config.token_endpoint {
        upstream = upstream.token_endpoint(url);
    }
    if let Some(url) = &config.userinfo_endpoint {
        upstream = upstream.userinfo_endpoint(url);
    }
    if let Some(url) = &config.revocation_endpoint {
        upstream = upstream.revocation_endpoint(url);
    }
    if let Some(scopes) = &config.scopes {
        upstream = upstream.scopes(scopes);
    }
    if let Some(subject) = &config.subject {
        upstream = upstream.subject(subject);
    }
    if let Some(pkce) = config.pkce {
        upstream = upstream.pkce(pkce);
    }
    if let Some(client_auth) = config.client_auth {
        upstream = upstream.client_auth(client_auth);
    }
    for (name, value) in &config.params {
        upstream = upstream.param(name, value);
    }
    for (name, value) in &config.auth_params {
        upstream = upstream.auth_param(name, value);
    }
    Ok(upstream)
}
