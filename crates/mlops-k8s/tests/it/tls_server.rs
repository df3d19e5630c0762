//! A small HTTPS server on this machine, which an API server calls: a webhook, or an API of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Answers method, path and body with a status and a body.
type Handler = dyn Fn(&str, &str, &Value) -> (u16, Value) + Send + Sync;

pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    /// Its certificate, which signs itself, as PEM.
    pub(crate) authority: String,
    is_ended: Arc<AtomicBool>,
}

impl TlsServer {
    pub(crate) fn start(
        handler: impl Fn(&str, &str, &Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let (config, handler): (_, Arc<Handler>) = (Arc::new(config), Arc::new(handler));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_ended);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (config, handler) = (Arc::clone(&config), Arc::clone(&handler));
                // A caller that goes away ends just its own connection.
                std::thread::spawn(move || serve(stream, config, &*handler));
            }
        });
        Self {
            address,
            authority: made.cert.pem(),
            is_ended,
        }
    }

    /// How a webhook configuration names it, with that path.
    pub(crate) fn client_config(&self, path: &str) -> Value {
        let base64 = base64::engine::general_purpose::STANDARD;
        json!({
            "url": format!("https://{}{path}", self.address),
            "caBundle": base64.encode(&self.authority),
        })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, handler: &Handler) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).ok()?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = handler(&method, &path, &body);
        let answer = answer.to_string();
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let stream = stream.get_mut();
        stream.write_all(text.as_bytes()).ok()?;
        stream.flush().ok()?;
    }
}
