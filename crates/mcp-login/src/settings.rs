//! What the operator decides.

mod static_client;

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_login_core::authorize::checks::ScopesOf;
use mcp_login_core::scope::Scopes;
use serde_json::{Map, Value};

use crate::upstream::Identity;

pub(crate) use static_client::MIN_SECRET_LENGTH;
pub use static_client::StaticClient;

/// How long things live: `[tokens]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// From the authorization request to the return from the upstream.
    pub session: Duration,
    /// An authorization code.
    pub code: Duration,
    /// An access token.
    pub access: Duration,
    /// A refresh token, from its last use.
    pub refresh: Duration,
    /// How long a used refresh token is answered with the same successor.
    pub refresh_retry_window: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            session: minutes(10),
            code: minutes(5),
            access: minutes(60),
            refresh: minutes(30 * 24 * 60),
            refresh_retry_window: minutes(1),
        }
    }
}

impl Lifetimes {
    /// How long a registered client is kept that has not finished a login: never less than a login may take.
    pub(crate) fn client_unused(&self) -> Duration {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        DAY.max(self.session + self.code)
    }

    /// How long a registered client is kept that nobody uses: never less than its refresh tokens live.
    pub(crate) fn client_idle(&self) -> Duration {
        const MONTHS: Duration = Duration::from_secs(90 * 24 * 60 * 60);
        MONTHS.max(self.refresh + Duration::from_secs(2 * 24 * 60 * 60))
    }

    /// What does not fit together, each with the key to change.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, duration) in [
            ("session_ttl", self.session),
            ("code_ttl", self.code),
            ("access_ttl", self.access),
            ("refresh_ttl", self.refresh),
        ] {
            if duration.is_zero() {
                faults.push(format!("tokens.{key}: has to be more than nothing"));
            }
        }
        if self.code > Duration::from_secs(600) {
            faults.push("tokens.code_ttl: may be 10 minutes (OAuth 2.1 section 4.1.2)".into());
        }
        if self.refresh_retry_window > self.access {
            faults.push("tokens.refresh_retry_window: may be as long as access_ttl".into());
        }
        faults
    }
}

/// How often one address may ask, as a bucket of `burst` requests that fills up again at `per_minute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests may come at once.
    pub burst: u32,
    /// How many requests may come each minute for good.
    pub per_minute: u32,
}

impl RateLimit {
    /// This many a minute, all at once if need be.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        Self { burst: requests, per_minute: requests }
    }
}

/// How often one address may ask for what costs something; `None` is no limit. An IPv6 address counts as its /64, which is
/// what one customer is given. The defaults leave room for a hosted client, which reaches the server from a few addresses
/// for all its people, and for an office behind one address.
///
/// Each process counts for itself, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// `/register`: 60 a minute.
    pub register: Option<RateLimit>,
    /// `/authorize` and `/consent` together: 300 a minute.
    pub authorize: Option<RateLimit>,
    /// `/token`, `/revoke` and `/introspect` together: 3000 a minute.
    pub token: Option<RateLimit>,
    /// Documents of clients that are not in memory and have to be fetched: 30 a minute.
    pub documents: Option<RateLimit>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            register: Some(RateLimit::per_minute(60)),
            authorize: Some(RateLimit::per_minute(300)),
            token: Some(RateLimit::per_minute(3000)),
            documents: Some(RateLimit::per_minute(30)),
        }
    }
}

impl RateLimits {
    /// No limits: for whoever has them in a proxy.
    pub const OFF: Self = Self { register: None, authorize: None, token: None, documents: None };

    /// What would let nobody in, each with what to change.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let limits = [
            ("register", self.register),
            ("authorize", self.authorize),
            ("token", self.token),
            ("documents", self.documents),
        ];
        let nothing = |limit: RateLimit| limit.burst == 0 || limit.per_minute == 0;
        let faulty = limits.into_iter().filter(|(_, limit)| limit.is_some_and(nothing));
        faulty
            .map(|(key, _)| format!("limits.{key}: has to be more than nothing; None is no limit"))
            .collect()
    }
}

/// What is kept in memory of the logins that are in use: `cache_entries` and `outage_grace` of `[store]`.
///
/// The store tells of changes, so what is kept is what the store holds: a call with a token that was seen before asks
/// nobody, and a revoked token is refused at once, on other nodes within a second. When the connection that tells of
/// changes breaks, nothing in memory is believed any more after at most 2.5 seconds, until it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationCache {
    /// How many logins are kept at most, of 4 KiB on average; fewer when they are larger. A usual one has one or two. With
    /// 0 there is no cache, and no grace either.
    pub entries: usize,
    /// How long a token that was good goes on being so while the store cannot be reached, from the moment at which the
    /// store last confirmed it. Nothing can be revoked in this time; tokens with a DPoP proof do not go on, because the
    /// store has to know the proof. With 0 they all end with the store.
    pub grace: Duration,
}

impl Default for VerificationCache {
    fn default() -> Self {
        Self { entries: 10_000, grace: Duration::from_secs(60) }
    }
}

impl VerificationCache {
    /// What does not fit, each with the key to change.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let too_long = self.grace > Duration::from_secs(60 * 60);
        too_long.then(|| "store.outage_grace: may be one hour".to_owned()).into_iter().collect()
    }
}

/// Who may finish a login: `[access]` of the configuration. Empty lists let in whoever the upstream lets in; each
/// list that is not empty has to be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRule {
    /// Verified e-mail addresses.
    pub emails: Vec<String>,
    /// Domains of verified e-mail addresses.
    pub email_domains: Vec<String>,
    /// Stable identifiers at the upstream.
    pub subjects: Vec<String>,
    /// Claims that have to hold one of these values; a name that begins with a slash is a JSON pointer (RFC 6901) into all of
    /// them, `/realm_access/roles`.
    pub claims: BTreeMap<String, Vec<Value>>,
    /// Whom somebody should ask who is not let in: a name, an address. It is shown to them.
    pub contact: Option<String>,
}

impl AccessRule {
    /// Whether this person may log in. Somebody who is named, by address or subject, need not be named twice:
    /// `emails`, `email_domains` and `subjects` are one list of people; `claims` hold for all of them.
    #[must_use]
    pub fn admits(&self, identity: &Identity) -> bool {
        let email = identity.email.as_deref().map(str::to_lowercase);
        let is = |listed: &String| email.as_deref() == Some(&listed.to_lowercase());
        let ends = |domain: &String| {
            let domain = domain.trim_start_matches('@').to_lowercase();
            email.as_deref().and_then(|email| email.rsplit_once('@')).is_some_and(|(_, held)| held == domain)
        };
        let anybody = self.emails.is_empty() && self.email_domains.is_empty() && self.subjects.is_empty();
        let named = self.emails.iter().any(is)
            || self.email_domains.iter().any(ends)
            || self.subjects.contains(&identity.subject);
        (anybody || named)
            && self.claims.iter().all(|(name, values)| {
                claim(&identity.claims, name)
                    .is_some_and(|claim| values.iter().any(|value| holds(claim, value)))
            })
    }
}

/// A claim by its name, or by a pointer to it.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(pointer) = name.strip_prefix('/') else { return claims.get(name) };
    let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

/// Whether a claim is this value, or a list that has it.
fn holds(claim: &Value, wanted: &Value) -> bool {
    claim == wanted || claim.as_array().is_some_and(|list| list.contains(wanted))
}

/// An MCP server as the metadata and the authorization endpoint see it.
#[derive(Debug, Clone)]
pub(crate) struct ResourceSettings {
    /// Its exact URL.
    pub(crate) url: String,
    /// The baseline that a token for it needs.
    pub(crate) scopes: Scopes,
    /// Every scope that a token for it can have: the baseline, and what single tools need.
    pub(crate) supported: Scopes,
    /// What its scopes let a client do, in words.
    pub(crate) scope_descriptions: BTreeMap<String, String>,
    /// A name for people.
    pub(crate) name: Option<String>,
}

/// All of them, the default first.
#[derive(Debug, Clone)]
pub(crate) struct ResourceList(pub(crate) Vec<ResourceSettings>);

impl ResourceList {
    pub(crate) fn get(&self, url: &str) -> Option<&ResourceSettings> {
        self.0.iter().find(|resource| resource.url == url)
    }

    /// Every scope of every server.
    pub(crate) fn all_scopes(&self) -> Scopes {
        self.0.iter().fold(Scopes::default(), |all, resource| all.union(&resource.supported))
    }
}

impl ScopesOf for ResourceList {
    fn baseline(&self, resource: &str) -> Scopes {
        self.get(resource).map(|resource| resource.scopes.clone()).unwrap_or_default()
    }

    fn supported(&self, resource: &str) -> Scopes {
        self.get(resource).map(|resource| resource.supported.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ada() -> Identity {
        let Value::Object(claims) = json!({
            "org": ["acme", "other"], "hd": "example.com", "id": 7,
            "realm_access": {"roles": ["admin"]}, "https://slack.com/team_id": "T1",
        }) else {
            unreachable!()
        };
        Identity {
            subject: "1".into(),
            email: Some("Ada@Example.com".into()),
            name: None,
            preferred_username: None,
            claims,
        }
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn claims(name: &str, values: Vec<Value>) -> AccessRule {
        AccessRule { claims: [(name.to_owned(), values)].into(), ..AccessRule::default() }
    }

    #[test]
    fn an_empty_rule_admits_everybody() {
        assert!(AccessRule::default().admits(&ada()));
    }

    #[test]
    fn people_are_named_by_address_domain_or_subject() {
        let rule = |emails: &[&str], email_domains: &[&str], subjects: &[&str]| AccessRule {
            emails: list(emails),
            email_domains: list(email_domains),
            subjects: list(subjects),
            ..AccessRule::default()
        };
        assert!(rule(&["ada@example.com"], &[], &[]).admits(&ada()));
        assert!(rule(&["x@example.com"], &["example.com"], &[]).admits(&ada()));
        assert!(rule(&["x@example.com"], &[], &["1"]).admits(&ada()));
        assert!(!rule(&["x@example.com"], &["ample.com"], &["2"]).admits(&ada()));
        assert!(!rule(&[], &["evil.com"], &[]).admits(&ada()));
        let unverified = Identity { email: None, ..ada() };
        assert!(!rule(&["ada@example.com"], &["example.com"], &[]).admits(&unverified));
    }

    #[test]
    fn claims_hold_one_of_the_values() {
        assert!(claims("org", vec![json!("acme")]).admits(&ada()));
        assert!(claims("hd", vec![json!("x"), json!("example.com")]).admits(&ada()));
        assert!(claims("id", vec![json!(7)]).admits(&ada()));
        assert!(!claims("id", vec![json!("7")]).admits(&ada()));
        assert!(!claims("org", vec![json!("acm")]).admits(&ada()));
        assert!(!claims("missing", vec![json!("acme")]).admits(&ada()));
        assert!(claims("/realm_access/roles", vec![json!("admin")]).admits(&ada()));
        assert!(claims("/https:~1~1slack.com~1team_id", vec![json!("T1")]).admits(&ada()));
        assert!(!claims("/realm_access/roles", vec![json!("root")]).admits(&ada()));
        assert!(!claims("/realm_access", vec![json!("admin")]).admits(&ada()));
        assert!(!claims("realm_access/roles", vec![json!("admin")]).admits(&ada()), "a name, not a pointer");
    }

    #[test]
    fn lifetimes_have_to_fit_together() {
        assert!(Lifetimes::default().faults().is_empty());
        let hour = Duration::from_secs(3600);
        let odd = Lifetimes { code: hour, access: Duration::ZERO, ..Lifetimes::default() };
        assert_eq!(odd.faults().len(), 3, "{:?}", odd.faults());
    }
}
