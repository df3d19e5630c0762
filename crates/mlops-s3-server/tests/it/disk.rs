//! What is on disk after a kill, and on a disk that is full. The server runs in
//! a child process: the example `serve`, which `cargo test` builds as well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use mlops_s3_server::{Config, Credentials, Server, Sync};

use crate::support::{ADMIN, SECRET, TestServer, client, eventually, is, names, noise, refused};

/// The example `serve`, beside which the tests were built.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap();
    let program = built.join("examples/serve");
    assert!(
        program.exists(),
        "`cargo build --example serve` makes {}",
        program.display()
    );
    program
}

/// A server process; killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts the child by a shell, which sets limits first.
fn start(root: &Path, limits: &str) -> Process {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("{limits} exec \"$0\" \"$@\""))
        .arg(program())
        .arg(root)
        .arg("127.0.0.1:0")
        .env("S3_ACCESS_KEY", ADMIN)
        .env("S3_SECRET_KEY", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .find_map(|line| {
            line.unwrap()
                .strip_prefix("listening on ")
                .map(|a| a.parse().unwrap())
        })
        .expect("the server says where it listens");
    std::thread::spawn(move || lines.for_each(drop));
    Process { child, address }
}

/// Sends the head of an upload and half of its body, and leaves it open.
async fn half_a_put(address: SocketAddr, key: &str) -> TcpStream {
    let s3 = client(address, ADMIN, SECRET);
    let signed = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let url = s3
        .put_object()
        .bucket("data")
        .key(key)
        .presigned(signed)
        .await
        .unwrap();
    let path = url
        .uri()
        .strip_prefix(&format!("http://{address}"))
        .unwrap()
        .to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 20000000\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&noise(10_000_000)).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_by_a_kill_is_never_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    let server = start(&root, "");
    let s3 = client(server.address, ADMIN, SECRET);
    s3.create_bucket().bucket("data").send().await.unwrap();
    s3.put_object()
        .bucket("data")
        .key("old")
        .body(ByteStream::from_static(b"old"))
        .send()
        .await
        .unwrap();
    let (_new, _old) = (
        half_a_put(server.address, "new").await,
        half_a_put(server.address, "old").await,
    );
    let tmp = root.join("tmp");
    let writing = || {
        let sizes = names(&tmp)
            .into_iter()
            .map(|n| std::fs::metadata(tmp.join(n)).unwrap().len());
        sizes.filter(|s| *s > 5_000_000).count() == 2
    };
    assert!(eventually(writing).await, "the halves reach the disk");
    drop(server);
    assert_eq!(names(&tmp).len(), 2, "a kill leaves them");

    let server = TestServer::start_in(root.clone()).await;
    assert!(names(&tmp).is_empty(), "the start sweeps them");
    let s3 = server.admin();
    assert_eq!(
        refused(s3.get_object().bucket("data").key("new").send().await),
        is(404, "NoSuchKey")
    );
    let get = s3
        .get_object()
        .bucket("data")
        .key("old")
        .send()
        .await
        .unwrap();
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"old");
    let listed = s3.list_objects_v2().bucket("data").send().await.unwrap();
    assert_eq!(listed.key_count(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_client_leaves_is_no_object_either() {
    let server = TestServer::start().await;
    server
        .admin()
        .create_bucket()
        .bucket("data")
        .send()
        .await
        .unwrap();
    drop(half_a_put(server.address, "new").await);
    let tmp = server.root.join("tmp");
    assert!(eventually(|| names(&tmp).is_empty()).await);
    let get = server
        .admin()
        .get_object()
        .bucket("data")
        .key("new")
        .send()
        .await;
    assert_eq!(refused(get), is(404, "NoSuchKey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_every_answered_write_is_there_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    let mut answered = std::collections::BTreeMap::new();
    for round in 0..4_u8 {
        let server = start(&root, "");
        let s3 = client(server.address, ADMIN, SECRET);
        if round == 0 {
            s3.create_bucket().bucket("data").send().await.unwrap();
        }
        let (sent, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let writers: Vec<_> = (0..4_u8)
            .map(|writer| {
                let (s3, sent) = (s3.clone(), sent.clone());
                tokio::spawn(async move {
                    for n in 0_u32.. {
                        let size = if n % 3 == 0 { 400_000 } else { 1000 };
                        let mark = vec![round * 4 + writer; size];
                        let key = format!("w{writer}/{}", n % 7);
                        let put = s3
                            .put_object()
                            .bucket("data")
                            .key(&key)
                            .body(mark.clone().into());
                        if put.send().await.is_err() {
                            break;
                        }
                        sent.send((key, mark)).unwrap();
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(server);
        for writer in writers {
            writer.await.unwrap();
        }
        while let Ok((key, body)) = seen.try_recv() {
            answered.insert(key, body);
        }
    }
    assert!(!answered.is_empty());
    let server = TestServer::start_in(root).await;
    let s3 = server.admin();
    for (key, body) in answered {
        let get = s3
            .get_object()
            .bucket("data")
            .key(&key)
            .send()
            .await
            .unwrap();
        let found = get.body.collect().await.unwrap().to_vec();
        // A later write that was cut after its rename may have won; never a mixture.
        assert!(found.iter().all(|b| *b == found[0]), "{key}");
        assert!(
            [1000, 400_000].contains(&found.len()) && found[0] >= body[0],
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_written_is_a_clear_error_and_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    // The limit stands in for a full disk: no file over 2 MiB. Shells count it
    // in units of 512 or 1,024 bytes.
    let server = start(&root, "trap '' XFSZ; ulimit -f 2048;");
    let s3 = client(server.address, ADMIN, SECRET);
    s3.create_bucket().bucket("data").send().await.unwrap();
    s3.put_object()
        .bucket("data")
        .key("small")
        .body(noise(500_000).into())
        .send()
        .await
        .unwrap();
    let put = || s3.put_object().bucket("data").body(noise(8_000_000).into());
    assert_eq!(
        refused(put().key("large").send().await),
        is(507, "XStorageFull")
    );
    assert_eq!(
        refused(put().key("small").send().await),
        is(507, "XStorageFull")
    );
    assert_eq!(
        refused(s3.head_object().bucket("data").key("large").send().await).0,
        404
    );
    let get = s3
        .get_object()
        .bucket("data")
        .key("small")
        .send()
        .await
        .unwrap();
    assert!(get.body.collect().await.unwrap().to_vec() == noise(500_000));
    assert!(names(&root.join("tmp")).is_empty());
    s3.put_object()
        .bucket("data")
        .key("again")
        .body(noise(500_000).into())
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_before_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    let server = TestServer::start_in(root.clone()).await;
    let address = server.address;
    server
        .admin()
        .create_bucket()
        .bucket("data")
        .send()
        .await
        .unwrap();
    let mut stream = half_a_put(address, "late").await;
    let tmp = root.join("tmp");
    assert!(eventually(|| !names(&tmp).is_empty()).await);
    let stopping = tokio::spawn(server.stop());
    // New connections are refused while the old one goes on.
    assert!(eventually(|| TcpStream::connect(address).is_err()).await);
    stream.write_all(&noise(10_000_000)).unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stopping.await.unwrap();
    let server = TestServer::start_in(root).await;
    let head = server
        .admin()
        .head_object()
        .bucket("data")
        .key("late")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(20_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_writes_work_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path().join("s3"), Credentials::new(ADMIN, SECRET))
        .with_region("eu-central-1")
        .with_sync(Sync::Full);
    let server = Server::bind(config, ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let s3 = client(server.local_addr(), ADMIN, SECRET);
    let running = tokio::spawn(server.run(std::future::pending()));
    s3.create_bucket().bucket("data").send().await.unwrap();
    let location = s3
        .get_bucket_location()
        .bucket("data")
        .send()
        .await
        .unwrap();
    assert_eq!(
        location.location_constraint().unwrap().as_str(),
        "eu-central-1"
    );
    s3.put_object()
        .bucket("data")
        .key("a/b")
        .body(noise(600_000).into())
        .send()
        .await
        .unwrap();
    let get = s3
        .get_object()
        .bucket("data")
        .key("a/b")
        .send()
        .await
        .unwrap();
    assert!(get.body.collect().await.unwrap().to_vec() == noise(600_000));
    running.abort();
}
