//! The sessions of one MCP server: as many as there may be, each with its process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::environment::Environment;
use super::process::{self, Log};
use super::session::Session;
use super::{Launch, Limits};
use crate::proxy::error::{Failure, ProxyError};

#[derive(Debug)]
pub(super) struct Sessions {
    mcp: Arc<str>,
    limits: Limits,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Those whose process is not gone yet, by their ids.
    sessions: HashMap<String, Arc<Session>>,
    /// The gateway ends.
    is_closed: bool,
}

/// Whether there is place for one more.
enum Place {
    Free,
    /// Once this one has gone.
    After(Arc<Session>),
    None,
}

impl Sessions {
    pub(super) fn new(mcp: Arc<str>, limits: Limits) -> Self {
        Self { mcp, limits, held: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open session of this id, if the user may use it: his own, or one that nobody in particular has opened.
    pub(super) fn find(&self, id: &str, user: Option<&str>) -> Option<Arc<Session>> {
        let session = self.held().sessions.get(id).cloned()?;
        let is_theirs = session.owner.is_none() || session.owner.as_deref() == user;
        (is_theirs && session.is_open()).then_some(session)
    }

    /// A new session with a process of its own.
    pub(super) async fn open(
        &self,
        launch: &Launch,
        user: Option<&str>,
        environment: Environment,
    ) -> Result<Arc<Session>, Failure> {
        let (session, lines) = self.reserve(user, &environment).await?;
        let log =
            Log { mcp: Arc::clone(&self.mcp), user: session.owner.clone(), token: environment.token.clone() };
        let child = match process::start(launch, &environment) {
            Ok(child) => child,
            Err(error) => {
                self.held().sessions.remove(&session.id);
                return Err(Failure { error: ProxyError::ProcessEnded, cause: Some(error.to_string()) });
            }
        };
        let (held, limits, running) = (Arc::clone(&self.held), self.limits, Arc::clone(&session));
        tokio::spawn(async move {
            let id = running.id.clone();
            process::run(child, running, lines, limits, log).await;
            held.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(&id);
        });
        Ok(session)
    }

    /// A place among those that there may be. Where its user has all of theirs, the one of them that is idle for longest gives
    /// way, and where there are no more at all, the one of anybody: clients seldom say goodbye.
    async fn reserve(
        &self,
        user: Option<&str>,
        environment: &Environment,
    ) -> Result<(Arc<Session>, mpsc::Receiver<Bytes>), Failure> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| ProxyError::ProcessEnded)?;
        let id = format!("{:032x}", u128::from_be_bytes(id));
        // More than once where others of the same user come in between.
        for _ in 0..3 {
            let oldest = {
                let mut held = self.held();
                match held.place(user, self.limits) {
                    Place::Free => {
                        let owner = user.map(ToOwned::to_owned);
                        let fingerprint = environment.fingerprint;
                        let (session, lines) =
                            Session::new(id.clone(), owner, fingerprint, self.limits.write);
                        held.sessions.insert(id, Arc::clone(&session));
                        return Ok((session, lines));
                    }
                    Place::After(oldest) => oldest,
                    Place::None => break,
                }
            };
            oldest.end.cancel();
            self.gone(&oldest).await;
        }
        let cause = "there are as many processes as max_processes and max_processes_per_user allow";
        Err(Failure { error: ProxyError::Busy, cause: Some(cause.to_owned()) })
    }

    /// Waits until its process is gone and its place is free.
    async fn gone(&self, session: &Session) {
        let _ = timeout(self.limits.goodbye + Duration::from_secs(2), session.gone.cancelled()).await;
        // The task that runs the process does this, too, but perhaps a moment later.
        if session.gone.is_cancelled() {
            self.held().sessions.remove(&session.id);
        }
    }

    /// Ends every session, and opens no more.
    pub(super) async fn end(&self) {
        let sessions: Vec<Arc<Session>> = {
            let mut held = self.held();
            held.is_closed = true;
            held.sessions.values().cloned().collect()
        };
        for session in &sessions {
            session.end.cancel();
        }
        for session in &sessions {
            self.gone(session).await;
        }
    }
}

impl Held {
    fn place(&self, user: Option<&str>, limits: Limits) -> Place {
        if self.is_closed {
            return Place::None;
        }
        let own = || self.sessions.values().filter(|session| session.owner.as_deref() == user);
        if self.sessions.len() < limits.processes && own().count() < limits.processes_per_user {
            return Place::Free;
        }
        // Where it is all of them together that are too many, whoever's: nobody is locked out by what others left.
        let has_all_of_theirs = own().count() >= limits.processes_per_user;
        let theirs = |session: &&Arc<Session>| !has_all_of_theirs || session.owner.as_deref() == user;
        let idle = self.sessions.values().filter(theirs);
        let idle = idle.filter_map(|session| Some((session.idle_since()?, session)));
        match idle.min_by_key(|(since, _)| *since) {
            Some((_, session)) => Place::After(Arc::clone(session)),
            None => Place::None,
        }
    }
}
