//! Programs that run in a container for us.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Api, Client};
use mlops_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::wrap;

/// How much of each output is kept; a program that prints more is an error.
const MOST: u64 = 16 << 20;

/// What a program in a container printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code.
    pub code: i32,
    /// Its standard output, at most 16 MB.
    pub output: Vec<u8>,
    /// Its standard error, at most 16 MB.
    pub errors: Vec<u8>,
}

/// Runs a program in a container to its end, with `input` as its standard input. A code other than 0 is no error here.
///
/// # Errors
///
/// When there is no such pod or container, the program is not there, or the connection breaks.
pub async fn exec(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    command: &[&str],
    input: &[u8],
) -> Result<Executed> {
    let program = command.first().copied().unwrap_or_default();
    let doing = || format!("run `{program}` in container `{container}` of pod `{pod}`");
    let broken = |cause: String| Error::new(ErrorKind::Unavailable, doing()).with_source(cause);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = AttachParams::default()
        .container(container)
        .stdin(!input.is_empty())
        .stdout(true)
        .stderr(true);
    let mut process = pods
        .exec(pod, command.iter().copied(), &params)
        .await
        .map_err(|error| wrap(error, doing()))?;
    let status = process.take_status().map(futures::FutureExt::boxed);
    let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read all of it says by its code whether that is wrong.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let ((), output, errors) = tokio::join!(write, read(stdout), read(stderr));
    let (output, errors) = (output.map_err(broken)?, errors.map_err(broken)?);
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    // The task behind it only moves bytes, all of which have arrived.
    process.abort();
    let status = status.ok_or_else(|| broken("the connection broke before it ended".to_owned()))?;
    let code = code_of(&status).ok_or_else(|| {
        let message = status.message.clone().unwrap_or_default();
        Error::new(ErrorKind::Failed, doing()).with_source(message)
    })?;
    Ok(Executed {
        code,
        output,
        errors,
    })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let read = stream.take(MOST + 1).read_to_end(&mut bytes).await;
        let read = read.map_err(|error| error.to_string())?;
        if read as u64 > MOST {
            return Err(format!("it printed more than {MOST} bytes"));
        }
    }
    Ok(bytes)
}

/// The exit code, which stands among the causes of a failure; `None` when the program did not run.
fn code_of(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let code = causes
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    code.message.as_ref()?.parse().ok()
}
