//! The processes of one MCP server, and their sessions: as many as there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::budget::{Budget, Share};
use super::environment::Environment;
use super::hub::{Hub, Line};
use super::log::Log;
use super::process;
use super::rate::{Bucket, Rate};
use super::session::Session;
use super::sharing::Key;
use super::{Launch, Limits};
use crate::proxy::error::{Failure, ProxyError};

/// Sessions at once, where they do not each have a process: of one user, and of all.
const MAX_SESSIONS_OF_USER: usize = 64;
const MAX_SESSIONS: usize = 4096;
/// From so many users on those are forgotten who have started nothing of late.
const MAX_STARTERS: usize = 1024;

#[derive(Debug)]
pub(super) struct Pool {
    mcp: Arc<str>,
    limits: Limits,
    budget: Arc<Budget>,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Those that are not gone yet.
    processes: HashMap<u64, Arc<Hub>>,
    /// Those that are open, by their ids.
    sessions: HashMap<String, Arc<Session>>,
    /// Numbers the processes.
    count: u64,
    /// Processes that were started, by those who have asked for them.
    starts: HashMap<Option<String>, Bucket>,
    /// The gateway is about to end: what stays open by itself does not.
    is_ending: bool,
    /// The gateway ends.
    is_closed: bool,
}

/// Whether there is place for one more.
enum Place {
    Free,
    /// Once this one has gone.
    After(Arc<Hub>),
    None,
}

enum Reserved {
    There(Arc<Hub>),
    New(Arc<Hub>, mpsc::Receiver<Line>),
}

impl Pool {
    pub(super) fn new(mcp: Arc<str>, limits: Limits) -> Self {
        Self { mcp, limits, budget: Budget::new(limits.waiting), held: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    /// What may wait for this user.
    pub(super) fn share(&self, user: Option<&str>) -> Share {
        self.budget.share(user)
    }

    /// A number that nothing else has.
    pub(super) fn fresh(&self) -> u64 {
        let mut held = self.held();
        held.count += 1;
        held.count
    }

    /// The session of this id, if the user may use it: his own, or one that nobody in particular has opened.
    pub(super) fn find(&self, id: &str, user: Option<&str>) -> Option<Arc<Session>> {
        let session = self.held().sessions.get(id).cloned()?;
        let is_theirs = session.owner.is_none() || session.owner.as_deref() == user;
        (is_theirs && session.is_live()).then_some(session)
    }

    /// A new session of this process. Where its user has as many as there may be, the one that is idle for longest gives way.
    pub(super) fn open(&self, user: Option<&str>, hub: &Arc<Hub>) -> Result<Arc<Session>, Failure> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| ProxyError::ProcessEnded)?;
        let id = format!("{:032x}", u128::from_be_bytes(id));
        let session = {
            let mut held = self.held();
            if held.is_closed {
                return Err(ProxyError::Busy.into());
            }
            held.make_room(user)?;
            let session = Session::open(id.clone(), self.share(user), hub)?;
            if held.is_ending {
                session.listening.close();
            }
            held.sessions.insert(id, Arc::clone(&session));
            session
        };
        let (held, running, idle) = (Arc::clone(&self.held), Arc::clone(&session), self.limits.idle);
        tokio::spawn(async move {
            running.over(idle).await;
            running.end.cancel();
            lock(&held).sessions.remove(&running.id);
            running.hub.detach(running.number).await;
        });
        Ok(session)
    }

    /// The process of this key and this environment, and whether it is a new one.
    pub(super) async fn process(
        &self,
        launch: &Launch,
        user: Option<&str>,
        key: &Key,
        environment: &Environment,
    ) -> Result<(Arc<Hub>, bool), Failure> {
        let (hub, lines) = match self.reserve(user, key, environment).await? {
            Reserved::There(hub) => return Ok((hub, false)),
            Reserved::New(hub, lines) => (hub, lines),
        };
        let log =
            Log { mcp: Arc::clone(&self.mcp), user: key.owner.clone(), token: environment.token.clone() };
        let child = match process::start(launch, environment, self.limits) {
            Ok(child) => child,
            Err(error) => {
                hub.close();
                hub.gone.cancel();
                self.held().processes.remove(&hub.number);
                return Err(Failure { error: ProxyError::ProcessEnded, cause: Some(error.to_string()) });
            }
        };
        let (held, limits, running) = (Arc::clone(&self.held), self.limits, Arc::clone(&hub));
        tokio::spawn(async move {
            let number = running.number;
            process::run(child, running, lines, limits, log).await;
            lock(&held).processes.remove(&number);
        });
        Ok((hub, true))
    }

    /// A place among those that there may be. Where its user has all of theirs, the one of them that is idle for longest gives
    /// way, and where there are no more at all, the one of anybody: clients seldom say goodbye.
    async fn reserve(
        &self,
        user: Option<&str>,
        key: &Key,
        environment: &Environment,
    ) -> Result<Reserved, Failure> {
        // More than once where others of the same user come in between.
        for _ in 0..3 {
            let oldest = {
                let mut held = self.held();
                if let Some(hub) = held.of_key(key, environment) {
                    return Ok(Reserved::There(hub));
                }
                match held.place(key.owner.as_deref(), self.limits) {
                    Place::Free if !held.may_start(user, self.limits) => {
                        let cause = "processes of this user are started too often";
                        return Err(Failure { error: ProxyError::Busy, cause: Some(cause.to_owned()) });
                    }
                    Place::Free => {
                        held.count += 1;
                        let number = held.count;
                        let (hub, lines) =
                            Hub::new(number, key.clone(), environment.fingerprint, self.limits.write);
                        held.processes.insert(number, Arc::clone(&hub));
                        return Ok(Reserved::New(hub, lines));
                    }
                    // Somebody may have come to it by now.
                    Place::After(oldest) if !oldest.gives_way() => continue,
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

    /// Waits until a process is gone and its place is free.
    async fn gone(&self, hub: &Hub) {
        let _ = timeout(self.limits.goodbye + Duration::from_secs(2), hub.gone.cancelled()).await;
        // The task that runs the process does this, too, but perhaps a moment later.
        if hub.gone.is_cancelled() {
            self.held().processes.remove(&hub.number);
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.held().is_ending
    }

    /// Ends what stays open by itself.
    pub(super) fn end_streams(&self) {
        let mut held = self.held();
        held.is_ending = true;
        held.processes.values().for_each(|hub| hub.end_streams());
    }

    /// Ends every process, and starts no more.
    pub(super) async fn end(&self) {
        let processes: Vec<Arc<Hub>> = {
            let mut held = self.held();
            held.is_closed = true;
            held.processes.values().cloned().collect()
        };
        for hub in &processes {
            hub.end.cancel();
        }
        for hub in &processes {
            self.gone(hub).await;
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    fn of_key(&self, key: &Key, environment: &Environment) -> Option<Arc<Hub>> {
        // One of another environment may be another login's of this person, and in use.
        let mut processes = self.processes.values();
        let is_right =
            |hub: &&Arc<Hub>| hub.key == *key && hub.fingerprint == environment.fingerprint && hub.is_open();
        processes.find(is_right).cloned()
    }

    fn place(&self, user: Option<&str>, limits: Limits) -> Place {
        if self.is_closed {
            return Place::None;
        }
        let is_theirs = |hub: &&Arc<Hub>| hub.key.owner.as_deref() == user;
        let own = self.processes.values().filter(is_theirs).count();
        if self.processes.len() < limits.processes && own < limits.processes_per_user {
            return Place::Free;
        }
        // Where it is all of them together that are too many, whoever's: nobody is locked out by what others left.
        let has_all_of_theirs = own >= limits.processes_per_user;
        let idle = self.processes.values().filter(|hub| !has_all_of_theirs || is_theirs(hub));
        match oldest(idle, Hub::idle_since) {
            Some(hub) => Place::After(Arc::clone(hub)),
            None => Place::None,
        }
    }

    /// Whoever asks for it pays, also where the process is everybody's: nobody uses up what others may start.
    fn may_start(&mut self, user: Option<&str>, limits: Limits) -> bool {
        let (now, rate) = (Instant::now(), Rate { burst: limits.starts, each: limits.start_again });
        if self.starts.len() >= MAX_STARTERS {
            self.starts.retain(|_, bucket| !bucket.is_full(now));
        }
        self.starts.entry(user.map(ToOwned::to_owned)).or_default().allows(rate, now)
    }

    fn make_room(&mut self, user: Option<&str>) -> Result<(), Failure> {
        let own = self.sessions.values().filter(|session| session.owner.as_deref() == user);
        let has_all_of_theirs = own.clone().count() >= MAX_SESSIONS_OF_USER;
        let oldest = if has_all_of_theirs {
            oldest(own, Session::idle_since)
        } else if self.sessions.len() >= MAX_SESSIONS {
            oldest(self.sessions.values(), Session::idle_since)
        } else {
            return Ok(());
        };
        let oldest = oldest.ok_or(ProxyError::Busy)?;
        oldest.end.cancel();
        let id = oldest.id.clone();
        self.sessions.remove(&id);
        Ok(())
    }
}

fn oldest<'a, T>(
    all: impl Iterator<Item = &'a Arc<T>>,
    idle_since: impl Fn(&T) -> Option<Instant>,
) -> Option<&'a Arc<T>> {
    all.filter_map(|one| Some((idle_since(one)?, one))).min_by_key(|(since, _)| *since).map(|(_, one)| one)
}
