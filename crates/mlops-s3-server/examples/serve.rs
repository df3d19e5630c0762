//! Serve a folder as S3.
//!
//! Needs:  `S3_ACCESS_KEY` and `S3_SECRET_KEY`: the admin's keys
//! Run:    cargo run -p mlops-s3-server --example serve -- FOLDER 127.0.0.1:9000
//! Prints: "listening on 127.0.0.1:9000"
//! Undo:   stop it with Ctrl-C and remove the folder

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program, not a library"
)]

use std::net::SocketAddr;

use mlops_s3_server::{Config, Credentials, Server, Sync};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve FOLDER ADDRESS [sync]".into());
    };
    let sync = match arguments.next().as_deref() {
        Some("sync") => Sync::Full,
        _ => Sync::None,
    };
    let admin = Credentials::new(
        std::env::var("S3_ACCESS_KEY")?,
        std::env::var("S3_SECRET_KEY")?,
    );
    let config = Config::new(folder, admin).with_sync(sync);

    let server = Server::bind(config, address.parse::<SocketAddr>()?).await?;
    println!("listening on {}", server.local_addr());
    let mut terminate = signal(SignalKind::terminate())?;
    server
        .run(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
    Ok(())
}
