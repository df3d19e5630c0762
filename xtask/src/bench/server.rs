//! A server that runs while something is measured.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_mins(2);

/// How long a server may take to end by itself when it is told to.
const STOP: Duration = Duration::from_secs(10);

/// Stopped when dropped; its data are below the benchmark's own folder.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

/// A port of this machine that is free now.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

impl Server {
    /// Starts and waits until `address` accepts connections. What the server says goes to the file `log`.
    pub(super) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let program = PathBuf::from(command.get_program());
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start `{}`", program.display()))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + START;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!(
                    "`{}` does not listen on {address}: {}",
                    program.display(),
                    said.trim()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Waits until a GET of `path` is answered with 200.
    pub(super) fn wait_for_http(&self, path: &str) -> Result<()> {
        let deadline = Instant::now() + START;
        let url = format!("http://{}{path}", self.address);
        let mut ask = Command::new("curl");
        ask.args([
            "--silent",
            "--fail",
            "--max-time",
            "10",
            "--output",
            "/dev/null",
            &url,
        ]);
        while !ask.status().context("`curl` is needed")?.success() {
            if Instant::now() > deadline {
                bail!("{url} is not answered");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Seconds of processor time so far, user and system.
    pub(super) fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the program's name in brackets and may hold blanks (proc_pid_stat(5)).
        let after_name = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        let ticks: Vec<f64> = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse().ok())
            .collect();
        // Linux counts these in hundredths of a second on every architecture.
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }

    /// The most memory it ever held, in megabytes.
    pub(super) fn peak_megabytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmHWM:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .context("the system does not tell a process's peak memory")?;
        Ok(kib * 1024.0 / 1e6)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Told first, so that it stops the processes that it started. Whatever fails here, the kill below does not.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
