//! The command as a user meets it, without servers and, in `whole_platform`, with one.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod images;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod support;
#[cfg(test)]
mod whole_platform;
