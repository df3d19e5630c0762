//! Brings objects to a Kubernetes cluster: plan, apply, prune, wait, explain.

pub mod validate;
