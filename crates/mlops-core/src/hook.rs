//! The place where a simulated world lets trouble in.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;

/// Asked by in-memory systems before and after every single write. An answer that never comes is a kill, an error is
/// a fault of the system; both are what tests of providers need to place precisely.
#[async_trait]
pub trait WriteHook: Send + Sync {
    /// Before the write `what`; an error means that it does not happen.
    async fn before(&self, what: &str) -> Result<()>;

    /// After the write `what`; an error means that it happened and the caller does not learn of it.
    async fn after(&self, what: &str) -> Result<()>;
}

/// A hook that lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHook;

#[async_trait]
impl WriteHook for NoHook {
    async fn before(&self, _what: &str) -> Result<()> {
        Ok(())
    }

    async fn after(&self, _what: &str) -> Result<()> {
        Ok(())
    }
}

/// A shared hook.
pub type Hook = Arc<dyn WriteHook>;
