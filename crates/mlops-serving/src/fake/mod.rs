//! MLflow and a model server in memory, for simulated worlds. They pass the same contract suite as the real ones.

mod model_server;
mod registry;

pub use model_server::FakeModelServer;
pub use registry::FakeMlflow;
