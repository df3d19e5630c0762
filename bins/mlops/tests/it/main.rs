//! The command as a user meets it, as far as that needs no server.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod support;
