//! `[access]`: who may finish a login.

use std::collections::BTreeMap;

use serde_json::Value;

use super::each;
use crate::config::fault::Faults;
use crate::config::{check, raw};

/// Who may finish a login. Whatever is empty asks for nothing; all empty: whoever the upstream lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// Verified e-mail addresses, in lower case.
    pub emails: Vec<String>,
    /// Domains of verified e-mail addresses, in lower case, without `@`.
    pub email_domains: Vec<String>,
    /// Stable subjects.
    pub subjects: Vec<String>,
    /// A claim of this name must hold one of these strings, whole numbers or booleans. No list is empty.
    pub claims: BTreeMap<String, Vec<Value>>,
}

impl AccessConfig {
    /// Whether everybody may.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn judge(raw: raw::Access, faults: &mut Faults) -> AccessConfig {
    for (name, values) in &raw.claims {
        if values.is_empty() {
            faults.push(
                check::join("access.claims", name),
                "nobody can hold one of no values: write some, or take it out",
            );
        }
    }
    AccessConfig {
        emails: each(raw.emails, "access.emails", faults, |entry| match entry.split_once('@') {
            Some((local, domain)) if !local.is_empty() && is_domain(domain) => Ok(entry.to_lowercase()),
            _ => Err("not an e-mail address".to_owned()),
        }),
        email_domains: each(raw.email_domains, "access.email_domains", faults, |entry| {
            if is_domain(entry) {
                return Ok(entry.to_lowercase());
            }
            Err("not a domain: write \"example.com\", without @ and *".to_owned())
        }),
        subjects: each(raw.subjects, "access.subjects", faults, |entry| {
            if entry.is_empty() { Err("is empty".to_owned()) } else { Ok(entry.to_owned()) }
        }),
        claims: raw.claims,
    }
}

fn is_domain(text: &str) -> bool {
    !text.starts_with('.')
        && !text.ends_with('.')
        && !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
}
