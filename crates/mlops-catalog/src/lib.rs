//! The components of an MLOps platform as data, and the resolution of a platform into a graph.
