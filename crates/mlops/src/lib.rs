//! The engine and the facade: a platform is planned, applied, checked and removed.
