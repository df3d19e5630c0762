//! Waiting for a set with an eye on what keeps it from being ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::stream::{FuturesUnordered, StreamExt as _};
use mlops_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Applier;
use crate::explain::{Cause, ObjectRef, Waits, hopeless, told};
use crate::objects::{ObjectId, ObjectSet};
use crate::wait::{Status, Target, WaitEvent, WaitOptions, until_ready};

/// How many objects are explained side by side; the others follow when one of these is ready.
const MOST: usize = 16;

impl Applier {
    /// As [`Applier::wait`]; what is not ready is explained meanwhile, again and again, by watches. A cause that may pass
    /// is told once, when it is there. One that no waiting heals (an image that no registry has, a quota, no
    /// `StorageClass`) ends the wait when it has lasted for 2 seconds.
    ///
    /// Explanations read the pods, events and claims around an object, and so need the right to; without it they say
    /// nothing, and the wait is the plain one.
    ///
    /// ```no_run
    /// # async fn example(applier: mlops_k8s::Applier, set: mlops_k8s::ObjectSet) -> mlops_core::Result<()> {
    /// use std::time::Duration;
    /// use mlops_k8s::WaitOptions;
    ///
    /// let options = WaitOptions::new(Duration::from_secs(300));
    /// let tell = |cause: &mlops_k8s::explain::Cause| println!("{}", cause.line());
    /// applier.wait_with_causes(&set, &options, &|_| {}, &tell).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Applier::wait`], and [`ErrorKind::Failed`] with the cause and its remedy when no waiting heals it.
    pub async fn wait_with_causes(
        &self,
        set: &ObjectSet,
        options: &WaitOptions,
        on_event: &(dyn Fn(WaitEvent) + Send + Sync),
        on_cause: &(dyn Fn(&Cause) + Send + Sync),
    ) -> Result<()> {
        let targets = self.targets(set).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let on_each = |event: WaitEvent| {
            // Nobody listens any more when the wait is over.
            let _ = sender.send(event.clone());
            on_event(event);
        };
        tokio::select! {
            ended = until_ready(&self.client, &targets, options, &on_each) => ended,
            error = without_hope(&self.client, &targets, events, on_cause) => Err(error),
        }
    }
}

/// Ends with the error of an object for which waiting is of no use.
async fn without_hope(
    client: &kube::Client,
    targets: &[Target],
    mut events: mpsc::UnboundedReceiver<WaitEvent>,
    on_cause: &(dyn Fn(&Cause) + Send + Sync),
) -> Error {
    // A pod and what made it have the same cause.
    let known = Mutex::new(BTreeSet::new());
    let tell = |cause: &Cause| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert((cause.code, cause.subject.clone())) {
            on_cause(cause);
        }
    };
    let subjects: BTreeMap<&ObjectId, ObjectRef> = targets.iter().filter_map(subject_of).collect();
    let (mut looks, mut stops) = (FuturesUnordered::new(), BTreeMap::new());
    let mut later = BTreeSet::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(WaitEvent { id, status: Status::Ready }) => {
                    later.remove(&id);
                    stops.remove(&id);
                }
                Some(WaitEvent { id, .. }) => {
                    if subjects.contains_key(&id) && !stops.contains_key(&id) {
                        later.insert(id);
                    }
                }
                None => return std::future::pending().await,
            },
            Some(cause) = looks.next() => {
                if let Some((subject, cause)) = cause {
                    return told(ErrorKind::Failed, format!("see {subject} become ready"), &cause);
                }
            }
        }
        while stops.len() < MOST
            && let Some(id) = later.pop_first()
        {
            if let Some(subject) = subjects.get(&id) {
                let stop = CancellationToken::new();
                looks.push(look(client, subject.clone(), stop.clone(), &tell));
                stops.insert(id, stop.drop_guard());
            }
        }
    }
}

/// The object for explanations. Of a namespace it would be all that is in it, whoever made that.
fn subject_of(target: &Target) -> Option<(&ObjectId, ObjectRef)> {
    let (id, kind) = (&target.id, &target.kind);
    let subject = ObjectRef::new(
        &kind.api_version(),
        &kind.kind,
        id.namespace.as_deref(),
        &id.name,
    );
    (!id.is("", "Namespace")).then_some((id, subject))
}

/// The cause for which no waiting helps; none when it was stopped.
async fn look(
    client: &kube::Client,
    subject: ObjectRef,
    stop: CancellationToken,
    tell: &(dyn Fn(&Cause) + Send + Sync),
) -> Option<(ObjectRef, Cause)> {
    let cause = hopeless(client, &subject, Waits::ForObject, tell);
    let cause = stop.run_until_cancelled(cause).await?;
    Some((subject, cause))
}
