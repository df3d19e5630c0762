//! Access keys: the admin's from the settings, others from `accounts.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::config::Credentials;
use crate::error::{Error, Result};
use crate::store::{Store, read, write};

/// What a key may do. The names are those of the Versity S3 gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Uses the buckets it owns.
    User,
    /// Makes buckets too.
    UserPlus,
    /// Everything.
    Admin,
}

impl Role {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "userplus" => Some(Self::UserPlus),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::UserPlus => "userplus",
            Self::Admin => "admin",
        }
    }
}

/// What the gateway keeps for file systems that know users by number. We only keep and show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    #[serde(rename = "user_id", default)]
    pub(crate) user: i64,
    #[serde(rename = "group_id", default)]
    pub(crate) group: i64,
    #[serde(rename = "project_id", default)]
    pub(crate) project: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) secret: SecretString,
    pub(crate) role: Role,
    pub(crate) numbers: Numbers,
}

/// What of an account is to be changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) secret: Option<SecretString>,
    pub(crate) role: Option<Role>,
    pub(crate) user_id: Option<i64>,
    pub(crate) group_id: Option<i64>,
    pub(crate) project_id: Option<i64>,
}

/// One line of `accounts.json`. Files written before there were numbers have none.
#[derive(Serialize, Deserialize)]
struct Line {
    access: String,
    secret: String,
    role: Role,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Why a change of accounts did not happen.
pub(crate) enum Refused {
    Exists,
    NotFound,
    Disk(io::Error),
}

/// All keys.
pub(crate) struct Accounts {
    admin: Credentials,
    file: PathBuf,
    store: Arc<Store>,
    stored: RwLock<BTreeMap<String, Account>>,
}

impl Accounts {
    pub(crate) fn load(admin: Credentials, store: Arc<Store>) -> Result<Self> {
        let file = store.root.join("accounts.json");
        let fail = |e| Error::new(format!("read the accounts in {}", file.display()), e);
        let lines: Vec<Line> = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.into()))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(fail(e)),
        };
        let stored = lines
            .into_iter()
            .map(|line| {
                (
                    line.access,
                    Account {
                        secret: line.secret.into(),
                        role: line.role,
                        numbers: line.numbers,
                    },
                )
            })
            .collect();
        Ok(Self {
            admin,
            file,
            store,
            stored: RwLock::new(stored),
        })
    }

    /// The account with this access key; the admin's comes first.
    pub(crate) fn find(&self, access: &str) -> Option<Account> {
        if access == self.admin.access_key {
            return Some(Account {
                secret: self.admin.secret_key.clone(),
                role: Role::Admin,
                numbers: Numbers::default(),
            });
        }
        read(&self.stored).get(access).cloned()
    }

    /// All stored accounts, without the admin's.
    pub(crate) fn list(&self) -> Vec<(String, Account)> {
        read(&self.stored)
            .iter()
            .map(|(access, account)| (access.clone(), account.clone()))
            .collect()
    }

    /// Adds an account with a new access key. Blocks.
    pub(crate) fn create(
        &self,
        access: &str,
        account: Account,
    ) -> std::result::Result<(), Refused> {
        self.change(|accounts| {
            if access == self.admin.access_key || accounts.contains_key(access) {
                return Err(Refused::Exists);
            }
            accounts.insert(access.to_owned(), account);
            Ok(())
        })
    }

    /// Changes what is given. Blocks.
    pub(crate) fn update(&self, access: &str, wanted: Change) -> std::result::Result<(), Refused> {
        self.change(|accounts| {
            let account = accounts.get_mut(access).ok_or(Refused::NotFound)?;
            if let Some(secret) = wanted.secret {
                account.secret = secret;
            }
            if let Some(role) = wanted.role {
                account.role = role;
            }
            let kept = account.numbers;
            account.numbers = Numbers {
                user: wanted.user_id.unwrap_or(kept.user),
                group: wanted.group_id.unwrap_or(kept.group),
                project: wanted.project_id.unwrap_or(kept.project),
            };
            Ok(())
        })
    }

    /// Removes an account; nothing happens when there is none. Blocks.
    pub(crate) fn remove(&self, access: &str) -> std::result::Result<(), Refused> {
        self.change(|accounts| {
            accounts.remove(access);
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Account>) -> std::result::Result<(), Refused>,
    ) -> std::result::Result<(), Refused> {
        let mut stored = write(&self.stored);
        let mut changed = stored.clone();
        change(&mut changed)?;
        let lines: Vec<Line> = changed
            .iter()
            .map(|(access, account)| Line {
                access: access.clone(),
                secret: account.secret.expose_secret().to_owned(),
                role: account.role,
                numbers: account.numbers,
            })
            .collect();
        let json = serde_json::to_vec_pretty(&lines).map_err(|e| Refused::Disk(e.into()))?;
        self.store
            .write_small(&self.file, &json)
            .map_err(Refused::Disk)?;
        *stored = changed;
        Ok(())
    }
}
