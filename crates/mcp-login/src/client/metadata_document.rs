//! Clients that describe themselves at the address that is their `client_id`.

use std::sync::Arc;

use mcp_login_core::client::metadata_document::MAX_DOCUMENT_LENGTH;
use mcp_login_core::client::{Client, DocumentError, DocumentHosts, DocumentUrl, RedirectPolicy};
use mcp_login_core::error::OAuthError;
use url::Url;

use super::Asker;
use super::fetched::{Document, Fetched, Reach, Refusal, WrongAnswer};
use super::known_documents::known_document;

/// All metadata documents that are known on this node.
#[derive(Debug)]
pub(crate) struct MetadataDocuments {
    fetched: Fetched<MetadataDocument>,
    named: DocumentHosts,
}

/// Under the redirect URIs that the operator allows, and the hosts that the operator vouches for.
#[derive(Debug)]
struct MetadataDocument {
    redirects: RedirectPolicy,
    named: DocumentHosts,
}

impl MetadataDocuments {
    /// With the hosts that the operator vouches for, and the redirect URIs that are allowed.
    pub(crate) fn new(named: DocumentHosts, redirects: RedirectPolicy) -> Self {
        let kind = MetadataDocument { redirects, named: named.clone() };
        Self { fetched: Fetched::new(kind, Reach::Internet(named.clone())), named }
    }

    /// The address that a `client_id` is; `None` for one that is none.
    pub(super) fn address(&self, client_id: &str) -> Option<Result<DocumentUrl, DocumentError>> {
        DocumentUrl::is_meant_by(client_id).then(|| DocumentUrl::parse(client_id, &self.named))
    }

    /// The client that is described there.
    pub(super) async fn client(
        &self,
        document: DocumentUrl,
        asker: Asker<'_>,
    ) -> Result<Arc<Client>, Refusal> {
        self.fetched.get(document, asker).await
    }
}

impl Document for MetadataDocument {
    type Address = DocumentUrl;
    type Content = Client;
    const NAME: &'static str = "a client's metadata document";
    const MAX_LENGTH: usize = MAX_DOCUMENT_LENGTH;
    const CAPACITY: usize = 1_000;

    fn url(address: &DocumentUrl) -> &Url {
        address.url()
    }

    fn read(&self, address: &DocumentUrl, body: &[u8]) -> Result<Client, OAuthError> {
        Ok(address.read(body, &self.redirects, &self.named)?)
    }

    fn wrong(answer: WrongAnswer) -> OAuthError {
        OAuthError::invalid_client(match answer {
            WrongAnswer::TooLarge => return DocumentError::TooLarge.into(),
            WrongAnswer::Missing => "there is no metadata document at the address that the client_id is",
            WrongAnswer::Redirect => "the client_id leads to a redirect and not to a metadata document",
            WrongAnswer::ContentType => "the client's metadata document is not served as application/json",
        })
    }

    fn copy(&self, address: &DocumentUrl) -> Option<Client> {
        known_document(address.client_id(), &self.redirects)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn documents(redirects: RedirectPolicy) -> MetadataDocuments {
        MetadataDocuments::new(DocumentHosts::default(), redirects)
    }

    #[test]
    fn well_known_documents_have_a_copy() {
        let redirects = RedirectPolicy::new(["claude.ai"], [""; 0]);
        let kind = MetadataDocument { redirects: redirects.clone(), named: DocumentHosts::default() };
        let documents = documents(redirects);
        let address = |id: &str| documents.address(id).unwrap().unwrap();
        let copy = kind.copy(&address("https://claude.ai/oauth/mcp-oauth-client-metadata")).unwrap();
        assert_eq!(copy.redirect_uris, ["https://claude.ai/api/mcp/auth_callback"]);
        assert!(kind.copy(&address("https://claude.ai/oauth/other")).is_none());
    }

    #[test]
    fn only_addresses_are_documents() {
        let documents = documents(RedirectPolicy::default());
        assert!(documents.address("0123456789abcdef0123456789abcdef").is_none());
        assert!(documents.address("http://client.example/a").unwrap().is_err());
    }
}
