//! `allowed_hosts` and `allowed_origins`.

use mcp_login_gateway::config::valid::Config;
use mcp_login_gateway::rebinding::{Hosts, Origins};

use super::{check, one_fault, with};

const PUBLIC: &str = "public_url = \"https://mcp.example.com\"";
const HERE: &str = "public_url = \"http://localhost:8080\"";

fn config(lines: &str) -> Config {
    check(&with(PUBLIC, lines)).unwrap_or_else(|faults| panic!("{faults}")).config
}

#[test]
fn a_gateway_on_the_internet_may_have_any_name_and_any_page_may_ask() {
    let config = config(PUBLIC);
    assert_eq!((config.allowed_hosts, config.allowed_origins), (Hosts::Any, Origins::Any));
}

#[test]
fn one_on_this_computer_is_for_this_computer() {
    for public_url in [HERE, "public_url = \"http://127.0.0.1:1\"", "public_url = \"https://[::1]\""] {
        let config = config(public_url);
        assert!(!config.allowed_hosts.allow(b"evil.example") && config.allowed_hosts.allow(b"localhost:1"));
        assert!(!config.allowed_origins.allow("https://evil.example"));
        assert!(config.allowed_origins.allow("http://localhost:6274"));
    }
    let any = config(&format!("{HERE}\nallowed_hosts = [\"*\"]\nallowed_origins = [\"*\"]"));
    assert_eq!((any.allowed_hosts, any.allowed_origins), (Hosts::Any, Origins::Any));
}

#[test]
fn who_is_listed_may_and_so_may_the_public_url() {
    let lists = "allowed_hosts = [\"MCP.example\", \"root.example.\", \"[::1]\"]\nallowed_origins = [\"https://App.example:8443\", \"null\"]";
    let config = config(&format!("{PUBLIC}\n{lists}"));
    for host in ["mcp.example:80", "root.example", "root.example.:80", "mcp.example.com"] {
        assert!(config.allowed_hosts.allow(host.as_bytes()), "{host}");
    }
    assert!(!config.allowed_hosts.allow(b"evil.example"));
    for origin in ["https://app.example:8443", "https://mcp.example.com", "null"] {
        assert!(config.allowed_origins.allow(origin), "{origin}");
    }
    for origin in ["https://app.example", "http://localhost:1"] {
        assert!(!config.allowed_origins.allow(origin), "{origin}");
    }
}

#[test]
fn what_is_no_host_or_origin_is_a_fault() {
    for host in ["https://mcp.internal", "mcp.internal:80", "mcp.internal/x", "*.internal", "a b", ".", ""] {
        let message =
            one_fault(&with(PUBLIC, &format!("{PUBLIC}\nallowed_hosts = [\"{host}\"]")), "allowed_hosts[0]");
        assert!(message.contains("\"mcp.internal\""), "{message}");
    }
    for origin in
        ["app.example", "https://app.example/x", "https://*.example", "app://x", "https://a@app.example", ""]
    {
        let message = one_fault(
            &with(PUBLIC, &format!("{PUBLIC}\nallowed_origins = [\"{origin}\"]")),
            "allowed_origins[0]",
        );
        assert!(message.contains("\"https://app.example.com\""), "{message}");
    }
}
