//! The series of a home that is well, and the ways in which a home breaks: what changes, and which alerts then fire. One value a minute, in
//! promtool's notation: `4x180` is 4 for three hours, `0+60x180` rises by 60 each minute.

/// One series: its name with labels, and its values.
pub(super) type Series = (&'static str, &'static str);

/// A home that breaks.
pub(super) struct Broken {
    /// How.
    pub name: &'static str,
    /// The series that differ; without values, the series is not there.
    pub series: &'static [Series],
    /// The alerts that fire, and no others.
    pub alerts: &'static [&'static str],
}

/// A home that is well: with old errors, a container that was ended long ago, and strangers now and then.
pub(super) const WELL: &[Series] = &[
    (BUILD, "1x180"),
    (MISSING, "3x180"),
    (r#"guard_assertion_failures_total{namespace="immich-edge",pod="guard-0",cause="expired"}"#, "0+0.1x180"),
    (KEY_AGE, "300x180"),
    (r#"guard_jwks_fetches_total{namespace="immich-edge",pod="guard-0",result="ok"}"#, "0+0.1x180"),
    (KEY_FAILURES, "2x180"),
    (UNAUTHORIZED, "0+1x180"),
    (OVERLOADED, "4x180"),
    (RESERVED, "10000000x180"),
    (r#"guard_memory_budget_bytes{namespace="immich-edge",pod="guard-0"}"#, "64000000x180"),
    (CONNECT, "3x180"),
    (r#"guard_upstream_errors_total{namespace="immich-edge",pod="guard-0",kind="retried"}"#, "0+1x180"),
    (TOKEN, "2000x180"),
    (CONNECTIONS, "4x180"),
    (r#"cloudflared_tunnel_response_by_code{namespace="immich-edge",pod="cloudflared-0",status_code="200"}"#, "0+60x180"),
    (STATUS_502, "0+0.1x180"),
    (AVAILABLE, "1x180"),
    (READY, "1x180"),
    (EXIT_CODE, "41x180"),
    (BACKUP, "0x180"),
    (r#"kube_cronjob_created{namespace="immich",cronjob="immich-db-backup"}"#, "-9000000x180"),
    (DRILL, "0x180"),
    (FREE, "50x180"),
    (r#"node_filesystem_size_bytes{instance="home",mountpoint="/",fstype="ext4"}"#, "100x180"),
    (READ_ONLY, "0x180"),
    (PRESSURE, "0x180"),
    (CERTIFICATE, "9000000x180"),
    (PROBE, "9000000x180"),
    (RESTARTS, "1x180"),
    (
        r#"kube_pod_container_status_last_terminated_reason{namespace="immich",pod="server-0",container="server",reason="OOMKilled"}"#,
        "1x180",
    ),
];

const BUILD: &str = r#"guard_build_info{namespace="immich-edge",pod="guard-0",version="0.1.0"}"#;
const MISSING: &str = r#"guard_assertion_failures_total{namespace="immich-edge",pod="guard-0",cause="missing"}"#;
const KEY_AGE: &str = r#"guard_jwks_age_seconds{namespace="immich-edge",pod="guard-0"}"#;
const KEY_FAILURES: &str = r#"guard_jwks_fetches_total{namespace="immich-edge",pod="guard-0",result="failed"}"#;
const UNAUTHORIZED: &str = r#"guard_refusals_total{namespace="immich-edge",pod="guard-0",reason="unauthorized"}"#;
const OVERLOADED: &str = r#"guard_refusals_total{namespace="immich-edge",pod="guard-0",reason="overloaded"}"#;
const RESERVED: &str = r#"guard_memory_reserved_bytes{namespace="immich-edge",pod="guard-0"}"#;
const CONNECT: &str = r#"guard_upstream_errors_total{namespace="immich-edge",pod="guard-0",kind="connect"}"#;
const TOKEN: &str = r#"guard_idtoken_seconds_to_expiry{namespace="immich",pod="idtoken-0",audience="https://ml.example.com"}"#;
const CONNECTIONS: &str =
    r#"cloudflared_tunnel_ha_connections{namespace="immich-edge",pod="cloudflared-0",container="cloudflared"}"#;
const STATUS_502: &str = r#"cloudflared_tunnel_response_by_code{namespace="immich-edge",pod="cloudflared-0",status_code="502"}"#;
const AVAILABLE: &str = r#"kube_deployment_status_replicas_available{namespace="immich",deployment="immich-server"}"#;
const READY: &str = r#"kube_pod_status_ready{namespace="immich",pod="server-0",condition="true"}"#;
const EXIT_CODE: &str =
    r#"kube_pod_container_status_last_terminated_exitcode{namespace="immich",pod="server-0",container="server"}"#;
const GATE: &str = r#"kube_pod_init_container_status_waiting_reason{namespace="immich",pod="server-0",container="nas-gate",reason="CrashLoopBackOff"}"#;
const WAITING: &str = r#"kube_pod_container_status_waiting_reason{namespace="immich",pod="server-0",container="server",reason="ContainerCreating"}"#;
const BACKUP: &str = r#"kube_cronjob_status_last_successful_time{namespace="immich",cronjob="immich-db-backup"}"#;
const DRILL: &str = r#"kube_cronjob_status_last_successful_time{namespace="immich",cronjob="immich-db-restore-drill"}"#;
const FREE: &str = r#"node_filesystem_avail_bytes{instance="home",mountpoint="/",fstype="ext4"}"#;
const READ_ONLY: &str = r#"node_filesystem_readonly{instance="home",mountpoint="/",fstype="ext4"}"#;
const PRESSURE: &str = r#"kube_node_status_condition{node="home",condition="DiskPressure",status="true"}"#;
const CERTIFICATE: &str = r#"certmanager_certificate_expiration_timestamp_seconds{namespace="immich",name="photos"}"#;
const PROBE: &str = r#"probe_ssl_earliest_cert_expiry{instance="https://photos.example.com"}"#;
const RESTARTS: &str = r#"kube_pod_container_status_restarts_total{namespace="immich",pod="server-0",container="server"}"#;

/// Each way in which a home breaks, or looks as if it did.
pub(super) const BROKEN: &[Broken] = &[
    broken("the Access application is gone", &[(MISSING, "3+2x180")], &["ImmichNotGated"]),
    broken("the internet connection is gone", &[(CONNECTIONS, "0x180")], &["ImmichTunnelDown"]),
    broken("cloudflared does not run", &[(CONNECTIONS, "")], &["ImmichTunnelDown"]),
    broken("three of four connections are gone", &[(CONNECTIONS, "1x180")], &["ImmichTunnelUnsteady"]),
    broken("Immich answers with errors", &[(STATUS_502, "0+10x180")], &["ImmichServerErrors"]),
    broken("guard does not start", &[(BUILD, "")], &["GuardDown"]),
    broken("no key set since three hours", &[(KEY_AGE, "0+60x180")], &["GuardKeySetOld"]),
    broken("no key set since the start", &[(KEY_AGE, "-1x180"), (KEY_FAILURES, "0+2x180")], &["GuardKeySetMissing"]),
    broken("a front door without a key set is well", &[(KEY_AGE, "-1x180"), (KEY_FAILURES, "0x180")], &[]),
    broken("somebody tries", &[(UNAUTHORIZED, "0+1x150 150+100x30")], &["GuardRefusalsUnusual"]),
    broken("a few more refusals than yesterday are well", &[(UNAUTHORIZED, "0+1x150 150+5x30")], &[]),
    broken("many connections", &[(RESERVED, "60000000x180")], &["GuardNearItsLimit"]),
    broken("too many connections", &[(OVERLOADED, "4+1x180")], &["GuardNearItsLimit"]),
    broken("Google refuses the exchange", &[(TOKEN, "3600-60x180")], &["IdtokenTokenNearItsEnd"]),
    broken("guard does not reach Immich", &[(CONNECT, "3+2x180")], &["ImmichUnreachable"]),
    broken("the database is away", &[(AVAILABLE, "0x180"), (READY, "0x180"), (EXIT_CODE, "1x180")], &["ImmichServerNotReady"]),
    broken("the NAS is away", &[(AVAILABLE, "0x180"), (READY, "0x180")], &["ImmichServerNotReady", "NasGone"]),
    broken(
        "the NAS is away at the start",
        &[(AVAILABLE, "0x180"), (READY, "0x180"), (EXIT_CODE, ""), (GATE, "1x180")],
        &["ImmichServerNotReady", "NasGone"],
    ),
    broken(
        "the NAS hangs",
        &[(AVAILABLE, "0x180"), (READY, "0x180"), (EXIT_CODE, ""), (WAITING, "1x180")],
        &["ImmichServerNotReady", "NasHangs"],
    ),
    broken("the backup fails", &[(BACKUP, "-120000x180")], &["BackupOld"]),
    broken("no backup has ever succeeded", &[(BACKUP, "")], &["BackupOld"]),
    broken("no backup was restored", &[(DRILL, "-860000x180")], &["RestoreDrillOld"]),
    broken("a disk fills up", &[(FREE, "3x180")], &["DiskFull"]),
    broken("a full disk that is read-only is well", &[(FREE, "0x180"), (READ_ONLY, "1x180")], &[]),
    broken("the node ends pods", &[(PRESSURE, "1x180")], &["NodeDiskPressure"]),
    broken("cert-manager does not renew", &[(CERTIFICATE, "1000000x180")], &["CertificateNearItsEnd"]),
    broken("a certificate of its own ends", &[(PROBE, "1000000x180")], &["CertificateNearItsEnd"]),
    broken("too little memory", &[(RESTARTS, "1x150 2x30")], &["ContainerOutOfMemory"]),
    broken("a container restarts and restarts", &[(RESTARTS, "1+0.1x180")], &["ContainerOutOfMemory", "ContainerRestarts"]),
];

const fn broken(name: &'static str, series: &'static [Series], alerts: &'static [&'static str]) -> Broken {
    Broken { name, series, alerts }
}
