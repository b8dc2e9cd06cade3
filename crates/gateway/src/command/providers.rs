//! `providers`: the services people can sign in to, and what each needs.

use comfy_table::{ContentArrangement, Table, presets};
use mcp_login::upstream::{self, Kind, Pkce, Provider, callback_url};
use serde::Serialize;
use serde_json::json;

use super::Source;
use crate::cli::{Failure, ProvidersArgs, say};
use crate::config::{nearest, public_url_of};

/// What is shown where no configuration says it.
const NO_PUBLIC_URL: &str = "https://mcp.example.com";

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderRow {
    /// What `upstream.provider` says.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// `oidc` or `oauth2`.
    pub kind: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// The keys of `[upstream]` it needs.
    pub needs: Vec<String>,
    /// What can be said besides, in `params`.
    pub params: Vec<ParamRow>,
    /// Whether a PKCE challenge is sent there.
    pub pkce: bool,
    /// What makes up the user's id.
    pub subject: Vec<String>,
    /// Claims that rules can ask for, each fetched only then.
    pub lists: Vec<String>,
    /// Whether a login that ends here is ended there, too.
    pub revocation: bool,
    /// What is asked for unless the configuration says otherwise.
    pub scopes: Vec<String>,
    /// What to know about refresh tokens there.
    pub refresh: Option<String>,
    /// How to get a client id there.
    pub setup: String,
    /// Where the facts come from.
    pub source: String,
}

/// What can be said in `params`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParamRow {
    /// Its name.
    pub name: String,
    /// What it is unless somebody says otherwise; without one it has to be said.
    pub default: Option<String>,
    /// What it is.
    pub about: String,
}

/// Every service.
#[must_use]
pub fn rows() -> Vec<ProviderRow> {
    upstream::all().iter().map(ProviderRow::of).collect()
}

impl ProviderRow {
    fn of(provider: &Provider) -> Self {
        let needs = [
            ("client_id", true),
            ("client_secret", true),
            ("issuer", provider.kind == Kind::Oidc && provider.issuer.is_none()),
            (
                "authorization_endpoint",
                provider.kind == Kind::OAuth2 && provider.authorization_endpoint.is_none(),
            ),
            ("token_endpoint", provider.kind == Kind::OAuth2 && provider.token_endpoint.is_none()),
            ("userinfo_endpoint", provider.kind == Kind::OAuth2 && provider.userinfo_endpoint.is_none()),
        ];
        let params = provider.params.iter().map(|(name, param)| ParamRow {
            name: name.clone(),
            default: param.default.clone(),
            about: param.about.clone(),
        });
        let params: Vec<_> = params.collect();
        let missing = params.iter().filter(|param| param.default.is_none());
        let missing = missing.map(|param| format!("params.{}", param.name));
        Self {
            name: provider.name.clone(),
            aliases: provider.aliases.clone(),
            pkce: provider.pkce == Pkce::S256,
            subject: provider.subject.clone(),
            lists: provider.lists.keys().cloned().collect(),
            revocation: provider.revocation_endpoint.is_some(),
            source: provider.source.clone(),
            display_name: provider.display_name.clone(),
            kind: match provider.kind {
                Kind::Oidc => "oidc",
                Kind::OAuth2 => "oauth2",
            }
            .to_owned(),
            needs: needs
                .into_iter()
                .filter(|(_, needed)| *needed)
                .map(|(key, _)| key.to_owned())
                .chain(missing)
                .collect(),
            params,
            scopes: provider.scopes.clone(),
            refresh: provider.refresh.clone(),
            setup: provider.setup.clone(),
        }
    }
}

/// `providers`
pub fn run(args: &ProvidersArgs) -> Result<(), Failure> {
    let source = Source::read(&args.config)?;
    let public_url = public_url_of(&source.text, &source.environment);
    let callback = callback_url(public_url.as_deref().unwrap_or(NO_PUBLIC_URL), "");
    let rows = rows();
    let Some(name) = &args.name else {
        if args.json {
            say(&json!({ "callback_url": callback, "providers": rows }).to_string());
        } else {
            say(&format!("{}\n\n{}", table(&rows), callback_line(&callback, public_url.is_some())));
        }
        return Ok(());
    };
    let is = |row: &&ProviderRow| row.name == *name || row.aliases.contains(name);
    let Some(row) = rows.iter().find(is) else {
        let names = rows.iter().flat_map(|row| row.aliases.iter().chain([&row.name]));
        let hint = nearest(name, names.map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        return Err(Failure::Usage(format!(
            "no provider is called {name:?}{hint}; `mcp-login providers` lists them, any other service is \"oidc\" or \"oauth2\""
        )));
    };
    if args.json {
        say(&json!({ "callback_url": callback, "provider": row }).to_string());
    } else {
        say(&format!("{}\n\n{}", detail(row), callback_line(&callback, public_url.is_some())));
    }
    Ok(())
}

fn callback_line(callback: &str, known: bool) -> String {
    let note = if known {
        ""
    } else {
        "\n(an example: no configuration was found; yours is your public_url + /callback)"
    };
    format!(
        "Callback URL to enter at the provider: {callback}{note}\nOf a service in [upstreams.NAME] it is {callback}/NAME."
    )
}

/// All services, one a line.
fn table(rows: &[ProviderRow]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["NAME", "SERVICE", "KIND", "NEEDS BESIDE CLIENT_ID AND CLIENT_SECRET"]);
    for row in rows {
        let needs = row.needs.iter().filter(|key| !key.starts_with("client_"));
        let needs = needs.map(String::as_str).collect::<Vec<_>>().join(", ");
        table.add_row([&row.name, &row.display_name, &row.kind, &needs]);
    }
    table.trim_fmt()
}

/// One service, and the lines of configuration for it.
fn detail(row: &ProviderRow) -> String {
    let mut lines = vec![format!("{} ({})", row.display_name, row.kind), String::new(), row.setup.clone()];
    lines.extend(row.refresh.iter().map(|refresh| format!("Refresh tokens: {refresh}")));
    lines.extend([String::new(), "[upstream]".to_owned(), format!("provider = {:?}", row.name)]);
    lines.extend(row.needs.iter().map(|key| match key.as_str() {
        "client_secret" => {
            format!("client_secret = {{ env = \"{}_CLIENT_SECRET\" }}", row.name.to_uppercase())
        }
        key => format!("{key} = \"…\""),
    }));
    for param in row.params.iter().filter(|param| param.default.is_some()) {
        let default = param.default.as_deref().filter(|default| !default.is_empty()).unwrap_or("…");
        lines.push(format!("# params.{} = {default:?}   # {}", param.name, param.about));
    }
    if !row.scopes.is_empty() {
        lines.push(format!("scopes = {:?}   # the default", row.scopes));
    }
    lines.join("\n")
}

/// The services as a document: `docs/providers.md`.
#[must_use]
pub fn document(rows: &[ProviderRow]) -> String {
    let named: Vec<&ProviderRow> =
        rows.iter().filter(|row| !matches!(row.name.as_str(), "oidc" | "oauth2")).collect();
    let mut lines = vec![
        "# Services people can sign in to".to_owned(),
        String::new(),
        format!(
            "{} services are known by name. What each needs beside `client_id` and `client_secret`, what to click there, and \
             how its tokens stay fresh, is below; the callback URL to enter is your `public_url` and `/callback` (of a service \
             in `[upstreams.NAME]`: `/callback/NAME`). `mcp-login providers NAME` shows the same with your own callback URL.",
            named.len()
        ),
        String::new(),
        "Any other service is `provider = \"oidc\"` with its `issuer`, or `provider = \"oauth2\"` with its endpoints. Every \
         field of a preset can be set in the configuration, too: what they mean stands in \
         [provider.rs](../crates/mcp-login/src/upstream/provider.rs), what they are in \
         [presets.toml](../crates/mcp-login/src/upstream/presets.toml). This page is made from that file; \
         `UPDATE_DOCS=1 cargo test -p mcp-login-gateway --test providers` makes it anew."
            .to_owned(),
        String::new(),
    ];
    for row in named {
        lines.extend(section(row));
    }
    lines.join("\n")
}

/// One service.
fn section(row: &ProviderRow) -> Vec<String> {
    let code = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut lines =
        vec![format!("## {} (`{}`)", row.display_name, row.name), String::new(), row.setup.clone()];
    lines.push(String::new());
    if !row.aliases.is_empty() {
        lines.push(format!("- Also called {}", code(&row.aliases)));
    }
    for param in &row.params {
        let default = match param.default.as_deref() {
            None => "required".to_owned(),
            Some("") => "optional".to_owned(),
            Some(default) => format!("`{default}` unless set"),
        };
        lines.push(format!("- `params.{}`: {} ({default})", param.name, param.about));
    }
    if !row.scopes.is_empty() {
        lines.push(format!("- Scopes: {}", code(&row.scopes)));
    }
    lines.push(format!("- User id: {}", code(&row.subject)));
    if !row.lists.is_empty() {
        lines.push(format!("- `[access]` can ask for {}", code(&row.lists)));
    }
    if let Some(refresh) = &row.refresh {
        lines.push(format!("- Refresh: {refresh}"));
    }
    let ended = if row.revocation {
        "ended there, too"
    } else {
        "not ended there: the service has no way that is known"
    };
    lines.push(format!("- A login that ends here is {ended}"));
    if !row.pkce {
        lines.push("- No PKCE: it is off for a reason".to_owned());
    }
    lines.push(format!("- Facts: {}", row.source));
    lines.push(String::new());
    lines
}
