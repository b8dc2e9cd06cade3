//! `providers`: the services people can sign in to, and what each needs.

use comfy_table::{ContentArrangement, Table, presets};
use mcp_login::upstream::{self, Kind, Provider};
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
    /// The keys of `[upstream]` it needs.
    pub needs: Vec<String>,
    /// What is asked for unless the configuration says otherwise.
    pub scopes: Vec<String>,
    /// What to know about refresh tokens there.
    pub refresh: Option<String>,
    /// How to get a client id there.
    pub setup: String,
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
        Self {
            name: provider.name.clone(),
            display_name: provider.display_name.clone(),
            kind: match provider.kind {
                Kind::Oidc => "oidc",
                Kind::OAuth2 => "oauth2",
            }
            .to_owned(),
            needs: needs.into_iter().filter(|(_, needed)| *needed).map(|(key, _)| key.to_owned()).collect(),
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
    let callback = format!("{}/callback", public_url.as_deref().unwrap_or(NO_PUBLIC_URL));
    let rows = rows();
    let Some(name) = &args.name else {
        if args.json {
            say(&json!({ "callback_url": callback, "providers": rows }).to_string());
        } else {
            say(&format!("{}\n\n{}", table(&rows), callback_line(&callback, public_url.is_some())));
        }
        return Ok(());
    };
    let Some(row) = rows.iter().find(|row| row.name == *name) else {
        let hint = nearest(name, rows.iter().map(|row| row.name.as_str()));
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
    format!("Callback URL to enter at the provider: {callback}{note}")
}

/// All services, one a line.
fn table(rows: &[ProviderRow]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["NAME", "SERVICE", "KIND", "NEEDS"]);
    for row in rows {
        table.add_row([&row.name, &row.display_name, &row.kind, &row.needs.join(", ")]);
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
    if !row.scopes.is_empty() {
        lines.push(format!("scopes = {:?}   # the default", row.scopes));
    }
    lines.join("\n")
}
