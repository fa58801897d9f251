//! The table of checks: id, what is wanted, where on the way, what explains its failure, where more is said, and the function.
//!
//! Ids are stable. The order is that of causes: what is nearer to the ground is first, and the first failure is called the root cause.

mod cluster;
mod dns;
mod flux;
mod guard;
mod nas;
mod outside;
mod pods;
mod pre;
mod secrets;

use super::graph::{Check, Hop};

const fn check(
    id: &'static str,
    title: &'static str,
    hop: Option<Hop>,
    needs: &'static [&'static str],
    anchor: &'static str,
    run: fn(&super::evidence::Evidence) -> super::graph::Outcome,
) -> Check {
    Check { id, title, hop, needs, anchor, run }
}

/// The checks that need nothing but the public host name: with `--edge`, the cluster is not looked at.
pub(super) fn from_outside() -> impl Iterator<Item = &'static Check> {
    let is_outside = |check: &&Check| {
        let category = check.id.split('-').nth(1).unwrap_or_default();
        ["DNS", "EDGE", "ACCESS"].contains(&category) || check.id == "GD-K8S-02"
    };
    CHECKS.iter().filter(is_outside)
}

/// All checks.
#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    // The cluster
    check("GD-K8S-01", "The cluster's API answers.", None, &[], "check-each-part", cluster::api),
    check("GD-K8S-02", "The clocks of this computer, the cluster and Cloudflare agree.", None, &[], "refusal-clock", cluster::clocks),
    check("GD-K8S-03", "Every node is ready.", None, &["GD-K8S-01"], "pods-that-do-not-run", cluster::nodes),
    check("GD-K8S-04", "No node is short of disk or memory.", None, &["GD-K8S-01"], "pod-oom", cluster::pressure),
    check("GD-K8S-05", "The namespaces immich and immich-edge exist.", None, &["GD-K8S-01"], "flux-no-match", cluster::namespaces),

    // Flux
    check("GD-FLUX-01", "Flux has fetched the repository.", None, &["GD-K8S-01"], "flux-source", flux::source),
    check("GD-FLUX-02", "Flux is not suspended.", None, &["GD-K8S-01"], "flux-hand-edit", flux::suspended),
    check("GD-FLUX-03", "Flux has applied what it fetched.", None, &["GD-FLUX-01", "GD-FLUX-02"], "flux-timeout", flux::applied),
    check("GD-FLUX-04", "Flux has fetched the last commit of this clone.", None, &["GD-FLUX-01", "GD-FLUX-02"], "flux-source", flux::head),

    // Secrets
    check("GD-SECRET-01", "The Secret of the database has its password.", Some(Hop::Immich), &["GD-K8S-05"], "pod-secret", secrets::database),
    check("GD-SECRET-02", "The Secret of the tunnel has a token.", Some(Hop::Tunnel), &["GD-K8S-05"], "tunnel-token", secrets::tunnel),
    check("GD-SECRET-03", "The Secret of guard has the team, the audience and the host name.", Some(Hop::Guard), &["GD-K8S-05"], "pod-secret", secrets::edge),
    check("GD-SECRET-04", "No value of a Secret begins or ends with white space.", None, &["GD-K8S-05"], "tunnel-token", secrets::spaces),
    check("GD-SECRET-05", "The values of guard's Secret have the form of such values.", Some(Hop::Guard), &["GD-SECRET-03"], "refusal-unauthorized", secrets::forms),
    check("GD-SECRET-06", "Every key of guard's Secret is one that guard reads.", Some(Hop::Guard), &["GD-SECRET-03"], "guard-secret-keys", secrets::keys),

    // What was applied
    check("GD-POD-04", "The private values are in what was applied.", None, &["GD-K8S-05"], "apply-placeholder", pods::placeholders),

    // The NAS
    check("GD-NAS-01", "The directory of the photos is there, so that the pod can be made.", Some(Hop::Nas), &["GD-K8S-03", "GD-POD-04"], "pod-hostpath", nas::directory),
    check("GD-NAS-02", "The NAS answers when the pod is made.", Some(Hop::Nas), &["GD-K8S-03"], "pod-hangs", nas::hangs),
    check("GD-NAS-40", "The photos' path exists in the pod.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-missing", nas::missing),
    check("GD-NAS-41", "The NAS is mounted.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-not-mounted", nas::not_mounted),
    check("GD-NAS-42", "It is the right source.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-wrong-source", nas::wrong_source),
    check("GD-NAS-43", "The NAS has its id.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-sentinel-missing", nas::sentinel_missing),
    check("GD-NAS-44", "It is the right NAS.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-sentinel-other", nas::sentinel_other),
    check("GD-NAS-45", "The NAS can be written to.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-read-only", nas::read_only),
    check("GD-NAS-46", "The NAS has room.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-no-space", nas::no_space),
    check("GD-NAS-47", "Immich may write to the NAS.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-not-writable", nas::not_writable),
    check("GD-NAS-48", "The NAS does not hang.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-hung", nas::hung),
    check("GD-NAS-49", "The mount is not stale.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-stale", nas::stale),
    check("GD-NAS-50", "The NAS gives no error.", Some(Hop::Nas), &["GD-NAS-01", "GD-NAS-02"], "nas-io", nas::io),

    // Pods: the database and the cache before Immich, Immich before guard, guard before the tunnel
    check("GD-POD-01", "Everything that should run is there.", None, &["GD-K8S-05", "GD-FLUX-03"], "pods-that-do-not-run", pods::present),
    check("GD-POD-05", "The network policies are there.", None, &["GD-POD-01"], "policies-missing", pods::policies),
    check("GD-POD-02", "Every image can be pulled.", None, &["GD-K8S-05"], "pod-pull", pods::images),
    check("GD-POD-03", "Every pod has a node.", None, &["GD-K8S-05", "GD-K8S-03", "GD-POD-04"], "pod-affinity", pods::scheduled),
    check("GD-DB-01", "The database finds data that it can read.", Some(Hop::Immich), &["GD-POD-02", "GD-POD-03"], "postgres-major", pods::database_data),
    check("GD-DB-02", "The database loads VectorChord.", Some(Hop::Immich), &["GD-POD-02"], "vchord-preload", pods::database_preload),
    check("GD-DB-03", "The indexes of VectorChord have the format of its version.", Some(Hop::Immich), &["GD-DB-02"], "vchord-reindex", pods::database_indexes),
    check("GD-DB-04", "The database takes Immich's password and user.", Some(Hop::Immich), &["GD-SECRET-01"], "postgres-password", pods::database_login),
    check("GD-DB-07", "The disk of the database has room.", Some(Hop::Immich), &["GD-POD-02", "GD-POD-03"], "postgres-disk", pods::database_disk),
    check("GD-DB-05", "The database runs.", Some(Hop::Immich), &["GD-POD-02", "GD-POD-03", "GD-SECRET-01", "GD-DB-01", "GD-DB-02", "GD-DB-07"], "postgres-owner", pods::database),
    check("GD-DB-06", "The cache runs.", Some(Hop::Immich), &["GD-POD-02", "GD-POD-03"], "pod-not-ready", pods::cache),
    check("GD-APP-04", "The image has the program that the manifest starts.", Some(Hop::Immich), &["GD-POD-02", "GD-POD-03"], "exit-126", pods::entry_point),
    check("GD-APP-01", "Immich runs.", Some(Hop::Immich),
        &["GD-POD-02", "GD-POD-03", "GD-NAS-01", "GD-NAS-02", "GD-NAS-40", "GD-NAS-41", "GD-NAS-42", "GD-NAS-43", "GD-NAS-44", "GD-NAS-45",
          "GD-NAS-46", "GD-NAS-47", "GD-NAS-48", "GD-NAS-49", "GD-NAS-50", "GD-DB-03", "GD-DB-04", "GD-DB-05", "GD-APP-04"], "immich", pods::server),
    check("GD-APP-02", "The server is started by the NAS gate.", Some(Hop::Nas), &["GD-K8S-05"], "exit-126", nas::gate),
    check("GD-NAS-51", "The NAS lets Immich set the times of files.", Some(Hop::Nas), &["GD-APP-01"], "nas-times", nas::times),
    check("GD-APP-03", "Machine learning runs.", None, &["GD-POD-02", "GD-POD-03"], "immich-models", pods::machine_learning),
    check("GD-LAN-01", "Immich answers at home.", Some(Hop::Immich), &["GD-APP-01"], "home-timeout", outside::lan),

    // guard and the tunnel
    check("GD-GUARD-01", "guard runs.", Some(Hop::Guard), &["GD-POD-02", "GD-POD-03", "GD-SECRET-03", "GD-SECRET-05", "GD-SECRET-06"], "guard-does-not-start", guard::runs),
    check("GD-GUARD-02", "guard has the keys of its front door.", Some(Hop::Guard), &["GD-GUARD-01"], "guard-key-set", guard::ready),
    check("GD-GUARD-03", "guard lets somebody in.", Some(Hop::Guard), &["GD-GUARD-02"], "refusal-unauthorized", guard::passes),
    check("GD-GUARD-04", "guard has room for new requests.", Some(Hop::Guard), &["GD-GUARD-01"], "refusal-overloaded", guard::room),
    check("GD-GUARD-05", "No upload was too large.", None, &["GD-GUARD-01"], "edge-413", guard::too_large),
    check("GD-TUNNEL-01", "cloudflared runs.", Some(Hop::Tunnel), &["GD-POD-02", "GD-POD-03", "GD-SECRET-02"], "tunnel-token", guard::tunnel_runs),
    check("GD-TUNNEL-02", "The tunnel is connected to Cloudflare.", Some(Hop::Tunnel), &["GD-TUNNEL-01"], "tunnel-timeout", guard::tunnel_connected),
    check("GD-TUNNEL-03", "The tunnel has all its connections.", Some(Hop::Tunnel), &["GD-TUNNEL-02"], "tunnel-drops", guard::tunnel_connections),
    check("GD-TUNNEL-04", "The tunnel is configured here, and not in the dashboard.", Some(Hop::Tunnel), &["GD-TUNNEL-01"], "tunnel-remote-config", guard::tunnel_local),
    check("GD-TUNNEL-05", "The tunnel leads to guard only.", Some(Hop::Tunnel), &["GD-K8S-05"], "outside-open", guard::tunnel_ends),
    check("GD-TUNNEL-06", "cloudflared asks for a token at each rule.", Some(Hop::Tunnel), &["GD-K8S-05"], "tunnel-access-scope", guard::tunnel_asks),

    // Outside
    check("GD-DNS-01", "The public name has an address.", Some(Hop::Edge), &[], "outside-no-answer", outside::name),
    check("GD-DNS-02", "The public name leads to Cloudflare, and not to an address at home.", Some(Hop::Edge), &["GD-DNS-01"], "home-https", outside::addresses),
    check("GD-DNS-03", "Public resolvers lead to Cloudflare only, by A and by AAAA.", Some(Hop::Edge), &["GD-DNS-01"], "dns-leak", dns::public),
    check("GD-DNS-04", "A and AAAA lead to the same place here.", Some(Hop::Edge), &["GD-DNS-01"], "home-name", dns::same),
    check("GD-DNS-05", "The name at home leads to the node.", None, &[], "home-name", dns::at_home),
    check("GD-ACCESS-01", "The team exists at Cloudflare Access.", Some(Hop::Access), &["GD-SECRET-05"], "guard-key-set", outside::team),
    check("GD-EDGE-01", "Cloudflare answers for the public name.", Some(Hop::Edge), &["GD-DNS-01", "GD-DNS-02"], "edge-520", outside::answers),
    check("GD-EDGE-02", "Nobody reaches the photos without a sign-in.", Some(Hop::Access), &["GD-EDGE-01"], "outside-open", outside::gated),
    check("GD-EDGE-03", "No challenge page stands before the app.", Some(Hop::Edge), &["GD-EDGE-01"], "edge-challenge", outside::challenge),
    check("GD-EDGE-04", "Cloudflare reaches the tunnel.", Some(Hop::Tunnel), &["GD-EDGE-01", "GD-TUNNEL-02"], "edge-1033", outside::tunnel),
    check("GD-ACCESS-02", "Access asks at the team that guard trusts.", Some(Hop::Access), &["GD-EDGE-02", "GD-ACCESS-01"], "refusal-issuer", outside::same_team),
    check("GD-ACCESS-03", "Access protects the application that guard trusts.", Some(Hop::Access), &["GD-ACCESS-02"], "refusal-unauthorized", outside::same_audience),
    check("GD-ACCESS-04", "A phone gets in with its token.", Some(Hop::Access), &["GD-EDGE-02", "GD-EDGE-03", "GD-EDGE-04"], "edge-302", outside::phone),
    check("GD-EDGE-05", "Live updates pass (WebSockets).", Some(Hop::Edge), &["GD-ACCESS-04"], "edge-websocket", outside::websocket),

    // Backup
    check("GD-BACKUP-01", "The last backup of the database is not old.", None, &["GD-K8S-05"], "check-each-part", cluster::backup),
];

/// The checks of `--pre`: what can be known before anything is applied.
#[rustfmt::skip]
pub static PRE: &[Check] = &[
    check("GD-LOCAL-01", "The tools are here, and not too old.", None, &[], "local-tools", pre::tools),
    check("GD-LOCAL-02", "There is an overlay with your private values.", None, &[], "local-overlay", pre::overlay),
    check("GD-LOCAL-03", "Git does not track the overlay.", None, &["GD-LOCAL-02"], "local-tracked", pre::untracked),
    check("GD-LOCAL-04", "The overlay renders.", None, &["GD-LOCAL-01", "GD-LOCAL-02"], "local-render", pre::renders),
    check("GD-LOCAL-05", "No placeholder and no value of the example is left.", None, &["GD-LOCAL-04"], "local-placeholder", pre::placeholders),
    check("GD-LOCAL-06", "guard's image is published.", None, &["GD-LOCAL-04"], "pod-zero-digest", pre::image),
    check("GD-LOCAL-07", "The overlay keeps to the policies.", None, &["GD-LOCAL-04"], "local-policies", pre::policies),
    check("GD-LOCAL-08", "The directories of photos and database are fit for it.", None, &["GD-LOCAL-05"], "local-paths", pre::paths),
    check("GD-K8S-01", "The cluster's API answers.", None, &[], "check-each-part", cluster::api),
    check("GD-K8S-02", "The clocks of this computer, the cluster and Cloudflare agree.", None, &[], "refusal-clock", cluster::clocks),
    check("GD-K8S-03", "Every node is ready.", None, &["GD-K8S-01"], "pods-that-do-not-run", cluster::nodes),
    check("GD-K8S-04", "No node is short of disk or memory.", None, &["GD-K8S-01"], "pod-oom", cluster::pressure),
    check("GD-K8S-06", "The cluster is not too old.", None, &["GD-K8S-01"], "local-tools", pre::version),
    check("GD-K8S-07", "The node that the overlay names exists.", None, &["GD-K8S-01", "GD-LOCAL-05"], "pod-affinity", pre::node),
    check("GD-K8S-08", "The StorageClasses that volumes ask for exist.", None, &["GD-K8S-01", "GD-LOCAL-04"], "local-storage", pre::storage),
    check("GD-K8S-09", "The namespaces are there, for the Secrets.", None, &["GD-K8S-01"], "local-namespaces", pre::namespaces),
    check("GD-SECRET-01", "The Secret of the database has its password.", None, &["GD-K8S-09"], "pod-secret", secrets::database),
    check("GD-SECRET-02", "The Secret of the tunnel has a token (for the internet).", None, &["GD-K8S-09"], "tunnel-token", pre::tunnel),
    check("GD-SECRET-03", "The Secret of guard has the team, the audience and the host name (for the internet).", None, &["GD-K8S-09"], "pod-secret", pre::edge),
    check("GD-SECRET-04", "No value of a Secret begins or ends with white space.", None, &["GD-K8S-09"], "tunnel-token", secrets::spaces),
    check("GD-SECRET-06", "Every key of guard's Secret is one that guard reads.", None, &["GD-SECRET-03"], "guard-secret-keys", secrets::keys),
];
