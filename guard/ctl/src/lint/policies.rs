//! The table of policies: id, severity, one sentence, and the function that checks it. Ids are stable. docs/policies.md lists them; reasons and cures: docs/policies/.

pub mod blueprints;
pub mod cloudflared;
pub mod configuration;
pub mod containers;
pub mod front_door;
pub mod hostpath;
pub mod identity;
pub mod images;
pub mod immich;
pub mod namespaces;
pub mod network;
pub mod placeholder;
pub mod pods;
pub mod postgres;
pub mod schema;
pub mod secrets;
pub mod services;
pub mod tunnel;

use super::finding::{self, Finding, Sink};
use super::inventory::Inventory;
use crate::severity::Severity;

/// Checks the objects of a cluster and adds its findings to the sink.
pub type Check = fn(&Inventory<'_>, &mut Sink<'_>);

/// A policy.
pub struct Policy {
    /// The stable name. It is also the anchor in docs/policies.md.
    pub id: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// The rule in one sentence.
    pub sentence: &'static str,
    check: Check,
}

impl Policy {
    /// Returns the policy with this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        POLICIES.iter().find(|policy| policy.id == id)
    }

    /// Creates a sink for the findings of this policy.
    pub(super) fn sink<'f>(&self, findings: &'f mut Vec<Finding>) -> Sink<'f> {
        Sink::new(self.id, self.severity, findings)
    }

    /// Returns the page and anchor with the reason of this policy.
    pub fn link(&self) -> String {
        finding::link(self.id)
    }
}

const fn error(id: &'static str, sentence: &'static str, check: Check) -> Policy {
    Policy { id, severity: Severity::Error, sentence, check }
}

const fn warning(id: &'static str, sentence: &'static str, check: Check) -> Policy {
    Policy { id, severity: Severity::Warning, sentence, check }
}

/// The check of the two policies about exceptions: they run after all other policies, in `exception`.
const AFTERWARDS: Check = |_, _| {};

pub(super) static EXCEPTION_INVALID: Policy =
    error("exception-invalid", "An exception names a policy and gives a reason.", AFTERWARDS);
pub(super) static EXCEPTION_UNUSED: Policy =
    error("exception-unused", "Every exception covers at least one finding.", AFTERWARDS);

/// All policies.
#[rustfmt::skip]
pub static POLICIES: &[Policy] = &[
    // The objects themselves
    error("unknown-field", "Every field is one that Kubernetes or Flux knows.", schema::unknown_field),
    error("wrong-type", "Every value has the type of its field.", schema::wrong_type),
    warning("unchecked-kind", "The fields of this kind are not checked, because guardctl does not know the kind.", schema::unchecked_kind),
    error(placeholder::ID, "No __PLACEHOLDER__ and no value of the example is left in manifests that are applied.", placeholder::left),
    error(EXCEPTION_INVALID.id, EXCEPTION_INVALID.sentence, AFTERWARDS),
    error(EXCEPTION_UNUSED.id, EXCEPTION_UNUSED.sentence, AFTERWARDS),
    error("common-labels", "Objects and pods have the labels app.kubernetes.io/name, component and part-of.", identity::common_labels),

    // Images
    error("image-digest", "Every image is name:tag@sha256:digest.", images::digest),
    error("image-floating-tag", "No image has a tag that changes its content (latest, release, main).", images::floating_tag),
    warning("image-unpublished", "The digest consists of zeros: build or publish this image first.", images::unpublished),
    error("immich-image-pair", "Immich's server and machine learning have the same version.", images::pair),
    error("postgres-major", "The tag of the database image begins with its major version, and its data are mounted where that version keeps them.", postgres::major),

    // Pods and containers
    error("run-as-non-root", "No container runs as root.", containers::run_as_non_root),
    error("seccomp-profile", "Every container uses the seccomp profile of the runtime.", containers::seccomp_profile),
    error("privilege-escalation", "No container is privileged or can become privileged.", containers::privilege_escalation),
    error("drop-capabilities", "Every container drops all capabilities and adds none.", containers::drop_capabilities),
    error("read-only-root", "The root file system of every container is read-only.", containers::read_only_root),
    error("resources", "Every container requests CPU and memory, limits memory, and does not limit CPU.", containers::resources),
    error("readiness-probe", "Every container that runs permanently has a readiness probe.", containers::readiness_probe),
    error("startup-probe", "Immich and Postgres have a startup probe.", containers::startup_probe),
    error("host-namespaces", "No pod shares the node's network, processes or IPC.", pods::host_namespaces),
    error("service-account", "Every workload has its own service account.", identity::service_account),
    error("service-account-token", "No pod mounts a token for the Kubernetes API.", identity::service_account_token),
    error("service-links", "enableServiceLinks is false in every pod.", pods::service_links),
    error("grace-period", "The grace period of a pod is longer than its processes need to end.", pods::grace_period),
    error("pod-containers", "Every pod has at least one container.", pods::containers),
    error("volume-source", "Every volume has exactly one source.", pods::volume_source),
    error("memory-volume-limit", "An emptyDir in memory has a size limit.", pods::memory_volume_limit),
    error("single-writer", "A workload that writes to a disk of one node, to the library or to the database has one replica and the strategy Recreate.", pods::single_writer),
    error("node-pinning", "A pod with a hostPath is pinned to the node that has the directory.", pods::node_pinning),

    // Host paths and the NAS
    error("hostpath-workload", "Only immich-server, immich-postgres and the backup mount directories of a node.", hostpath::workload),
    error("hostpath-type", "Every hostPath has type Directory.", hostpath::type_directory),
    error("mount-propagation", "mountPropagation is unset or None.", hostpath::mount_propagation),
    error("nas-exec", "The command of the server begins with guard nas exec --.", immich::nas_exec),
    error("nas-install", "An init container of the server runs guard nas install.", immich::nas_install),
    error("nas-id", "The NAS gate of the server has the id of the NAS.", immich::nas_id),
    error("mount-check-ignored", "The mount checks of Immich and Postgres are not switched off.", immich::mount_check_ignored),
    error("media-location", "The library is mounted at /data, and nothing is mounted at /usr/src/app/upload.", immich::media_location),

    // Immich
    error("immich-liveness", "A slow server is not restarted: its liveness probe does not use HTTP and has a timeout of 5 s or more.", immich::liveness),
    error("immich-workers", "Some workload runs each of Immich's workers, api and microservices.", immich::workers),
    error("immich-obsolete-env", "No variable is set that Immich does not read any more.", immich::obsolete_variables),
    error("immich-config-source", "Immich's configuration file comes from a Secret.", configuration::source),
    error("immich-config-waits", "The server waits for its configuration file: the volume of the Secret is not optional.", configuration::waits),
    error("ml-server-secrets", "Machine learning gets no Secret of the server.", immich::ml_server_secrets),
    error("ml-bind-address", "Machine learning listens on an address that the node has: IMMICH_HOST=0.0.0.0, or :: in a cluster of IPv6.", immich::ml_bind_address),

    // Postgres
    error("postgres-memory", "The memory limit of Postgres is 2 GiB or more.", postgres::memory),
    error("postgres-command", "Postgres's command is the image's own, and arguments name its configuration.", postgres::command),
    error("postgres-preload", "No argument of Postgres replaces the libraries that its image preloads.", postgres::preload),
    error("postgres-shm", "Postgres has its shared memory: an emptyDir in memory at /dev/shm.", postgres::shm),

    // Services
    error("node-port", "The only NodePort is 30283, of the Service immich-server.", services::node_port),
    error("load-balancer", "No Service has the type LoadBalancer or external addresses.", services::load_balancer),
    error("service-selector", "Every Service selects the pods of exactly one workload.", services::selector),
    error("service-port", "Every target port of a Service is a port of the container.", services::port),

    // Network policies, budgets, namespaces
    error("default-deny", "Each namespace with pods denies all traffic that no network policy allows.", network::default_deny),
    error("network-peers", "Network policies allow each workload only its known peers: tunnel, guard, auth server, server, database, cache and machine learning.", network::peers),
    error("network-edge-missing", "Network policies allow each needed connection at both ends.", network::edge_missing),
    error("network-dangling", "Every network policy selects pods that exist.", network::dangling),
    error("egress-open", "No egress rule allows every destination: it names ports, and it excepts private networks.", network::egress_open),
    error("egress-ipv6", "No egress rule for IPv6 reaches the machines of the home: it excepts their prefix, or is for Cloudflare's tunnel port only.", network::egress_ipv6),
    error("large-uploads-replicas", "Large uploads are on only where guard has one replica.", front_door::large_uploads),
    error("pdb-replicas", "A disruption budget selects a workload with two or more replicas.", network::budget_replicas),
    error("namespace-security", "Namespaces warn about pods that violate the level restricted; immich-edge refuses them.", namespaces::security),

    // Secrets and private values
    error("secret-object", "No Secret is among the manifests, unless sops has encrypted it.", secrets::object),
    error("literal-credential", "No password, token or key is written in a manifest.", secrets::literal),
    error("private-identifier", "Hostnames, the team and the AUD come from Secrets, not from manifests.", secrets::private_identifier),

    // The front door, and share links
    error("front-door", "guard has all variables that its front door needs, and none of another front door.", front_door::front_door),
    error("public-proxy-secret", "The public proxy for share links has no API key of Immich and no Secret.", front_door::public_proxy_secret),

    // cloudflared
    error("tunnel-access-scope", "An access block is in each ingress rule, not at the top level, where cloudflared ignores it.", tunnel::access_scope),
    error("tunnel-access-rule", "An access block names its team and AUD, and either every rule or no rule has one.", tunnel::access_rule),
    error("tunnel-path-rule", "No ingress rule has a path.", tunnel::path_rule),
    error("tunnel-single-rule", "There is exactly one ingress rule, and it has no hostname.", tunnel::single_rule),
    error("tunnel-origin", "Every ingress rule leads to guard; the rule of cloudflared-share leads to the public proxy.", tunnel::origin),
    error("tunnel-reach", "The pod of a tunnel can connect to Cloudflare and to its one origin, and to nothing else.", network::tunnel_reach),
    error("tunnel-proxy-env", "No proxy variable changes where cloudflared sends its requests.", cloudflared::proxy_variables),
    error("tunnel-metrics", "Only a Service of type ClusterIP exposes the metrics port of cloudflared.", cloudflared::metrics),
    error("tunnel-diagnostics", "Remote diagnostics of cloudflared are off.", cloudflared::diagnostics),
    error("tunnel-loglevel", "cloudflared does not log headers: its log level is not debug.", cloudflared::log_level),
    error("tunnel-token-argv", "No argument of cloudflared contains the token of the tunnel.", cloudflared::token_in_argv),
    error("tunnel-probes", "An internet outage does not restart cloudflared: the readiness probe uses /ready, the liveness probe does not.", cloudflared::probes),

    // Authentik blueprints
    error("blueprint-shape", "A blueprint has version 1 and a name; its entries have a model and identifiers, and only tags that guardctl knows.", blueprints::shape),
    error("blueprint-model", "A blueprint uses only the models of Authentik that guardctl knows.", blueprints::model),
    error("blueprint-field", "The model of an entry has all its identifiers and attributes, and the entry has all fields that Authentik requires.", blueprints::field),
    error("blueprint-flows", "Every provider has an authorization flow and an invalidation flow.", blueprints::flows),
    error("blueprint-redirects", "Immich's provider allows exactly the redirect URIs of the app, the sign-in page and the settings page.", blueprints::redirects),
    error("blueprint-signing", "Immich's provider has the client type confidential, a signing key, and the claims in the ID token.", blueprints::signing),
    error("blueprint-quota", "No quota for Immich is 0.", blueprints::quota),
    error("blueprint-secret", "Secrets come from a file or a variable without a default.", blueprints::secret),
    error("blueprint-reference", "!KeyOf names an entry above it, and !Find looks up only objects that every Authentik has.", blueprints::reference),
    error("blueprint-outpost", "The proxy provider has its own outpost, not the embedded one.", blueprints::outpost),
    error("blueprint-token", "The token of a phone does not expire, and each phone has its own service account.", blueprints::token),
    error("blueprint-binding", "Every application has a binding, and each binding names exactly one group, user or policy.", blueprints::binding),
    error("blueprint-gate", "The proxy provider is for one https host and skips no path.", blueprints::gate),
];

/// Runs all policies and returns their findings.
pub fn check(inventory: &Inventory<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for policy in POLICIES {
        (policy.check)(inventory, &mut policy.sink(&mut findings));
    }
    findings
}
