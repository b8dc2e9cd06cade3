//! Everything that can be wrong with an [`Upstream`] and be seen without the network, told at once.

use url::Url;

use super::entra;
use super::identity::SubjectPart;
use super::metadata::check_url;
use super::params::Values;
use super::provider::Kind;
use super::quirk::{ClientAuth, Quirk};
use super::revoke;
use super::service::Upstream;

/// A fault: the configuration key, relative to `[upstream]`, and what to change.
type Fault = (&'static str, String);

/// Parameters the flow itself sets. `resource` is in the list because a service must never get one from us.
const RESERVED: [&str; 14] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "request",
    "request_uri",
    "response_mode",
    "code",
];

impl Upstream {
    /// Checks the configuration.
    ///
    /// # Errors
    /// Every fault, with its key relative to `[upstream]`.
    pub fn validate(&self) -> Result<(), Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        self.check_params(&mut faults);
        if !faults.is_empty() {
            // Without them no address is one.
            return Err(faults);
        }
        self.check_client(&mut faults);
        self.check_issuer(&mut faults);
        self.check_endpoints(&mut faults);
        self.check_subject(&mut faults);
        self.check_parameters(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn check_params(&self, faults: &mut Vec<Fault>) {
        let values = Values { params: &self.provider.params, said: &self.params };
        faults.extend(values.faults().into_iter().map(|fault| ("params", fault)));
        let tenant = self.params.get("tenant").filter(|_| self.provider.has(Quirk::IssuerTemplate));
        if let Some(fault) = tenant.and_then(|tenant| entra::tenant_fault(tenant)) {
            faults.push(("params", fault.to_owned()));
        }
    }

    fn check_client(&self, faults: &mut Vec<Fault>) {
        if self.client_id.is_empty() {
            faults.push((
                "client_id",
                "is required; the service gives it when you register a client".to_owned(),
            ));
        } else if self.client_id.chars().any(|c| c.is_control() || c == ' ') {
            faults.push(("client_id", "must not contain spaces or control characters".to_owned()));
        }
        let secret = self.client_secret.as_ref().is_some_and(|secret| !secret.is_empty());
        match self.provider.client_auth {
            ClientAuth::None if secret => faults.push((
                "client_auth",
                "\"none\" sends no secret: remove client_secret or choose \"basic\"".to_owned(),
            )),
            ClientAuth::Basic | ClientAuth::Post | ClientAuth::JwtEs256 | ClientAuth::BearerSecret
                if !secret =>
            {
                faults.push(("client_secret", "is required unless client_auth = \"none\"".to_owned()));
            }
            _ => {}
        }
        // A key is several lines long.
        let is_key = self.provider.client_auth == ClientAuth::JwtEs256;
        if !is_key && self.secret().chars().any(char::is_control) {
            faults
                .push(("client_secret", "contains a control character (a line end at its end?)".to_owned()));
        }
    }

    fn check_issuer(&self, faults: &mut Vec<Fault>) {
        let provider = &self.provider;
        match (&provider.issuer, provider.kind) {
            (None, Kind::Oidc) => {
                faults.push((
                    "issuer",
                    "is required, byte for byte as the service's discovery document states it".to_owned(),
                ));
            }
            (None, Kind::OAuth2) => {}
            (Some(issuer), _) => match check_url(issuer) {
                Err(fault) => faults.push(("issuer", fault)),
                Ok(url) if url.query().is_some() => {
                    faults.push(("issuer", "must not contain a query".to_owned()));
                }
                Ok(_) => {}
            },
        }
    }

    fn check_endpoints(&self, faults: &mut Vec<Fault>) {
        let provider = &self.provider;
        let oauth2 = provider.kind == Kind::OAuth2;
        // Without userinfo there is nobody: for OAuth 2 only the token answer could say who it is instead.
        let from_userinfo =
            |part: &String| matches!(SubjectPart::parse(part, provider.kind), Some(SubjectPart::Userinfo(_)));
        let userinfo = oauth2 && provider.subject.iter().any(from_userinfo);
        let endpoints = [
            ("authorization_endpoint", &provider.authorization_endpoint, oauth2),
            ("token_endpoint", &provider.token_endpoint, oauth2),
            ("userinfo_endpoint", &provider.userinfo_endpoint, userinfo),
            ("refresh_endpoint", &provider.refresh_endpoint, false),
            ("email_endpoint", &provider.email_endpoint, false),
            ("jwks_uri", &provider.jwks_uri, false),
        ];
        for (key, endpoint, required) in endpoints {
            match endpoint.as_deref().map(check_url) {
                None if required => faults.push((key, "is required".to_owned())),
                Some(Err(fault)) => faults.push((key, fault)),
                Some(Ok(url)) if key == "authorization_endpoint" && has_reserved(&url) => {
                    faults.push((key, "its query holds a parameter that the login sets itself".to_owned()));
                }
                _ => {}
            }
        }
    }

    fn check_subject(&self, faults: &mut Vec<Fault>) {
        if self.provider.subject.is_empty() {
            faults.push(("subject", "needs at least one part, such as \"userinfo:/id\"".to_owned()));
        }
        for part in &self.provider.subject {
            match SubjectPart::parse(part, self.provider.kind) {
                None => faults.push((
                    "subject",
                    format!(
                        "{part:?} is not /pointer, userinfo:/pointer, id_token:/pointer, token:/pointer or callback:/parameter"
                    ),
                )),
                Some(SubjectPart::IdToken(_)) if self.provider.kind == Kind::OAuth2 => faults.push((
                    "subject",
                    format!("{part:?} needs an id_token, which only an OpenID Connect provider gives"),
                )),
                // Whoever is at the browser can write anything there.
                Some(SubjectPart::Callback(_)) if !self.provider.has(Quirk::ShopifyCallback) => faults.push((
                    "subject",
                    format!("{part:?} is not signed by this service: anybody could come as somebody else"),
                )),
                // Only what is kept can be pointed into.
                Some(SubjectPart::Callback(pointer))
                    if !self.provider.keep_callback.iter().any(|kept| pointer.strip_prefix('/') == Some(kept)) =>
                {
                    faults.push(("subject", format!("{part:?} needs the parameter in keep_callback")));
                }
                Some(_) => {}
            }
        }
        if let Some(endpoint) = &self.provider.revocation_endpoint
            && let Err(fault) = check_url(&revoke::plain(endpoint))
        {
            faults.push(("revocation_endpoint", fault));
        }
    }

    fn check_parameters(&self, faults: &mut Vec<Fault>) {
        let separator = &self.provider.scope_separator;
        for scope in &self.provider.scopes {
            if scope.is_empty() || scope.chars().any(|c| c.is_whitespace() || c.is_control()) {
                faults.push(("scopes", format!("{scope:?} is not one scope; write each as its own string")));
            }
        }
        if separator.is_empty() || separator.len() > 4 {
            faults.push(("scope_separator", "must be one to four characters".to_owned()));
        }
        for name in self.provider.auth_params.keys() {
            // Apple wants to be told how it answers.
            if name == "response_mode" && self.provider.has(Quirk::FormPostCallback) {
                continue;
            }
            if name.is_empty() || RESERVED.contains(&name.as_str()) {
                faults.push((
                    "auth_params",
                    format!("{name:?} is set by the login itself and cannot be set here"),
                ));
            }
        }
    }
}

fn has_reserved(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| RESERVED.contains(&name.as_ref()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::provider::preset;
    use super::*;

    fn keys(upstream: &Upstream) -> Vec<&'static str> {
        upstream.validate().err().unwrap_or_default().into_iter().map(|(key, _)| key).collect()
    }

    fn google() -> Upstream {
        Upstream::new(preset("google").unwrap(), "id", Some("secret".into()))
    }

    #[test]
    fn all_faults_come_at_once() {
        let upstream = Upstream::new(preset("oauth2").unwrap(), "", None)
            .token_endpoint("http://idp.example/token")
            .auth_param("resource", "x")
            .scopes(["a b"]);
        assert_eq!(
            keys(&upstream),
            [
                "client_id",
                "client_secret",
                "authorization_endpoint",
                "token_endpoint",
                "userinfo_endpoint",
                "scopes",
                "auth_params"
            ]
        );
    }

    #[test]
    fn oidc_needs_an_issuer_and_nothing_else() {
        let upstream = || Upstream::new(preset("oidc").unwrap(), "id", Some("secret".into()));
        assert_eq!(keys(&upstream()), ["issuer"]);
        assert_eq!(keys(&upstream().issuer("https://idp.example/")), Vec::<&str>::new());
        assert_eq!(keys(&upstream().issuer("http://idp.example")), ["issuer"]);
        assert_eq!(keys(&upstream().issuer("http://127.0.0.1:4000")), Vec::<&str>::new());
        assert_eq!(keys(&upstream().issuer("https://idp.example/?tenant=1")), ["issuer"]);
    }

    #[test]
    fn secret_and_method_must_agree() {
        let public = || Upstream::new(preset("google").unwrap(), "id", None);
        assert_eq!(keys(&public()), ["client_secret"]);
        assert_eq!(keys(&public().client_auth(ClientAuth::None)), Vec::<&str>::new());
        assert_eq!(keys(&google().client_auth(ClientAuth::None)), ["client_auth"]);
        let line_end = Upstream::new(preset("google").unwrap(), "id", Some("secret\n".into()));
        assert_eq!(keys(&line_end), ["client_secret"]);
        assert!(!format!("{:?}", line_end.validate()).contains("secret\\n"));
    }

    #[test]
    fn the_subject_must_be_readable() {
        assert_eq!(keys(&google().subject(["id_token:/tid", "id_token:/oid"])), Vec::<&str>::new());
        assert_eq!(keys(&google().subject(["sub"])), ["subject"]);
        assert_eq!(keys(&google().subject(Vec::<String>::new())), ["subject"]);
        let github = Upstream::new(preset("github").unwrap(), "id", Some("secret".into()));
        assert_eq!(keys(&github.subject(["id_token:/sub"])), ["subject"]);
    }

    #[test]
    fn the_endpoint_cannot_smuggle_a_parameter() {
        assert_eq!(
            keys(&google().authorization_endpoint("https://a.example/?resource=x")),
            ["authorization_endpoint"]
        );
        assert_eq!(keys(&google().authorization_endpoint("https://a.example/?p=policy")), Vec::<&str>::new());
    }
}
