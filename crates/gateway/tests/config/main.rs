//! What is wrong with a configuration is said all at once, with its key path, and never with a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod access;
mod allowed;
mod assertion;
mod backends;
mod command;
mod limits;
mod static_clients;
mod store;
mod transport;
mod trusted_issuers;

use std::path::Path;

use mcp_login::settings::AccessRule;
use mcp_login_gateway::config::{Checked, Environment, Faults, Sources};

const PROVIDERS: [&str; 5] = ["github", "github_app", "google", "oauth2", "oidc"];

/// The least that works.
const MINIMAL: &str = r#"
public_url = "https://mcp.example.com"
[upstream]
provider = "github"
client_id = "id"
client_secret = "hunter2"
[[mcp]]
path = "/mcp"
backend = "http://127.0.0.1:3000/mcp"
"#;

fn check_in(text: &str, folder: &Path, environment: &[(&str, &str)]) -> Result<Checked, Faults> {
    let environment: Environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { text, folder, environment: &environment, providers: &PROVIDERS }.check()
}

fn check_with(text: &str, environment: &[(&str, &str)]) -> Result<Checked, Faults> {
    check_in(text, Path::new("/nowhere"), environment)
}

fn check(text: &str) -> Result<Checked, Faults> {
    check_with(text, &[])
}

/// The minimal configuration with one line of it exchanged, or with lines added at a place.
fn with(line: &str, instead: &str) -> String {
    assert!(MINIMAL.contains(line), "{line}");
    MINIMAL.replacen(line, instead, 1)
}

/// That there is this one fault, and what it says.
#[track_caller]
fn one_fault(text: &str, key: &str) -> String {
    let faults = check(text).expect_err("a fault");
    let [fault] = faults.faults() else { panic!("one fault at {key}, not:\n{faults}") };
    assert_eq!(fault.key, key, "{fault}");
    fault.message.clone()
}

#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let checked = check(text).unwrap_or_else(|faults| panic!("{faults}"));
    checked.warnings.into_iter().map(|warning| warning.key).collect()
}

#[test]
fn the_minimal_configuration_has_the_contracts_defaults() {
    let config = check(MINIMAL).unwrap().config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.url.expose_secret(), "file:mcp-login.db");
    assert_eq!(config.store.key_prefix, "mcp-login:");
    assert_eq!(config.access, AccessRule::default());
    assert!(config.clients.registration && config.clients.metadata_documents);
    assert_eq!(config.clients.redirect_hosts, None);
    let minutes = |duration: std::time::Duration| duration.as_secs() / 60;
    let l = config.lifetimes;
    assert_eq!((minutes(l.session), minutes(l.code), minutes(l.access)), (10, 5, 60));
    assert_eq!((minutes(l.refresh), minutes(l.refresh_retry_window)), (30 * 24 * 60, 1));
    assert_eq!(config.mcp[0].scopes.to_string(), "mcp");
    assert!(warnings(MINIMAL).is_empty());
}

/// One mistake after the other.
const MANY_FAULTS: &str = r#"
pubic_url = "https://mcp.example.com"
public_url = "http://mcp.example.com/"
listen = "localhost"
admin_listen = "127.0.0.1:9090"
client_address_header = "X-Forwarded-For"
[store]
url = "redis+cluster://user:hunter2@h1:1,h2:2/1"
prefix = "x"
timeout = "2"
connections = "2"
[upstream]
provider = "gihub"
client_id = 7
client_secret = { env = "NOT_SET" }
pkce = "plain"
auth_params = { prompt = "consent", state = "x" }
[access]
emails = ["not an address"]
claims = { org = [] }
[clients]
redirect_hosts = ["claude.ai", "https://x.example", "*.example.com"]
redirect_schemes = ["javascript"]
registration = "yes"
metadata_document_hosts = ["clients.example.com:8443", "https://x.example"]
[[clients.static]]
client_id = ""
client_secret = { env = "NOT_SET" }
jwks_uri = "https://hunter2@c.example/jwks"
[tokens]
session_ttl = "2h"
code_ttl = "11m"
access_ttl = "1m"
refresh_ttl = "forever"
[[mcp]]
path = "/token/x"
backend = "ftp://h"
auth = "sometimes"
challenge = "loud"
scopes = ["offline_access"]
tool_scopes = { "delete_*" = ["w x"], "prompt:" = ["w"], "list" = [] }
[[mcp]]
path = "/a"
command = [""]
env = { 1T = "hunter2" }
upstream = "github"
[[mcp]]
path = "/a/b"
backend = "http://u:hunter2@h/"
[mcp.headers]
"X-Forwarded-User" = "x"
"X-A" = "{user.id}"
"x_a" = "hunter2"
"Connection" = "close"
"#;

#[test]
fn a_file_with_many_faults_says_all_of_them() {
    let shown = check(MANY_FAULTS).expect_err("faults").to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    let mut keys: Vec<&str> = shown.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    let mut wanted = vec![
        "pubic_url",
        "public_url",
        "listen",
        "admin_listen",
        "store.url",
        "store.prefix",
        "store.connections",
        "store.timeout",
        "upstream.provider",
        "upstream.client_id",
        "upstream.client_secret",
        "upstream.pkce",
        "upstream.auth_params.state",
        "access.emails[0]",
        "access.claims.org",
        "clients.redirect_hosts[1]",
        "clients.redirect_hosts[2]",
        "clients.redirect_schemes[0]",
        "clients.registration",
        "clients.metadata_document_hosts[1]",
        "clients.static[0].client_id",
        "clients.static[0].client_secret",
        "clients.static[0].jwks_uri",
        "tokens.session_ttl",
        "tokens.code_ttl",
        "tokens.access_ttl",
        "tokens.refresh_ttl",
        "mcp[0].path",
        "mcp[0].backend",
        "mcp[0].auth",
        "mcp[0].challenge",
        "mcp[0].scopes",
        "mcp[0].tool_scopes.\"delete_*\"",
        "mcp[0].tool_scopes.list",
        "mcp[0].tool_scopes.\"prompt:\"",
        "mcp[1].command",
        "mcp[1].env.1T",
        "mcp[1].upstream",
        "mcp[2].path",
        "mcp[2].backend",
        "mcp[2].headers.X-Forwarded-User",
        "mcp[2].headers.X-A",
        "mcp[2].headers.Connection",
    ];
    wanted.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, wanted, "\n{shown}");
    for says in [
        "pubic_url: unknown key; did you mean \"public_url\"?",
        "store.prefix: unknown key; did you mean \"key_prefix\"?",
        "upstream.provider: no preset of this name; did you mean \"github\"?",
        "upstream.client_id: a number where a string in quotes belongs",
        "upstream.client_secret: the environment variable \"NOT_SET\" is not set",
        "admin_listen: not in this version yet",
        "mcp[2].path: overlaps with mcp[1].path (\"/a\")",
    ] {
        assert!(shown.contains(says), "{says}\nis missing in\n{shown}");
    }
}

#[test]
fn what_is_missing_is_required_once() {
    let shown = check("").expect_err("faults").to_string();
    let keys: Vec<&str> = shown.lines().map(|line| line.split_once(": required").unwrap().0).collect();
    assert_eq!(keys, ["public_url", "upstream", "mcp"]);
    assert!(one_fault(&with("client_id = \"id\"", ""), "upstream.client_id").starts_with("required"));
    assert!(
        one_fault(&with("client_secret = \"hunter2\"", ""), "upstream.client_secret").starts_with("required")
    );
    assert!(one_fault(&with("path = \"/mcp\"", ""), "mcp[0].path").starts_with("required"));
}

#[test]
fn a_syntax_error_tells_the_place_and_not_the_line() {
    let message = one_fault(&with("\"hunter2\"", "\"hunter2"), "");
    assert!(message.starts_with("not TOML: line 6, "), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn public_url_is_an_issuer() {
    let url = |url: &str| with("https://mcp.example.com", url);
    for good in [
        "https://mcp.example.com/base",
        "https://mcp.example.com:8443",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ] {
        assert_eq!(check(&url(good)).unwrap().config.public_url.as_str(), good);
        assert!(warnings(&url(good)).is_empty());
    }
    for bad in [
        "http://mcp.example.com",
        "http://127.0.0.1.example.com",
        "https://mcp.example.com/",
        "https://mcp.example.com/base/",
        "https://mcp.example.com?x=1",
        "https://mcp.example.com#x",
        "https://user@mcp.example.com",
        "https://@mcp.example.com",
        "https://mcp.example.com/a/../b",
        " https://mcp.example.com",
        "https:mcp.example.com",
        "https://",
        "mcp.example.com",
        "ftp://mcp.example.com",
        "https://mcp.exämple.com",
        "https://MCP.example.com",
        "https://mcp.example.com:443",
        "https://mcp.example.com/:a",
        "https://mcp.example.com/{a}",
        "https://mcp.example.com/.well-known",
    ] {
        one_fault(&url(bad), "public_url");
    }
    let config = check(&url("https://mcp.example.com:8443/base")).unwrap().config;
    assert_eq!(config.public_url.authority(), "mcp.example.com:8443");
    assert_eq!((config.public_url.scheme(), config.public_url.path()), ("https", "/base"));
}

#[test]
fn lifetimes_have_bounds() {
    let tokens = |lines: &str| with("[[mcp]]", &format!("[tokens]\n{lines}\n[[mcp]]"));
    for (lines, key) in [
        ("session_ttl = \"61m\"", "tokens.session_ttl"),
        ("code_ttl = \"601s\"", "tokens.code_ttl"),
        ("access_ttl = \"60s\"", "tokens.access_ttl"),
        ("access_ttl = \"10m\"\nrefresh_retry_window = \"10m\"", "tokens.access_ttl"),
        ("access_ttl = \"2d\"\nrefresh_ttl = \"1d\"", "tokens.refresh_ttl"),
        ("code_ttl = \"0s\"", "tokens.code_ttl"),
        ("code_ttl = \"5\"", "tokens.code_ttl"),
    ] {
        one_fault(&tokens(lines), key);
    }
    check(&tokens("session_ttl = \"1h\"\ncode_ttl = \"10m\"\nrefresh_retry_window = \"0s\"")).unwrap();
    assert_eq!(warnings(&tokens("access_ttl = \"300s\"")), ["tokens.access_ttl"]);
    assert!(warnings(&tokens("access_ttl = \"301s\"")).is_empty());
}

#[test]
fn paths_do_not_meet() {
    let path = |path: &str| with("\"/mcp\"", &format!("{path:?}"));
    for bad in ["mcp", "/", "/mcp/", "/a//b", "/a/../b", "/mcp?x", "/{x}", "/a b", "/a%2fb", ""] {
        one_fault(&path(bad), "mcp[0].path");
    }
    for own in
        ["/authorize", "/TOKEN", "/callback/x", "/.well-known", "/.well-known/x", "/healthz", "/account"]
    {
        assert!(one_fault(&path(own), "mcp[0].path").contains("the server's own"), "{own}");
    }
    for good in ["/tokens", "/a/token", "/mcp-1/x.y~z"] {
        check(&path(good)).unwrap();
    }
    let two = |second: &str| format!("{MINIMAL}\n[[mcp]]\npath = {second:?}\nbackend = \"http://h/\"");
    for bad in ["/mcp", "/mcp/x", "/MCP"] {
        one_fault(&two(bad), "mcp[1].path");
    }
    assert_eq!(check(&two("/mcp2")).unwrap().config.mcp.len(), 2);
}

#[test]
fn an_upstream_is_complete() {
    let upstream = |lines: &str| with("provider = \"github\"", lines);
    one_fault(&upstream("provider = \"oidc\""), "upstream.issuer");
    check(&upstream("provider = \"oidc\"\nissuer = \"https://idp.example/\"")).unwrap();
    let faults = check(&upstream("provider = \"oauth2\"")).expect_err("faults");
    assert_eq!(faults.faults().len(), 3, "{faults}");
    one_fault(&upstream("provider = \"github\"\ntoken_endpoint = \"http://h/\""), "upstream.token_endpoint");
    one_fault(&upstream("provider = \"github\"\nclient_auth = \"none\""), "upstream.client_secret");
    one_fault(&upstream("provider = \"github\"\nsubject = \"id\""), "upstream.subject[0]");
    let config =
        check(&upstream("provider = \"github\"\nsubject = [\"userinfo:/id\", \"/t\"]")).unwrap().config;
    assert_eq!(config.upstreams[""].subject.clone().unwrap(), ["userinfo:/id", "/t"]);
    let none = with("client_secret = \"hunter2\"", "client_auth = \"none\"");
    assert_eq!(check(&none).unwrap().config.upstreams[""].client_secret, None);
    let named = MINIMAL.replace("[upstream]", "[upstreams.a]");
    assert_eq!(check(&named).unwrap().config.upstreams["a"].provider, "github");
    one_fault(&named.replace("client_id = \"id\"", ""), "upstreams.a.client_id");
}

#[test]
fn every_field_of_a_preset_can_be_set() {
    let upstream = |lines: &str| with("provider = \"github\"", &format!("provider = \"github\"\n{lines}"));
    let config = check(&upstream("scope_separator = \",\"\nquirks = [\"slack_answers\"]")).unwrap().config;
    assert_eq!(config.upstreams[""].fields["scope_separator"], ",");
    check(&upstream("lists = { orgs = { endpoint = \"https://ghe.example/orgs\", value = [\"/login\"] } }"))
        .unwrap();
    assert!(one_fault(&upstream("quirks = [\"none\"]"), "upstream.quirks").contains("slack_answers"));
    one_fault(&upstream("revocation_style = \"often\""), "upstream.revocation_style");
    one_fault(&upstream("lists = { orgs = 7 }"), "upstream.lists");
    one_fault(&upstream("setup = \"x\""), "upstream.setup");
    one_fault(&upstream("scope_seperator = \",\""), "upstream.scope_seperator");
}

#[test]
fn what_is_only_not_offered_yet_is_a_warning() {
    let clients = |line: &str| with("[[mcp]]", &format!("[clients]\n{line}\n[[mcp]]"));
    for one_way_in in ["metadata_documents = true", "metadata_documents = false", "registration = false"] {
        assert!(warnings(&clients(one_way_in)).is_empty(), "{one_way_in}");
    }
    let none = clients("registration = false\nmetadata_documents = false");
    assert_eq!(warnings(&none), ["clients.registration"]);
    check(&with("backend =", "tool_scopes = {}\nbackend =")).unwrap();
}

/// Every key of the contract, at least once.
#[test]
fn every_key_of_the_contract_is_known() {
    let text = r#"
public_url = "https://mcp.example.com"
listen = "127.0.0.1:8080"
admin_listen = "127.0.0.1:9090"
client_address_header = "X-Forwarded-For"
[store]
url = "file:mcp-login.db"
key_prefix = "mcp-login:"
timeout = "2s"
connect_timeout = "2s"
connections = 1
cache_entries = 10000
outage_grace = "60s"
[upstream]
provider = "github"
client_id = "id"
client_secret = "s"
scopes = ["read:user"]
issuer = "https://idp.example"
authorization_endpoint = "https://idp.example/a"
token_endpoint = "https://idp.example/t"
userinfo_endpoint = "https://idp.example/u"
revocation_endpoint = "https://idp.example/r"
subject = ["/id"]
pkce = "S256"
client_auth = "basic"
auth_params = { prompt = "consent" }
[upstreams.other]
provider = "google"
client_id = "id"
client_secret = "s"
params = { domain = "acme.okta.com" }
[access]
emails = ["a@b.example"]
email_domains = ["b.example"]
subjects = ["1"]
claims = { "org" = ["acme", 7, true] }
[clients]
redirect_hosts = ["claude.ai", "localhost", "127.0.0.1", "[::1]"]
redirect_schemes = ["cursor", "vscode-insiders"]
registration = true
metadata_documents = true
metadata_document_hosts = ["clients.example.com", "10.0.0.5:8443"]
[[clients.static]]
client_id = "ci-bot"
client_name = "CI"
client_secret = "correct horse battery"
jwks = { keys = [] }
jwks_uri = "https://c.example/jwks"
redirect_uris = []
grant_types = ["client_credentials"]
scopes = ["mcp"]
[tokens]
session_ttl = "10m"
code_ttl = "5m"
access_ttl = "1h"
refresh_ttl = "30d"
refresh_retry_window = "60s"
[[mcp]]
path = "/mcp"
backend = "http://127.0.0.1:3000/mcp"
upstream = "other"
auth = "required"
challenge = "http"
hide_tools = true
public_methods = ["initialize"]
public_tools = []
scopes = ["mcp"]
tool_scopes = { "delete_*" = ["mcp:write"], "prompt:plan" = ["mcp:write"], "resource:note://*" = ["mcp:*"] }
scope_descriptions = { "mcp:write" = "Change and delete notes" }
headers = { "X-Forwarded-Access-Token" = "{upstream.access_token}" }
[[mcp]]
path = "/stdio"
command = ["npx", "-y", "some-stdio-server"]
env = { GITHUB_TOKEN = "{upstream.access_token}" }
inherit_env = ["HTTPS_PROXY"]
idle_timeout = "10m"
max_processes = 64
max_processes_per_user = 8
upstream = "other"
"#;
    let faults = check(text).expect_err("what is not in this version yet");
    let other = |message: &str| !message.starts_with("not in this version yet");
    assert!(!faults.faults().iter().any(|fault| other(&fault.message)), "{faults}");
    assert_eq!(faults.faults().len(), 1, "{faults}");
}

#[test]
fn what_does_nothing_with_lazy_is_a_warning() {
    let lazy =
        |line: &str| warnings(&with("path = \"/mcp\"", &format!("path = \"/mcp\"\nauth = \"lazy\"\n{line}")));
    assert_eq!(lazy("public_methods = [\"ping\", \"tools/call\"]"), ["mcp[0].public_methods"]);
    assert_eq!(lazy("public_tools = [\"about\", \"get_*\"]"), ["mcp[0].public_tools"]);
    assert!(lazy("challenge = \"auto\"").is_empty());
    assert_eq!(warnings(&with("backend =", "challenge = \"result\"\nbackend =")), ["mcp[0].challenge"]);
    assert!(lazy("public_methods = [\"tools/list\"]\npublic_tools = [\"about\"]").is_empty());
}
