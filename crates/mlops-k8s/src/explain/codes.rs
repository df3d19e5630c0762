//! The table of causes: code, what it means, what to do, where Kubernetes describes it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseInfo {
    /// The code.
    pub code: CauseCode,
    /// The code as it is printed and serialised; it never changes.
    pub name: &'static str,
    /// What it means, as one sentence.
    pub meaning: &'static str,
    /// What a person can do, in the imperative, when the cause itself says nothing better.
    pub remedy: &'static str,
    /// A page about it, below <https://kubernetes.io/docs/>.
    pub page: &'static str,
}

macro_rules! causes {
    ($($variant:ident $name:literal $meaning:literal $remedy:literal $page:literal)*) => {
        /// The stable code of a cause.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        #[expect(clippy::doc_markdown, reason = "the meanings are printed as they are, too")]
        pub enum CauseCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        /// All causes, in the order of `docs/causes.md`.
        const CAUSES: &[CauseInfo] = &[
            $(CauseInfo { code: CauseCode::$variant, name: $name, meaning: $meaning, remedy: $remedy, page: $page },)*
        ];

        impl CauseCode {
            /// What the code stands for.
            pub fn info(self) -> &'static CauseInfo {
                match self {
                    $(Self::$variant => {
                        const INFO: CauseInfo = CauseInfo {
                            code: CauseCode::$variant, name: $name, meaning: $meaning, remedy: $remedy, page: $page,
                        };
                        &INFO
                    })*
                }
            }
        }
    };
}

impl CauseCode {
    /// All causes that there are.
    pub fn all() -> &'static [CauseInfo] {
        CAUSES
    }

    /// The code as it is printed and serialised.
    pub fn as_str(self) -> &'static str {
        self.info().name
    }
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl CauseInfo {
    /// The address of the page about it.
    pub fn link(&self) -> String {
        format!("https://kubernetes.io/docs/{}", self.page)
    }
}

causes! {
    ImageNotFound "image-not-found"
        "The registry answers that it has no such image or tag."
        "correct the image's name or tag, or push the image"
        "concepts/containers/images/"
    ImagePullDenied "image-pull-denied"
        "The registry refuses to give the image to this pod."
        "name a Secret of type kubernetes.io/dockerconfigjson with a valid account in imagePullSecrets"
        "tasks/configure-pod-container/pull-image-private-registry/"
    ImageNameInvalid "image-name-invalid"
        "The image's name cannot be read."
        "write the image as registry/name:tag, in lower case"
        "concepts/containers/images/#image-names"
    RegistryUnreachable "registry-unreachable"
        "The node cannot reach the image's registry."
        "check the registry's host name, and that the node resolves and reaches it, or take a mirror that it reaches"
        "concepts/containers/images/"
    ImageNeverPull "image-never-pull"
        "The image is not on the node, and the pod forbids to pull it."
        "bring the image to the node, or set imagePullPolicy to IfNotPresent"
        "concepts/containers/images/#image-pull-policy"
    ImagePullFailed "image-pull-failed"
        "The image cannot be pulled, for a reason of its own."
        "read what the node says of the pull, and mend that"
        "concepts/containers/images/#imagepullbackoff"
    CrashLoop "crash-loop"
        "A container ends again and again soon after its start."
        "read the container's last lines, mend what they say, and start it again"
        "tasks/debug/debug-application/debug-pods/"
    ContainerFailed "container-failed"
        "A container ended with an error and is not started again."
        "read the container's last lines, and mend what they say"
        "tasks/debug/debug-application/debug-pods/"
    InitContainerFailing "init-container-failing"
        "A container that prepares the pod fails, so that the others never start."
        "read the init container's last lines, and mend what they say"
        "tasks/debug/debug-application/debug-init-containers/"
    CommandNotFound "command-not-found"
        "The program that the container should run cannot be started."
        "correct command and args: the program must be in the image and executable"
        "tasks/inject-data-application/define-command-argument-container/"
    LivenessProbeFailing "liveness-probe-failing"
        "The kubelet ends a container because its liveness probe fails."
        "make the probe ask what the container answers, or give it more time (a startupProbe, timeoutSeconds)"
        "tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
    ReadinessProbeFailing "readiness-probe-failing"
        "A container runs and its readiness probe fails."
        "look why the container does not answer the probe: path, port, or what it still waits for itself"
        "tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
    StartupProbeFailing "startup-probe-failing"
        "A container's startup probe fails, so that it counts as not started."
        "make the probe ask what the container answers, or raise failureThreshold"
        "tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
    OutOfMemory "out-of-memory"
        "A container was ended because it used more memory than its limit."
        "raise resources.limits.memory, or make the program use less"
        "tasks/configure-pod-container/assign-memory-resource/"
    Evicted "evicted"
        "The node put the pod out because it ran short of disk or memory."
        "free the resource on the node, or set requests and limits (also for ephemeral-storage) to what the pod needs"
        "concepts/scheduling-eviction/node-pressure-eviction/"
    RejectedByNode "rejected-by-node"
        "The node refused a pod that was given to it."
        "remove the pod, so that it is made again and scheduled to a node that takes it"
        "concepts/scheduling-eviction/"
    RunAsNonRootRefused "run-as-non-root-refused"
        "The pod must not run as root, and its image would."
        "set securityContext.runAsUser to a number other than 0, or take an image with a numeric user"
        "tasks/configure-pod-container/security-context/"
    ContainerConfigWrong "container-config-wrong"
        "The container cannot be made from what the pod says."
        "correct the pod as the node's message says"
        "tasks/debug/debug-application/debug-pods/"
    SandboxFailed "sandbox-failed"
        "The node cannot make the pod's sandbox or network."
        "look after the node's network plugin and container runtime"
        "concepts/extend-kubernetes/compute-storage-net/network-plugins/"
    UnschedulableCpu "unschedulable-cpu"
        "No node has as much free cpu as the pod requests."
        "lower the cpu requests, free some, or add a node"
        "concepts/configuration/manage-resources-containers/"
    UnschedulableMemory "unschedulable-memory"
        "No node has as much free memory as the pod requests."
        "lower the memory requests, free some, or add a node"
        "concepts/configuration/manage-resources-containers/"
    UnschedulableResource "unschedulable-resource"
        "No node has enough of another resource that the pod requests, such as a GPU."
        "request what some node offers, or add such a node and its device plugin"
        "concepts/configuration/manage-resources-containers/#extended-resources"
    UnschedulableTaint "unschedulable-taint"
        "Nodes have a taint that the pod does not tolerate."
        "add a toleration to the pod, or take the taint away"
        "concepts/scheduling-eviction/taint-and-toleration/"
    UnschedulableSelector "unschedulable-selector"
        "No node matches the pod's node selector or affinity."
        "correct nodeSelector or affinity, or label a node so"
        "concepts/scheduling-eviction/assign-pod-node/"
    UnschedulablePodAffinity "unschedulable-pod-affinity"
        "Where the pod's affinity to other pods, or its spreading, lets it run, there is no node left."
        "relax the rule (preferred instead of required), run fewer replicas, or add a node"
        "concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity"
    UnschedulableVolume "unschedulable-volume"
        "The volumes that the pod needs are not to be had on any node that could run it."
        "make the pod's volume claims bind; run it where its volumes are"
        "concepts/storage/persistent-volumes/#node-affinity"
    UnschedulablePorts "unschedulable-ports"
        "The host ports that the pod asks for are taken on every node."
        "leave hostPort out and use a Service, or free the port"
        "concepts/configuration/overview/#services"
    UnschedulablePods "unschedulable-pods"
        "Every node runs as many pods as it may."
        "add a node, or remove pods"
        "setup/best-practices/cluster-large/"
    UnschedulableNode "unschedulable-node"
        "Nodes take no new pods at present."
        "uncordon a node (kubectl uncordon), or add one"
        "concepts/architecture/nodes/#manual-node-administration"
    NoNodes "no-nodes"
        "The cluster has no node."
        "add a node"
        "concepts/architecture/nodes/"
    Unschedulable "unschedulable"
        "The scheduler finds no node for the pod, for a reason of its own."
        "read what the scheduler says, and mend that"
        "concepts/scheduling-eviction/kube-scheduler/"
    NodeNotReady "node-not-ready"
        "The node that the pod is on does not work."
        "look after the node: kubelet, container runtime, network; or remove it"
        "concepts/architecture/nodes/#condition"
    ClaimMissing "claim-missing"
        "The pod names a volume claim that is not there."
        "create the PersistentVolumeClaim, or correct its name in the pod"
        "concepts/storage/persistent-volumes/#claims-as-volumes"
    NoStorageClass "no-storage-class"
        "A volume claim names no StorageClass, and the cluster has no default one."
        "mark a StorageClass as the default, or name one in the claim"
        "tasks/administer-cluster/change-default-storage-class/"
    StorageClassMissing "storage-class-missing"
        "A volume claim names a StorageClass that is not there."
        "create the StorageClass, or make the claim anew with one that exists"
        "concepts/storage/storage-classes/"
    ProvisionerSilent "provisioner-silent"
        "Nobody makes the volume: the provisioner of its StorageClass does not answer."
        "install or repair the provisioner that the StorageClass names"
        "concepts/storage/storage-classes/#provisioner"
    ProvisioningFailed "provisioning-failed"
        "The provisioner could not make the volume."
        "mend what the provisioner says"
        "concepts/storage/dynamic-provisioning/"
    NoMatchingVolume "no-matching-volume"
        "No volume is there that the claim fits, and nobody makes one."
        "create a PersistentVolume that fits (class, size, access mode, labels), or name a StorageClass that makes one"
        "concepts/storage/persistent-volumes/#binding"
    ClaimLost "claim-lost"
        "The volume of a claim is gone."
        "restore the volume from a backup, and make the claim anew"
        "concepts/storage/persistent-volumes/#phase"
    WaitsForFirstConsumer "waits-for-first-consumer"
        "A volume claim waits for the first pod that uses it; that is no fault."
        "start a pod that uses the claim"
        "concepts/storage/storage-classes/#volume-binding-mode"
    VolumeMountFailed "volume-mount-failed"
        "The node cannot attach or mount a volume of the pod."
        "mend what the node says of the volume"
        "concepts/storage/volumes/"
    SecretMissing "secret-missing"
        "The pod uses a Secret that is not there."
        "create the Secret in the pod's namespace, or correct its name"
        "concepts/configuration/secret/"
    ConfigMapMissing "config-map-missing"
        "The pod uses a ConfigMap that is not there."
        "create the ConfigMap in the pod's namespace, or correct its name"
        "concepts/configuration/configmap/"
    KeyMissing "key-missing"
        "The pod uses a key that its Secret or ConfigMap does not have."
        "add the key, or correct its name"
        "concepts/configuration/configmap/"
    ServiceAccountMissing "service-account-missing"
        "The pod names a ServiceAccount that is not there."
        "create the ServiceAccount in the pod's namespace, or correct its name"
        "tasks/configure-pod-container/configure-service-account/"
    QuotaExceeded "quota-exceeded"
        "A ResourceQuota of the namespace allows no more, or asks for a request or limit that is not set."
        "lower what is asked, remove something, set the requests that the quota asks for, or raise the quota"
        "concepts/policy/resource-quotas/"
    LimitRangeViolated "limit-range-violated"
        "A LimitRange of the namespace does not allow these requests or limits."
        "set requests and limits within the range, or change the LimitRange"
        "concepts/policy/limit-range/"
    PodSecurityViolated "pod-security-violated"
        "The Pod Security level of the namespace does not allow the pod."
        "set the securityContext that the level asks for, or label the namespace with another level"
        "concepts/security/pod-security-standards/"
    WebhookUnreachable "webhook-unreachable"
        "An admission webhook that must be asked does not answer."
        "repair the webhook's Service, or remove its configuration if its program is gone"
        "reference/access-authn-authz/extensible-admission-controllers/#failure-policy"
    WebhookDenied "webhook-denied"
        "An admission webhook or policy refused the object."
        "change the object as the webhook says, or change the policy"
        "reference/access-authn-authz/extensible-admission-controllers/"
    CertificateWrong "certificate-wrong"
        "A certificate on the way is not trusted, has expired, or names another host."
        "renew the certificate, or correct the CA bundle of who asks"
        "tasks/administer-cluster/certificates/"
    Forbidden "forbidden"
        "An account lacks the right for what it does."
        "bind a role with this right to the account"
        "reference/access-authn-authz/rbac/"
    SelectsNothing "service-selects-nothing"
        "A Service's selector matches no pod."
        "make the selector equal to the labels of the pods, or start the pods"
        "tasks/debug/debug-application/debug-service/#does-the-service-have-any-endpoints"
    ServicePodsNotReady "service-pods-not-ready"
        "All pods of a Service are not ready, so that it has no endpoint."
        "make the pods ready: look at their own causes"
        "tasks/debug/debug-application/debug-service/"
    ServicePortWrong "service-port-wrong"
        "A Service sends to a port name that its pods do not have."
        "make targetPort equal to the name of a port of the containers, or to its number"
        "concepts/services-networking/service/#field-spec-ports"
    BackendMissing "ingress-backend-missing"
        "An Ingress sends to a Service, or a port of one, that is not there."
        "create the Service, or correct its name or port in the Ingress"
        "concepts/services-networking/ingress/#the-ingress-resource"
    IngressClassMissing "ingress-class-missing"
        "An Ingress names a class that is not there, or none while the cluster has no default."
        "install an ingress controller, and name its class in the Ingress"
        "concepts/services-networking/ingress/#ingress-class"
    JobBackoffLimit "job-backoff-limit"
        "A Job has failed more often than it may."
        "mend why its pods fail, and create the Job anew"
        "concepts/workloads/controllers/job/#pod-backoff-failure-policy"
    JobDeadline "job-deadline"
        "A Job took longer than it may."
        "raise activeDeadlineSeconds, or make the Job faster, and create it anew"
        "concepts/workloads/controllers/job/#job-termination-and-cleanup"
    ProgressDeadline "progress-deadline"
        "A Deployment has made no progress for as long as it may."
        "mend why its new pods are not ready"
        "concepts/workloads/controllers/deployment/#failed-deployment"
    CreateRefused "create-refused"
        "A controller may not create what it should, for a reason of its own."
        "mend what the server says"
        "concepts/workloads/controllers/replicaset/"
    MetricsMissing "hpa-no-metrics"
        "An autoscaler gets no metrics, so that it does not scale."
        "install metrics-server, and give the containers requests for what is measured"
        "tasks/run-application/horizontal-pod-autoscale/"
    ScaleTargetMissing "hpa-target-missing"
        "An autoscaler's target is not there, or cannot be scaled."
        "create the target, or correct scaleTargetRef"
        "tasks/run-application/horizontal-pod-autoscale/"
    KindUnknown "kind-unknown"
        "The server does not know the kind: its CustomResourceDefinition is not there."
        "install the CustomResourceDefinition of the kind, or correct apiVersion and kind"
        "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"
    ApiVersionGone "api-version-gone"
        "The server no longer serves this version of the kind, and serves another."
        "write the object in a version that the server serves"
        "reference/using-api/deprecation-guide/"
    ApiServerDown "api-service-unavailable"
        "The server behind an aggregated API does not answer."
        "repair the Service that the APIService names, or remove the APIService if its program is gone"
        "tasks/extend-kubernetes/setup-extension-api-server/"
    FinalizerHolds "finalizer-holds"
        "An object that is being removed is held by a finalizer that nobody works off."
        "start the controller that owns the finalizer; take the finalizer away only if what it guards is gone"
        "concepts/overview/working-with-objects/finalizers/"
    NamespaceContentRemains "namespace-content-remains"
        "A namespace that is being removed still has content."
        "look what holds the objects that remain in it"
        "concepts/overview/working-with-objects/namespaces/"
    ObjectMissing "object-missing"
        "The object is not there."
        "create it, or correct its kind, namespace or name"
        "concepts/overview/working-with-objects/"
    ConditionSaysSo "condition-says-so"
        "The object's own status says that it is not well."
        "mend what the condition says"
        "concepts/overview/working-with-objects/"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_survive_json() {
        let names: BTreeSet<&str> = CauseCode::all().iter().map(|info| info.name).collect();
        assert_eq!(names.len(), CauseCode::all().len());
        for info in CauseCode::all() {
            let json = serde_json::to_string(&info.code).unwrap();
            assert_eq!(json, format!("\"{}\"", info.name));
            assert_eq!(serde_json::from_str::<CauseCode>(&json).unwrap(), info.code);
            assert_eq!(info.code.info(), info);
            assert!(
                info.meaning.ends_with('.') && !info.remedy.ends_with('.'),
                "{}",
                info.name
            );
        }
    }
}
