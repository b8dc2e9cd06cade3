//! The commands, one file each.

pub mod config;
pub mod demo;
pub mod providers;
pub mod serve;

use std::path::{Path, PathBuf};

use crate::cli::ConfigArgs;
use crate::config::{Checked, Environment, Faults, Sources, env};

/// The configuration that a command works with.
struct Source {
    /// The file, whether or not it is there.
    path: PathBuf,
    text: String,
    folder: PathBuf,
    environment: Environment,
}

impl Source {
    /// Reads the file that was asked for, or the default one if it is there.
    fn read(args: &ConfigArgs) -> Result<Self, Faults> {
        let path = args.config.clone().unwrap_or_else(|| Path::new("mcp-login.toml").to_owned());
        let (text, folder) = crate::config::read(&path, args.config.is_some())?;
        Ok(Self { path, text, folder, environment: env::of_process() })
    }

    fn check(&self) -> Result<Checked, Faults> {
        let rows = providers::rows();
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let sources = Sources {
            text: &self.text,
            folder: &self.folder,
            environment: &self.environment,
            providers: &names,
        };
        let checked = sources.check().and_then(|checked| {
            let found = crate::assemble::faults(&checked.config);
            if found.is_empty() { Ok(checked) } else { Err(of_library(&found)) }
        });
        checked.map_err(|mut faults| {
            if self.text.is_empty() && !self.path.exists() {
                let message = format!("{} is not here: name the file with --config", self.path.display());
                faults.push("", message);
            }
            faults
        })
    }
}

/// What the library finds wrong, in the words of a configuration.
fn of_library(found: &[String]) -> Faults {
    let mut faults = Faults::default();
    for fault in found {
        let (key, message) = fault.split_once(": ").unwrap_or(("", fault));
        faults.push(key, message);
    }
    faults
}
