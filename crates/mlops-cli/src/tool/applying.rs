//! Applying a set of objects, as a person sees it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args as ClapArgs;
use mlops_core::{Error, ErrorKind, Result};
use mlops_k8s::explain::{Cause, ObjectRef, explain};
use mlops_k8s::{
    Applier, ApplyEvent, ApplyOptions, ApplyReport, Contested, Existing, Kinds, Lookup, ObjectId,
    ObjectPlan, ObjectSet, Outcome, PlanOptions, RemoveOptions, Scope, SetLock, Status, WaitEvent,
    WaitOptions,
};

use super::{Connection, Tool};
use crate::exit::Exit;
use crate::report;
use crate::text::plain;

/// How objects are applied.
#[derive(Debug, Clone, ClapArgs)]
pub struct Applying {
    /// The set that the objects are members of: what was applied with it before and is wanted no more is removed.
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,

    /// Take objects into the set that exist and are in none.
    #[arg(long)]
    pub adopt: bool,

    /// Take over fields that another manager applies.
    #[arg(long)]
    pub take: bool,

    /// Remove this too although it holds data; written as plans show it, `KIND/NAME` or `KIND/NAME in NAMESPACE`.
    #[arg(long, value_name = "OBJECT")]
    pub data: Vec<String>,

    /// Do not wait until all is ready.
    #[arg(long)]
    pub no_wait: bool,

    /// How many seconds another run on the same set is waited for; 0 gives up at once, and says who it is.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait_for_lock: u64,

    /// How many seconds it may take until all is ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub within: u64,
}

impl Applying {
    fn within(&self) -> Duration {
        Duration::from_secs(self.within)
    }

    fn plan_options(&self) -> Result<PlanOptions> {
        Ok(PlanOptions {
            existing: if self.adopt {
                Existing::Adopt
            } else {
                Existing::Refuse
            },
            contested: if self.take {
                Contested::Take
            } else {
                Contested::Leave
            },
            may_remove: self.named_data()?,
        })
    }

    fn named_data(&self) -> Result<BTreeSet<ObjectId>> {
        self.data.iter().map(|text| object_id(text)).collect()
    }

    fn applier(&self, to: &Connection) -> Applier {
        let applier = Applier::new(to.client.clone()).with_namespace(&to.namespace);
        match &self.set {
            Some(set) => applier.with_set(set, &to.namespace),
            None => applier,
        }
    }

    /// What an apply would do.
    ///
    /// # Errors
    ///
    /// When the cluster cannot be asked, or an object has a kind that it does not know.
    pub async fn plan(&self, to: &Connection, set: &ObjectSet) -> Result<ObjectPlan> {
        self.applier(to).plan(set, &self.plan_options()?).await
    }

    /// Applies, waits, and explains what does not become ready.
    ///
    /// # Errors
    ///
    /// When nothing could be begun; what failed of it is told, and is in the exit code.
    pub async fn apply(&self, tool: &Tool, to: &Connection, set: &ObjectSet) -> Result<Exit> {
        let applier = self.applier(to);
        let options = ApplyOptions {
            plan: self.plan_options()?,
            needs_within: self.within(),
        };
        let tell = |event: ApplyEvent| tell(tool, &event);
        let report = if self.set.is_some() {
            let lock = self.lock(tool)?;
            applier.apply_locked(&lock, set, &options, &tell).await?
        } else {
            applier.apply(set, &options, &tell).await?
        };
        show(tool, &report)?;
        if !report.is_complete() {
            return Ok(Exit::Failed);
        }
        if self.no_wait {
            return Ok(Exit::Done);
        }
        self.wait(tool, to, &applier, set).await
    }

    /// Waits until all is ready; what keeps it from that is told meanwhile, and explained in the end.
    async fn wait(
        &self,
        tool: &Tool,
        to: &Connection,
        applier: &Applier,
        set: &ObjectSet,
    ) -> Result<Exit> {
        let ready = Mutex::new(BTreeSet::new());
        let on_event = |event: WaitEvent| {
            tool.printer.tell(&plain(&format!("{event:?}")));
            let mut ready = ready.lock().unwrap_or_else(PoisonError::into_inner);
            if event.status == Status::Ready {
                ready.insert(event.id);
            } else {
                ready.remove(&event.id);
            }
        };
        let on_cause = |cause: &Cause| tool.printer.say(&plain(&cause.line()));
        let options = WaitOptions::new(self.within());
        let waited = applier.wait_with_causes(set, &options, &on_event, &on_cause);
        let Err(error) = waited.await else {
            tool.printer.say("all is ready");
            return Ok(Exit::Done);
        };
        report::print(&tool.printer, &error);
        let ready = ready.into_inner().unwrap_or_else(PoisonError::into_inner);
        // That something is not ready is known, whether it can be explained or not.
        if let Err(error) = explain_all(tool, to, set, &ready).await {
            report::print(&tool.printer, &error);
        }
        Ok(Exit::CheckFailed)
    }

    fn lock(&self, tool: &Tool) -> Result<SetLock> {
        let wait = Duration::from_secs(self.wait_for_lock);
        Ok(SetLock::new(tool.holder()?).with_wait(wait))
    }

    /// Takes all members of the set away.
    ///
    /// # Errors
    ///
    /// When the members cannot be listed, or something does not go in time.
    pub async fn remove(&self, tool: &Tool) -> Result<Exit> {
        let to = tool.connect().await?;
        let options = RemoveOptions {
            may_remove: self.named_data()?,
            within: self.within(),
        };
        let tell = |event: ApplyEvent| tell(tool, &event);
        let applier = self.applier(&to);
        let applier = match applier.clone().locked(&self.lock(tool)?, &tell).await {
            // Without the namespace of a set there is no set.
            Err(error) if error.kind() == ErrorKind::NotFound => applier,
            taken => taken?,
        };
        let report = applier.remove(&options, &tell).await;
        applier.give_back().await;
        let report = report?;
        show(tool, &report)?;
        Ok(if report.is_complete() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

/// Says of each object that was not seen ready why.
async fn explain_all(
    tool: &Tool,
    to: &Connection,
    set: &ObjectSet,
    ready: &BTreeSet<ObjectId>,
) -> Result<()> {
    let kinds = Kinds::of_server(&to.client).await?;
    for object in set {
        let id = object.id();
        let Lookup::Known(kind) = kinds.find_any_version(&id.group_kind()) else {
            continue;
        };
        let namespace = id.namespace.as_deref().unwrap_or(&to.namespace);
        let namespace = (kind.scope == Scope::Namespaced).then_some(namespace);
        if ready.contains(&ObjectId::new(&id.group, &id.kind, namespace, &id.name)) {
            continue;
        }
        let subject = ObjectRef::new(&kind.api_version(), &kind.kind, namespace, &id.name);
        let explanation = explain(&to.client, &subject).await?;
        if !explanation.ready {
            tool.printer.error_text(&explanation.to_string());
        }
    }
    Ok(())
}

/// `KIND/NAME` or `KIND/NAME in NAMESPACE`, as plans show objects.
fn object_id(text: &str) -> Result<ObjectId> {
    let (object, namespace) = match text.split_once(" in ") {
        Some((object, namespace)) => (object, Some(namespace)),
        None => (text, None),
    };
    match object.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
            let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
            Ok(ObjectId::new(group, kind, namespace, name))
        }
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("find the object `{}`", text.escape_debug()),
        )
        .with_hint(
            "write it as the plan shows it, such as `PersistentVolumeClaim/data in models`",
        )),
    }
}

fn tell(tool: &Tool, event: &ApplyEvent) {
    match event {
        ApplyEvent::Done { id, outcome } => match outcome {
            Outcome::Unchanged => tool.printer.tell(&plain(&format!("{id}: as wanted"))),
            outcome => tool
                .printer
                .say(&plain(&format!("{id}: {}", word(outcome)))),
        },
        ApplyEvent::Waiting { id, reason } => {
            tool.printer.say(&plain(&format!("{id}: waits: {reason}")));
        }
        ApplyEvent::Retrying { id, failure, pause } => {
            let failure = failure.causes.first().unwrap_or(&failure.message);
            let pause = pause.as_millis();
            let text = format!("{id}: again in {pause} ms: {failure}");
            tool.printer.say(&plain(&text));
        }
        event => tool.printer.tell(&plain(&format!("{event:?}"))),
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unchanged => "as wanted".to_owned(),
        Outcome::Created => "created".to_owned(),
        Outcome::Updated => "updated".to_owned(),
        Outcome::Adopted => "adopted".to_owned(),
        Outcome::Replaced => "replaced".to_owned(),
        Outcome::Removed => "removed".to_owned(),
        Outcome::Kept(why) => format!("kept: {why}"),
        Outcome::Failed(failure) => format!("failed: {}", failure.causes.join(": ")),
        Outcome::Left(why) => format!("left: {why}"),
        other => format!("{other:?}"),
    }
}

fn show(tool: &Tool, report: &ApplyReport) -> Result<()> {
    tool.printer.show(report, |_| {
        let done = report.outcomes.len() - report.problems().count() - report.kept().count();
        let unchanged = report.count(&Outcome::Unchanged);
        let mut text = format!(
            "{} done, {unchanged} as wanted, {} failed or left, in {:.1} s",
            done - unchanged,
            report.problems().count(),
            report.took.as_secs_f64()
        );
        for (id, why) in report.kept() {
            text.push_str(&plain(&format!("\n{id}: kept: {why}")));
        }
        if report.kept().next().is_some() {
            text.push_str("\n`--data OBJECT` removes what is kept");
        }
        for (id, outcome) in report.problems() {
            text.push_str(&plain(&format!("\n{id}: {}", word(outcome))));
        }
        text
    })
}
