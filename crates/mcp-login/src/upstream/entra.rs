//! Microsoft Entra's issuer: it names the tenant of the person, whichever door the person came in by.

use serde_json::{Map, Value};

use super::provider::Provider;

/// The tenant of all personal accounts.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// The three doors that are no tenant; what stands between is the tenant otherwise.
const DOORS: [&str; 3] = ["common", "organizations", "consumers"];

/// Whether `iss` is that of the token's own tenant (`tid`), and the tenant may come in by this door.
pub(super) fn is_issuer(provider: &Provider, claims: &Map<String, Value>, iss: &str) -> bool {
    let Some(door) = DOORS.iter().find(|door| has_segment(provider, door)) else {
        return provider.is_issuer(iss);
    };
    let Some(tenant) = claims.get("tid").and_then(Value::as_str).filter(|tid| is_guid(tid)) else {
        return false;
    };
    let admitted = match *door {
        "organizations" => tenant != CONSUMERS,
        "consumers" => tenant == CONSUMERS,
        _ => true,
    };
    let expected = provider
        .issuer
        .as_deref()
        .map(|issuer| issuer.replacen(&format!("/{door}/"), &format!("/{tenant}/"), 1));
    admitted && expected.as_deref() == Some(iss)
}

fn has_segment(provider: &Provider, segment: &str) -> bool {
    provider.issuer.as_deref().is_some_and(|issuer| issuer.contains(&format!("/{segment}/")))
}

/// `8-4-4-4-12` hexadecimal digits: nothing that could be another path.
fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// What is wrong with a tenant: the tokens of one that is named by its domain name it by its id.
pub(super) fn tenant_fault(tenant: &str) -> Option<&'static str> {
    (!DOORS.contains(&tenant) && !is_guid(tenant))
        .then_some("\"tenant\" has to be a tenant id (8-4-4-4-12 digits), common, organizations or consumers")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::upstream::{Upstream, preset};

    const ACME: &str = "11111111-2222-3333-4444-555555555555";

    fn admits(tenant: &str, tid: &str, iss: &str) -> bool {
        let upstream = Upstream::new(preset("microsoft").unwrap(), "id", None).param("tenant", tenant);
        let claims = Map::from_iter([("tid".to_owned(), Value::from(tid))]);
        is_issuer(upstream.provider(), &claims, iss)
    }

    fn issuer(tid: &str) -> String {
        format!("https://login.microsoftonline.com/{tid}/v2.0")
    }

    #[test]
    fn the_issuer_is_that_of_the_tokens_own_tenant() {
        for door in ["common", "organizations"] {
            assert!(admits(door, ACME, &issuer(ACME)), "{door}");
            assert!(!admits(door, ACME, &issuer(CONSUMERS)), "{door}: another tenant's");
            assert!(!admits(door, ACME, &issuer(door)), "{door}: nobody's");
            assert!(!admits(door, "x/../y", &issuer("x/../y")), "{door}: no tenant");
            assert!(!admits(door, ACME, &format!("https://evil.example/{ACME}/v2.0")));
        }
        assert!(admits("common", CONSUMERS, &issuer(CONSUMERS)));
        assert!(!admits("organizations", CONSUMERS, &issuer(CONSUMERS)));
        assert!(admits("consumers", CONSUMERS, &issuer(CONSUMERS)));
        assert!(!admits("consumers", ACME, &issuer(ACME)));
    }

    #[test]
    fn one_tenant_is_one_issuer() {
        assert!(admits(ACME, ACME, &issuer(ACME)));
        assert!(!admits(ACME, CONSUMERS, &issuer(CONSUMERS)));
        for (tenant, good) in [(ACME, true), ("common", true), ("acme.onmicrosoft.com", false)] {
            assert_eq!(tenant_fault(tenant).is_none(), good, "{tenant}");
        }
    }
}
