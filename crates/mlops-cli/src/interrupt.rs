//! Ctrl-C and SIGTERM: the first asks the work to end, the second ends the program.

use std::sync::Arc;

use mlops_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::printer::Printer;

/// Listens for signals from now on. The token is cancelled by the first; the second ends the program at once with
/// the code of [`Exit::Interrupted`].
///
/// # Errors
///
/// When the operating system does not let us listen.
pub(crate) fn listen(printer: &Arc<Printer>) -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::new()
        .map_err(|error| Error::new(ErrorKind::Failed, "listen for signals").with_source(error))?;
    let (cancel, printer) = (token.clone(), Arc::clone(printer));
    tokio::spawn(async move {
        signals.next().await;
        cancel.cancel();
        signals.next().await;
        printer.clear_live();
        end();
    });
    Ok(token)
}

#[expect(
    clippy::exit,
    reason = "who asks twice wants the program gone, whatever it waits for"
)]
fn end() -> ! {
    std::process::exit(i32::from(Exit::Interrupted.code()))
}

/// The work, or an error of kind [`ErrorKind::Interrupted`] when the token is cancelled first.
///
/// For work that writes nothing; what writes takes the token itself, so that it can end in order.
///
/// # Errors
///
/// Those of the work, and the interruption.
pub(crate) async fn until<T>(
    token: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = token.cancelled() => Err(interrupted()),
        result = work => result,
    }
}

/// The error of work that the user ended.
pub(crate) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: interrupted")
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
