//! The file that `mlops init` writes.

use super::Platform;
use crate::name::PlatformName;

impl Platform {
    /// A commented `platform.yaml` for a platform over a profile. `schema` is where editors find the JSON Schema, as
    /// a path from the file or a URL.
    ///
    /// ```
    /// use mlops_core::Platform;
    ///
    /// let text = Platform::example(&"demo".parse()?, "local", "platform.schema.json");
    /// assert!(text.starts_with("# yaml-language-server: $schema=platform.schema.json\n"));
    /// assert_eq!(Platform::parse("platform.yaml", &text)?.name.as_str(), "demo");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn example(name: &PlatformName, profile: &str, schema: &str) -> String {
        format!(
            "# yaml-language-server: $schema={schema}\n{HEAD}\nname: {name}\nprofile: {profile}\n{BODY}"
        )
    }
}

const HEAD: &str = "#
# What this platform shall be. `mlops plan` shows what that means, `mlops up` makes it so.
# Only the name is needed: what is not said here comes from the profile.
";

const BODY: &str = r"
# Where it runs: `local` is this machine, `cluster` a Kubernetes cluster.
target: local

# How large its servers are: small (a laptop), medium, large.
size: small

# Components of the catalogue. Those of the profile are on; `enabled: false` leaves one out.
# components:
#   mlflow:
#     settings:
#       workers: 2
#     secrets:
#       admin-password: { env: MLFLOW_ADMIN_PASSWORD }   # taken from outside instead of made

# Servers of your own in place of components. Passwords are never written here, only where they are.
# external:
#   postgres:
#     url: postgresql://db.example.org:5432
#     user: admin
#     password: { env: PGPASSWORD }
#   s3:
#     url: https://s3.example.org
#     access_key: AKIDEXAMPLE
#     secret_key: { file: secrets/s3-key }

# Models to serve. An alias is followed: move it in the registry, and the new version is served.
# models:
#   - name: iris
#     uri: models:/iris@champion
#     sample: iris

# Ports of this machine, where the ones that are chosen do not suit.
# ports:
#   mlflow: 5000

# Things that exist and are not ours, and may be taken over.
# adopt:
#   - postgres-database/mlflow

# Programs of this machine, where the ones that are found do not suit.
# local:
#   python: /usr/bin/python3.12
#   postgres: /usr/lib/postgresql/17/bin

# With `target: cluster`: where in which cluster, and images in place of the catalogue's.
# cluster:
#   namespace: demo
#   context: my-cluster
#   kubeconfig: secrets/kubeconfig
#   storage_class: fast
#   image_pull_secrets: [registry]
# images:
#   localhost/mlops-postgres: registry.example.org/mlops/postgres
";
