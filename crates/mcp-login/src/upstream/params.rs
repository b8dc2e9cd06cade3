//! What stands as `{name}` in the addresses of a preset, and what may stand there: a value decides which host gets codes and
//! secrets, so each kind has strict rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metadata::check_url;

/// The longest value, in bytes.
const MAX_VALUE: usize = 200;

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// A host name with a dot in it, without a port.
    Host,
    /// One label of a host name.
    Label,
    /// One segment of a path.
    Segment,
    /// The beginning of an address: https (http on loopback), without a query and without a slash at its end.
    Url,
}

impl ParamKind {
    fn check(self, value: &str) -> Result<(), &'static str> {
        let label = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let fits = value.len() <= MAX_VALUE
            && match self {
                Self::Host => {
                    value.contains('.')
                        && value.split('.').all(label)
                        && !value.rsplit('.').next().is_some_and(numeric)
                }
                Self::Label => label(value),
                Self::Segment => {
                    !value.is_empty()
                        && !matches!(value, "." | "..")
                        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                }
                Self::Url => !value.ends_with('/') && check_url(value).is_ok_and(|url| url.query().is_none()),
            };
        if fits { Ok(()) } else { Err(self.wanted()) }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Host => "a host name in lower case, such as acme.example.com",
            Self::Label => "one name of lower-case letters, digits and -",
            Self::Segment => "letters, digits and . _ -",
            Self::Url => "an https URL without a query and without a slash at its end",
        }
    }
}

/// A parameter of a preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What a value has to be.
    pub kind: ParamKind,
    /// What it is unless somebody says otherwise; without one it has to be said. Empty is "left out".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it is, for people.
    pub about: String,
}

/// The parameters of a preset, with what was said.
pub(super) struct Values<'a> {
    pub(super) params: &'a BTreeMap<String, Param>,
    pub(super) said: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let param = self.params.get(name)?;
        self.said.get(name).or(param.default.as_ref()).map(String::as_str)
    }

    /// What is wrong, each with the name of the parameter.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, param) in self.params {
            match self.get(name) {
                None => faults.push(format!("{name:?} is missing: {}", param.about)),
                Some("") if param.default.as_deref() == Some("") => {}
                Some(value) => {
                    if let Err(wanted) = param.kind.check(value) {
                        faults.push(format!("{name:?} has to be {wanted}: {}", param.about));
                    }
                }
            }
        }
        for name in self.said.keys().filter(|name| !self.params.contains_key(*name)) {
            faults.push(format!("{name:?} is no parameter of this provider"));
        }
        faults
    }

    /// Puts the values into a text. What is not known, or not allowed, stays as it is, and is no address then.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, bracket)) = rest.split_once('[') {
            let Some((inner, after)) = bracket.split_once(']').filter(|(inner, _)| inner.contains('{'))
            else {
                // An IPv6 address.
                let end = before.len() + 1;
                text.push_str(&self.replace(&rest[..end]));
                rest = &rest[end..];
                continue;
            };
            text.push_str(&self.replace(before));
            if names(inner).all(|name| self.get(name).is_some_and(|value| !value.is_empty())) {
                text.push_str(&self.replace(inner));
            }
            rest = after;
        }
        text.push_str(&self.replace(rest));
        text
    }

    fn replace(&self, text: &str) -> String {
        let mut replaced = text.to_owned();
        for (name, param) in self.params {
            if let Some(value) = self.get(name).filter(|value| param.kind.check(value).is_ok()) {
                replaced = replaced.replace(&format!("{{{name}}}"), value);
            }
        }
        replaced
    }
}

/// The names in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(names: &[(&str, ParamKind, Option<&str>)]) -> BTreeMap<String, Param> {
        let param = |kind, default: Option<&str>| Param {
            kind,
            default: default.map(str::to_owned),
            about: "it".to_owned(),
        };
        names.iter().map(|(name, kind, default)| ((*name).to_owned(), param(*kind, *default))).collect()
    }

    fn said(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_and_defaults_fill_an_address() {
        let params = params(&[
            ("domain", ParamKind::Host, None),
            ("server", ParamKind::Segment, Some("")),
            ("base_url", ParamKind::Url, Some("https://gitlab.com")),
        ]);
        let filled = |values: &[(&str, &str)], template: &str| {
            Values { params: &params, said: &said(values) }.fill(template)
        };
        let okta = "https://{domain}/oauth2[/{server}]/v1/token";
        let domain = ("domain", "acme.okta.com");
        assert_eq!(filled(&[domain], okta), "https://acme.okta.com/oauth2/v1/token");
        assert_eq!(filled(&[domain, ("server", "x")], okta), "https://acme.okta.com/oauth2/x/v1/token");
        assert_eq!(filled(&[], "{base_url}/oauth"), "https://gitlab.com/oauth");
        assert_eq!(filled(&[], "http://[::1]:80/{client_id}"), "http://[::1]:80/{client_id}");
        assert_eq!(filled(&[], okta), "https://{domain}/oauth2/v1/token", "no address");
        assert_eq!(filled(&[("domain", "evil/x?")], okta), "https://{domain}/oauth2/v1/token");
    }

    #[test]
    fn what_decides_over_hosts_is_strict() {
        use ParamKind::{Host, Label, Segment, Url};
        for (kind, good) in [
            (Host, "acme.okta.com"),
            (Label, "acme-2"),
            (Segment, "eu-west-1_AbC"),
            (Segment, "v24.0"),
            (Url, "https://sso.example.com/auth"),
            (Url, "http://127.0.0.1:8080"),
        ] {
            assert_eq!(kind.check(good), Ok(()), "{good}");
        }
        for (kind, bad) in [
            (Host, "localhost"),
            (Host, "10.0.0.1"),
            (Host, "acme.okta.com:8443"),
            (Host, "acme.okta.com/x"),
            (Host, "a@b.example"),
            (Host, "ACME.okta.com"),
            (Host, "acme..com"),
            (Label, "a.b"),
            (Label, "a/b"),
            (Label, ""),
            (Label, "-a"),
            (Segment, "a/b"),
            (Segment, ".."),
            (Segment, "a?b"),
            (Segment, "a#b"),
            (Segment, ""),
            (Url, "http://sso.example.com"),
            (Url, "https://sso.example.com/"),
            (Url, "https://sso.example.com?x"),
            (Url, "https://u:p@sso.example.com"),
        ] {
            assert!(kind.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_wrong_or_unknown_is_said() {
        let params = params(&[("domain", ParamKind::Host, None), ("server", ParamKind::Segment, Some(""))]);
        let faults = |values: &[(&str, &str)]| Values { params: &params, said: &said(values) }.faults();
        assert_eq!(faults(&[]), ["\"domain\" is missing: it"]);
        assert_eq!(faults(&[("domain", "acme.okta.com")]), Vec::<String>::new());
        assert_eq!(faults(&[("domain", "x"), ("server", "a/b"), ("other", "")]).len(), 3);
    }
}
