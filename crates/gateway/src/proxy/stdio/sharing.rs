//! Whose messages one process gets.

use sha2::{Digest, Sha256};

use super::environment::{Environment, Fingerprint};
use super::message::Hello;

/// The revisions that begin with `initialize`.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What a process of several people's is initialized with: of a revision that somebody has made up it hears nothing.
pub(super) fn revision(hello: &Hello) -> &'static str {
    let [.., newest] = REVISIONS;
    REVISIONS.into_iter().find(|revision| *revision == hello.version).unwrap_or(newest)
}

/// Who shares a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Nobody: each session has its own.
    Session,
    /// All sessions of one user whose clients can do the same. The default: it is what a program does that a person starts
    /// at home, takes less memory than one for each session, and nothing of one user meets another's. What a server keeps
    /// for its client is then kept for all of the user's: subscriptions, the level of its log, a folder that it has changed to.
    /// What it asks may be answered by another client of the same user. Where its environment holds the upstream's token, it is
    /// one of each login's: each has a token of its own.
    ///
    /// A session that nobody has signed in for keeps a process to itself: it may become somebody's later.
    #[default]
    User,
    /// Everybody: for programs that know nothing of users. What a server keeps for its client is kept for all then, every
    /// session gets what it says on its own (changed lists, updates of resources, its log), and tasks are everybody's who
    /// knows or lists them. Users are asked nothing by it (sampling, elicitation, roots): it could not be told who.
    Shared,
}

/// Which process a client gets: one of the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The subject of the user; `None` where it is nobody's in particular.
    pub(super) owner: Option<String>,
    /// Of the environment without its token.
    place: Fingerprint,
    /// Of one session, which has this number.
    pub(super) own: Option<u64>,
    /// What its client has said of itself; `None` where it says so with every request (MCP 2026-07-28).
    hello: Option<(String, Fingerprint)>,
    /// Whether it serves people who must not hear of each other.
    pub(super) is_of_many: bool,
}

impl Sharing {
    /// Processes that everybody's may be at once: one for each revision that begins with `initialize`, one for those that are
    /// none, and one for all since.
    pub(crate) const MAX_SHARED: usize = REVISIONS.len() + 2;

    /// The process for this user. `fresh` numbers a session.
    pub(super) fn key(
        self,
        user: Option<&str>,
        environment: &Environment,
        hello: Option<&Hello>,
        fresh: impl FnOnce() -> u64,
    ) -> Key {
        let is_shared = self == Self::Shared;
        let is_own = hello.is_some() && (self == Self::Session || (self == Self::User && user.is_none()));
        // A process is initialized once, so one whose client can do other things is another. What is told to a process of
        // everybody's is only the revision, and of these there are not as many as somebody can make up.
        let hello = hello.map(|hello| {
            let is_known = REVISIONS.contains(&hello.version.as_str());
            let version = if is_shared && !is_known { "another" } else { &hello.version };
            let capabilities = if is_shared { "" } else { &hello.capabilities };
            (version.to_owned(), Sha256::digest(capabilities).into())
        });
        Key {
            owner: user.filter(|_| !is_shared).map(ToOwned::to_owned),
            place: environment.place,
            own: is_own.then(fresh),
            hello,
            is_of_many: is_shared || (user.is_none() && !is_own),
        }
    }
}
