//! One at a time for a whole set: the Lease in the namespace of its parent.

use std::time::Duration;

use mlops_core::{Error, ErrorKind, Result};

use super::{
    Action, Applier, ApplyEvent, ApplyOptions, ApplyReport, Outcome, Prepared, SetName,
    refuse_obstacles, run,
};
use crate::error::Refusal;
use crate::lease::LeaseOptions;
use crate::objects::{ObjectId, ObjectSet};

/// Who asks for the Lease of a set, and for how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLock {
    holder: String,
    wait: Duration,
}

impl SetLock {
    /// For a holder whose name must differ from every other's, as of [`LeaseOptions::new`]. Another holder is not
    /// waited for.
    pub fn new(holder: impl Into<String>) -> Self {
        Self {
            holder: holder.into(),
            wait: Duration::ZERO,
        }
    }

    /// Waits this long for another holder.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    fn lease(&self, set: &SetName) -> LeaseOptions {
        LeaseOptions::new(&set.lease(), set.namespace(), &self.holder)
    }
}

impl Applier {
    /// Takes the Lease of the set ([`SetName::lease`]) before `set` is applied, and writes under it from then on. It is
    /// given back when the applier and its clones are dropped.
    ///
    /// Where the namespace of the parent is one of the objects and not there yet, it is made first, because the Lease
    /// lies in it; nothing is made when the plan for the objects has a conflict. A wait for another holder is told as
    /// [`ApplyEvent::Waiting`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when another holds the Lease for longer than we wait; the cause names it. As
    /// [`Applier::apply`] when the namespace had to be made. [`ErrorKind::InvalidInput`] without a set.
    pub async fn locked_for(
        self,
        lock: &SetLock,
        set: &ObjectSet,
        options: &ApplyOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<Self> {
        let home = home_of(self.named_set()?);
        if set.iter().any(|object| *object.id() == home) {
            let prepared = self.prepare(set, &options.plan).await?;
            refuse_obstacles(&prepared.plan)?;
            self.make_home(prepared, &home, options, on_event).await?;
        }
        self.locked(lock, on_event).await
    }

    /// Applies under the Lease of the set, which is taken when there is something to write and given back at the end. A
    /// run that finds nothing to do, or that is refused, sends no write at all, and waits for nobody.
    ///
    /// It looks twice: once to know whether there is something to do, and once more under the Lease, since another run
    /// may have done it meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Applier::locked_for`] and [`Applier::apply`].
    pub async fn apply_locked(
        &self,
        lock: &SetLock,
        set: &ObjectSet,
        options: &ApplyOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<ApplyReport> {
        let home = home_of(self.named_set()?);
        let prepared = self.prepare(set, &options.plan).await?;
        refuse_obstacles(&prepared.plan)?;
        if run::is_settled(self, &prepared) {
            return self.apply_prepared(&prepared, options, on_event).await;
        }
        let is_made = self.make_home(prepared, &home, options, on_event).await?;
        let taken = self.clone().locked(lock, on_event).await?;
        let report = taken.apply(set, options, on_event).await;
        taken.give_back().await;
        let mut report = report?;
        // Under the Lease it was there already; it is this run that made it.
        let mut outcomes = report.outcomes.iter_mut();
        if is_made
            && let Some((_, outcome)) = outcomes.find(|(id, _)| *id == home)
            && *outcome == Outcome::Unchanged
        {
            *outcome = Outcome::Created;
        }
        Ok(report)
    }

    /// Takes the Lease of the set, whose namespace is there, and writes under it from then on.
    ///
    /// # Errors
    ///
    /// As [`Applier::locked_for`], and [`ErrorKind::NotFound`] when the namespace is not there.
    pub async fn locked(
        self,
        lock: &SetLock,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<Self> {
        let name = self.named_set()?;
        let lease = lock.lease(name);
        let mut taken = lease.clone().acquire(&self.client).await;
        if let Err(error) = &taken
            && error.kind() == ErrorKind::Conflict
            && Refusal::of(error).is_none()
            && !lock.wait.is_zero()
        {
            let (space, name) = (Some(name.namespace()), name.lease());
            on_event(ApplyEvent::Waiting {
                id: ObjectId::new("coordination.k8s.io", "Lease", space, name),
                reason: error.causes().join(": "),
            });
            taken = lease.with_wait(lock.wait).acquire(&self.client).await;
        }
        let lease = match taken {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error.with_hint(format!(
                    "make the namespace `{}` first, or add it to the objects",
                    name.namespace()
                )));
            }
            lease => lease?,
        };
        Ok(self.with_lease(lease))
    }

    fn named_set(&self) -> Result<&SetName> {
        self.set.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "take the lease of a set of objects",
            )
            .with_source("no set was named")
        })
    }

    /// Writes just the namespace of a plan, when it is to be made. Whether it was.
    async fn make_home(
        &self,
        mut prepared: Prepared,
        home: &ObjectId,
        options: &ApplyOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<bool> {
        if prepared.plan.action(home) != Some(&Action::Create) {
            return Ok(false);
        }
        prepared.wanted.retain(|wanted| wanted.id == *home);
        let report = run::write_only(self, &prepared, options, on_event).await;
        match report {
            Some(failure) => Err(failure.to_error()),
            None => Ok(true),
        }
    }
}

/// The namespace of the parent, in which the Lease lies.
fn home_of(set: &SetName) -> ObjectId {
    ObjectId::new("", "Namespace", None, set.namespace())
}
