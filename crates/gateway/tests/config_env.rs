//! Every key can come from the environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use mcp_login_gateway::config::valid::Auth;
use mcp_login_gateway::config::{Checked, Environment, Faults, Sources};

const MINIMAL: [(&str, &str); 6] = [
    ("MCP_LOGIN_PUBLIC_URL", "https://mcp.example.com"),
    ("MCP_LOGIN_UPSTREAM__PROVIDER", "github"),
    ("MCP_LOGIN_UPSTREAM__CLIENT_ID", "id"),
    ("MCP_LOGIN_UPSTREAM__CLIENT_SECRET", "hunter2"),
    ("MCP_LOGIN_MCP__0__PATH", "/mcp"),
    ("MCP_LOGIN_MCP__0__BACKEND", "http://127.0.0.1:3000/mcp"),
];

fn check(text: &str, folder: &Path, more: &[(&str, &str)]) -> Result<Checked, Faults> {
    let environment: Environment =
        MINIMAL.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { text, folder, environment: &environment, providers: &["github"] }.check()
}

#[track_caller]
fn ok(more: &[(&str, &str)]) -> mcp_login_gateway::config::valid::Config {
    check("", Path::new(""), more).unwrap_or_else(|faults| panic!("{faults}")).config
}

#[track_caller]
fn fault(more: &[(&str, &str)]) -> String {
    let faults = check("", Path::new(""), more).expect_err("a fault");
    assert_eq!(faults.faults().len(), 1, "{faults}");
    faults.to_string()
}

#[test]
fn no_file_is_needed() {
    let config = ok(&[]);
    assert_eq!(config.upstreams[""].client_secret.clone().unwrap().expose_secret(), "hunter2");
    assert_eq!(config.mcp[0].backend.to_string(), "http://127.0.0.1:3000/mcp");
}

#[test]
fn values_are_read_by_the_kind_of_their_key() {
    let config = ok(&[
        ("MCP_LOGIN_CLIENTS__REDIRECT_HOSTS", "claude.ai, [::1],"),
        ("MCP_LOGIN_CLIENTS__REGISTRATION", "true"),
        ("MCP_LOGIN_TOKENS__ACCESS_TTL", "2h"),
        ("MCP_LOGIN_MCP__0__AUTH", "lazy"),
        ("MCP_LOGIN_MCP__0__PUBLIC_TOOLS", ""),
        ("MCP_LOGIN_MCP__0__HEADERS", r#"{ "X-Key" = "{user.sub}", "X-B" = "b" }"#),
        ("MCP_LOGIN_UPSTREAM__AUTH_PARAMS__PROMPT", "consent"),
        ("MCP_LOGIN_UPSTREAM__SUBJECT", "userinfo:/id"),
        ("MCP_LOGIN_ACCESS__CLAIMS__ORG", "acme,initech"),
        ("MCP_LOGIN_MCP__1__PATH", "/other"),
        ("MCP_LOGIN_MCP__1__BACKEND", "http://h/"),
    ]);
    assert_eq!(config.clients.redirect_hosts.unwrap(), ["claude.ai", "[::1]"]);
    assert_eq!(config.lifetimes.access.as_secs(), 7200);
    assert!(matches!(&config.mcp[0].auth, Auth::Lazy { public_methods, .. } if public_methods.len() == 8));
    assert_eq!(config.mcp[0].headers.len(), 2);
    assert_eq!(config.upstreams[""].auth_params["prompt"], "consent");
    assert_eq!(config.upstreams[""].subject.clone().unwrap(), ["userinfo:/id"]);
    assert_eq!(config.access.claims["org"], ["acme", "initech"]);
    assert_eq!(config.mcp[1].path.as_str(), "/other");
}

#[test]
fn the_environment_stands_over_the_file() {
    let text = "listen = \"127.0.0.1:1\"\n[[mcp]]\npath = \"/file\"\nauth = \"lazy\"";
    let config = check(text, Path::new(""), &[("MCP_LOGIN_LISTEN", "0.0.0.0:2")]).unwrap().config;
    assert_eq!(config.listen.to_string(), "0.0.0.0:2");
    assert_eq!(config.mcp[0].path.as_str(), "/mcp");
    assert!(matches!(config.mcp[0].auth, Auth::Lazy { .. }));
}

#[test]
fn unknown_names_are_faults() {
    assert!(fault(&[("MCP_LOGIN_LISTNE", "x")]).contains("did you mean LISTEN?"));
    assert!(fault(&[("MCP_LOGIN_STORE_URL", "x")]).contains("did you mean STORE__URL?"));
    assert!(fault(&[("MCP_LOGIN_MCP_0_PATH", "x")]).contains("did you mean MCP__0__PATH?"));
    for name in [
        "MCP_LOGIN_URL",
        "MCP_LOGIN_STORE",
        "MCP_LOGIN_STORE__",
        "MCP_LOGIN_MCP__X__PATH",
        "MCP_LOGIN_MCP__99__PATH",
        "MCP_LOGIN_MCP__0",
        "MCP_LOGIN_LISTEN__X",
        "MCP_LOGIN_UPSTREAM__CLIENT_SECRET__URL",
    ] {
        assert!(fault(&[(name, "hunter2")]).starts_with(&format!("{name}: ")), "{name}");
    }
    ok(&[("MCP_LOGINX", "x"), ("OTHER", "x")]);
}

#[test]
fn what_kubernetes_says_of_a_service_is_ignored() {
    let checked = check(
        "",
        Path::new(""),
        &[
            ("MCP_LOGIN_SERVICE_HOST", "10.0.0.1"),
            ("MCP_LOGIN_SERVICE_PORT", "8080"),
            ("MCP_LOGIN_SERVICE_PORT_HTTP_WEB", "8080"),
            ("MCP_LOGIN_PORT", "tcp://10.0.0.1:8080"),
            ("MCP_LOGIN_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("MCP_LOGIN_PORT_8080_TCP_PROTO", "tcp"),
            ("MCP_LOGIN_PORT_8080_TCP_PORT", "8080"),
            ("MCP_LOGIN_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("MCP_LOGIN_STORE_SERVICE_HOST", "10.0.0.2"),
            ("MCP_LOGIN_STORE_PORT_6379_TCP", "tcp://10.0.0.2:6379"),
        ],
    );
    let checked = checked.unwrap_or_else(|faults| panic!("{faults}"));
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
}

#[test]
fn a_name_that_is_like_no_key_is_a_warning() {
    for name in ["MCP_LOGIN_BIN", "MCP_LOGIN_IMAGE__TAG", "MCP_LOGIN_", "MCP_LOGIN_PORT"] {
        let checked = check("", Path::new(""), &[(name, "8080")]).unwrap_or_else(|faults| panic!("{faults}"));
        let keys: Vec<&str> = checked.warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, [name]);
    }
}

#[test]
fn wrong_values_are_faults_without_the_value() {
    for (name, value) in [
        ("MCP_LOGIN_CLIENTS__REGISTRATION", "hunter2"),
        ("MCP_LOGIN_MCP__0__HEADERS", "hunter2"),
        ("MCP_LOGIN_MCP__0__HEADERS", "{ a = \"x\" }\nhunter2 = 1"),
        ("MCP_LOGIN_LISTEN", "hunter2"),
        ("MCP_LOGIN_STORE__URL", "hunter2"),
        ("MCP_LOGIN_UPSTREAM__PKCE", "hunter2"),
    ] {
        let shown = fault(&[(name, value)]);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn secrets_are_fetched_from_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "from file\r\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let secret = |more: &[(&str, &str)]| {
        check("", folder.path(), more)
            .map(|checked| checked.config.upstreams[""].client_secret.clone().unwrap())
    };
    let file = "MCP_LOGIN_UPSTREAM__CLIENT_SECRET__FILE";
    let env = "MCP_LOGIN_UPSTREAM__CLIENT_SECRET__ENV";
    assert_eq!(secret(&[(file, "secret")]).unwrap().expose_secret(), "from file");
    assert_eq!(secret(&[(env, "S"), ("S", "from env")]).unwrap().expose_secret(), "from env");
    for more in [&[(file, "empty")][..], &[(file, "absent")], &[(env, "S")], &[(env, "S"), ("S", "")]] {
        let faults = secret(more).expect_err("a fault");
        assert!(faults.concerns("upstream.client_secret"), "{faults}");
    }
}

#[test]
fn the_store_of_a_hosting_platform_is_understood() {
    let url = |more: &[(&str, &str)]| ok(more).store.url.expose_secret().to_owned();
    assert_eq!(url(&[("REDIS_URL", "redis://h:1")]), "redis://h:1");
    assert_eq!(url(&[("REDIS_URL", "")]), "file:mcp-login.db");
    assert_eq!(url(&[("REDIS_URL", "redis://h:1"), ("MCP_LOGIN_STORE__URL", "file:x")]), "file:x");
    assert_eq!(url(&[("REDIS_URL", "redis://h:1"), ("KV_REST_API_URL", "https://u")]), "redis://h:1");
    for (at, with) in
        [("KV_REST_API_URL", "KV_REST_API_TOKEN"), ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")]
    {
        let (host, token) = ("https://x.upstash.io", "hunter2/+==");
        assert_eq!(url(&[(at, host), (with, token)]), "upstash+https://hunter2%2F%2B%3D%3D@x.upstash.io");
        assert_eq!(url(&[(at, "http://127.0.0.1:1/"), (with, "t")]), "upstash+http://t@127.0.0.1:1/");
        assert_eq!(url(&[("REDIS_URL", "redis://h:1"), (at, host), (with, token)]), "redis://h:1");
        assert_eq!(url(&[("MCP_LOGIN_STORE__URL", "file:x"), (at, host)]), "file:x");
        for half in [&[(at, host)][..], &[(at, host), (with, "")]] {
            assert!(fault(half).starts_with(&format!("{with}: required: {at} is set")), "{}", fault(half));
        }
        assert!(fault(&[(with, token)]).starts_with(&format!("{at}: required: {with} is set")));
        for bad in
            ["hunter2", "https://u:hunter2@h", "http://hunter2.example.com", "https://h/hunter2", "ftp://h"]
        {
            let shown = fault(&[(at, bad), (with, token)]);
            assert!(shown.starts_with(&format!("{at}: ")) && !shown.contains("hunter2"), "{shown}");
        }
        let shown = fault(&[(at, host), (with, "hunter2 with spaces")]);
        assert!(shown.starts_with(&format!("{at}: ")) && !shown.contains("hunter2"), "{shown}");
    }
    let both = [
        ("KV_REST_API_URL", "https://a"),
        ("KV_REST_API_TOKEN", "t"),
        ("UPSTASH_REDIS_REST_URL", "https://b"),
        ("UPSTASH_REDIS_REST_TOKEN", "u"),
    ];
    assert_eq!(url(&both), "upstash+https://t@a");
    assert!(fault(&[("REDIS_URL", "hunter2")]).starts_with("REDIS_URL: "));
}
