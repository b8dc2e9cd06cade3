//! [`Resource`]: an MCP server, and who may call what on it.

use std::collections::BTreeMap;

use mcp_login_core::mcp::{DEFAULT_PUBLIC_METHODS, PublicMethods, ToolScopes};
use mcp_login_core::scope::Scopes;

/// Who may call an MCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Every request needs a user.
    #[default]
    Required,
    /// Discovery is public, calls need a user.
    Lazy,
}

/// How a call of a tool that needs a login, or a wider one, is refused where discovery is public ([`Access::Lazy`]). A token
/// that is not good is refused with 401 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChallengeForm {
    /// As HTTP has it: 401 or 403 with `WWW-Authenticate` (RFC 6750 §3).
    #[default]
    Http,
    /// As `ChatGPT` has it: 200 with a result that says `isError`, and the challenge in `_meta["mcp/www_authenticate"]`.
    Result,
    /// As the client reads it, by its `User-Agent`.
    Auto,
}

/// An MCP server that is to be protected.
#[derive(Debug, Clone)]
pub struct Resource {
    pub(crate) path: String,
    pub(crate) access: Access,
    pub(crate) scopes: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) challenge: ChallengeForm,
    pub(crate) hides_tools: bool,
    pub(crate) session_query: Option<String>,
    public_methods: Vec<String>,
    public_tools: Vec<String>,
    tool_scopes: Vec<(String, Vec<String>)>,
    pub(crate) scope_descriptions: BTreeMap<String, String>,
}

/// The longest description of a scope, in characters: more is not shown.
const MAX_DESCRIPTION: usize = 200;

impl Resource {
    /// The server at this path below the public URL. Every request needs a user, and the scope `mcp`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            access: Access::Required,
            scopes: vec!["mcp".to_owned()],
            name: None,
            upstream: None,
            challenge: ChallengeForm::Http,
            hides_tools: false,
            session_query: None,
            public_methods: DEFAULT_PUBLIC_METHODS.map(str::to_owned).to_vec(),
            public_tools: Vec::new(),
            tool_scopes: Vec::new(),
            scope_descriptions: BTreeMap::new(),
        }
    }

    /// Who may call it.
    #[must_use]
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// How calls are refused that need a login, with [`Access::Lazy`].
    #[must_use]
    pub const fn challenge(mut self, form: ChallengeForm) -> Self {
        self.challenge = form;
        self
    }

    /// Whether lists of tools leave out those that the caller may not call. That spares models tools which would be refused;
    /// what protects is the refusal: a list that is asked for in more than 4 KiB, or is longer than 1 MiB, is left as it is.
    #[must_use]
    pub const fn hide_tools(mut self, hide: bool) -> Self {
        self.hides_tools = hide;
        self
    }

    /// The query parameter in which users' requests name a session that [`SessionBinding::seal`](super::SessionBinding::seal)
    /// has sealed: for servers of the HTTP+SSE transport of MCP 2024-11-05. The layer opens it
    /// ([`OpenedSession`](super::OpenedSession)), answers 404 where it is not the user's, and judges such a request as one
    /// without a query.
    #[must_use]
    pub fn session_query(mut self, parameter: impl Into<String>) -> Self {
        self.session_query = Some(parameter.into());
        self
    }

    /// The scopes that a token for it needs, instead of `mcp`.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes that some calls need besides: `glob` is a pattern of tools' names, `delete_*`, or with `prompt:` before it
    /// one of prompts' names, or with `resource:` one of resources' URIs. `*` is any text, `?` any one character. All that
    /// match count; a tool of [`public_tools`](Self::public_tools) needs none. A body that cannot be read in one way only,
    /// or is longer than 64 KiB, needs the scopes of all patterns.
    #[must_use]
    pub fn tool_scopes(
        mut self,
        glob: impl Into<String>,
        scopes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.tool_scopes.push((glob.into(), scopes.into_iter().map(Into::into).collect()));
        self
    }

    /// What a scope lets a client do, in words: for the page on which a person agrees.
    #[must_use]
    pub fn scope_description(mut self, scope: impl Into<String>, description: impl Into<String>) -> Self {
        self.scope_descriptions.insert(scope.into(), description.into());
        self
    }

    /// A name for people, in the metadata (RFC 9728 §2 `resource_name`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The service that its users sign in to, where there are
    /// several (`AuthServerBuilder::upstream_named`).
    #[must_use]
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.upstream = Some(name.into());
        self
    }

    /// The methods that are public with [`Access::Lazy`], instead of
    /// [the usual ones](mcp_login_core::mcp::DEFAULT_PUBLIC_METHODS).
    #[must_use]
    pub fn public_methods(mut self, methods: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.public_methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Tools that anybody may call with [`Access::Lazy`].
    #[must_use]
    pub fn public_tools(mut self, tools: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.public_tools = tools.into_iter().map(Into::into).collect();
        self
    }

    /// What anybody may do; nothing where every request needs a user.
    pub(crate) fn public(&self) -> Option<PublicMethods> {
        match self.access {
            Access::Required => None,
            Access::Lazy => Some(PublicMethods::new(&self.public_methods, &self.public_tools)),
        }
    }

    /// Its scopes, if they are scopes.
    pub(crate) fn parsed_scopes(&self) -> Option<Scopes> {
        Scopes::from_names(&self.scopes).ok()
    }

    /// What single calls need. What cannot be used is told, with its key.
    pub(crate) fn parsed_tool_scopes(&self, mut fault: impl FnMut(String)) -> ToolScopes {
        let mut parsed = ToolScopes::default();
        for (glob, scopes) in &self.tool_scopes {
            let scopes = Scopes::from_names(scopes).ok().filter(|scopes| !scopes.is_empty());
            match scopes.map(|scopes| parsed.add(glob, &scopes)) {
                Some(Ok(())) => {}
                Some(Err(error)) => fault(format!("tool_scopes.{glob}: {error}")),
                None => fault(format!("tool_scopes.{glob}: has to be scopes (RFC 6749 section 3.3)")),
            }
        }
        parsed
    }

    /// What cannot be shown is told, with its key.
    pub(crate) fn check_descriptions(&self, supported: &Scopes, mut fault: impl FnMut(String)) {
        for (scope, description) in &self.scope_descriptions {
            if !supported.contains(scope) {
                fault(format!(
                    "scope_descriptions.{scope}: the server has no such scope; it has {supported}"
                ));
            }
            if description.trim().is_empty() || description.chars().count() > MAX_DESCRIPTION {
                fault(format!("scope_descriptions.{scope}: has 1 to {MAX_DESCRIPTION} characters"));
            }
        }
    }
}
