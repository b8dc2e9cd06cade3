//! Where the parameters of a preset lead, other than where the shapes go.

use mcp_login::upstream::{Upstream, preset};

fn upstream(name: &str, params: &[(&str, &str)]) -> Upstream {
    let upstream = Upstream::new(preset(name).unwrap(), "id", Some("secret".into()));
    params.iter().fold(upstream, |upstream, (name, value)| upstream.param(*name, *value))
}

#[test]
fn each_leads_to_its_own_servers() {
    for (name, params, issuer, token_endpoint) in [
        (
            "okta",
            &[("domain", "acme.okta.com")][..],
            Some("https://acme.okta.com"),
            "https://acme.okta.com/oauth2/v1/token",
        ),
        ("gitlab", &[("base_url", "https://git.example/lab")], None, "https://git.example/lab/oauth/token"),
        (
            "pingone",
            &[("tld", "com.au"), ("environment_id", "e1")],
            Some("https://auth.pingone.com.au/e1/as"),
            "https://auth.pingone.com.au/e1/as/token",
        ),
        (
            "salesforce",
            &[("login_host", "acme.my.salesforce.com")],
            Some("https://acme.my.salesforce.com"),
            "https://acme.my.salesforce.com/services/oauth2/token",
        ),
        ("intercom", &[("region", "eu")], None, "https://api.eu.intercom.io/auth/eagle/token"),
        ("sentry", &[("base_url", "https://s.example")], None, "https://s.example/oauth/token/"),
        (
            "facebook",
            &[("api_version", "v25.0")],
            None,
            "https://graph.facebook.com/v25.0/oauth/access_token",
        ),
    ] {
        let upstream = upstream(name, params);
        assert_eq!(upstream.validate(), Ok(()), "{name}");
        let provider = upstream.provider();
        assert_eq!(provider.issuer.as_deref(), issuer, "{name}");
        assert_eq!(provider.token_endpoint.as_deref(), Some(token_endpoint), "{name}");
    }
}

#[test]
fn none_leads_to_anybody_elses() {
    for (name, params) in [
        ("okta", &[][..]),
        ("okta", &[("domain", "acme.okta.com"), ("authorization_server_id", "../x")]),
        ("auth0", &[("domain", "evil.example/x?")]),
        ("zendesk", &[("subdomain", "evil.example/")]),
        ("zendesk", &[("subdomain", "a.b")]),
        ("shopify", &[("shop", "evil.example#")]),
        ("intercom", &[("region", "eu.evil.example/")]),
        ("supabase", &[("project_url", "http://abcdef.supabase.co")]),
        ("keycloak", &[("base_url", "https://sso.example.com"), ("realm", "a/b")]),
        ("github", &[("domain", "ghe.example")]),
    ] {
        let faults = upstream(name, params).validate().unwrap_err();
        assert!(faults.iter().all(|(key, _)| *key == "params"), "{name}: {faults:?}");
    }
}
