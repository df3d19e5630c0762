//! By which schemas objects are checked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{code, command, err, write};

/// A kubeconfig for a server that tells its version and knows nothing else, and what it was asked for.
fn server_of(version: &'static str, folder: &Path) -> (PathBuf, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = if path == "/version" {
                let info = serde_json::json!({
                    "major": "1", "minor": "33", "gitVersion": version, "gitCommit": "", "gitTreeState": "",
                    "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
                });
                ("200 OK", info.to_string())
            } else {
                ("403 Forbidden", "{}".to_owned())
            };
            known.lock().unwrap().push(path);
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .unwrap();
        }
    });
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
          clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    write(folder, "kubeconfig", &text);
    (folder.join("kubeconfig"), asked)
}

#[test]
fn the_version_of_kubernetes_chooses_the_schemas() {
    let folder = tempfile::tempdir().unwrap();
    // A field of 1.34: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec:\n  hostnameOverride: web.example\n  \
        containers: [{ name: web, image: 'registry.example/web:1.0' }]\n";
    write(folder.path(), "pod.yaml", pod);
    let check = |version: &[&str]| {
        let mut command = command();
        command.arg(folder.path()).arg("--offline").args(version);
        command.output().unwrap()
    };
    for newer in [&[][..], &["--kubernetes", "1.34"], &["--kubernetes=1.35"]] {
        let right = check(newer);
        assert_eq!(code(&right), 0, "{newer:?}: {}", err(&right));
    }
    let wrong = check(&["--kubernetes", "1.33"]);
    assert_eq!(code(&wrong), 2, "{}", err(&wrong));
    assert!(
        err(&wrong).contains("is there since Kubernetes 1.34, and not in 1.33"),
        "{}",
        err(&wrong)
    );
    // The server is asked for its version, and for nothing more: files that it would refuse are not sent.
    let (server, asked) = server_of("v1.33.7+vendor.1", folder.path());
    let on_server = |version: &[&str]| {
        let mut command = command();
        command.arg(folder.path()).arg("--kubeconfig").arg(&server);
        command.arg("--plan").args(version).output().unwrap()
    };
    let wrong = on_server(&[]);
    let said = err(&wrong);
    assert_eq!(code(&wrong), 2, "{said}");
    assert!(
        said.contains("on Kubernetes 1.33, as the server is: 1 are wrong"),
        "{said}"
    );
    assert!(said.contains("pod.yaml:5:3"), "{said}");
    assert_eq!(*asked.lock().unwrap(), ["/version"]);
    // Whoever names a version means it.
    let failed = on_server(&["--kubernetes", "1.34"]);
    assert_eq!(code(&failed), 1, "{}", err(&failed));
    assert!(!asked.lock().unwrap()[1..].contains(&"/version".to_owned()));

    let unknown = check(&["--kubernetes", "1.32"]);
    assert_eq!(code(&unknown), 2, "{}", err(&unknown));
    assert!(
        err(&unknown).contains("[possible values: 1.33, 1.34, 1.35]"),
        "{}",
        err(&unknown)
    );
}
