//! How the servers are set up, as far as it decides whether logins last.

use std::sync::Arc;

use redis::Value;

use super::RedisBackend;
use super::failure::Failure;
use super::node::{Command, Node};
use super::slots::text;
use crate::store::backend::{Finding, StoreError};

const EVICTION: &str =
    "Redis throws logins away when its memory is full: set maxmemory-policy noeviction, and watch the memory";
const NO_LOG: &str = "a restart loses what was written since the last snapshot: set appendonly yes";

impl RedisBackend {
    pub(super) async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for master in self.route.masters(self.deadline()).await? {
            findings.extend(self.findings_of(&master).await?);
        }
        Ok(findings)
    }

    async fn findings_of(&self, master: &Arc<Node>) -> Result<Vec<Finding>, StoreError> {
        let named = |name: &str| format!("{} {name}", master.address);
        let info = match master.send(&Command::read("INFO", &["SERVER"]), false, self.deadline()).await {
            Ok(info) => text(&info),
            Err(Failure::Refused(_)) => String::new(),
            Err(failure) => return Err(failure.into()),
        };
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let version = field("valkey_version:").map(|version| format!("Valkey {version}"));
        let version = version.or_else(|| field("redis_version:").map(|version| format!("Redis {version}")));
        let mut findings =
            vec![Finding { name: named("version"), value: version.unwrap_or_else(not_told), advice: None }];
        let memory = self.setting(master, "maxmemory").await?;
        let unlimited = memory.as_deref() == Some("0");
        for name in ["maxmemory-policy", "appendonly"] {
            let value = self.setting(master, name).await?;
            let advice = match (name, value.as_deref()) {
                ("maxmemory-policy", Some(policy)) if policy != "noeviction" && !unlimited => Some(EVICTION),
                ("appendonly", Some("no")) => Some(NO_LOG),
                _ => None,
            };
            findings.push(Finding { name: named(name), value: value.unwrap_or_else(not_told), advice });
        }
        Ok(findings)
    }

    /// `None` where this user may not ask: many services keep their settings from their users.
    async fn setting(&self, master: &Arc<Node>, name: &str) -> Result<Option<String>, StoreError> {
        match master.send(&Command::read("CONFIG", &["GET", name]), false, self.deadline()).await {
            Ok(Value::Array(pair)) => Ok(pair.get(1).map(text)),
            Ok(Value::Map(pairs)) => Ok(pairs.first().map(|(_, value)| text(value))),
            Ok(_) | Err(Failure::Refused(_)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

fn not_told() -> String {
    "not told to this user".to_owned()
}
