//! One step of a run: the attempts at one resource.

use mlops_core::event::millis;
use mlops_core::plan::decide;
use mlops_core::{Action, Error, Event, Failure, Observed, Resource, Result};

use super::apply::Run;
use super::window::Sign;

impl Run<'_> {
    /// Tries until it is done, it fails for good, or patience ends. Returns the verb of what was done.
    pub(super) async fn carry_out(
        &self,
        resource: &Resource,
        planned: &Action,
        sign: &mut Sign,
    ) -> Result<&'static str> {
        let provider = self.engine.provider(resource.id.kind())?;
        let mut pauses = self.engine.patience.pauses();
        let mut action = planned.clone();
        // What lives in something that was not running could not be looked at when the plan was made.
        let host_changes = |host| self.changing.contains(host);
        let mut look = matches!(planned, Action::Later { .. })
            || *planned != Action::Remove && resource.within.as_ref().is_some_and(host_changes);
        loop {
            let attempt = async {
                if look {
                    let observed = self.engine.look_again(resource, self.cx).await;
                    action = self.decide_again(resource, &observed, planned)?;
                }
                if action.is_change() {
                    provider.apply(resource, &action, self.cx).await?;
                }
                Ok(action.verb())
            };
            let error: Error = match attempt.await {
                Ok(verb) => return Ok(verb),
                Err(error) => error,
            };
            if !error.is_retryable() {
                return Err(error);
            }
            *sign = Sign::Pressed;
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            self.cx.events.emit(Event::Retrying {
                id: resource.id.clone(),
                failure: Failure::from(&error),
                after_ms: millis(pause),
            });
            tokio::time::sleep(pause).await;
            // The attempt may have been done although its answer was lost: look before writing again.
            look = true;
        }
    }

    fn decide_again(
        &self,
        resource: &Resource,
        observed: &Observed,
        planned: &Action,
    ) -> Result<Action> {
        if *planned == Action::Remove {
            return Ok(match observed {
                Observed::Absent => Action::Nothing,
                _ => Action::Remove,
            });
        }
        let rules = self
            .engine
            .rules
            .get(resource.id.kind())
            .cloned()
            .unwrap_or_default();
        decide(resource, observed, &rules)
    }
}
