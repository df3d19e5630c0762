//! Why an object is not ready: the first cause, with evidence and a remedy.
//!
//! It goes in two steps. [`gather`] reads the subject and what is around it with few requests, side by side. [`judge`]
//! is pure: it follows owners and references from the subject down, asks each rule of a table about each object that is
//! not ready, and puts the cause that lies deepest first, so that the answer to "why is this Deployment not ready" may be
//! a volume claim without a `StorageClass`.
//!
//! ```no_run
//! # async fn example(client: kube::Client) -> mlops_core::Result<()> {
//! use mlops_k8s::explain::{ObjectRef, explain};
//!
//! let mlflow = ObjectRef::new("apps/v1", "Deployment", Some("models"), "mlflow");
//! let explanation = explain(&client, &mlflow).await?;
//! if let Some(cause) = &explanation.cause {
//!     // For example `no-storage-class`, and what to do about it.
//!     let line = format!("{}: {} ({})", cause.code, cause.message, cause.remedy);
//! #   drop(line);
//! }
//! # Ok(())
//! # }
//! ```

mod codes;
mod facts;
pub(crate) mod failure;
mod gather;
mod hopeless;
mod judge;
mod kinds;
mod logs;
mod model;
pub(crate) mod text;
mod until;

use kube::Client;
use mlops_core::Result;

pub use codes::{CauseCode, CauseInfo};
pub use facts::{Event, Facts, Found, Log, Object};
pub use gather::gather;
pub(crate) use hopeless::{Waits, hopeless, told};
pub use judge::judge;
pub(crate) use kinds::read_in_namespace;
pub use model::{Cause, Evidence, Explanation, ObjectRef};
pub use until::{explain_until, explain_within};

/// Explains why an object is not ready; with a `Namespace`, all that is in it.
///
/// # Errors
///
/// When the server cannot be asked for the object. That it is not there, that its kind is unknown, and that we may not
/// look are explanations, not errors.
pub async fn explain(client: &Client, subject: &ObjectRef) -> Result<Explanation> {
    Ok(judge(&gather(client, subject).await?))
}

/// Explains why the server refused to take an object: quota, limits, Pod Security, webhooks, rights, unknown kinds.
///
/// None when the error is not one that the server gave as a reason, or has a reason that no rule knows.
///
/// ```
/// use mlops_k8s::explain::{CauseCode, ObjectRef, explain_refusal};
///
/// let pod = ObjectRef::new("v1", "Pod", Some("models"), "web");
/// let message = "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
/// let cause = explain_refusal(&pod, message).unwrap();
/// assert_eq!(cause.code, CauseCode::QuotaExceeded);
/// assert!(cause.remedy.contains("ResourceQuota `small`"));
/// ```
pub fn explain_refusal(subject: &ObjectRef, message: &str) -> Option<Cause> {
    let (code, finding) = judge::judge_refusal(message)?;
    let answer = Evidence::Answer {
        message: text::clean(message),
    };
    Some(judge::cause_of(code, subject, finding.with([answer])))
}

/// What helps against a refusal, and the code of its cause.
pub(crate) fn remedy_of_refusal(message: &str) -> Option<(CauseCode, String)> {
    let (code, finding) = judge::judge_refusal(message)?;
    let cause = judge::cause_of(code, &ObjectRef::of_namespace(""), finding);
    Some((cause.code, cause.remedy))
}
