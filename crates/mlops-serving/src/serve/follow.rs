//! Following an alias.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, unfold};
use mlops_core::{Error, Failure, Result};

use super::{Switched, Switcher};
use crate::registry::{ModelUri, Resolved, resolve};

/// What happened while an alias was followed.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowEvent {
    /// The version that the address names is served; told at the beginning, after trouble, and when somebody else has
    /// served another one.
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

struct State<T> {
    switcher: Arc<Switcher>,
    uri: ModelUri,
    every: Duration,
    turn: T,
    /// The key of the version that was refused.
    refused: Option<String>,
    /// The trouble that was told last, so that it is told once.
    trouble: Option<Failure>,
    /// The version that was told last to be served.
    told: Option<String>,
    begun: bool,
}

/// Asks every `every` which version an address names, and serves that one. The stream never ends; dropping it stops at
/// the next await, and a switch that is cut off is finished by the next one.
pub fn follow(
    switcher: Arc<Switcher>,
    uri: ModelUri,
    every: Duration,
) -> impl Stream<Item = FollowEvent> + Send {
    follow_in_turn(switcher, uri, every, || std::future::ready(Ok(())))
}

/// As [`follow`], beside others that serve the same model: before anything is written `turn` is awaited, what it gives is
/// held until all is written, and between two switches nothing is held. An error of `turn` is trouble, and it is tried
/// again.
pub fn follow_in_turn<'a, T, F, H>(
    switcher: Arc<Switcher>,
    uri: ModelUri,
    every: Duration,
    turn: T,
) -> impl Stream<Item = FollowEvent> + Send + 'a
where
    T: Fn() -> F + Send + 'a,
    F: Future<Output = Result<H>> + Send + 'a,
    H: Send + 'a,
{
    let state = State {
        switcher,
        uri,
        every,
        turn,
        refused: None,
        trouble: None,
        told: None,
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

/// What a look at the server and at the address has come to.
enum Look {
    /// There is nothing to do, and perhaps something to tell.
    Done(Option<FollowEvent>),
    /// The version is served, and something is left of the way to it.
    Untidy(Resolved),
    /// Another version is served, or none.
    Behind(Resolved),
}

impl<T, F, H> State<T>
where
    T: Fn() -> F,
    F: Future<Output = Result<H>>,
{
    async fn look(&mut self) -> Option<FollowEvent> {
        if let Look::Done(event) = self.compare().await {
            return event;
        }
        let turn = (self.turn)();
        let held = match turn.await {
            Ok(held) => held,
            Err(error) => return self.unreachable(&error),
        };
        // Whoever was waited for may have served it, and the address may have moved on.
        let event = match self.compare().await {
            Look::Done(event) => event,
            Look::Untidy(served) => match self.switcher.tidy(&served).await {
                Ok(()) => self.serving(served.version),
                Err(error) => self.unreachable(&error),
            },
            Look::Behind(wanted) => self.switch(wanted).await,
        };
        drop(held);
        event
    }

    /// Only asks.
    async fn compare(&mut self) -> Look {
        let wanted = match resolve(self.switcher.registry(), &self.uri).await {
            Ok(wanted) => wanted,
            Err(error) => return Look::Done(self.unreachable(&error)),
        };
        if self.refused.as_ref() == Some(&wanted.key) {
            return Look::Done(None);
        }
        let is_told = self.told.as_ref() == Some(&wanted.version);
        let is_settled = match self.switcher.is_serving(&wanted).await {
            Ok(false) => return Look::Behind(wanted),
            Ok(true) if is_told => Ok(true),
            Ok(true) => self.switcher.is_settled(&wanted).await,
            Err(error) => Err(error),
        };
        match is_settled {
            Ok(true) => Look::Done(self.serving(wanted.version)),
            Ok(false) => Look::Untidy(wanted),
            Err(error) => Look::Done(self.unreachable(&error)),
        }
    }

    async fn switch(&mut self, wanted: Resolved) -> Option<FollowEvent> {
        match self.switcher.switch_to(&wanted).await {
            Ok(switched) => {
                self.refused = None;
                self.trouble = None;
                self.told = Some(wanted.version);
                Some(FollowEvent::Switched(switched))
            }
            Err(error) if error.is_retryable() => self.unreachable(&error),
            Err(error) => {
                self.refused = Some(wanted.key);
                // Going back to the old version is news.
                self.told = None;
                Some(FollowEvent::Refused {
                    version: wanted.version,
                    failure: Failure::from(&error),
                })
            }
        }
    }

    fn serving(&mut self, version: String) -> Option<FollowEvent> {
        self.refused = None;
        self.trouble = None;
        if self.told.as_ref() == Some(&version) {
            return None;
        }
        self.told = Some(version.clone());
        Some(FollowEvent::Serving { version })
    }

    fn unreachable(&mut self, error: &Error) -> Option<FollowEvent> {
        let failure = Failure::from(error);
        self.told = None;
        if self.trouble.as_ref() == Some(&failure) {
            return None;
        }
        self.trouble = Some(failure.clone());
        Some(FollowEvent::Unreachable { failure })
    }
}
