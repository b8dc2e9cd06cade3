//! `[[mcp]]`: the protected MCP servers.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::HeaderName;
use mcp_login::ChallengeForm;
use mcp_login::core::mcp::{DEFAULT_PUBLIC_METHODS, ToolScopes};
use mcp_login::core::scope::{OFFLINE_ACCESS, Scopes};

use super::assertion;
use super::backend::{self, BackendConfig};
use super::command::{self, CommandConfig};
use super::transport::{self, Transport};
use super::upstream::one_of;
use crate::config::fault::Faults;
use crate::config::{check, raw};
use crate::proxy::{Template, check_configured_name, same_name};

const TOOLS_CALL: &str = "tools/call";

/// The paths of the authorization server itself: no MCP server can stand there.
pub const OWN_PATHS: [&str; 11] = [
    "/authorize",
    "/consent",
    "/callback",
    "/token",
    "/register",
    "/revoke",
    "/introspect",
    "/account",
    "/healthz",
    "/readyz",
    "/.well-known",
];

/// The path of a protected server: begins with a slash, does not end with one, and means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpPath(String);

impl McpPath {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What answers.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A server at an address, or at several.
    Urls(BackendConfig),
    /// A program that speaks on its standard input and output.
    Command(CommandConfig),
}

/// The addresses; or the name of the program, without its arguments, which may be secrets.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Urls(BackendConfig { urls, .. }) => {
                let urls: Vec<&str> = urls.iter().map(|url| url.as_url().as_str()).collect();
                f.write_str(&urls.join(", "))
            }
            Self::Command(command) => f.write_str(&command.launch.program),
        }
    }
}

/// Which requests need a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Every one.
    Required,
    /// Discovery is public, calls need a user.
    Lazy {
        /// JSON-RPC methods that anybody may call.
        public_methods: Vec<String>,
        /// Tools that anybody may call.
        public_tools: Vec<String>,
        /// How other calls are refused.
        challenge: ChallengeForm,
    },
}

/// One protected MCP server.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// Its path here; `public_url` + path is the OAuth `resource`.
    pub path: McpPath,
    /// What answers.
    pub backend: Backend,
    /// How, where that is at an address.
    pub transport: Transport,
    /// Which requests need a user.
    pub auth: Auth,
    /// The baseline a token needs.
    pub scopes: Scopes,
    /// What calls need besides, by a pattern of tools, prompts or resources.
    pub tool_scopes: Vec<(String, Scopes)>,
    /// Whether lists of tools leave out what the caller may not call.
    pub hide_tools: bool,
    /// What scopes let a client do, in words.
    pub scope_descriptions: BTreeMap<String, String>,
    /// The name of the service that its users sign in to, where there are several.
    pub upstream: Option<String>,
    /// Added to what the backend gets.
    pub headers: Vec<(HeaderName, Template)>,
    /// For whom the assertions are that the backend gets (`aud`); `None` where it gets none.
    pub assertion: Option<String>,
}

pub(super) fn judge(raw: Vec<raw::Mcp>, faults: &mut Faults) -> Option<Vec<McpConfig>> {
    if raw.is_empty() {
        faults.missing("mcp", "an MCP server to protect; write [[mcp]] with path and backend");
    }
    let mut taken: Vec<Option<String>> = Vec::new();
    let mut servers = Vec::new();
    for (n, raw) in raw.into_iter().enumerate() {
        let key = format!("mcp[{n}]");
        taken.push(raw.path.clone());
        let others = taken[..n].iter().enumerate().filter_map(|(n, path)| Some((n, path.as_deref()?)));
        servers.push(server(raw, &key, others, faults));
    }
    servers.into_iter().collect::<Option<Vec<_>>>().filter(|servers| !servers.is_empty())
}

fn server<'a>(
    raw: raw::Mcp,
    key: &str,
    others: impl Iterator<Item = (usize, &'a str)>,
    faults: &mut Faults,
) -> Option<McpConfig> {
    let path = path(raw.path.clone(), &format!("{key}.path"), others, faults);
    let command = command::judge(&raw, key, faults);
    let assertion = assertion::judge(&raw, key, faults);
    let backend = if raw.command.is_some() {
        command.map(Backend::Command)
    } else {
        backend::judge(&raw, key, faults).map(Backend::Urls)
    };
    let words = [("required", false), ("lazy", true)];
    let lazy = match &raw.auth {
        None => Some(false),
        written => one_of(written.clone(), &format!("{key}.auth"), &words, faults),
    };
    let transport = transport::judge(&raw, lazy, key, faults);
    let challenge = challenge(raw.challenge, lazy, key, faults);
    if lazy == Some(false) && (raw.public_methods.is_some() || !raw.public_tools.is_empty()) {
        faults.warn(key, "public_methods and public_tools do nothing with auth = \"required\"");
    }
    if lazy == Some(true) {
        warn_of_what_does_nothing(raw.public_methods.as_deref(), &raw.public_tools, key, faults);
        if let Some(Backend::Command(command)) = &backend
            && command.launch.env.iter().any(|(_, template)| template.needs_user())
        {
            let message =
                "\"lazy\" lets nobody in here without a login: env names the user, so `initialize` needs one";
            faults.warn(format!("{key}.auth"), message);
        }
    }
    let auth =
        lazy.map(
            |lazy| {
                if lazy { public(raw.public_methods, raw.public_tools, challenge) } else { Auth::Required }
            },
        );
    let scopes = baseline(raw.scopes, &format!("{key}.scopes"), faults);
    let tool_scopes = tool_scopes(raw.tool_scopes, &format!("{key}.tool_scopes"), faults);
    let headers = headers(raw.headers, &format!("{key}.headers"), faults);
    let upstream = raw.upstream;
    Some(McpConfig {
        path: path?,
        backend: backend?,
        transport: transport?,
        auth: auth?,
        scopes: scopes?,
        tool_scopes,
        hide_tools: raw.hide_tools,
        scope_descriptions: raw.scope_descriptions,
        upstream,
        headers,
        assertion,
    })
}

fn warn_of_what_does_nothing(methods: Option<&[String]>, tools: &[String], key: &str, faults: &mut Faults) {
    if methods.iter().copied().flatten().any(|method| method == TOOLS_CALL) {
        faults.warn(
            format!("{key}.public_methods"),
            format!("{TOOLS_CALL:?} does nothing here: name the tools in public_tools"),
        );
    }
    if tools.iter().any(|tool| tool.contains('*')) {
        faults.warn(
            format!("{key}.public_tools"),
            "a * stands for itself here, not for other tools: write the names out",
        );
    }
}

fn challenge(written: Option<String>, lazy: Option<bool>, key: &str, faults: &mut Faults) -> ChallengeForm {
    if written.is_some() && lazy == Some(false) {
        faults
            .warn(format!("{key}.challenge"), "does nothing with auth = \"required\": that is always HTTP's");
    }
    let words =
        [("http", ChallengeForm::Http), ("result", ChallengeForm::Result), ("auto", ChallengeForm::Auto)];
    one_of(written, &format!("{key}.challenge"), &words, faults).unwrap_or_default()
}

fn public(methods: Option<Vec<String>>, public_tools: Vec<String>, challenge: ChallengeForm) -> Auth {
    let default = || DEFAULT_PUBLIC_METHODS.iter().map(|method| (*method).to_owned()).collect();
    Auth::Lazy { public_methods: methods.unwrap_or_else(default), public_tools, challenge }
}

fn path<'a>(
    written: Option<String>,
    key: &str,
    others: impl Iterator<Item = (usize, &'a str)>,
    faults: &mut Faults,
) -> Option<McpPath> {
    let Some(path) = written else {
        faults.missing(key, "where clients find this server, such as \"/mcp\"");
        return None;
    };
    if let Err(message) = check_path(&path) {
        faults.push(key, message);
        return None;
    }
    if let Some(own) = OWN_PATHS.iter().find(|own| overlap(&path, own)) {
        faults.push(
            key,
            format!("overlaps with {own}, which is the server's own: write another, such as \"/mcp\""),
        );
        return None;
    }
    for (n, other) in others {
        if overlap(&path, other) {
            faults.push(key, format!("overlaps with mcp[{n}].path ({other:?}): write another"));
            return None;
        }
    }
    Some(McpPath(path))
}

pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else { return Err("must begin with a slash: write \"/mcp\"") };
    if rest.is_empty() {
        return Err("the root is the authorization server's: write a path, such as \"/mcp\"");
    }
    if path.ends_with('/') {
        return Err("ends with a slash: take it out");
    }
    if rest.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("holds an empty, \".\" or \"..\" segment");
    }
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~@".contains(&b)) {
        return Err("only letters, digits and - . _ ~ @ between the slashes");
    }
    Ok(())
}

/// Whether one is the other or stands under it. Without regard to case, which some proxies in front do not regard either.
fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let under = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    under(&a, &b) || under(&b, &a)
}

fn baseline(written: Option<Vec<String>>, key: &str, faults: &mut Faults) -> Option<Scopes> {
    scopes(written.unwrap_or_else(|| vec!["mcp".to_owned()]), key, faults)
}

fn tool_scopes(
    written: BTreeMap<String, Vec<String>>,
    key: &str,
    faults: &mut Faults,
) -> Vec<(String, Scopes)> {
    let mut judged = Vec::new();
    for (glob, names) in written {
        let key = check::join(key, &glob);
        if let Err(error) = ToolScopes::default().add(&glob, &Scopes::default()) {
            faults.push(&key, format!("{error}; write \"delete_*\", \"prompt:NAME\" or \"resource:URI\""));
        }
        if names.is_empty() {
            faults.push(&key, "needs nothing: name the scopes, or take it out");
        }
        judged.extend(scopes(names, &key, faults).map(|scopes| (glob, scopes)));
    }
    judged
}

fn scopes(written: Vec<String>, key: &str, faults: &mut Faults) -> Option<Scopes> {
    if written.iter().any(|name| name == OFFLINE_ACCESS) {
        faults.push(
            key,
            "offline_access belongs to no resource; every client gets a refresh token: take it out",
        );
        return None;
    }
    let scopes = Scopes::from_names(written).ok();
    if scopes.is_none() {
        faults.push(key, "at most 64 names, without spaces, quotes and backslashes (RFC 6749 §3.3)");
    }
    scopes
}

fn headers(written: BTreeMap<String, String>, key: &str, faults: &mut Faults) -> Vec<(HeaderName, Template)> {
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (name, template) in written {
        let key = check::join(key, &name);
        let parsed = match check_configured_name(&name) {
            Err(message) => Err(message.to_owned()),
            Ok(name) if headers.iter().any(|(other, _)| same_name(other.as_str(), name.as_str())) => {
                Err("stands here twice: case, - and _ make no difference".to_owned())
            }
            Ok(name) => Template::parse(&template).map(|template| (name, template)),
        };
        match parsed {
            Ok(header) => headers.push(header),
            Err(message) => faults.push(key, message),
        }
    }
    headers
}
