//! Whether waiting for an object is of any use, told by its first cause from one explanation to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use mlops_core::{Error, ErrorKind};
use tokio::time::Instant;

use super::until::{Next, Pace, QUIET, follow};
use super::{Cause, CauseCode, Explanation, ObjectRef};

/// How long it looks no further after an explanation: many objects come up at once, and each change of a pod is one for
/// all of them. By so much later than its first evidence a fault is explained.
const PAUSE: Duration = Duration::from_millis(700);

/// Longer than anybody waits: whoever waits has an end of its own.
const FOREVER: Duration = Duration::from_hours(24);

/// A cause as the error of what was done.
pub(crate) fn told(kind: ErrorKind, doing: impl Into<String>, cause: &Cause) -> Error {
    Error::new(kind, doing)
        .with_source(cause.line())
        .with_hint(cause.remedy.clone())
}

/// Causes that no waiting heals: somebody must change something.
const HOPELESS: [CauseCode; 14] = [
    CauseCode::ImageNotFound,
    CauseCode::ImageNameInvalid,
    CauseCode::ImageNeverPull,
    CauseCode::ImagePullDenied,
    CauseCode::CommandNotFound,
    CauseCode::RunAsNonRootRefused,
    CauseCode::NoStorageClass,
    CauseCode::StorageClassMissing,
    CauseCode::QuotaExceeded,
    CauseCode::LimitRangeViolated,
    CauseCode::PodSecurityViolated,
    CauseCode::WebhookDenied,
    CauseCode::Forbidden,
    // It was written before it is waited for: somebody else has removed it, or its namespace.
    CauseCode::ObjectMissing,
];

/// Who waits, and so for how long a cause may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// For an object to become ready: only what no waiting heals ends it.
    ForObject,
    /// For a check, which a person looks at: what may pass ends it after a while, too.
    ForCheck,
}

impl Waits {
    /// How long a cause must last until waiting is given up: short for one that no waiting heals, which once may be a
    /// moment between two writes of a controller. `None` for what only takes its time.
    fn gives_up_after(self, code: CauseCode) -> Option<Duration> {
        let may_pass = [
            CauseCode::ImagePullFailed,
            CauseCode::RegistryUnreachable,
            CauseCode::ContainerConfigWrong,
        ];
        if HOPELESS.contains(&code) {
            Some(Duration::from_secs(2))
        } else if self == Self::ForCheck && may_pass.contains(&code) {
            Some(Duration::from_secs(30))
        } else {
            None
        }
    }
}

/// What was seen of causes so far.
struct Seen {
    waits: Waits,
    /// The cause that would end the waiting, and since when it is there.
    since: Option<(CauseCode, Instant)>,
    told: BTreeSet<(CauseCode, ObjectRef)>,
}

impl Seen {
    fn new(waits: Waits) -> Self {
        Self {
            waits,
            since: None,
            told: BTreeSet::new(),
        }
    }

    /// Takes in the cause that is there now. A new one is handed to `tell` at once, unless it may be a moment between
    /// two writes of a controller.
    fn take(&mut self, cause: Option<&Cause>, now: Instant, tell: &dyn Fn(&Cause)) -> Next {
        let Some(cause) = cause else {
            self.since = None;
            return Next::Within(QUIET);
        };
        if !HOPELESS.contains(&cause.code) && cause.code != CauseCode::WaitsForFirstConsumer {
            let is_new = self.told.insert((cause.code, cause.subject.clone()));
            if is_new {
                tell(cause);
            }
        }
        let Some(patience) = self.waits.gives_up_after(cause.code) else {
            self.since = None;
            return Next::Within(QUIET);
        };
        let since = match self.since {
            Some((code, since)) if code == cause.code => since,
            _ => now,
        };
        self.since = Some((cause.code, since));
        match patience.checked_sub(now.duration_since(since)) {
            None | Some(Duration::ZERO) => Next::Done,
            Some(left) => Next::Within(left.min(QUIET)),
        }
    }
}

/// Ends with a cause that lasts for too long. Others are told, each once, as soon as they are there.
pub(crate) async fn hopeless(
    client: &Client,
    subject: &ObjectRef,
    waits: Waits,
    tell: &(dyn Fn(&Cause) + Send + Sync),
) -> Cause {
    let mut seen = Seen::new(waits);
    loop {
        // What is ready at once needs no explanation.
        tokio::time::sleep(PAUSE).await;
        let pace = Pace {
            pause: PAUSE,
            end: Instant::now() + FOREVER,
        };
        let look = |explanation: &Explanation| {
            let cause = explanation.cause.as_ref();
            seen.take(cause, Instant::now(), tell)
        };
        let last = follow(client, subject, pace, look).await;
        if let Ok(Explanation {
            cause: Some(cause), ..
        }) = last
        {
            return cause;
        }
        // A server that cannot be asked says nothing of the cause, neither that it is there nor that it is gone.
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn cause(code: CauseCode) -> Cause {
        Cause {
            code,
            subject: ObjectRef::new("v1", "Pod", Some("n"), "web-0"),
            message: "it is so".to_owned(),
            evidence: Vec::new(),
            remedy: "mend it".to_owned(),
        }
    }

    /// Which explanations end it, and what is told, of causes at seconds.
    fn run(waits: Waits, causes: &[(u64, Option<CauseCode>)]) -> (Option<u64>, Vec<CauseCode>) {
        let (mut seen, start) = (Seen::new(waits), Instant::now());
        let told = RefCell::new(Vec::new());
        let ended = causes.iter().find_map(|(at, code)| {
            let cause = code.map(cause);
            let now = start + Duration::from_secs(*at);
            let next = seen.take(cause.as_ref(), now, &|cause| {
                told.borrow_mut().push(cause.code);
            });
            (next == Next::Done).then_some(*at)
        });
        (ended, told.into_inner())
    }

    use CauseCode::{CrashLoop, ImageNotFound, ImagePullFailed, QuotaExceeded};

    #[test]
    fn what_no_waiting_heals_must_last_for_two_seconds() {
        let lasts = [
            (0, Some(ImageNotFound)),
            (1, Some(ImageNotFound)),
            (2, Some(ImageNotFound)),
        ];
        assert_eq!(run(Waits::ForObject, &lasts), (Some(2), vec![]));
        let passes = [
            (0, Some(ImageNotFound)),
            (1, None),
            (2, Some(ImageNotFound)),
            (3, None),
        ];
        assert_eq!(run(Waits::ForObject, &passes), (None, vec![]));
        let changes = [
            (0, Some(ImageNotFound)),
            (2, Some(QuotaExceeded)),
            (3, Some(QuotaExceeded)),
        ];
        assert_eq!(run(Waits::ForObject, &changes), (None, vec![]));
    }

    #[test]
    fn another_cause_is_told_once_and_ends_nothing() {
        let causes = [
            (0, Some(CrashLoop)),
            (600, Some(CrashLoop)),
            (700, Some(ImagePullFailed)),
            (800, Some(ImagePullFailed)),
            (900, Some(CrashLoop)),
        ];
        let told = vec![CrashLoop, ImagePullFailed];
        assert_eq!(run(Waits::ForObject, &causes), (None, told.clone()));
        assert_eq!(run(Waits::ForCheck, &causes), (Some(800), told));
    }

    #[test]
    fn it_looks_again_when_the_time_of_a_cause_is_over() {
        let (mut seen, now) = (Seen::new(Waits::ForObject), Instant::now());
        let found = cause(ImageNotFound);
        let next = seen.take(Some(&found), now, &|_| {});
        assert_eq!(next, Next::Within(Duration::from_secs(2)));
        let next = seen.take(Some(&found), now + Duration::from_millis(1_500), &|_| {});
        assert_eq!(next, Next::Within(Duration::from_millis(500)));
    }
}
