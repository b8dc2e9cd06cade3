//! Every key there is, with its kind: one list behind the check of the file, the environment and "did you mean".

/// What may stand at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// A list of strings.
    Texts,
    /// A string or a list of strings.
    TextOrTexts,
    /// An http or https URL or a list of them.
    UrlOrUrls,
    /// `"literal"`, `{ env = "NAME" }` or `{ file = "path" }`.
    Secret,
    /// Any names, each with a string.
    TextByName,
    /// Any names, each with a list of strings.
    TextsByName,
    /// Any names, each with a list of strings, whole numbers or booleans.
    ValuesByName,
    /// A table that is not looked into.
    Opaque,
    /// `[section]`.
    Section(&'static [Key]),
    /// `[section.NAME]`, any names.
    SectionByName(&'static [Key]),
    /// `[[section]]`.
    Sections(&'static [Key]),
}

/// A key and what may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// As it is written in the file.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

/// The top of the file.
pub(super) static ROOT: &[Key] = &[
    key("public_url", Kind::Text),
    key("listen", Kind::Text),
    key("admin_listen", Kind::Text),
    key("client_address_header", Kind::Text),
    key("allowed_hosts", Kind::Texts),
    key("allowed_origins", Kind::Texts),
    key("store", Kind::Section(STORE)),
    key("upstream", Kind::Section(UPSTREAM)),
    key("upstreams", Kind::SectionByName(UPSTREAM)),
    key("access", Kind::Section(ACCESS)),
    key("trusted_issuers", Kind::Sections(TRUSTED_ISSUER)),
    key("clients", Kind::Section(CLIENTS)),
    key("tokens", Kind::Section(TOKENS)),
    key("limits", Kind::Section(LIMITS)),
    key("mcp", Kind::Sections(MCP)),
];

static STORE: &[Key] = &[
    key("url", Kind::Secret),
    key("key_prefix", Kind::Text),
    key("timeout", Kind::Text),
    key("connect_timeout", Kind::Text),
    key("connections", Kind::Number),
    key("cache_entries", Kind::Number),
    key("outage_grace", Kind::Text),
];

static UPSTREAM: &[Key] = &[
    key("provider", Kind::Text),
    key("display_name", Kind::Text),
    key("client_id", Kind::Text),
    key("client_secret", Kind::Secret),
    key("scopes", Kind::Texts),
    key("issuer", Kind::Text),
    key("authorization_endpoint", Kind::Text),
    key("token_endpoint", Kind::Text),
    key("userinfo_endpoint", Kind::Text),
    key("revocation_endpoint", Kind::Text),
    key("subject", Kind::TextOrTexts),
    key("pkce", Kind::Text),
    key("client_auth", Kind::Text),
    key("auth_params", Kind::TextByName),
    key("params", Kind::TextByName),
    // The other fields of a preset: `valid::upstream` hands them on as they are.
    key("kind", Kind::Text),
    key("issuer_aliases", Kind::Texts),
    key("refresh_endpoint", Kind::Text),
    key("userinfo_request", Kind::Opaque),
    key("userinfo_pointer", Kind::Text),
    key("require", Kind::TextByName),
    key("email_verified", Kind::Text),
    key("email_endpoint", Kind::Text),
    key("lists", Kind::Opaque),
    key("jwks_uri", Kind::Text),
    key("revocation_style", Kind::Text),
    key("revocation_token", Kind::Text),
    key("nonce", Kind::Text),
    key("token_body", Kind::Text),
    key("client_id_param", Kind::Text),
    key("scope_separator", Kind::Text),
    key("scope_param", Kind::Text),
    key("scope_on_refresh", Kind::Bool),
    key("token_params", Kind::TextByName),
    key("token_pointer", Kind::Text),
    key("keep_response", Kind::Texts),
    key("keep_callback", Kind::Texts),
    key("dead_refresh", Kind::Texts),
    key("quirks", Kind::Texts),
];

static ACCESS: &[Key] = &[
    key("emails", Kind::Texts),
    key("email_domains", Kind::Texts),
    key("subjects", Kind::Texts),
    key("claims", Kind::ValuesByName),
    key("contact", Kind::Text),
];

static TRUSTED_ISSUER: &[Key] = &[key("issuer", Kind::Text), key("jwks_uri", Kind::Text)];

static CLIENTS: &[Key] = &[
    key("redirect_hosts", Kind::Texts),
    key("redirect_schemes", Kind::Texts),
    key("registration", Kind::Bool),
    key("metadata_documents", Kind::Bool),
    key("metadata_document_hosts", Kind::Texts),
    key("static", Kind::Sections(STATIC_CLIENT)),
];

static STATIC_CLIENT: &[Key] = &[
    key("client_id", Kind::Text),
    key("client_name", Kind::Text),
    key("client_secret", Kind::Secret),
    key("jwks", Kind::Opaque),
    key("jwks_uri", Kind::Text),
    key("redirect_uris", Kind::Texts),
    key("grant_types", Kind::Texts),
    key("scopes", Kind::Texts),
];

static TOKENS: &[Key] = &[
    key("session_ttl", Kind::Text),
    key("code_ttl", Kind::Text),
    key("access_ttl", Kind::Text),
    key("refresh_ttl", Kind::Text),
    key("refresh_retry_window", Kind::Text),
];

static LIMITS: &[Key] = &[
    key("connections", Kind::Number),
    key("header_timeout", Kind::Text),
    key("idle_timeout", Kind::Text),
    key("write_timeout", Kind::Text),
    key("drain_timeout", Kind::Text),
    key("max_body", Kind::Text),
    key("body_timeout", Kind::Text),
    key("body_idle_timeout", Kind::Text),
    key("connect_timeout", Kind::Text),
    key("response_timeout", Kind::Text),
    key("max_requests", Kind::Number),
    key("max_requests_per_user", Kind::Number),
];

static MCP: &[Key] = &[
    key("path", Kind::Text),
    key("backend", Kind::UrlOrUrls),
    key("transport", Kind::Text),
    key("health_path", Kind::Text),
    key("health_interval", Kind::Text),
    key("health_timeout", Kind::Text),
    key("max_body", Kind::Text),
    key("command", Kind::Texts),
    key("env", Kind::TextByName),
    key("inherit_env", Kind::Texts),
    key("processes", Kind::Text),
    key("idle_timeout", Kind::Text),
    key("max_processes", Kind::Number),
    key("max_processes_per_user", Kind::Number),
    key("max_memory", Kind::Text),
    key("upstream", Kind::Text),
    key("auth", Kind::Text),
    key("challenge", Kind::Text),
    key("hide_tools", Kind::Bool),
    key("public_methods", Kind::Texts),
    key("public_tools", Kind::Texts),
    key("scopes", Kind::Texts),
    key("tool_scopes", Kind::TextsByName),
    key("scope_descriptions", Kind::TextByName),
    key("headers", Kind::TextByName),
    key("assertion", Kind::Bool),
    key("assertion_audience", Kind::Text),
];

/// The key of this name.
#[must_use]
pub(super) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// The names of these keys.
pub(super) fn names(keys: &'static [Key]) -> impl Iterator<Item = &'static str> {
    keys.iter().map(|key| key.name)
}

impl Kind {
    /// What to write, for a fault.
    #[must_use]
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string in quotes",
            Self::Bool => "true or false without quotes",
            Self::Number => "a whole number",
            Self::Texts => "a list of strings, such as [\"a\", \"b\"]",
            Self::TextOrTexts | Self::UrlOrUrls => "a string or a list of strings",
            Self::Secret => "\"the secret\", { env = \"NAME\" } or { file = \"path\" }",
            Self::TextByName => "a table of strings, such as { name = \"value\" }",
            Self::TextsByName => "a table of lists of strings, such as { name = [\"value\"] }",
            Self::ValuesByName => "a table of lists, such as { name = [\"value\"] }",
            Self::Opaque | Self::Section(_) => "a table",
            Self::SectionByName(_) => "tables with a name each, [upstreams.NAME]",
            Self::Sections(_) => "a list of tables; mind the double brackets, [[…]]",
        }
    }
}
