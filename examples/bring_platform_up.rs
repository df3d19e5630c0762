//! Bring a whole platform up from a program: PostgreSQL, S3, MLflow and a model that answers.
//!
//! Needs:  Python 3.10 to 3.13; the first run fetches packages
//! Run:    cargo run -p mlops-examples --example bring_platform_up
//! Prints: what each step took, how long all took, and the class of a flower
//! Undo:   the program removes what it made; `keep` as argument leaves it running

use std::sync::Arc;

use mlops::session::{Network, Protocol, Question, Session, SessionOptions, UpOptions};
use mlops_catalog::{Catalog, load};
use mlops_core::{Error, ErrorKind, Event, EventSink};
use mlops_local::{Supervise, become_child, default_roots, supervise};
use tokio_util::sync::CancellationToken;

async fn recipe(session: &Session) -> anyhow::Result<()> {
    let events = EventSink::new(|event| {
        if let Event::Finished { id, verb, took_ms } = event {
            println!("{took_ms:>6} ms  {verb} {id}");
        }
    });
    let options = UpOptions {
        events,
        ..UpOptions::default()
    };
    let report = session.up(options).await?;
    if let Some(failure) = report.first_failure() {
        return Err(failure.to_error().into());
    }
    println!("up in {} ms", report.took_ms);

    let rows = Question::Rows(vec![vec![5.1, 3.5, 1.4, 0.2]]);
    let answer = session.predict("iris", &rows, Protocol::Rest).await?;
    println!("class {}", answer["outputs"][0]["data"][0]);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The supervisor and the processes it keeps are started through this very program; a child before any thread.
    if args[..] == ["child"] {
        match become_child()? {}
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if let ["supervise", folder, socket] = args[..] {
        return Ok(runtime.block_on(supervise(Supervise::new(folder, socket, ["child"])))?);
    }
    runtime.block_on(async {
        let session = open()?;
        let done = recipe(&session).await;
        if args[..] != ["keep"] {
            let resources = session.graph().resources();
            let data = resources.filter(|resource| resource.holds_data);
            let data = data.map(|resource| resource.id.clone()).collect();
            let (events, cancel) = (EventSink::none(), CancellationToken::new());
            session.remove(&data, events, cancel).await?;
        }
        done
    })
}

fn open() -> anyhow::Result<Session> {
    let env = std::env::vars().collect();
    let uid = rustix::process::getuid().as_raw();
    let catalog = Catalog::embedded();
    let (platform, _graph) = load("platform.yaml", "name: recipe", &catalog)?;
    let options = SessionOptions {
        roots: default_roots(&env, uid)?,
        env,
        supervisor: vec![std::env::current_exe()?.into(), "supervise".into()],
        // This platform refers to no secret of the user's.
        secret_reader: Arc::new(|_| Err(Error::new(ErrorKind::NotFound, "read a secret"))),
        network: Network::Use,
        cluster: None,
    };
    Ok(Session::open(&platform, &catalog, options)?)
}
