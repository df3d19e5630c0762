//! Following an alias.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, unfold};
use mlops_core::{Error, Failure};

use super::{Switched, Switcher};
use crate::registry::{ModelUri, resolve};

/// What happened while an alias was followed.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowEvent {
    /// The version that the address names is served; told at the beginning and after trouble.
    Serving {
        /// The version.
        version: String,
    },
    /// The address named another version, which is served now.
    Switched(Switched),
    /// The address names a version that was tried and refused; it is tried again only when the address has named
    /// another one in between. The old version is served.
    Refused {
        /// The version.
        version: String,
        /// Why.
        failure: Failure,
    },
    /// Registry or model server could not be asked, or the address names nothing; it is tried again.
    Unreachable {
        /// Why.
        failure: Failure,
    },
}

struct State {
    switcher: Arc<Switcher>,
    uri: ModelUri,
    every: Duration,
    /// The key of the version that was refused.
    refused: Option<String>,
    /// The trouble that was told last, so that it is told once.
    trouble: Option<Failure>,
    told: bool,
    begun: bool,
}

/// Asks every `every` which version an address names, and serves that one. The stream never ends; dropping it stops at
/// the next await, and a switch that is cut off is finished by the next one.
pub fn follow(
    switcher: Arc<Switcher>,
    uri: ModelUri,
    every: Duration,
) -> impl Stream<Item = FollowEvent> + Send {
    let state = State {
        switcher,
        uri,
        every,
        refused: None,
        trouble: None,
        told: false,
        begun: false,
    };
    unfold(state, |mut state| async move {
        loop {
            if state.begun {
                tokio::time::sleep(state.every).await;
            }
            state.begun = true;
            if let Some(event) = state.look().await {
                return Some((event, state));
            }
        }
    })
}

impl State {
    async fn look(&mut self) -> Option<FollowEvent> {
        let wanted = match resolve(self.switcher.registry(), &self.uri).await {
            Ok(wanted) => wanted,
            Err(error) => return self.unreachable(&error),
        };
        if self.refused.as_ref() == Some(&wanted.key) {
            return None;
        }
        match self.switcher.is_serving(&wanted).await {
            Ok(true) => {
                self.refused = None;
                self.trouble = None;
                if self.told {
                    return None;
                }
                if let Err(error) = self.switcher.tidy(&wanted).await {
                    return self.unreachable(&error);
                }
                self.told = true;
                return Some(FollowEvent::Serving {
                    version: wanted.version,
                });
            }
            Ok(false) => {}
            Err(error) => return self.unreachable(&error),
        }
        match self.switcher.switch_to(&wanted).await {
            Ok(switched) => {
                self.refused = None;
                self.trouble = None;
                self.told = true;
                Some(FollowEvent::Switched(switched))
            }
            Err(error) if error.is_retryable() => self.unreachable(&error),
            Err(error) => {
                self.refused = Some(wanted.key);
                // Going back to the old version is news.
                self.told = false;
                Some(FollowEvent::Refused {
                    version: wanted.version,
                    failure: Failure::from(&error),
                })
            }
        }
    }

    fn unreachable(&mut self, error: &Error) -> Option<FollowEvent> {
        let failure = Failure::from(error);
        self.told = false;
        if self.trouble.as_ref() == Some(&failure) {
            return None;
        }
        self.trouble = Some(failure.clone());
        Some(FollowEvent::Unreachable { failure })
    }
}
