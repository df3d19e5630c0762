//! The objects of a check from inside the cluster: a Job, and just what its pod may read and reach.

use mlops_core::PlatformName;
use mlops_core::kubernetes::{PLATFORM_LABEL, egress};
use serde_json::{Map, Value, json};

use super::check::{CheckJob, FILES_AT, HANDED_AT};
use super::store::object_name;

/// The name of everything that a check makes, and with which the names of its policies begin.
pub(super) const NAME: &str = "mlops-check";

/// The label of everything that a check makes, beside the platform's own, by which it is found to be removed.
pub(super) const LABEL: &str = "mlops.dev/check";

/// The user of the pod.
const USER: u32 = 10_001;

/// Seconds until the cluster itself ends a check, and forgets one that nobody removed.
const ENDS_AFTER: u32 = 900;
const FORGOTTEN_AFTER: u32 = 600;

/// What is needed to describe a check.
pub(super) struct Frame<'a> {
    pub(super) namespace: &'a str,
    pub(super) platform: &'a PlatformName,
    pub(super) job: &'a CheckJob,
    /// Egress rules that lead to the API server.
    pub(super) api_server: Vec<Value>,
}

impl Frame<'_> {
    /// Everything, the Job last.
    pub(super) fn objects(&self) -> Vec<Value> {
        let mut all = vec![self.object(
            "v1",
            "ServiceAccount",
            NAME,
            json!({ "automountServiceAccountToken": false }),
        )];
        let names: Vec<String> = self.job.reads.iter().map(object_name).collect();
        // A rule without names would be for every Secret there is.
        if !names.is_empty() {
            let rule = json!({
                "apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"],
            });
            let version = "rbac.authorization.k8s.io/v1";
            all.push(self.object(version, "Role", NAME, json!({ "rules": [rule] })));
            let binding = json!({
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME },
                "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": self.namespace }],
            });
            all.push(self.object(version, "RoleBinding", NAME, binding));
        }
        let files = self.job.files.values().enumerate();
        let files: Map<String, Value> = files
            .map(|(index, text)| (file_key(index), json!(text)))
            .collect();
        all.push(self.object("v1", "ConfigMap", NAME, json!({ "data": files })));
        if !self.job.handed.is_empty() {
            let handed = self.job.handed.iter();
            let handed: Map<String, Value> = handed
                .map(|(name, text)| (name.clone(), json!(text.expose())))
                .collect();
            let secret = json!({ "type": "Opaque", "stringData": handed });
            all.push(self.object("v1", "Secret", NAME, secret));
        }
        all.extend(self.policies());
        all.push(self.object("batch/v1", "Job", NAME, json!({ "spec": self.job_spec() })));
        all
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": NAME,
            "app.kubernetes.io/instance": self.platform,
            "app.kubernetes.io/component": "check",
            "app.kubernetes.io/managed-by": "mlops",
            PLATFORM_LABEL: self.platform,
            LABEL: "true",
        })
    }

    fn object(&self, version: &str, kind: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({
            "apiVersion": version, "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace, "labels": self.labels() },
        });
        if let (Some(fields), Value::Object(rest)) = (object.as_object_mut(), rest) {
            fields.extend(rest);
        }
        object
    }

    /// What the pod may reach, and for each component that it reaches, that it may.
    fn policies(&self) -> Vec<Value> {
        let pod = json!({ "matchLabels": { PLATFORM_LABEL: self.platform, LABEL: "true" } });
        let mut rules = vec![egress::names()];
        rules.extend(self.api_server.iter().cloned());
        let mut policies = Vec::new();
        let policy = |name: &str, spec: Value| {
            let spec = json!({ "spec": spec });
            self.object("networking.k8s.io/v1", "NetworkPolicy", name, spec)
        };
        for service in &self.job.reaches {
            let Some(component) = &service.component else {
                rules.push(egress::outside(service));
                continue;
            };
            let to = json!({ "matchLabels": {
                "app.kubernetes.io/name": component, "app.kubernetes.io/instance": self.platform,
            } });
            let ports = json!([{ "port": service.port, "protocol": "TCP" }]);
            rules.push(json!({ "to": [{ "podSelector": to }], "ports": ports }));
            policies.push(policy(
                &format!("{NAME}-to-{}", service.name),
                json!({
                    "podSelector": to, "policyTypes": ["Ingress"],
                    "ingress": [{ "from": [{ "podSelector": pod }], "ports": ports }],
                }),
            ));
        }
        let own = json!({
            "podSelector": pod, "policyTypes": ["Ingress", "Egress"], "egress": rules,
        });
        policies.push(policy(NAME, own));
        policies
    }

    fn job_spec(&self) -> Value {
        json!({
            // What failed is to be seen, and not tried again until it passes.
            "backoffLimit": 0,
            "activeDeadlineSeconds": ENDS_AFTER,
            "ttlSecondsAfterFinished": FORGOTTEN_AFTER,
            "template": {
                "metadata": { "labels": self.labels() },
                "spec": self.pod_spec(),
            },
        })
    }

    fn pod_spec(&self) -> Value {
        let files = self.job.files.keys().enumerate();
        let files: Vec<Value> = files
            .map(|(index, path)| json!({ "key": file_key(index), "path": path }))
            .collect();
        let mut mounts = vec![
            json!({ "name": "files", "mountPath": FILES_AT, "readOnly": true }),
            json!({ "name": "tmp", "mountPath": "/tmp" }),
        ];
        let mut volumes = vec![
            json!({ "name": "files", "configMap": { "name": NAME, "items": files } }),
            json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } }),
        ];
        if !self.job.handed.is_empty() {
            mounts.push(json!({ "name": "handed", "mountPath": HANDED_AT, "readOnly": true }));
            // 0440.
            let secret = json!({ "secretName": NAME, "defaultMode": 288 });
            volumes.push(json!({ "name": "handed", "secret": secret }));
        }
        let pull: Vec<Value> = { self.job.pull_secrets.iter() }
            .map(|name| json!({ "name": name }))
            .collect();
        let command: Vec<&str> = std::iter::once("mlops")
            .chain(self.job.args.iter().map(String::as_str))
            .collect();
        json!({
            "serviceAccountName": NAME,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "imagePullSecrets": pull,
            "containers": [{
                "name": "check",
                "image": self.job.image,
                "command": command,
                "workingDir": "/tmp",
                "env": [{ "name": "HOME", "value": "/tmp" }],
                "resources": {
                    "requests": { "cpu": "50m", "memory": "64Mi" },
                    "limits": { "cpu": "1", "memory": "256Mi" },
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        })
    }
}

/// A key may hold no slash, so paths are where the volume is described.
fn file_key(index: usize) -> String {
    format!("file-{index}")
}

/// An egress rule for an API server that nobody could say the address of: its usual ports, anywhere.
pub(super) fn to_any_api_server() -> Value {
    json!({ "ports": [{ "port": 443, "protocol": "TCP" }, { "port": 6443, "protocol": "TCP" }] })
}

#[cfg(test)]
mod tests {
    use mlops_core::SecretText;

    use super::*;
    use crate::validate::{Presence, Validator, Version};

    const SECRET: &str = "hunter2-hunter2";

    fn job() -> CheckJob {
        let service = |json: Value| serde_json::from_value(json).unwrap();
        CheckJob {
            image: "localhost/mlops:1".to_owned(),
            pull_secrets: vec!["registry".to_owned()],
            args: vec!["check".to_owned()],
            files: [
                ("platform.yaml".to_owned(), "name: demo".to_owned()),
                (
                    "catalog-0/components/x/component.yaml".to_owned(),
                    String::new(),
                ),
            ]
            .into(),
            reads: ["mlflow/password".parse().unwrap()].into(),
            handed: [("outside".to_owned(), SecretText::new(SECRET))].into(),
            reaches: vec![
                service(
                    json!({ "name": "mlflow", "component": "mlflow", "scheme": "http", "port": 5000 }),
                ),
                service(
                    json!({ "name": "s3", "scheme": "https", "external": "https://10.1.2.3:9000" }),
                ),
            ],
        }
    }

    fn objects(job: &CheckJob) -> Vec<Value> {
        let platform = "demo".parse().unwrap();
        let frame = Frame {
            namespace: "demo",
            platform: &platform,
            job,
            api_server: vec![egress::to_addresses(
                &["10.96.0.1".parse().unwrap()],
                &[443],
            )],
        };
        frame.objects()
    }

    fn of<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
        objects.iter().filter(|one| one["kind"] == kind).collect()
    }

    #[test]
    fn they_are_as_kubernetes_wants_them_and_bear_the_labels() {
        let objects = objects(&job());
        let validator = Validator::new(Version::LATEST).with_only_namespace("demo");
        let problems = validator.check_values(&objects, |_| Presence::Unknown);
        let errors: Vec<_> = problems.iter().filter(|one| one.is_error()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        for object in &objects {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels[PLATFORM_LABEL], "demo");
            assert_eq!(labels[LABEL], "true");
        }
    }

    #[test]
    fn the_pod_may_read_just_the_secrets_that_it_needs() {
        let made = objects(&job());
        let roles = of(&made, "Role");
        assert_eq!(
            roles[0]["rules"],
            json!([{
                "apiGroups": [""], "resources": ["secrets"],
                "resourceNames": ["mlflow.password"], "verbs": ["get"],
            }])
        );
        let mut none = job();
        none.reads.clear();
        let made = objects(&none);
        assert!(of(&made, "Role").is_empty() && of(&made, "RoleBinding").is_empty());
    }

    #[test]
    fn a_secret_that_is_handed_in_is_in_the_secret_alone() {
        let made = objects(&job());
        for object in &made {
            let holds = object.to_string().contains(SECRET);
            assert_eq!(holds, object["kind"] == "Secret", "{}", object["kind"]);
        }
        assert!(!format!("{:?}", job()).contains(SECRET));
        let mut none = job();
        none.handed.clear();
        assert!(of(&objects(&none), "Secret").is_empty());
    }

    #[test]
    fn the_pod_reaches_what_it_probes_and_is_let_in_there_and_nowhere_else() {
        let made = objects(&job());
        let policies = of(&made, "NetworkPolicy");
        assert_eq!(policies.len(), 2);
        let (into, own) = (&policies[0]["spec"], &policies[1]["spec"]);
        let pod = json!({ "matchLabels": { PLATFORM_LABEL: "demo", LABEL: "true" } });
        let ports = json!([{ "port": 5000, "protocol": "TCP" }]);
        assert_eq!(
            into["ingress"],
            json!([{ "from": [{ "podSelector": pod }], "ports": ports }])
        );
        assert_eq!(own["podSelector"], pod);
        assert!(own.get("ingress").is_none());
        let egress = own["egress"].as_array().unwrap();
        // Names, the API server, MLflow, and the S3 outside.
        assert_eq!(egress.len(), 4);
        assert_eq!(
            egress[2],
            json!({ "to": [{ "podSelector": into["podSelector"] }], "ports": ports })
        );
        assert_eq!(
            egress[3],
            egress::to_addresses(&["10.1.2.3".parse().unwrap()], &[9000])
        );
    }

    #[test]
    fn nothing_is_tried_again() {
        let made = objects(&job());
        let spec = &of(&made, "Job")[0]["spec"];
        assert_eq!(spec["backoffLimit"], 0);
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    }
}
