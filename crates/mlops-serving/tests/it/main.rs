//! The clients and providers against real servers, and against one that answers what it should not.

mod harness;
mod hostile;
mod mlflow_real;
mod providers;
mod serve_real;
