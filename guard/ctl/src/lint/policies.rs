//! The table of policies: id, severity, one sentence, and the function that looks. Ids are stable. Reasons and cures: docs/policies.md.

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

/// Looks at a cluster's objects and adds what it finds.
pub type Check = fn(&Inventory<'_>, &mut Sink<'_>);

/// One rule.
pub struct Policy {
    /// Stable name; also its anchor in docs/policies.md.
    pub id: &'static str,
    /// Whether it fails the build.
    pub severity: Severity,
    /// The rule.
    pub sentence: &'static str,
    check: Check,
}

impl Policy {
    /// The policy of an id.
    pub fn find(id: &str) -> Option<&'static Self> {
        POLICIES.iter().find(|policy| policy.id == id)
    }

    /// Makes a sink for the findings of this policy.
    pub(super) fn sink<'f>(&self, findings: &'f mut Vec<Finding>) -> Sink<'f> {
        Sink::new(self.id, self.severity, findings)
    }

    /// Returns where the reason of this policy is written.
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

/// Exceptions are weighed after all policies have looked.
const AFTERWARDS: Check = |_, _| {};

pub(super) static EXCEPTION_INVALID: Policy =
    error("exception-invalid", "An exception names a policy and its reason.", AFTERWARDS);
pub(super) static EXCEPTION_UNUSED: Policy =
    error("exception-unused", "An exception that nothing needs any more is removed.", AFTERWARDS);

/// Every policy.
#[rustfmt::skip]
pub static POLICIES: &[Policy] = &[
    // The objects themselves
    error("unknown-field", "Every field is one that Kubernetes or Flux knows.", schema::unknown_field),
    error("wrong-type", "Every value has the type that its field wants.", schema::wrong_type),
    warning("unchecked-kind", "The fields of this kind are not checked: guardctl does not know it.", schema::unchecked_kind),
    error(placeholder::ID, "No __PLACEHOLDER__ is left in what is applied.", placeholder::left),
    error(EXCEPTION_INVALID.id, EXCEPTION_INVALID.sentence, AFTERWARDS),
    error(EXCEPTION_UNUSED.id, EXCEPTION_UNUSED.sentence, AFTERWARDS),
    error("common-labels", "Objects and pods carry app.kubernetes.io/name, component and part-of.", identity::common_labels),

    // Images
    error("image-digest", "Every image is name:tag@sha256:digest.", images::digest),
    error("image-floating-tag", "No image has a tag that moves (latest, release, main).", images::floating_tag),
    warning("image-unpublished", "The digest is all zeroes: this image has to be built or published first.", images::unpublished),
    error("immich-image-pair", "The server and machine learning have the same version.", images::pair),
    error("postgres-major", "The database image's tag begins with its major version.", postgres::major),

    // Pods and containers
    error("run-as-non-root", "No container runs as root.", containers::run_as_non_root),
    error("seccomp-profile", "Every container has the runtime's seccomp profile.", containers::seccomp_profile),
    error("privilege-escalation", "No container is privileged, or can become so.", containers::privilege_escalation),
    error("drop-capabilities", "Every container drops all capabilities and adds none.", containers::drop_capabilities),
    error("read-only-root", "Every container's root file system is read-only.", containers::read_only_root),
    error("resources", "Every container requests CPU and memory, limits memory, and does not limit CPU.", containers::resources),
    error("readiness-probe", "Every lasting container says when it is ready.", containers::readiness_probe),
    error("startup-probe", "Immich and Postgres have a startup probe.", containers::startup_probe),
    error("host-namespaces", "No pod shares the node's network, processes or IPC.", pods::host_namespaces),
    error("service-account", "Every workload has a service account of its own.", identity::service_account),
    error("service-account-token", "No pod mounts a token for the Kubernetes API.", identity::service_account_token),
    error("service-links", "enableServiceLinks is false in every pod.", pods::service_links),
    error("grace-period", "A pod has more time to end than what runs in it takes.", pods::grace_period),
    error("pod-containers", "A pod has a container.", pods::containers),
    error("volume-source", "Every volume has exactly one source.", pods::volume_source),
    error("memory-volume-limit", "An emptyDir in memory has a size limit.", pods::memory_volume_limit),
    error("single-writer", "What writes to a disk of one node, the library or the database runs once: Recreate, one replica.", pods::single_writer),
    error("node-pinning", "A pod with a directory of a node is pinned to that node.", pods::node_pinning),

    // Host paths and the NAS
    error("hostpath-workload", "Only immich-server, immich-postgres and the backup mount directories of the node.", hostpath::workload),
    error("hostpath-type", "Every hostPath has type Directory.", hostpath::type_directory),
    error("mount-propagation", "mountPropagation is unset or None.", hostpath::mount_propagation),
    error("nas-exec", "The server's command begins with guard nas exec --.", immich::nas_exec),
    error("nas-install", "An init container of the server runs guard nas install.", immich::nas_install),
    error("nas-id", "The NAS gate of the server has the id of the NAS.", immich::nas_id),
    error("mount-check-ignored", "Immich's and Postgres's own mount checks are not switched off.", immich::mount_check_ignored),
    error("media-location", "The library is mounted at /data, and nothing at /usr/src/app/upload.", immich::media_location),

    // Immich
    error("immich-liveness", "The server is not killed for being slow: no HTTP liveness probe, a timeout of 5 s or more.", immich::liveness),
    error("immich-workers", "Both of Immich's workers, api and microservices, run somewhere.", immich::workers),
    error("immich-obsolete-env", "No variable is set that Immich no longer reads.", immich::obsolete_variables),
    error("immich-config-source", "Immich's configuration file comes from a Secret.", configuration::source),
    error("immich-config-waits", "The server waits for its configuration file: the Secret is not optional.", configuration::waits),
    error("ml-server-secrets", "Machine learning gets no secret of the server's.", immich::ml_server_secrets),
    error("ml-bind-address", "Machine learning listens on IPv4: IMMICH_HOST=0.0.0.0.", immich::ml_bind_address),

    // Postgres
    error("postgres-memory", "Postgres may use 2 GiB or more.", postgres::memory),
    error("postgres-command", "Postgres's command is the image's own, and arguments name its configuration.", postgres::command),
    error("postgres-preload", "No argument of Postgres replaces the libraries that its image preloads.", postgres::preload),
    error("postgres-shm", "Postgres has its shared memory: an emptyDir in memory at /dev/shm.", postgres::shm),

    // Services
    error("node-port", "The only NodePort is immich-server's 30283.", services::node_port),
    error("load-balancer", "No Service asks for a load balancer or external addresses.", services::load_balancer),
    error("service-selector", "Every Service selects the pods of exactly one workload.", services::selector),
    error("service-port", "Every target port is a port of the container.", services::port),

    // Network policies, budgets, namespaces
    error("default-deny", "Each namespace with pods denies all traffic that no policy names.", network::default_deny),
    error("network-peers", "Only the named peers reach each part: tunnel, guard, auth server, server, then database, cache and machine learning.", network::peers),
    error("network-edge-missing", "Both ends of each needed connection are open.", network::edge_missing),
    error("network-dangling", "Every network policy is about pods that exist.", network::dangling),
    error("egress-open", "Nothing goes out everywhere: ports are named, and private networks are excepted.", network::egress_open),
    error("pdb-replicas", "A disruption budget is about two or more replicas.", network::budget_replicas),
    error("namespace-security", "Namespaces warn of what is not restricted; immich-edge enforces it.", namespaces::security),

    // Secrets and private values
    error("secret-object", "No Secret is in Git.", secrets::object),
    error("literal-credential", "No password, token or key is written in a manifest.", secrets::literal),
    error("private-identifier", "Hostnames, team and AUD come from Secrets, not from manifests.", secrets::private_identifier),

    // The front door, and shared links
    error("front-door", "The guard has what its front door needs, and nothing of another.", front_door::front_door),
    error("public-proxy-secret", "What shows shared links holds no key of Immich's, and no secret.", front_door::public_proxy_secret),

    // cloudflared
    error("tunnel-access-scope", "Access is required in each ingress rule, never at the top, where cloudflared ignores it.", tunnel::access_scope),
    error("tunnel-access-rule", "An access block names its team and AUD, and every rule has one or none has.", tunnel::access_rule),
    error("tunnel-path-rule", "No ingress rule has a path.", tunnel::path_rule),
    error("tunnel-single-rule", "There is exactly one ingress rule, and it has no hostname.", tunnel::single_rule),
    error("tunnel-origin", "Every ingress rule leads to the guard; that of cloudflared-share, to the public proxy.", tunnel::origin),
    error("tunnel-reach", "A tunnel's pod reaches Cloudflare and its one origin, nothing else.", network::tunnel_reach),
    error("tunnel-proxy-env", "No proxy variable diverts what cloudflared sends to the guard.", cloudflared::proxy_variables),
    error("tunnel-metrics", "cloudflared's metrics port is in no Service but a ClusterIP.", cloudflared::metrics),
    error("tunnel-diagnostics", "Remote diagnostics are off.", cloudflared::diagnostics),
    error("tunnel-loglevel", "cloudflared does not log headers: no debug level.", cloudflared::log_level),
    error("tunnel-token-argv", "The tunnel's token is in no argument.", cloudflared::token_in_argv),
    error("tunnel-probes", "An internet outage does not restart cloudflared: readiness asks /ready, liveness does not.", cloudflared::probes),

    // Authentik blueprints
    error("blueprint-shape", "A blueprint is version 1 and has a name; its entries have a model and identifiers, and tags that can be followed.", blueprints::shape),
    error("blueprint-model", "A blueprint touches only the models of Authentik that guardctl knows.", blueprints::model),
    error("blueprint-field", "Every identifier and attribute is one of its model's, and those that Authentik wants are there.", blueprints::field),
    error("blueprint-flows", "Every provider names both of its flows.", blueprints::flows),
    error("blueprint-redirects", "Immich's provider takes back the app, the sign-in page and the settings page, letter by letter.", blueprints::redirects),
    error("blueprint-signing", "Immich's provider is confidential, signs with a key, and puts the claims into the ID token.", blueprints::signing),
    error("blueprint-quota", "No quota is 0.", blueprints::quota),
    error("blueprint-secret", "Secrets come from a file or a variable, and have no default.", blueprints::secret),
    error("blueprint-reference", "!KeyOf names an entry above it, and !Find looks up only what every Authentik has.", blueprints::reference),
    error("blueprint-outpost", "The gate has an outpost of its own, never the embedded one.", blueprints::outpost),
    error("blueprint-token", "A phone's password does not expire, and is the only one of a service account of its own.", blueprints::token),
    error("blueprint-binding", "Every application says who may pass, one group, user or policy a binding.", blueprints::binding),
    error("blueprint-gate", "The gate is for one https host, without a path that it skips.", blueprints::gate),
];

/// Every finding of every policy.
pub fn check(inventory: &Inventory<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for policy in POLICIES {
        (policy.check)(inventory, &mut policy.sink(&mut findings));
    }
    findings
}
