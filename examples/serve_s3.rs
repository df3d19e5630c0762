//! Serve S3 from inside a program: objects are files below a folder, no other process.
//!
//! Needs:  `S3_ACCESS_KEY` and `S3_SECRET_KEY`, which become the administrator's
//! Run:    cargo run -p mlops-examples --example serve_s3 -- FOLDER 127.0.0.1:9000
//! Prints: the address, and "stopped" after Ctrl-C
//! Undo:   stop it and remove FOLDER

use anyhow::Context as _;
use mlops_examples::var;
use mlops_s3_server::{Config, Credentials, Server, Sync};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().context("the first argument is a folder")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let admin = Credentials::new(var("S3_ACCESS_KEY")?, var("S3_SECRET_KEY")?);
    // Without this an answered write survives a kill, but perhaps not a power cut.
    let config = Config::new(folder, admin).with_sync(Sync::Full);
    let server = Server::bind(config, address.parse()?).await?;
    println!("S3 at http://{}", server.local_addr());

    let stop = async {
        // When no signal can be waited for, there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    };
    // Requests under way get five seconds to finish.
    server.run(stop).await?;
    println!("stopped");
    Ok(())
}
