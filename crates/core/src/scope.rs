//! Scopes (RFC 6749 §3.3): sets of names, in the order in which they were first named. A name that ends with `:*` stands
//! for every name that begins as it does: `mcp:*` covers `mcp:write`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most names that one set may hold.
pub const MAX_SCOPES: usize = 64;
/// The longest scope string that is read, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// A refresh token is what `offline_access` asks for (`OpenID` Connect Core §11). Every client gets one here, so the
/// scope is understood, offered in the metadata because clients look for it there, and never part of a token.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// A string that is not a scope: RFC 6749 §3.3 allows printable ASCII without space, `"` and `\`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a scope (RFC 6749 section 3.3)")]
pub struct InvalidScope;

/// A set of scope names without repetitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Reads a space separated list; an empty string is the empty set.
    pub fn parse(list: &str) -> Result<Self, InvalidScope> {
        if list.len() > MAX_LENGTH {
            return Err(InvalidScope);
        }
        Self::from_names(list.split(' ').filter(|name| !name.is_empty()))
    }

    /// A set of these names.
    pub fn from_names(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, InvalidScope> {
        let mut scopes = Self::default();
        for name in names {
            let name = name.into();
            if !is_scope_token(&name) {
                return Err(InvalidScope);
            }
            if !scopes.contains(&name) {
                scopes.0.push(name);
            }
            if scopes.0.len() > MAX_SCOPES {
                return Err(InvalidScope);
            }
        }
        Ok(scopes)
    }

    /// Whether this name is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|held| held == name)
    }

    /// Whether this name is in the set, or one that stands for it.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        self.0.iter().any(|held| held == name || stands_for(held, name))
    }

    /// Whether the set covers every name of `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|name| self.covers_name(name))
    }

    /// What both sets cover: the names of this set that `other` covers, in this set's order, then those of `other` that
    /// only this set's `:*` cover.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let covered = self.0.iter().filter(|name| other.covers_name(name));
        let more = other.0.iter().filter(|name| !self.contains(name) && self.covers_name(name));
        Self(covered.chain(more).cloned().collect())
    }

    /// These names and those of `other`.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for name in other.iter() {
            if !self.contains(name) {
                self.0.push(name.to_owned());
            }
        }
        self
    }

    /// The set without this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|held| held != name);
        self
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// `a:*` stands for `a:b` and `a:b:c`, not for `a` or `a:`.
fn stands_for(held: &str, name: &str) -> bool {
    let start = held.strip_suffix('*').filter(|start| start.ends_with(':'));
    start.and_then(|start| name.strip_prefix(start)).is_some_and(|rest| !rest.is_empty())
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, RFC 6749 §3.3.
fn is_scope_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// As it stands in a request or an answer: separated by single spaces.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = String::deserialize(deserializer)?;
        Self::parse(&list).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scopes(list: &str) -> Scopes {
        Scopes::parse(list).unwrap()
    }

    #[test]
    fn a_list_is_a_set_in_its_own_order() {
        assert_eq!(scopes("b a  b").to_string(), "b a");
        assert_eq!(scopes("").to_string(), "");
        assert!(scopes("a b c").covers(&scopes("c a")));
        assert!(!scopes("a").covers(&scopes("a b")));
        assert_eq!(scopes("a b").intersection(&scopes("c b")).to_string(), "b");
        assert_eq!(scopes("a").union(&scopes("b a")).to_string(), "a b");
    }

    #[test]
    fn a_star_at_the_end_stands_for_what_lies_below() {
        for (held, asked, covered) in [
            ("mcp:*", "mcp:write", true),
            ("mcp:*", "mcp:write:all mcp:read", true),
            ("mcp:*", "mcp:*", true),
            ("a mcp:*", "mcp:write b", false),
            ("mcp:*", "mcp", false),
            ("mcp:*", "mcp:", false),
            ("mcp:*", "mcpx:write", false),
            ("mcp:w*", "mcp:write", false),
            ("mcp:*:x", "mcp:write:x", false),
            ("*", "mcp", false),
            ("mcp:write", "mcp:*", false),
        ] {
            assert_eq!(scopes(held).covers(&scopes(asked)), covered, "{held} {asked}");
        }
        let both = |one: &str, other: &str| scopes(one).intersection(&scopes(other)).to_string();
        assert_eq!(both("mcp:write x", "mcp:*"), "mcp:write");
        assert_eq!(both("mcp:* x", "mcp mcp:write mcp:read"), "mcp:write mcp:read");
        assert_eq!(both("mcp:* mcp:write", "mcp:*"), "mcp:* mcp:write");
    }

    #[test]
    fn what_the_grammar_forbids_is_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "a\nb", "ü", "\u{7f}"] {
            assert_eq!(Scopes::parse(bad), Err(InvalidScope), "{bad:?}");
        }
        assert_eq!(Scopes::parse(&"x ".repeat(MAX_LENGTH)), Err(InvalidScope));
        let many: Vec<String> = (0..=MAX_SCOPES).map(|n| n.to_string()).collect();
        assert_eq!(Scopes::parse(&many.join(" ")), Err(InvalidScope));
    }
}
