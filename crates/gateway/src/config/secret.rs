//! Secrets: the literal, or fetched from where the configuration says they are.

use std::io::Read;
use std::path::Path;

use mcp_login::core::Secret;

use super::env::Environment;
use super::fault::Faults;
use super::raw;

/// The longest secret that is read, in bytes.
const MAX_LENGTH: u64 = 64 * 1024;

/// Where secrets are fetched from.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// For `{ env = … }`.
    pub environment: &'a Environment,
    /// What a relative `{ file = … }` starts from: the folder of the configuration file.
    pub folder: &'a Path,
}

/// The secret at `key`, or a fault.
pub(super) fn fetch(
    secret: raw::Secret,
    places: Places<'_>,
    key: &str,
    faults: &mut Faults,
) -> Option<Secret> {
    let fetched = match secret {
        raw::Secret::Literal(secret) if secret.is_empty() => Err("is empty".to_owned()),
        raw::Secret::Literal(secret) => Ok(secret),
        raw::Secret::Place(raw::SecretPlace::Env(name)) => match places.environment.get(&name) {
            None => Err(format!("the environment variable {name:?} is not set")),
            Some(value) if value.is_empty() => Err(format!("the environment variable {name:?} is empty")),
            Some(value) => Ok(Secret::new(value.as_str())),
        },
        raw::Secret::Place(raw::SecretPlace::File(path)) => {
            read(&places.folder.join(&path)).map_err(|why| format!("the file {path:?} {why}"))
        }
    };
    fetched.map_err(|message| faults.push(key, message)).ok()
}

/// The file without the line end that editors put there.
fn read(path: &Path) -> Result<Secret, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MAX_LENGTH + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    let trimmed =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if trimmed.is_empty() { Err("is empty".to_owned()) } else { Ok(Secret::new(trimmed)) }
}
