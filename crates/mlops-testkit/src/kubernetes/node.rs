//! A whole node: control plane, kubelet, containers, names, metrics and volumes. Pods run on it.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::addons;
use super::cable::{Cable, Way};
use super::certificates::Authority;
use super::cluster::end;
use super::commands::{self, Addresses, SERVICES, Start};
use super::images::{Image, write_archive};
use super::programs::{Programs, SERVERS, programs};
use crate::server::{Guarded, make_folder};

/// Names the folder of a node that runs already, which tests then use in place of one of their own.
pub const NODE: &str = "MLOPS_TEST_NODE";

/// The node's own address, and that of its containers' bridge.
const GATEWAY: &str = "10.66.0.1";
const PODS: &str = "10.66.0.0/16";
const PORT: u16 = 6443;
const API_SERVER: &str = "kube-apiserver";

/// Takes away what the kernel lets go late: the cable, and the control groups after the last process in them.
const TIDY: &str = r#"
ip link delete CABLE
tries=0
while [ "$tries" -lt 50 ]; do
  left=$(find /sys/fs/cgroup -maxdepth 2 -name CGROUP)
  [ -n "$left" ] || break
  for group in $left; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null; done
  tries=$((tries + 1))
  sleep 0.1
done
"#;

/// A Kubernetes node in namespaces of its own for network, mounts and processes.
///
/// The machine reaches its API server over a cable of two ends; the node reaches nothing outside. Needs root and, from
/// Debian: `containerd runc containernetworking-plugins iptables conntrack iproute2 busybox-static curl`. All of it
/// ends, and its folder goes, when the value is dropped, and also when the test's process ends in any other way.
#[derive(Debug)]
pub struct TestNode {
    folder: PathBuf,
    server: Option<Guarded>,
}

impl TestNode {
    /// The node that `MLOPS_TEST_NODE` names, else one for all tests of the process, started by the first that asks.
    ///
    /// # Panics
    ///
    /// As [`TestNode::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestNode> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os(NODE) {
            Some(folder) => Self::running_at(PathBuf::from(folder)),
            None => Self::start(),
        })
    }

    /// A node that somebody else started.
    fn running_at(folder: PathBuf) -> Self {
        let node = Self {
            folder,
            server: None,
        };
        assert!(
            node.kubeconfig().is_file(),
            "{NODE} names {}, where no node is",
            node.folder.display()
        );
        node
    }

    /// Starts a node, and waits until it is ready and runs what belongs to it.
    ///
    /// # Panics
    ///
    /// When a program is missing or something does not start; with its log.
    pub fn start() -> Self {
        let programs = programs();
        programs.need(&SERVERS);
        let folder = make_folder("mlops-node-", None);
        let cable = Cable::choose();
        prepare(&folder, programs, &cable);
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "/bin/sh", "-c"])
            .arg(include_str!("node.sh"))
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("F", &folder)
            .env("HOST", cable.host())
            .env("INNER", cable.inner())
            .env("GATEWAY", GATEWAY)
            .env("CGROUP", cgroup(&folder))
            .env("API", format!("https://127.0.0.1:{PORT}"));
        let tidy = TIDY
            .replace("CGROUP", &cgroup(&folder))
            .replace("CABLE", &cable.name());
        let server = Guarded::spawn_then(command, None, &folder, "KILL", &tidy);
        cable.plug(server.pid());
        let mut node = Self {
            folder,
            server: Some(server),
        };
        node.wait("API server", Duration::from_secs(90), |node| {
            super::cluster::is_ready(&node.folder, &node.url())
        });
        node.wait("node", Duration::from_mins(1), |node| {
            node.get("/api/v1/nodes/test-node")
                .contains(r#""reason":"KubeletReady","message""#)
        });
        for (path, text) in addons::objects(&node.folder.join("volumes")) {
            node.apply(&path, &text);
        }
        for name in ["coredns", "local-path-provisioner", "metrics-server"] {
            let path = format!("/apis/apps/v1/namespaces/kube-system/deployments/{name}");
            node.wait(name, Duration::from_mins(2), |node| {
                node.get(&path).contains(r#""readyReplicas":1"#)
            });
        }
        node
    }

    /// The folder that [`NODE`] may name.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The address of the API server, `https://ADDRESS:6443`.
    pub fn url(&self) -> String {
        let host = fs::read_to_string(self.folder.join("address")).unwrap_or_default();
        format!("https://{host}:{PORT}")
    }

    /// The address of this machine as the node's pods reach it.
    ///
    /// # Panics
    ///
    /// When the node's folder does not tell its own.
    pub fn machine_address(&self) -> String {
        let inner = fs::read_to_string(self.folder.join("address")).unwrap_or_default();
        match inner.trim().rsplit_once('.') {
            // The two ends of its cable.
            Some((network, "2")) => format!("{network}.1"),
            _ => panic!("`{inner}` is no address of a node"),
        }
    }

    /// Brings images to the node.
    ///
    /// # Panics
    ///
    /// When they cannot be made or imported.
    pub fn import(&self, images: &[Image]) {
        let archive = self
            .folder
            .join(format!("images-{}.tar", std::process::id()));
        write_archive(images, &archive);
        self.import_archive(&archive);
        let _ = fs::remove_file(&archive);
    }

    /// Brings the images of an archive to the node, as `docker save` or [`write_archive`] writes it.
    ///
    /// # Panics
    ///
    /// When they cannot be imported.
    pub fn import_archive(&self, archive: &Path) {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.folder.join("containerd.sock"))
            .args(["--namespace", "k8s.io", "image", "import"])
            .arg(archive)
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!(
                "ctr image import: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => panic!("cannot start ctr: {error}"),
        }
    }

    /// What a server of the node has logged: `kubelet`, `containerd`, `kube-apiserver` …
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("log").join(format!("{name}.log"))).unwrap_or_default()
    }

    pub(super) fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        // For curl's own name the API server would write its answers with spaces.
        curl.args(["--user-agent", "testkit"])
            .args(["--silent", "--show-error", "--max-time", "10", "--cacert"])
            .arg(self.folder.join("ca.crt"))
            .arg("--cert")
            .arg(self.folder.join("admin.crt"))
            .arg("--key")
            .arg(self.folder.join("admin.key"))
            .stdin(Stdio::null());
        curl
    }

    /// Changes an object by a merge patch, as a person with an editor would.
    ///
    /// # Panics
    ///
    /// When the API server refuses it.
    pub fn patch(&self, path: &str, merge: &str) {
        let mut curl = self.curl();
        curl.args(["--header", "content-type: application/merge-patch+json"]);
        Self::send(
            curl,
            path,
            &format!("{}{path}?fieldManager=editor", self.url()),
            merge,
        );
    }

    /// The answer of the API server to a GET, as an administrator gets it; `""` when there is none.
    pub fn get(&self, path: &str) -> String {
        let output = self.curl().arg(format!("{}{path}", self.url())).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// Leads the machine to an address inside the node, such as that of a Service, until the value is dropped: requests
    /// then go the way of any client's, by what kube-proxy knows, and not through the API server.
    ///
    /// # Panics
    ///
    /// When the machine has a way there already, or this is not root.
    pub fn lead_to(&self, address: &str) -> Way {
        let inner = fs::read_to_string(self.folder.join("address")).unwrap_or_default();
        Way::open(address, &inner)
    }

    /// Has an object removed, as the API server does it by itself.
    ///
    /// # Panics
    ///
    /// When the API server refuses it.
    pub fn remove(&self, path: &str) {
        let mut curl = self.curl();
        curl.args(["--fail-with-body", "--request", "DELETE"])
            .arg(format!("{}{path}", self.url()));
        Self::finish(curl, path);
    }

    /// Writes an object by server-side apply, whoever owns its fields.
    ///
    /// # Panics
    ///
    /// When the API server refuses it.
    pub fn apply(&self, path: &str, text: &str) {
        let mut curl = self.curl();
        curl.args(["--header", "content-type: application/apply-patch+yaml"]);
        let url = format!("{}{path}?fieldManager=testkit&force=true", self.url());
        Self::send(curl, path, &url, text);
    }

    fn send(mut curl: Command, path: &str, url: &str, body: &str) {
        curl.args([
            "--fail-with-body",
            "--request",
            "PATCH",
            "--data-binary",
            body,
        ])
        .arg(url);
        Self::finish(curl, path);
    }

    fn finish(mut curl: Command, path: &str) {
        match curl.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!(
                "{path} was refused: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => panic!("cannot start curl: {error}"),
        }
    }

    fn wait(&mut self, what: &str, limit: Duration, is_true: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !is_true(self) {
            let runs = self.server.as_mut().is_some_and(Guarded::is_running);
            assert!(
                runs && Instant::now() < deadline,
                "{what} of the node is not ready:\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let first = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let mut text = format!("{}\n", end(&first));
        for name in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "containerd",
            "kubelet",
            "kube-proxy",
            "images",
        ] {
            text.extend(["--- ", name, "\n", &end(&self.log(name)), "\n"]);
        }
        text
    }
}

/// The control group of a node: the name of its folder.
fn cgroup(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Writes everything that the node's servers read.
fn prepare(folder: &Path, programs: &Programs, cable: &Cable) {
    let written = try_prepare(folder, programs, cable);
    if let Err(error) = written {
        panic!("cannot prepare a node in {}: {error}", folder.display());
    }
}

fn busybox() -> PathBuf {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => path,
        None => panic!("busybox is missing; install it (Debian: apt-get install busybox-static)"),
    }
}

fn try_prepare(folder: &Path, programs: &Programs, cable: &Cable) -> std::io::Result<()> {
    let addresses = Addresses {
        host: GATEWAY.to_owned(),
        port: PORT,
        etcd: 2379,
        etcd_peers: 2380,
    };
    let authority = Authority::new();
    commands::write_keys(folder, &authority, &[GATEWAY, &cable.inner()])?;
    fs::write(folder.join("address"), cable.inner())?;
    let admin = authority.client("admin", Some("system:masters"));
    admin.write(folder, "admin");
    let outside = format!("https://{}:{PORT}", cable.inner());
    let trusted = authority.certificate();
    fs::write(
        folder.join("kubeconfig"),
        admin.kubeconfig(&outside, &trusted),
    )?;
    for (name, user, group) in [
        ("controllers", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
        ("proxy", "system:kube-proxy", None),
        ("kubelet", "system:node:test-node", Some("system:nodes")),
    ] {
        let inside = format!("https://127.0.0.1:{PORT}");
        let text = authority.client(user, group).kubeconfig(&inside, &trusted);
        fs::write(folder.join(format!("{name}.kubeconfig")), text)?;
    }
    for name in ["cni", "volumes", "kubelet", "containerd", "log"] {
        fs::create_dir(folder.join(name))?;
    }
    fs::write(folder.join("containerd.toml"), containerd(folder))?;
    fs::write(folder.join("cni/10-bridge.conflist"), CNI)?;
    fs::write(folder.join("kubelet.yaml"), kubelet(folder))?;
    write_archive(
        &addons::images(programs, &busybox()),
        &folder.join("images.tar"),
    );
    let control = [
        ("etcd", commands::etcd(programs, folder, &addresses)),
        (
            API_SERVER,
            commands::apiserver(programs, folder, &addresses),
        ),
    ];
    fs::write(folder.join("control-plane.sh"), script(&control))?;
    fs::write(
        folder.join("node-servers.sh"),
        script(&node_servers(folder, programs)),
    )
}

fn script(starts: &[(&str, Start)]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut text = String::new();
    for (name, start) in starts {
        let how = if *name == API_SERVER {
            "keep "
        } else {
            "start "
        };
        text.extend([
            how,
            name,
            " ",
            &quoted(&start.program.display().to_string()),
        ]);
        for arg in &start.args {
            text.extend([" ", &quoted(arg)]);
        }
        text.push('\n');
    }
    text
}

fn node_servers<'n>(folder: &Path, programs: &Programs) -> Vec<(&'n str, Start)> {
    let file = |name: &str| folder.join(name).display().to_string();
    let start = |name: &'static str, args: &[String]| {
        let start = Start {
            program: programs.server(name),
            args: args.to_vec(),
        };
        (name, start)
    };
    vec![
        start(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", file("controllers.kubeconfig")),
                format!(
                    "--service-account-private-key-file={}",
                    file("accounts.key")
                ),
                format!("--root-ca-file={}", file("ca.crt")),
                format!("--cluster-signing-cert-file={}", file("ca.crt")),
                format!("--cluster-signing-key-file={}", file("ca.key")),
                format!("--cluster-cidr={PODS}"),
                format!("--service-cluster-ip-range={SERVICES}"),
                "--allocate-node-cidrs=true".to_owned(),
                "--use-service-account-credentials=true".to_owned(),
                "--leader-elect=false".to_owned(),
                "--horizontal-pod-autoscaler-sync-period=5s".to_owned(),
                "--horizontal-pod-autoscaler-downscale-stabilization=10s".to_owned(),
            ],
        ),
        start(
            "kube-scheduler",
            &[
                format!("--kubeconfig={}", file("scheduler.kubeconfig")),
                "--leader-elect=false".to_owned(),
            ],
        ),
        start(
            "kubelet",
            &[
                format!("--config={}", file("kubelet.yaml")),
                format!("--kubeconfig={}", file("kubelet.kubeconfig")),
                format!("--root-dir={}", file("kubelet")),
                "--hostname-override=test-node".to_owned(),
                format!("--node-ip={GATEWAY}"),
            ],
        ),
        start(
            "kube-proxy",
            &[
                format!("--kubeconfig={}", file("proxy.kubeconfig")),
                "--hostname-override=test-node".to_owned(),
                "--proxy-mode=iptables".to_owned(),
                "--conntrack-max-per-core=0".to_owned(),
                format!("--cluster-cidr={PODS}"),
            ],
        ),
    ]
}

/// `restrict_oom_score_adj`: where a capability is missing, sandboxes cannot be made more precious than others.
fn containerd(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#
    )
}

const CNI: &str = r#"{"cniVersion":"0.4.0","name":"node","plugins":[
{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.66.0.0/24","rangeStart":"10.66.0.10"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
{"type":"portmap","capabilities":{"portMappings":true}}]}
"#;

fn kubelet(folder: &Path) -> String {
    let (name, folder) = (cgroup(folder), folder.display());
    format!(
        r#"{{"apiVersion":"kubelet.config.k8s.io/v1beta1","kind":"KubeletConfiguration",
"cgroupDriver":"cgroupfs","cgroupRoot":"/{name}","failCgroupV1":false,"failSwapOn":false,
"authentication":{{"anonymous":{{"enabled":false}},"webhook":{{"enabled":true}},"x509":{{"clientCAFile":"{folder}/ca.crt"}}}},
"authorization":{{"mode":"Webhook"}},
"containerRuntimeEndpoint":"unix://{folder}/containerd.sock",
"clusterDNS":["10.96.0.10"],"clusterDomain":"cluster.local","resolvConf":"",
"evictionHard":{{"memory.available":"50Mi","nodefs.available":"1%","imagefs.available":"1%","nodefs.inodesFree":"1%"}},
"imageGCHighThresholdPercent":100,"imageGCLowThresholdPercent":99,
"maxPods":220,"serializeImagePulls":false,"syncFrequency":"10s","fileCheckFrequency":"0s","httpCheckFrequency":"0s",
"nodeStatusUpdateFrequency":"2s","nodeStatusReportFrequency":"20s","volumeStatsAggPeriod":"1m","registerNode":true,"enableControllerAttachDetach":true,
"shutdownGracePeriod":"0s","tlsCertFile":"{folder}/apiserver.crt","tlsPrivateKeyFile":"{folder}/apiserver.key"}}
"#
    )
}
