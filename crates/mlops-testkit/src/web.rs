//! Waiting for a server that speaks HTTP.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::Guarded;

/// Asks until the answer is 200; fails when the server ends or the time is over, with the end of its log.
pub(crate) async fn wait_for_http(
    server: &mut Guarded,
    folder: &Path,
    port: u16,
    path: &str,
    limit: Duration,
) {
    let deadline = Instant::now() + limit;
    while !is_ok(port, path).await {
        if !server.is_running() || Instant::now() > deadline {
            let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines
                .get(lines.len().saturating_sub(30)..)
                .unwrap_or_default();
            panic!(
                "no server answers at 127.0.0.1:{port}{path}:\n{}",
                end.join("\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn is_ok(port: u16, path: &str) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head == *b"HTTP/1.1 200")
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(5), asking).await,
        Ok(Ok(true))
    )
}
