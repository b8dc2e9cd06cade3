//! [`Resource`]: an MCP server, and who may call what on it.

use mcp_login_core::mcp::{DEFAULT_PUBLIC_METHODS, PublicMethods};
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

/// An MCP server that is to be protected.
#[derive(Debug, Clone)]
pub struct Resource {
    pub(crate) path: String,
    pub(crate) access: Access,
    pub(crate) scopes: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) upstream: Option<String>,
    public_methods: Vec<String>,
    public_tools: Vec<String>,
}

impl Resource {
    /// The server at this path below the public URL. Every request needs a user, and the scope `mcp`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            access: Access::Required,
            scopes: vec!["mcp".to_owned()],
            name: None,
            upstream: None,
            public_methods: DEFAULT_PUBLIC_METHODS.map(str::to_owned).to_vec(),
            public_tools: Vec::new(),
        }
    }

    /// Who may call it.
    #[must_use]
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The scopes that a token for it needs, instead of `mcp`.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
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
}
