//! What the libraries trace, on standard error.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use mlops_core::{Error, ErrorKind, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::printer::Printer;
use crate::text::plain;

/// The filter that `RUST_LOG` or the number of `-v` asks for; `None` when nothing shall be traced.
///
/// # Errors
///
/// When `RUST_LOG` is not a filter.
pub fn filter(env: &BTreeMap<String, String>, verbose: u8) -> Result<Option<EnvFilter>> {
    let wish = match env.get("RUST_LOG").filter(|wish| !wish.is_empty()) {
        Some(wish) => wish.as_str(),
        None => match verbose {
            0 | 1 => return Ok(None),
            2 => {
                "warn,mlops=debug,mlops_core=debug,mlops_local=debug,mlops_storage=debug,mlops_serving=debug"
            }
            _ => "trace,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info",
        },
    };
    EnvFilter::try_new(wish).map(Some).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "understand `RUST_LOG`")
            .with_source(error)
            .with_hint("an example: `RUST_LOG=mlops=debug,warn`")
    })
}

/// Sends what is traced to the printer's standard error, from now on and for the whole process.
pub fn start(filter: EnvFilter, printer: &Arc<Printer>) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(true)
        .with_writer(ToPrinter(Arc::clone(printer)))
        .finish();
    // A program that embeds the command may have set its own before; that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct ToPrinter(Arc<Printer>);

impl<'a> MakeWriter<'a> for ToPrinter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// Writes what it is given to standard error, without what a terminal would obey.
struct Line<'a>(&'a Printer);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.error_raw(plain(&text).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_and_nothing_is_traced_by_default() {
        let none = BTreeMap::new();
        assert!(filter(&none, 0).unwrap().is_none());
        assert!(filter(&none, 2).unwrap().is_some());
        let env = [("RUST_LOG".to_owned(), "mlops=info".to_owned())].into();
        assert_eq!(filter(&env, 2).unwrap().unwrap().to_string(), "mlops=info");
        let wrong = [("RUST_LOG".to_owned(), "mlops=nonsense".to_owned())].into();
        assert_eq!(
            filter(&wrong, 0).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}
