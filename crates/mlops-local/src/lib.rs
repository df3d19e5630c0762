//! The local target: the servers of a platform as supervised processes of one machine.
