//! The commands, one file each.

mod ask;
pub mod clients;
pub mod config;
pub mod demo;
pub mod grants;
pub mod providers;
mod rows;
pub mod serve;
pub mod store;

use std::path::{Path, PathBuf};

use crate::cli::ConfigArgs;
use crate::config::valid::StoreConfig;
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

    /// `[store]`, whatever else is said or not said.
    fn store(&self) -> Result<StoreConfig, Faults> {
        self.sources(&[]).store()
    }

    fn sources<'a>(&'a self, providers: &'a [&'a str]) -> Sources<'a> {
        Sources { text: &self.text, folder: &self.folder, environment: &self.environment, providers }
    }

    fn check(&self) -> Result<Checked, Faults> {
        let rows = providers::rows();
        let names = rows.iter().flat_map(|row| row.aliases.iter().chain([&row.name]));
        let names: Vec<&str> = names.map(String::as_str).collect();
        let sources = self.sources(&names);
        let is_there = !self.text.is_empty() || self.path.exists();
        if !is_there && !env::says_anything(&self.environment) {
            // A list of everything that is missing would hide what is wrong.
            let mut faults = Faults::default();
            faults.push("", self.not_here());
            return Err(faults);
        }
        let checked = sources.check().and_then(|checked| {
            let found = crate::assemble::faults(&checked.config);
            if found.is_empty() { Ok(checked) } else { Err(of_library(&found)) }
        });
        checked.map_err(|mut faults| {
            if !is_there {
                faults.push("", self.not_here());
            }
            faults
        })
    }

    fn not_here(&self) -> String {
        let file = self.path.display();
        format!("{file} is not in this folder: go to its folder, or name it with --config FILE")
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
