//! `[[clients.static]]`, from the file and the environment to what the library says.

use std::path::Path;

use mcp_login_gateway::assemble;
use mcp_login_gateway::config::{Checked, Faults};
use serde_json::json;

use crate::{MINIMAL, check_in};

fn check(text: &str, folder: &Path, environment: &[(&str, &str)]) -> Result<Checked, Faults> {
    check_in(&format!("{MINIMAL}scopes = [\"mcp\"]\n{text}"), folder, environment)
}

#[test]
fn every_key_comes_through() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "correct horse from a file\n").unwrap();
    let text = r#"
[[clients.static]]
client_id = "ci-bot"
client_name = "CI"
client_secret = { env = "CI_BOT_SECRET" }
redirect_uris = []
grant_types = ["client_credentials"]
scopes = ["mcp"]
[[clients.static]]
client_id = "filed"
client_secret = { file = "secret" }
redirect_uris = ["https://hook.example.net/cb"]
[[clients.static]]
client_id = "signer"
grant_types = ["client_credentials"]
[clients.static.jwks]
keys = [
    { kty = "EC", crv = "P-256", kid = "1", x = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" },
]
[[clients.static]]
client_id = "elsewhere"
jwks_uri = "http://127.0.0.1:9000/jwks.json"
grant_types = ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
"#;
    let checked = check(text, folder.path(), &[("CI_BOT_SECRET", "correct horse battery")]);
    let config = checked.unwrap_or_else(|faults| panic!("{faults}")).config;
    let [bot, filed, signer, elsewhere] = &config.clients.static_clients[..] else { panic!("four") };
    assert_eq!(bot.client_id, "ci-bot");
    assert_eq!(bot.client_name.as_deref(), Some("CI"));
    assert_eq!(bot.client_secret.as_ref().unwrap().expose_secret(), "correct horse battery");
    assert_eq!(bot.grant_types.as_deref().unwrap(), ["client_credentials"]);
    assert_eq!(bot.scopes.as_deref().unwrap(), ["mcp"]);
    assert_eq!(filed.client_secret.as_ref().unwrap().expose_secret(), "correct horse from a file");
    assert_eq!(filed.redirect_uris, ["https://hook.example.net/cb"]);
    assert_eq!((&filed.grant_types, &filed.scopes), (&None, &None));
    assert_eq!(signer.jwks.as_ref().unwrap()["keys"][0]["kid"], json!("1"));
    assert_eq!(elsewhere.jwks_uri.as_ref().unwrap().as_str(), "http://127.0.0.1:9000/jwks.json");
    assert_eq!(assemble::faults(&config), [""; 0]);
    assert!(!format!("{config:?}").contains("horse"));
}

#[test]
fn every_key_can_come_from_the_environment() {
    let checked = check(
        "",
        Path::new(""),
        &[
            ("MCP_LOGIN_CLIENTS__STATIC__0__CLIENT_ID", "ci-bot"),
            ("MCP_LOGIN_CLIENTS__STATIC__0__CLIENT_NAME", "CI"),
            ("MCP_LOGIN_CLIENTS__STATIC__0__CLIENT_SECRET__ENV", "S"),
            ("S", "correct horse battery"),
            ("MCP_LOGIN_CLIENTS__STATIC__0__REDIRECT_URIS", "https://a.example/cb, http://localhost/cb"),
            ("MCP_LOGIN_CLIENTS__STATIC__0__GRANT_TYPES", "authorization_code,refresh_token"),
            ("MCP_LOGIN_CLIENTS__STATIC__0__SCOPES", "mcp"),
            ("MCP_LOGIN_CLIENTS__STATIC__1__CLIENT_ID", "signer"),
            ("MCP_LOGIN_CLIENTS__STATIC__1__JWKS_URI", "https://c.example/jwks"),
            ("MCP_LOGIN_CLIENTS__STATIC__1__GRANT_TYPES", "client_credentials"),
            ("MCP_LOGIN_CLIENTS__STATIC__2__CLIENT_ID", "keys"),
            ("MCP_LOGIN_CLIENTS__STATIC__2__JWKS", r#"{ keys = [{ kty = "EC" }] }"#),
        ],
    );
    let config = checked.unwrap_or_else(|faults| panic!("{faults}")).config;
    let [bot, signer, keys] = &config.clients.static_clients[..] else { panic!("three") };
    assert_eq!(bot.client_name.as_deref(), Some("CI"));
    assert_eq!(bot.client_secret.as_ref().unwrap().expose_secret(), "correct horse battery");
    assert_eq!(bot.redirect_uris, ["https://a.example/cb", "http://localhost/cb"]);
    assert_eq!(bot.scopes.as_deref().unwrap(), ["mcp"]);
    assert_eq!(signer.jwks_uri.as_ref().unwrap().as_str(), "https://c.example/jwks");
    assert_eq!(keys.jwks.as_ref().unwrap()["keys"][0]["kty"], json!("EC"));
}

#[test]
fn what_the_library_finds_wrong_is_told_by_its_key() {
    let text = r#"
[[clients.static]]
client_id = "short"
client_secret = "hunter2"
redirect_uris = ["javascript:alert(1)"]
scopes = ["other"]
[[clients.static]]
client_id = "short"
grant_types = ["client_credentials", "password"]
"#;
    let config = check(text, Path::new(""), &[]).unwrap_or_else(|faults| panic!("{faults}")).config;
    let found = assemble::faults(&config);
    let keys: Vec<&str> = found.iter().map(|fault| fault.split_once(": ").unwrap().0).collect();
    let wanted = [
        "clients.static[0].client_secret",
        "clients.static[0].redirect_uris[0]",
        "clients.static[0].scopes",
        "clients.static[1].client_id",
        "clients.static[1].grant_types",
        "clients.static[1].grant_types",
    ];
    assert_eq!(keys, wanted, "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
}

#[test]
fn with_a_static_client_nothing_else_is_needed() {
    let off = "[clients]\nregistration = false\nmetadata_documents = false\n";
    let warned = |text: &str| {
        let checked = check(text, Path::new(""), &[]).unwrap_or_else(|faults| panic!("{faults}"));
        !checked.warnings.is_empty()
    };
    assert!(warned(off));
    let client = "[[clients.static]]\nclient_id = \"app\"\nredirect_uris = [\"http://localhost/\"]\n";
    assert!(!warned(&format!("{off}{client}")));
}
