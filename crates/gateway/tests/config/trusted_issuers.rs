//! `[[trusted_issuers]]`, from the file and the environment to what the library says.

use mcp_login_gateway::assemble;
use mcp_login_gateway::config::{Checked, Faults};

use crate::{MINIMAL, check_with};

fn check(text: &str, environment: &[(&str, &str)]) -> Result<Checked, Faults> {
    check_with(&format!("{MINIMAL}{text}"), environment)
}

#[test]
fn they_come_through_from_file_and_environment() {
    let text = "[[trusted_issuers]]\nissuer = \"https://acme.okta.com\"\n";
    let environment = [
        ("MCP_LOGIN_TRUSTED_ISSUERS__1__ISSUER", "http://localhost:9000"),
        ("MCP_LOGIN_TRUSTED_ISSUERS__1__JWKS_URI", "http://localhost:9000/keys"),
    ];
    let config = check(text, &environment).unwrap_or_else(|faults| panic!("{faults}")).config;
    let [okta, local] = &config.trusted_issuers[..] else { panic!("two") };
    assert_eq!((okta.issuer.as_str(), &okta.jwks_uri), ("https://acme.okta.com", &None));
    assert_eq!(local.jwks_uri.as_deref(), Some("http://localhost:9000/keys"));
    assert_eq!(assemble::faults(&config), [""; 0]);
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    let text = r#"
[[trusted_issuers]]
jwks_uri = "https://acme.okta.com/keys"
[[trusted_issuers]]
issuer = "http://acme.okta.com"
[[trusted_issuers]]
issuer = "https://acme.okta.com"
jwks_uri = "keys"
[[trusted_issuers]]
issuer = "https://acme.okta.com"
[[trusted_issuers]]
isuer = "https://acme.okta.com"
"#;
    let said = check(text, &[]).unwrap_err().to_string();
    for key in [
        "trusted_issuers[0].issuer",
        "trusted_issuers[1].issuer",
        "trusted_issuers[2].jwks_uri",
        "trusted_issuers[3].issuer",
        "trusted_issuers[4].isuer",
    ] {
        assert!(said.contains(key), "{key} in {said}");
    }
}
