//! The services that people sign in to: one, or one for each MCP server.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::service::Upstream;

/// One service, and where it sends browsers back to. Each has an address of its own, so that an answer of one is never
/// taken for an answer of another (RFC 9700 §4.4.2).
#[derive(Debug)]
pub(crate) struct SignIn {
    /// Its name; empty for the one that needs none.
    pub(crate) name: String,
    pub(crate) upstream: Arc<Upstream>,
    /// The redirect URI that is registered there.
    pub(crate) callback: Url,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct SignIns {
    all: Vec<SignIn>,
    /// Which of them is for a server, by its URL.
    by_resource: BTreeMap<String, usize>,
}

impl SignIns {
    /// `resources` are the URLs of the servers, each with the name of its service. `None` when one has none.
    pub(crate) fn new<'a>(
        issuer: &str,
        upstreams: Vec<(String, Upstream)>,
        resources: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Option<Self> {
        let names: Vec<String> = upstreams.iter().map(|(name, _)| name.clone()).collect();
        let mut by_resource = BTreeMap::new();
        for (resource, wanted) in resources {
            by_resource.insert(resource.to_owned(), choose(&names, wanted)?);
        }
        let all: Option<Vec<SignIn>> = upstreams
            .into_iter()
            .map(|(name, upstream)| {
                let callback = Url::parse(&callback(issuer, &name)).ok()?;
                Some(SignIn { name, upstream: Arc::new(upstream), callback })
            })
            .collect();
        all.filter(|all| !all.is_empty()).map(|all| Self { all, by_resource })
    }

    /// The one for this server. Every server has one; of a URL that is none, it is the first.
    pub(crate) fn of(&self, resource: &str) -> &SignIn {
        let index = self.by_resource.get(resource).copied().unwrap_or(0);
        // `new` makes no empty list, and no index beyond it.
        #[allow(clippy::indexing_slicing, reason = "see above")]
        &self.all[index.min(self.all.len() - 1)]
    }

    /// The one of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&SignIn> {
        self.all.iter().find(|sign_in| sign_in.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SignIn> {
        self.all.iter()
    }
}

/// Where the service of this name sends browsers back to.
#[must_use]
pub fn callback(issuer: &str, name: &str) -> String {
    if name.is_empty() { format!("{issuer}/callback") } else { format!("{issuer}/callback/{name}") }
}

/// Which service is meant: the one that is named, or the only one, or the one without a name.
pub(crate) fn choose(names: &[String], wanted: Option<&str>) -> Option<usize> {
    match wanted {
        Some(wanted) => names.iter().position(|name| name == wanted),
        None if names.len() == 1 => Some(0),
        None => names.iter().position(String::is_empty),
    }
}

/// A name that can stand in a path, and in the environment.
#[must_use]
pub(crate) fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_the_named_one_the_only_one_or_the_one_without_a_name() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(&names(&[""]), None), Some(0));
        assert_eq!(choose(&names(&["github"]), None), Some(0));
        assert_eq!(choose(&names(&["github", "google"]), None), None);
        assert_eq!(choose(&names(&["github", ""]), None), Some(1));
        assert_eq!(choose(&names(&["github", "google"]), Some("google")), Some(1));
        assert_eq!(choose(&names(&["github"]), Some("google")), None);
    }

    #[test]
    fn names_can_stand_in_a_path() {
        for good in ["github", "acme-2", "a_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "a/b", "a.b", "ü", &"x".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
