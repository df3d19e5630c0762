//! The crate stays pure: what it is built of can neither wait nor speak with anybody.

use std::process::Command;

#[test]
fn no_runtime_and_no_client_is_below() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "--package",
            "mlops-catalog",
        ])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"mlops-core") && names.contains(&"minijinja"));
    for forbidden in [
        "tokio",
        "kube",
        "k8s-openapi",
        "hyper",
        "reqwest",
        "rustls",
        "tokio-postgres",
        "aws-sdk-s3",
        "tonic",
    ] {
        assert!(!names.contains(&forbidden), "{forbidden} is below");
    }
}
