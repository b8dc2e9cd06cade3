//! What is wrong with a configuration, all of it at once.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, or that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The key path, `mcp[0].backend`; the name of a variable; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and what to write instead. Never holds a value that may be a secret.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// The faults and warnings found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Faults {
    /// Adds a fault.
    pub fn push(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault { key: key.into(), message: message.into() });
    }

    /// Adds "required", unless something at this key or under it was refused already: one mistake, one line.
    pub fn missing(&mut self, key: &str, message: &str) {
        if !self.concerns(key) {
            self.push(key, format!("required: {message}"));
        }
    }

    /// Adds "not in this version yet": the key is part of the contract, and ignoring it would be worse than saying so.
    pub fn not_yet(&mut self, key: impl Into<String>, instead: &str) {
        self.push(key, format!("not in this version yet: {instead}"));
    }

    /// Adds a warning, which keeps nobody from starting.
    pub fn warn(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Fault { key: key.into(), message: message.into() });
    }

    /// Whether there is a fault at this key or under it.
    #[must_use]
    pub fn concerns(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| {
            fault.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether nothing is wrong. Warnings do not count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// What is wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// What an operator should know.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }
}

/// The faults, one a line.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
