//! From a URL to a backend.

use std::sync::Arc;

use super::backend::{Backend, StoreError};
use super::memory::MemoryBackend;
use super::options::StoreOptions;

/// What [`open_backend`] understands, for its error texts.
const UNDERSTOOD: &str = "memory:, file:PATH, redis://HOST, redis+cluster://HOST,HOST and \
     redis+sentinel://HOST,HOST/MASTER, these three with rediss:// for TLS, and upstash+https://TOKEN@HOST";

/// Opens the store that `url` names: `memory:`, `file:PATH`, `redis://…`, `redis+cluster://…`, `redis+sentinel://…`, one
/// of these with `rediss` for TLS, or `upstash+https://…`; how those are written, `redis::RedisBackend::open_with` and
/// `upstash::UpstashBackend::open_with` say.
///
/// A Redis that is away does not keep this from succeeding: the calls answer [`StoreError::Unavailable`] until it is
/// there.
///
/// # Errors
/// [`StoreError::Open`] with words that say what to change. No text shows any part of a Redis or Upstash URL.
pub async fn open_backend(url: &str, options: &StoreOptions) -> Result<Arc<dyn Backend>, StoreError> {
    let Some((scheme, rest)) = url.split_once(':') else { return Err(not_understood()) };
    match scheme.to_ascii_lowercase().as_str() {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryBackend::new())),
        "memory" => Err(StoreError::Open("the store's URL is `memory:`, with nothing after it".to_owned())),
        "file" => open_file(rest, options.create).await,
        "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel" => {
            open_redis(url, options)
        }
        "upstash+https" | "upstash+http" => open_upstash(url, options),
        _ => Err(not_understood()),
    }
}

/// Shows nothing of the URL: what stands before its first colon may be half of a password.
fn not_understood() -> StoreError {
    StoreError::Open(format!("the store's URL is of no kind that is understood; these are: {UNDERSTOOD}"))
}

/// `file:relative`, `file:/absolute` and `file:///absolute`.
#[cfg(feature = "file")]
async fn open_file(rest: &str, create: bool) -> Result<Arc<dyn Backend>, StoreError> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err(StoreError::Open(
                "a store's file is written file:PATH or file:///PATH; file://NAME would name a host"
                    .to_owned(),
            ));
        }
        None => rest,
    };
    if path.is_empty() {
        return Err(StoreError::Open("the store's URL lacks the path after `file:`".to_owned()));
    }
    let path = std::path::PathBuf::from(path);
    if !create && !path.exists() {
        return Err(StoreError::Open(format!("the store's file {} is not there", path.display())));
    }
    // Opening may wait for a repair of the file.
    let opened = tokio::task::spawn_blocking(move || super::file::FileBackend::open(&path)).await;
    match opened {
        Ok(backend) => Ok(Arc::new(backend?)),
        Err(_) => Err(StoreError::Open(
            "the store's file is damaged in a way that stopped its opening; restore it from a backup or move it away"
                .to_owned(),
        )),
    }
}

#[cfg(not(feature = "file"))]
#[allow(clippy::unused_async, reason = "the same signature as with the feature")]
async fn open_file(_rest: &str, _create: bool) -> Result<Arc<dyn Backend>, StoreError> {
    Err(StoreError::Open("this build has no `file:` store (Cargo feature `file`)".to_owned()))
}

#[cfg(feature = "redis")]
fn open_redis(url: &str, options: &StoreOptions) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(Arc::new(super::redis::RedisBackend::open_with(url, options)?))
}

#[cfg(not(feature = "redis"))]
fn open_redis(_url: &str, _options: &StoreOptions) -> Result<Arc<dyn Backend>, StoreError> {
    Err(StoreError::Open("this build has no Redis store (Cargo feature `redis`)".to_owned()))
}

#[cfg(feature = "upstash")]
fn open_upstash(url: &str, options: &StoreOptions) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(Arc::new(super::upstash::UpstashBackend::open_with(url, options)?))
}

#[cfg(not(feature = "upstash"))]
fn open_upstash(_url: &str, _options: &StoreOptions) -> Result<Arc<dyn Backend>, StoreError> {
    Err(StoreError::Open("this build has no Upstash store (Cargo feature `upstash`)".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    async fn refusal(url: &str) -> String {
        match open_backend(url, &StoreOptions::default()).await {
            Err(StoreError::Open(text)) => text,
            other => panic!("{url} gave {other:?}"),
        }
    }

    #[tokio::test]
    async fn memory_opens() {
        open_backend("memory:", &StoreOptions::default()).await.unwrap().ping().await.unwrap();
    }

    #[cfg(feature = "file")]
    #[tokio::test]
    async fn a_file_opens_by_path_and_by_file_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        open_backend(&format!("file:{}", path.display()), &StoreOptions::default()).await.unwrap();
        open_backend(&format!("file://{}", path.display()), &StoreOptions::default()).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "both name one file");
    }

    #[cfg(feature = "file")]
    #[tokio::test]
    async fn a_file_that_is_not_there_is_made_unless_it_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file:{}", folder.path().join("a.db").display());
        let there = StoreOptions::default().create(false);
        let refused = open_backend(&url, &there).await;
        assert!(matches!(refused, Err(StoreError::Open(text)) if text.contains("a.db is not there")));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        open_backend(&url, &StoreOptions::default()).await.unwrap();
        open_backend(&url, &there).await.unwrap();
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn redis_opens_while_it_is_away() {
        for url in [
            "redis://127.0.0.1:1/",
            "rediss://127.0.0.1:1/",
            "redis+cluster://127.0.0.1:1,127.0.0.1:2",
            "rediss+cluster://127.0.0.1:1",
            "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster",
            "rediss+sentinel://127.0.0.1:1/mymaster",
        ] {
            open_backend(url, &StoreOptions::default()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_unknown_kind_is_told_what_there_is() {
        for url in ["mysql://root:hunter2@db/", "hunter2", "hunter2:x", "", "./mcp-login.db"] {
            let text = refusal(url).await;
            assert!(!text.contains("hunter2"), "{text}");
            for known in [
                "memory:",
                "file:PATH",
                "redis://",
                "redis+cluster://",
                "redis+sentinel://",
                "rediss://",
                "upstash+https://",
            ] {
                assert!(text.contains(known), "{text}");
            }
        }
    }

    #[cfg(feature = "upstash")]
    #[tokio::test]
    async fn upstash_opens_while_it_is_away() {
        for url in ["upstash+https://token@127.0.0.1:1", "upstash+http://token@127.0.0.1:1/"] {
            open_backend(url, &StoreOptions::default()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn no_refusal_shows_a_password() {
        for url in [
            "redis://user:hunter2@/",
            "redis://user:hunter2@host:99999/",
            "redis://user:hunter2@host/not-a-number",
            "redis://:hunter2@host/?protocol=hunter2",
            "rediss://:hunter2@host/#insecure",
            "rediss://:hunter2@host/#hunter2",
            "redis://:hunter2@0.0.0.0/",
            "redis:hunter2",
            "redis+cluster:hunter2",
            "redis+cluster://:hunter2@host/1",
            "redis+cluster://hunter2@host",
            "redis+cluster://:hunter2@host:99999",
            "redis+cluster://:hunter2@host,,host",
            "redis+cluster://:hunter2@host#insecure",
            "redis+cluster://:hunter2@host?protocol=hunter2",
            "redis+sentinel://:hunter2@host",
            "redis+sentinel://:hunter2@host/m/hunter2",
            "redis+sentinel://host/m?sentinel_pasword=hunter2",
            "rediss+sentinel://host/m?sentinel_password=hunter2#hunter2",
            "upstash+https:hunter2",
            "upstash+https://hunter2@host/hunter2",
            "upstash+https://default:hunter2@host",
            "upstash+https://hunter2@host:99999",
            "upstash+http://hunter2@host",
        ] {
            let text = refusal(url).await;
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_needs_a_path() {
        assert!(refusal("file:").await.contains("path"));
        assert!(refusal("file://host/a.db").await.contains("file:PATH"));
        assert!(refusal("memory:x").await.contains("memory:"));
    }
}
