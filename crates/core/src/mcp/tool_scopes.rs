//! What a call of a tool needs beyond the server's baseline.
//!
//! A rule adds scopes, so what could be read as another call needs those, too: a body that parsers could read differently
//! needs every scope there is, and so does one that is too long to be looked at.

use url::Url;

use super::{Glob, InvalidGlob, Message, PublicMethods, Sent};
use crate::scope::Scopes;

/// The longest name or URI that is compared with patterns, in bytes.
const MAX_NAME: usize = 4096;

/// The scopes that single tools, prompts and resources need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolScopes {
    rules: Vec<Rule>,
    all: Scopes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    kind: Kind,
    glob: Glob,
    scopes: Scopes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tool,
    Prompt,
    Resource,
}

impl ToolScopes {
    /// Adds a rule. The key is a pattern of tools' names, `prompt:` with one of prompts' names, or `resource:` with one of
    /// URIs.
    pub fn add(&mut self, key: &str, scopes: &Scopes) -> Result<(), InvalidGlob> {
        let (kind, pattern) = if let Some(name) = key.strip_prefix("prompt:") {
            (Kind::Prompt, name)
        } else if let Some(uri) = key.strip_prefix("resource:") {
            (Kind::Resource, uri)
        } else {
            (Kind::Tool, key)
        };
        self.rules.push(Rule { kind, glob: Glob::parse(pattern)?, scopes: scopes.clone() });
        self.all = std::mem::take(&mut self.all).union(scopes);
        Ok(())
    }

    /// Every scope of every rule.
    #[must_use]
    pub const fn all(&self) -> &Scopes {
        &self.all
    }

    /// What this body needs: of a batch, what all its messages need. The headers are those that repeat what is in the body
    /// (MCP 2026-07-28 `Mcp-Method`, `Mcp-Name`); where they say something else, a backend may go by them.
    #[must_use]
    pub fn needed_by_body(
        &self,
        body: &[u8],
        public: Option<&PublicMethods>,
        mcp_method: Option<&[u8]>,
        mcp_name: Option<&[u8]>,
    ) -> Scopes {
        let Some(sent) = Sent::all(body) else { return self.all.clone() };
        let has_headers = mcp_method.is_some() || mcp_name.is_some();
        if has_headers && sent.len() != 1 {
            return self.all.clone();
        }
        sent.iter().fold(Scopes::default(), |needed, sent| match sent {
            Sent::Answer if has_headers => self.all.clone(),
            Sent::Answer => needed,
            Sent::Message(message) if !message.agrees_with(mcp_method, mcp_name) => self.all.clone(),
            Sent::Message(message) => needed.union(&self.needed_by(message, public)),
        })
    }

    /// What calls of this tool need.
    #[must_use]
    pub fn needed_by_tool(&self, name: &str) -> Scopes {
        let rules = self.rules.iter().filter(|rule| rule.kind == Kind::Tool && rule.glob.matches(name));
        rules.fold(Scopes::default(), |needed, rule| needed.union(&rule.scopes))
    }

    /// What this message needs. A tool that anybody may call needs nothing: it was named, not only meant.
    #[must_use]
    pub fn needed_by(&self, message: &Message<'_>, public: Option<&PublicMethods>) -> Scopes {
        if public.is_some_and(|public| public.has_call(message)) {
            return Scopes::default();
        }
        let is = |method: &str| message.method.eq_ignore_ascii_case(method);
        let of_kinds = |kinds: &[Kind]| {
            let rules = self.rules.iter().filter(|rule| kinds.contains(&rule.kind));
            rules.fold(Scopes::default(), |needed, rule| needed.union(&rule.scopes))
        };
        // What comes of a call later, what may be filled in where, and what is told of resources names none of ours.
        if message.method.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("tasks/")) {
            return of_kinds(&[Kind::Tool]);
        }
        if is("completion/complete") {
            return of_kinds(&[Kind::Prompt, Kind::Resource]);
        }
        if is("subscriptions/listen") {
            return of_kinds(&[Kind::Resource]);
        }
        let (kind, name) = if is("tools/call") {
            (Kind::Tool, message.params.name)
        } else if is("prompts/get") {
            (Kind::Prompt, message.params.name)
        } else if is("resources/read") || is("resources/subscribe") {
            (Kind::Resource, message.params.uri)
        } else {
            return Scopes::default();
        };
        let rules = self.rules.iter().filter(|rule| rule.kind == kind);
        let unclear =
            name.is_none_or(|name| name.len() > MAX_NAME || (kind == Kind::Resource && !means_itself(name)));
        let name = name.unwrap_or_default();
        // What a URI names may stand before its query.
        let path = name.split(['?', '#']).next().filter(|_| kind == Kind::Resource);
        let matches = |rule: &&Rule| {
            unclear || rule.glob.matches(name) || path.is_some_and(|path| rule.glob.matches(path))
        };
        rules.filter(matches).fold(Scopes::default(), |needed, rule| needed.union(&rule.scopes))
    }
}

/// Whether a URI is written in the only way that there is: what has escapes, steps up or empty segments in its path, or is
/// no URL, may name to a backend what another URI names, too.
fn means_itself(uri: &str) -> bool {
    let path = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let plain = !uri.contains(['%', '\\']) && !path.contains("//");
    plain
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && Url::parse(uri).is_ok_and(|url| url.as_str() == uri && has_plain_host(&url))
}

/// A user, a port or a dot at the end of the host make another URI of what many backends take for the same.
fn has_plain_host(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    url.username().is_empty() && url.password().is_none() && url.port().is_none() && !host.ends_with('.')
}

#[cfg(test)]
#[path = "tool_scopes/tests.rs"]
mod tests;
