//! The requests: one command each, or several at once. No redirects, no proxy, bounds on time, size and number.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address::Address;
use super::failure::{Failure, broken, check_status, judge};
use crate::store::backend::StoreError;
use crate::store::in_redis::hex;
use crate::store::options::StoreOptions;

/// When nothing has happened, it is tried again after these: they hide a failure of a moment. An outage is answered
/// soon, so that callers do not pile up.
const PAUSES: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(120)];

/// Requests on their way at once, each on a connection of its own, before callers wait for a place.
const PLACES: usize = 64;

/// Bytes of an answer, also of many records.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// Shorter than the 5 s after which common servers hang up: a write must not be sent into a closing connection, as it
/// cannot be sent again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The state of the primary that this client has seen. A replica that is sent it answers when it has come as far.
const SYNC_TOKEN: &str = "upstash-sync-token";
const SYNC_TOKEN_LIMIT: usize = 1024;

/// A command, and whether it may be sent again after its answer was lost.
pub(super) struct Command {
    words: Vec<String>,
    repeatable: bool,
}

impl Command {
    pub(super) fn read(words: &[&str]) -> Self {
        Self { words: words.iter().map(|&word| word.to_owned()).collect(), repeatable: true }
    }

    /// A script for one key.
    pub(super) fn change(name: &str, script: &str, key: &str, arguments: &[Vec<u8>]) -> Self {
        let mut words: Vec<String> = [name, script, "1", key].map(str::to_owned).to_vec();
        words.extend(arguments.iter().map(|argument| hex(argument)));
        Self { words, repeatable: false }
    }
}

/// What Redis answered; it may hold a record, so an error shows nothing of it.
pub(super) struct Answer(Value);

impl Answer {
    pub(super) fn number(&self) -> Result<i64, Failure> {
        self.0.as_i64().ok_or_else(Failure::unclear)
    }

    /// Strings are base64, but for `OK`.
    pub(super) fn bytes(&self) -> Result<Option<Bytes>, Failure> {
        match &self.0 {
            Value::Null => Ok(None),
            Value::String(ok) if ok == "OK" => Ok(Some(Bytes::from_static(b"OK"))),
            Value::String(text) => {
                BASE64_STANDARD.decode(text).map(|bytes| Some(bytes.into())).map_err(|_| Failure::unclear())
            }
            _ => Err(Failure::unclear()),
        }
    }

    pub(super) fn array(self) -> Result<Vec<Self>, Failure> {
        match self.0 {
            Value::Array(parts) => Ok(parts.into_iter().map(Self).collect()),
            _ => Err(Failure::unclear()),
        }
    }
}

/// One database.
pub(super) struct Rest {
    client: Client,
    single: Url,
    pipeline: Url,
    authorization: HeaderValue,
    places: Semaphore,
    /// The sync token of the last write. One of a read might be older, and take it back.
    seen: Mutex<Option<HeaderValue>>,
}

impl Rest {
    pub(super) fn new(address: Address, options: &StoreOptions) -> Result<Self, StoreError> {
        let unusable =
            |what: &str| StoreError::Open(format!("the store's Upstash URL cannot be used: {what}"));
        let Address { url, token } = address;
        let authorization = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut authorization = authorization.map_err(|_| unusable("its token is none"))?;
        authorization.set_sensitive(true);
        // HTTP/1, as Upstash's own clients: a request that hangs takes nothing with it but its own connection.
        let client = Client::builder()
            .user_agent(concat!("mcp-login/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .https_only(url.scheme() == "https")
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|_| unusable("TLS cannot be set up on this machine (are CA certificates installed?)"))?;
        let pipeline = url.join("pipeline").map_err(|_| unusable("its host is none"))?;
        let (places, seen) = (Semaphore::new(PLACES), Mutex::default());
        Ok(Self { client, single: url, pipeline, authorization, places, seen })
    }

    /// For Debug and words to an operator: where it is, not as whom.
    pub(super) fn place(&self) -> &str {
        self.single.as_str().trim_end_matches('/')
    }

    /// Sends one command.
    pub(super) async fn call(&self, command: &Command, deadline: Instant) -> Result<Answer, Failure> {
        let body = to_json(&command.words)?;
        let answered = self.ask(&self.single, body, command.repeatable, deadline).await?;
        read(answered, &command.words)
    }

    /// Sends several reads at once; each has an answer of its own.
    pub(super) async fn reads(
        &self,
        commands: &[Command],
        deadline: Instant,
    ) -> Result<Vec<Result<Answer, Failure>>, Failure> {
        let words: Vec<&Vec<String>> = commands.iter().map(|command| &command.words).collect();
        let answered = self.ask(&self.pipeline, to_json(&words)?, true, deadline).await?;
        match answered {
            Value::Array(answers) if answers.len() == commands.len() => {
                Ok(answers.into_iter().zip(words).map(|(answer, words)| read(answer, words)).collect())
            }
            // The request as a whole was refused.
            Value::Object(_) => read(answered, &[]).and_then(|_| Err(Failure::unclear())),
            _ => Err(Failure::unclear()),
        }
    }

    async fn ask(
        &self,
        url: &Url,
        body: Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        for pause in PAUSES {
            let failure = match self.once(url, body.clone(), repeatable, deadline).await {
                Err(failure @ Failure::NotNow(_)) => failure,
                Err(failure @ Failure::Lost(_)) if repeatable => failure,
                answered => return answered,
            };
            if Instant::now() + pause >= deadline {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
        }
        self.once(url, body, repeatable, deadline).await
    }

    async fn once(
        &self,
        url: &Url,
        body: Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let too_many = || Failure::NotNow("too many requests to Upstash were waiting".to_owned());
        let place = timeout_at(deadline, self.places.acquire()).await;
        let _place = place.map_err(|_| too_many())?.map_err(|_| too_many())?;
        match timeout_at(deadline, self.exchange(url, body, repeatable)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::late()),
        }
    }

    async fn exchange(&self, url: &Url, body: Bytes, repeatable: bool) -> Result<Value, Failure> {
        let mut request = self
            .client
            .post(url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("upstash-encoding", "base64")
            .body(body);
        if let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            request = request.header(SYNC_TOKEN, seen);
        }
        let response = request.send().await.map_err(|error| broken(&error))?;
        let status = response.status();
        check_status(status)?;
        if !repeatable {
            self.remember(&response);
        }
        let body = read_body(response).await?;
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok(answer),
            Err(_) if status == StatusCode::OK => Err(Failure::unclear()),
            Err(_) => Err(Failure::refused("what is at the store's URL answered with 400")),
        }
    }

    fn remember(&self, response: &Response) {
        let token = response.headers().get(SYNC_TOKEN);
        if let Some(token) = token.filter(|token| !token.is_empty() && token.len() <= SYNC_TOKEN_LIMIT) {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        }
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("place", &self.place()).finish_non_exhaustive()
    }
}

fn to_json(words: &impl serde::Serialize) -> Result<Bytes, Failure> {
    // Strings are always JSON.
    serde_json::to_vec(words).map(Bytes::from).map_err(|_| Failure::refused("a command is no JSON"))
}

/// `{"result": …}` or `{"error": …}`.
fn read(answer: Value, sent: &[String]) -> Result<Answer, Failure> {
    let Value::Object(mut answer) = answer else { return Err(Failure::unclear()) };
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        return Err(judge(error, sent));
    }
    answer.remove("result").map(Answer).ok_or_else(Failure::unclear)
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(Failure::refused("Upstash's answer is larger than any honest one"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
