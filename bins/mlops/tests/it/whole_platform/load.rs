//! Clients that ask a model server again and again, and remember every answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mlops_core::{Endpoint, SecretText};
use mlops_serving::mlflow::{Tags, proxy_path};
use mlops_serving::oip::GrpcClient;
use mlops_serving::registry::{ConnectMlflow, ConnectRegistry as _, Registry};
use mlops_serving::serve::InferenceProbe;
use serde_json::Value;

/// How many connections ask over REST; one more asks over gRPC.
const CONNECTIONS: usize = 5;

/// Between two requests of a connection, so that servers that start get their share of the processor.
const PAUSE: Duration = Duration::from_millis(20);

/// The sample models with their files, as the local target has them.
fn samples() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/mlops-local/python/sample"
    ))
}

/// A row on which the first version answers 1 and the second 2.
fn row() -> Value {
    let text = std::fs::read_to_string(samples().join("switch.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&all["iris"][0], &all["iris-v2"][0]),
        (&1.into(), &2.into())
    );
    serde_json::json!({ "inputs": all["inputs"] })
}

/// The versions of the model `iris` in a platform's registry, as a data scientist makes them.
pub(super) struct Models {
    runtime: tokio::runtime::Runtime,
    registry: Arc<dyn Registry>,
}

impl Models {
    /// Those of the MLflow at this address.
    pub(super) fn open(url: &str, password: &str) -> Self {
        let endpoint = Endpoint::new(url.trim().parse().unwrap()).unwrap();
        let password = SecretText::new(password.trim());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let registry =
            runtime.block_on(async { ConnectMlflow.connect(&endpoint, "admin", &password) });
        let registry = registry.unwrap();
        Self { runtime, registry }
    }

    /// Registers a sample as the next version, and moves the alias to it.
    pub(super) fn champion(&self, sample: &str) -> String {
        self.runtime.block_on(async {
            let tags = Tags::new();
            let logged = self
                .registry
                .create_logged_model("iris", &tags)
                .await
                .unwrap();
            let folder = proxy_path(&logged.artifact_uri).unwrap();
            for file in std::fs::read_dir(samples().join(sample)).unwrap().flatten() {
                let path = format!("{folder}/{}", file.file_name().to_str().unwrap());
                let content = std::fs::read(file.path()).unwrap();
                self.registry
                    .put_artifact(&path, content.into())
                    .await
                    .unwrap();
            }
            self.registry
                .finalize_logged_model(&logged.model_id)
                .await
                .unwrap();
            let version = self
                .registry
                .create_model_version("iris", &logged.model_id, &tags)
                .await
                .unwrap()
                .version;
            self.registry
                .set_alias("iris", "champion", &version)
                .await
                .unwrap();
            version
        })
    }

    /// Moves the alias to a version that is there.
    pub(super) fn back_to(&self, version: &str) {
        let set = self.registry.set_alias("iris", "champion", version);
        self.runtime.block_on(set).unwrap();
    }
}

/// What came of all requests.
#[derive(Debug, Default)]
struct Tally {
    /// When an answer came, and of which version it was.
    answers: Vec<(Instant, i64)>,
    /// What was no answer of any version.
    failures: Vec<String>,
}

/// Clients that ask again and again over connections that they keep, as long as the server lets them.
pub(super) struct Load {
    tally: Arc<Mutex<Tally>>,
    is_over: Arc<AtomicBool>,
    clients: Mutex<Vec<JoinHandle<()>>>,
}

impl Load {
    pub(super) fn start(rest: SocketAddr, grpc: SocketAddr) -> Self {
        let (tally, is_over) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let repeat = |mut ask: Box<dyn FnMut() -> Result<i64, String> + Send>| {
            let (tally, is_over) = (tally.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = ask();
                    let now = Instant::now();
                    let mut tally = tally.lock().unwrap();
                    match answer {
                        Ok(class @ 1..=2) => tally.answers.push((now, class)),
                        other => tally.failures.push(format!("{other:?}")),
                    }
                    drop(tally);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let mut clients: Vec<JoinHandle<()>> = (0..CONNECTIONS)
            .map(|_| {
                let mut client = Rest::new(rest);
                repeat(Box::new(move || client.ask()))
            })
            .collect();
        let mut client = Grpc::new(grpc);
        clients.push(repeat(Box::new(move || client.ask())));
        Self {
            tally,
            is_over,
            clients: Mutex::new(clients),
        }
    }

    /// The versions that answered since then, without repetition; no request has failed until now.
    #[track_caller]
    pub(super) fn versions_since(&self, then: Instant) -> Vec<i64> {
        let tally = self.tally.lock().unwrap();
        assert!(
            tally.failures.is_empty(),
            "{} of {} requests failed: {:?}",
            tally.failures.len(),
            tally.answers.len(),
            tally.failures.iter().take(5).collect::<Vec<_>>()
        );
        let since = tally.answers.iter().filter(|(at, _)| *at >= then);
        let mut versions: Vec<i64> = since.map(|(_, class)| *class).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// Fails unless it was one version alone that answered for a while from now on.
    #[track_caller]
    pub(super) fn expect_only(&self, version: i64) {
        let then = Instant::now();
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(self.versions_since(then), [version]);
    }

    /// Ends all clients; how many answers there were.
    pub(super) fn stop(&self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.lock().unwrap().drain(..) {
            client.join().unwrap();
        }
        self.tally.lock().unwrap().answers.len()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// A client of HTTP that forgives nothing: a connection that ends where the server did not say so is a failed request.
struct Rest {
    address: SocketAddr,
    request: Vec<u8>,
    open: Option<BufReader<TcpStream>>,
}

impl Rest {
    fn new(address: SocketAddr) -> Self {
        let body = row().to_string();
        let request = format!(
            "POST /v2/models/iris/infer HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self {
            address,
            request: request.into_bytes(),
            open: None,
        }
    }

    fn ask(&mut self) -> Result<i64, String> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => Self::connect(self.address).map_err(|error| format!("connect: {error}"))?,
        };
        let asked = stream.get_mut().write_all(&self.request);
        asked.map_err(|error| format!("send: {error}"))?;
        let (body, is_last) =
            Self::answer(&mut stream).map_err(|error| format!("read: {error}"))?;
        if !is_last {
            self.open = Some(stream);
        }
        let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let class = answer["outputs"][0]["data"][0].as_i64();
        class.ok_or_else(|| String::from_utf8_lossy(&body).into_owned())
    }

    fn connect(address: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }

    /// The body of an answer, and whether it is the last one of the connection.
    fn answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<(Vec<u8>, bool)> {
        let (mut length, mut is_last) = (0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().map_err(std::io::Error::other)?;
            }
            is_last |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok((body, is_last))
    }
}

/// A client of gRPC.
struct Grpc {
    runtime: tokio::runtime::Runtime,
    client: GrpcClient,
    probe: InferenceProbe,
}

impl Grpc {
    fn new(address: SocketAddr) -> Self {
        // Its connection goes on between two requests.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = format!("grpc://{address}").parse().unwrap();
        let endpoint = Endpoint::new(url).unwrap();
        let client = runtime.block_on(async { GrpcClient::new(&endpoint).unwrap() });
        Self {
            runtime,
            client,
            probe: serde_json::from_value(row()).unwrap(),
        }
    }

    fn ask(&mut self) -> Result<i64, String> {
        let request = self.probe.to_request().unwrap();
        let answer = self.runtime.block_on(self.client.infer("iris", &request));
        let answer = answer.map_err(|error| format!("{error}: {:?}", error.causes()))?;
        let class = answer.outputs[0].data().as_slice::<i64>().unwrap()[0];
        Ok(class)
    }
}
