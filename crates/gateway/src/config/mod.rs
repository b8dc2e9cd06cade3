//! The configuration: a TOML file and the environment, judged as a whole.
//!
//! text → [`toml::Table`] → environment over it → [`check`] (unknown keys, types) → [`raw`] → [`valid`]. Every step adds to
//! one list of [`Faults`], so an operator mends everything in one go.

mod check;
pub mod duration;
pub mod env;
mod fault;
pub mod raw;
mod schema;
mod secret;
pub mod size;
mod suggest;
pub mod valid;

use std::path::{Path, PathBuf};

use toml::Table;

pub use env::Environment;
pub use fault::{Fault, Faults};
pub use secret::Places;
pub use suggest::nearest;

/// The longest configuration file that is read, in bytes.
const MAX_LENGTH: u64 = 1024 * 1024;

/// Everything a configuration is made from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The file's text; empty when everything comes from the environment.
    pub text: &'a str,
    /// The file's folder: relative paths of secrets start here.
    pub folder: &'a Path,
    /// The environment.
    pub environment: &'a Environment,
    /// The names that `upstream.provider` may have.
    pub providers: &'a [&'a str],
}

/// A configuration without faults, and what its operator should know.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: valid::Config,
    /// What an operator should know.
    pub warnings: Vec<Fault>,
}

impl Sources<'_> {
    /// Judges the configuration. The error holds every fault.
    pub fn check(&self) -> Result<Checked, Faults> {
        let mut faults = Faults::default();
        let mut table = self.table(&mut faults)?;
        env::overlay(&mut table, self.environment, &mut faults);
        check::section(&mut table, schema::ROOT, "", &mut faults);
        let Ok(raw) = table.try_into::<raw::Config>() else {
            // Serde's text would show the value; and `check` has looked at the types, so this is not reached.
            faults.push("", "cannot be read");
            return Err(faults);
        };
        match valid::Config::judge(raw, &self.context(), &mut faults) {
            Some(config) if faults.is_empty() => Ok(Checked { config, warnings: faults.warnings().to_vec() }),
            _ => Err(faults),
        }
    }

    /// Judges `[store]` alone, for commands that need nothing else: they run where the secrets of the rest are not known.
    pub fn store(&self) -> Result<valid::StoreConfig, Faults> {
        let mut faults = Faults::default();
        let mut table = self.table(&mut faults)?;
        env::overlay(&mut table, self.environment, &mut faults);
        // Whatever else is wrong is for `config check`.
        let mut faults = Faults::default();
        table.retain(|name, _| name == "store");
        check::section(&mut table, schema::ROOT, "", &mut faults);
        let Ok(raw) = table.try_into::<raw::Config>() else {
            faults.push("store", "cannot be read");
            return Err(faults);
        };
        match valid::store::judge(raw.store.unwrap_or_default(), &self.context(), &mut faults) {
            Some(store) if faults.is_empty() => Ok(store),
            _ => Err(faults),
        }
    }

    fn context(&self) -> valid::Context<'_> {
        valid::Context {
            places: Places { environment: self.environment, folder: self.folder },
            providers: self.providers,
        }
    }

    /// The file as a table. A parser's own error text shows the line, which may hold a secret, so only the place is told.
    fn table(&self, faults: &mut Faults) -> Result<Table, Faults> {
        self.text.parse::<Table>().map_err(|error| {
            let place = error.span().map(|span| {
                let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
                let line = before.split(|b| *b == b'\n').count();
                let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
                format!("line {line}, column {column}: ")
            });
            let message = error.message().lines().next().unwrap_or_default();
            faults.push("", format!("not TOML: {}{message}", place.unwrap_or_default()));
            std::mem::take(faults)
        })
    }
}

/// The `public_url` alone, for commands that need nothing else; `None` when it is not there or not right.
#[must_use]
pub fn public_url_of(text: &str, environment: &Environment) -> Option<String> {
    let mut faults = Faults::default();
    let mut table = text.parse::<Table>().ok()?;
    env::overlay(&mut table, environment, &mut faults);
    let written = table.get("public_url")?.as_str()?.to_owned();
    valid::PublicUrl::judge(Some(written), &mut faults).map(|url| url.as_str().to_owned())
}

/// The text of a configuration file, and its folder.
///
/// A file that is not there is an error only when it was `asked_for`: without one, everything comes from the environment.
pub fn read(path: &Path, asked_for: bool) -> Result<(String, PathBuf), Faults> {
    use std::io::Read;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let fault = |message: String| {
        let mut faults = Faults::default();
        faults.push("", format!("{}: {message}", path.display()));
        faults
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => {
            return Ok((String::new(), folder));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(fault("there is no such file".to_owned()));
        }
        Err(error) => return Err(fault(format!("cannot be read: {}", error.kind()))),
    };
    let mut text = String::new();
    file.take(MAX_LENGTH + 1)
        .read_to_string(&mut text)
        .map_err(|error| fault(format!("cannot be read: {}", error.kind())))?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(fault(format!("is longer than {MAX_LENGTH} bytes")));
    }
    Ok((text, folder))
}
