//! One write, and what stands beside it: the lease, the window, events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mlops_core::{Error, ErrorKind, Failure, Result};
use serde_json::{Value, json};

use super::window::Window;
use super::{ApplyEvent, Outcome};
use crate::discovery::{Kinds, Lookup};
use crate::http::{ATTEMPT, Attend, Call, Failed, send};
use crate::lease::LeaseGuard;
use crate::objects::{ObjectId, Wanted};
use crate::observe::Live;
use crate::plan::{Action, FieldChange};
use crate::wait::{self, WaitOptions};

/// How long the paths of a kind that was just defined may be unknown.
const NEW_KIND: Duration = Duration::from_secs(15);

/// The pause between two questions for the kinds of a server: nothing can be watched there.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// What all writes of an apply share.
pub(crate) struct Writer<'a> {
    pub(crate) client: &'a kube::Client,
    pub(crate) guard: Option<&'a LeaseGuard>,
    pub(crate) part_of: Option<String>,
    pub(super) window: Window,
    pub(crate) retries: AtomicUsize,
    pub(crate) on_event: &'a (dyn Fn(ApplyEvent) + Send + Sync),
    pub(crate) needs_within: Duration,
}

/// One object's write.
pub(crate) struct Attending<'a> {
    pub(crate) writer: &'a Writer<'a>,
    pub(crate) id: &'a ObjectId,
}

impl Attend for Attending<'_> {
    fn may_send(&self) -> Result<()> {
        self.writer.guard.map_or(Ok(()), LeaseGuard::check)
    }

    /// No longer than the lease, so that nothing of ours is on its way when another has it.
    fn attempt_within(&self) -> Duration {
        self.writer
            .guard
            .map_or(ATTEMPT, |guard| guard.left().min(ATTEMPT))
    }

    fn retries(&self, failed: &Failed, pause: Duration) {
        self.writer.retries.fetch_add(1, Ordering::Relaxed);
        self.writer.window.failed(failed.retry_after);
        (self.writer.on_event)(ApplyEvent::Retrying {
            id: self.id.clone(),
            failure: Failure::from(&failed.error),
            pause,
        });
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        applier: &'a super::Applier,
        needs_within: Duration,
        on_event: &'a (dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Self {
        Self {
            client: &applier.client,
            guard: applier.guard(),
            part_of: applier.set.as_ref().map(super::SetName::id),
            window: Window::new(),
            retries: AtomicUsize::new(0),
            on_event,
            needs_within,
        }
    }

    /// Sends a write for an object.
    pub(crate) async fn send(&self, id: &ObjectId, call: &Call, verb: &str) -> Result<Value> {
        let started = Instant::now();
        let doing = || format!("{verb} {id}");
        let answer = send(self.client, call, &doing, &Attending { writer: self, id }).await;
        if answer.is_ok() {
            self.window.answered(started.elapsed());
        }
        answer
    }

    /// Does what the plan says for one wanted object.
    pub(crate) async fn write(
        &self,
        wanted: &Wanted,
        action: &Action,
        live: Option<&Live>,
    ) -> Result<Outcome> {
        let outcome = match action {
            Action::Create => Outcome::Created,
            Action::Adopt { .. } => Outcome::Adopted,
            Action::Replace { .. } => Outcome::Replaced,
            _ => Outcome::Updated,
        };
        if let (Action::Replace { .. }, Some(live)) = (action, live) {
            self.take_away(wanted, live).await?;
        }
        // Without force the server refuses fields that somebody took since the plan was made.
        let takes = |fields: &[FieldChange]| fields.iter().any(|field| field.owner.is_some());
        let is_forced = match action {
            Action::Update { fields } | Action::Adopt { fields } => takes(fields),
            _ => false,
        };
        let body = wanted.body(self.part_of.as_deref());
        let path = match wanted.kind.plural.as_str() {
            "" => self.new_path(wanted).await?,
            _ => wanted.path(),
        };
        let mut call = Call::apply(&path, crate::compare::FIELD_MANAGER, is_forced, body);
        if wanted.kind.is_of_set {
            call.not_found_for = NEW_KIND;
        }
        self.send(&wanted.id, &call, "apply").await?;
        if wanted
            .id
            .is("apiextensions.k8s.io", "CustomResourceDefinition")
        {
            self.wait(&wanted.id, "it is established");
            let options = WaitOptions::new(self.needs_within);
            wait::until_ready(self.client, &[wanted.target()], &options, &|_| {}).await?;
        }
        Ok(outcome)
    }

    /// The path of an object whose API has just become available.
    async fn new_path(&self, wanted: &Wanted) -> Result<String> {
        let (id, started) = (&wanted.id, Instant::now());
        loop {
            let kinds = Kinds::of_server(self.client).await?;
            if let Lookup::Known(kind) = kinds.find(&id.group, &wanted.kind.version, &id.kind) {
                return Ok(kind.path(id.namespace.as_deref(), Some(&id.name)));
            }
            if started.elapsed() > NEW_KIND {
                let cause = "the server behind its API does not name this kind";
                let error = Error::new(ErrorKind::Unsupported, format!("apply {id}"));
                return Err(error.with_source(cause));
            }
            // The API server asks the other server for its kinds a moment after that has become available.
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Removes an object that will be made again, and waits until it is gone.
    async fn take_away(&self, wanted: &Wanted, live: &Live) -> Result<()> {
        let uid = live
            .json()
            .pointer("/metadata/uid")
            .cloned()
            .unwrap_or_default();
        let options = json!({"preconditions": {"uid": uid}, "propagationPolicy": "Background"});
        let call = Call::delete(wanted.path(), &options);
        match self.send(&wanted.id, &call, "remove").await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.wait(&wanted.id, "it is gone, to be made again");
        let options = WaitOptions::new(self.needs_within);
        wait::until_gone(self.client, &[wanted.target()], &options, &|_| {}).await
    }

    pub(crate) fn wait(&self, id: &ObjectId, reason: &str) {
        (self.on_event)(ApplyEvent::Waiting {
            id: id.clone(),
            reason: reason.to_owned(),
        });
    }
}
