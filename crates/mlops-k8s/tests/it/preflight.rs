//! Preflight against a real API server and a real node.
