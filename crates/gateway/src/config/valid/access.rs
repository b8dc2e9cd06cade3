//! `[access]`: who may finish a login.

pub use mcp_login::settings::AccessRule;

use super::each;
use crate::config::fault::Faults;
use crate::config::{check, raw};

pub(super) fn judge(raw: raw::Access, several_services: bool, faults: &mut Faults) -> AccessRule {
    if several_services && !(raw.subjects.is_empty() && raw.claims.is_empty()) {
        let message = "subjects and claims of one service mean somebody else at another, and the rules hold for all \
                       [upstreams]: list verified e-mail addresses, or run a gateway for each";
        faults.warn("access", message);
    }
    for (name, values) in &raw.claims {
        if values.is_empty() {
            faults.push(
                check::join("access.claims", name),
                "nobody can hold one of no values: write some, or take it out",
            );
        }
    }
    AccessRule {
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
        contact: raw.contact.filter(|contact| {
            let fits = (1..=120).contains(&contact.chars().count()) && !contact.contains(char::is_control);
            if !fits {
                faults.push("access.contact", "whom to ask, in at most 120 characters");
            }
            fits
        }),
    }
}

fn is_domain(text: &str) -> bool {
    !text.starts_with('.')
        && !text.ends_with('.')
        && !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
}
