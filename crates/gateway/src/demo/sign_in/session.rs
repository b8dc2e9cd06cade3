//! What the service remembers between two requests.

use std::time::Duration;

use mcp_login::core::{Secret, Timestamp};

use super::person::Person;
use super::shelf::Shelf;

/// How long a person may look at the page.
const PAGE_LIFETIME: Duration = Duration::from_secs(600);
/// RFC 6749 §4.1.2 recommends ten minutes at the most; a gateway needs seconds.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// How long an access token is good.
pub(super) const ACCESS_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a refresh token is good, from its issue.
const REFRESH_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// An authorization request that passed every check and waits for a person.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) state: String,
    pub(super) code_challenge: String,
    pub(super) scope: Scope,
}

/// What a client may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) profile: bool,
    pub(super) email: bool,
}

impl Scope {
    /// RFC 6749 §3.3. Nothing asked for is everything; an unknown scope is an error.
    pub(super) fn parse(scope: Option<&str>) -> Option<Self> {
        let Some(scope) = scope else { return Some(Self { profile: true, email: true }) };
        let mut asked = Self { profile: false, email: false };
        for token in scope.split(' ').filter(|token| !token.is_empty()) {
            match token {
                "profile" => asked.profile = true,
                "email" => asked.email = true,
                _ => return None,
            }
        }
        Some(asked)
    }

    /// As it is written in an answer.
    pub(super) const fn as_str(self) -> &'static str {
        match (self.profile, self.email) {
            (true, true) => "profile email",
            (true, false) => "profile",
            (false, true) => "email",
            (false, false) => "",
        }
    }
}

/// Who is signed in, for what. All that comes of one login has the same number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login {
    number: u64,
    pub(super) person: &'static Person,
    pub(super) scope: Scope,
}

/// An authorization code. It stays on its shelf after use, so that a second use is noticed.
#[derive(Debug)]
struct Code {
    login: Login,
    challenge: String,
    used: bool,
}

/// A refresh token; stays after use, like a code.
#[derive(Debug)]
struct Refresh {
    login: Login,
    used: bool,
}

/// What a token request gets.
pub(super) struct Tokens {
    pub(super) access: Secret,
    pub(super) refresh: Secret,
    pub(super) scope: Scope,
}

/// Why a token request gets nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `invalid_grant`, with what to tell.
    Grant(&'static str),
    /// The system has no randomness to give.
    Broken,
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    logins: u64,
    pages: Shelf<Request>,
    codes: Shelf<Code>,
    access: Shelf<Login>,
    refresh: Shelf<Refresh>,
}

impl Sessions {
    /// Keeps a request while its page is shown; the secret goes into the form.
    pub(super) fn open_page(&mut self, request: Request, now: Timestamp) -> Option<Secret> {
        self.pages.put(request, now.plus(PAGE_LIFETIME))
    }

    /// The request behind a form that comes back. One page, one answer.
    pub(super) fn close_page(&mut self, page: &Secret, now: Timestamp) -> Option<Request> {
        self.pages.take(page, now)
    }

    /// The code for a person's answer.
    pub(super) fn issue_code(
        &mut self,
        request: Request,
        person: &'static Person,
        now: Timestamp,
    ) -> Option<Secret> {
        self.logins += 1;
        let login = Login { number: self.logins, person, scope: request.scope };
        let code = Code { login, challenge: request.code_challenge, used: false };
        self.codes.put(code, now.plus(CODE_LIFETIME))
    }

    /// RFC 6749 §4.1.3. A second use ends what the first one gave (§4.1.2). A wrong verifier spends the code too:
    /// whoever sent it has the code and should not.
    pub(super) fn redeem_code(
        &mut self,
        code: &Secret,
        verifies: impl FnOnce(&str) -> bool,
        now: Timestamp,
    ) -> Result<Tokens, Refusal> {
        let Some(found) = self.codes.get(code, now) else {
            return Err(Refusal::Grant("the code is unknown or has expired"));
        };
        let login = found.login;
        if found.used {
            self.end(login);
            return Err(Refusal::Grant("the code has been used before; the login it gave has been ended"));
        }
        found.used = true;
        if !verifies(&found.challenge) {
            return Err(Refusal::Grant("the code_verifier does not match the code_challenge"));
        }
        self.issue_tokens(login, now)
    }

    /// RFC 6749 §6, with rotation: an old token that comes again ends the login (RFC 9700 §4.14.2).
    pub(super) fn refresh(&mut self, token: &Secret, now: Timestamp) -> Result<Tokens, Refusal> {
        let Some(found) = self.refresh.get(token, now) else {
            return Err(Refusal::Grant("the refresh token is unknown or has expired"));
        };
        let login = found.login;
        if found.used {
            self.end(login);
            return Err(Refusal::Grant("the refresh token has been used before; the login has been ended"));
        }
        found.used = true;
        self.issue_tokens(login, now)
    }

    /// Who an access token speaks for.
    pub(super) fn who(&mut self, access_token: &Secret, now: Timestamp) -> Option<Login> {
        self.access.get(access_token, now).copied()
    }

    fn issue_tokens(&mut self, login: Login, now: Timestamp) -> Result<Tokens, Refusal> {
        let access = self.access.put(login, now.plus(ACCESS_LIFETIME)).ok_or(Refusal::Broken)?;
        let refresh = Refresh { login, used: false };
        let refresh = self.refresh.put(refresh, now.plus(REFRESH_LIFETIME)).ok_or(Refusal::Broken)?;
        Ok(Tokens { access, refresh, scope: login.scope })
    }

    /// Ends everything that came of one login.
    fn end(&mut self, login: Login) {
        self.access.retain(|other| other.number != login.number);
        self.refresh.retain(|other| other.login.number != login.number);
    }
}
