//! The rows and panels of the dashboard. `cargo test -p guard --test monitoring` says which metric of guard is missing here.

use super::{Form, Panel, Row};

/// A number that is green from `from`.
const fn good_from(from: f64) -> Form {
    Form::Number { from, is_large_good: true }
}

/// A number that is red from `from`.
const fn bad_from(from: f64) -> Form {
    Form::Number { from, is_large_good: false }
}

/// The rows, from top to bottom: the path of a request from outside to inside, then the rest.
pub const ROWS: &[Row] = &[
    Row {
        title: "Is it well?",
        panels: &[
            Panel {
                title: "Connections to Cloudflare",
                description: "4 for each pod of cloudflared. 0: nobody reaches the photos from outside.",
                unit: "none",
                form: good_from(1.0),
                queries: &[(r#"sum(cloudflared_tunnel_ha_connections{namespace="immich-edge", container="cloudflared"})"#, "")],
            },
            Panel {
                title: "Requests without an assertion, 15 min",
                description: "0. Many mean that the hostname is not gated: strangers reach guard.",
                unit: "none",
                form: bad_from(5.0),
                queries: &[(r#"sum(increase(guard_assertion_failures_total{cause="missing"}[15m]))"#, "")],
            },
            Panel {
                title: "Age of the key set",
                description: "Below 11 minutes. At 24 h guard refuses everybody. -1: no key set yet, or a front door without one.",
                unit: "s",
                form: bad_from(7200.0),
                queries: &[("max(guard_jwks_age_seconds)", "")],
            },
            Panel {
                title: "guard to Immich, errors, 15 min",
                description: "0. Connections to Immich that failed.",
                unit: "none",
                form: bad_from(1.0),
                queries: &[(
                    r#"sum(increase(guard_upstream_errors_total{kind=~"connect|timeout", namespace="immich-edge"}[15m]))"#,
                    "",
                )],
            },
            Panel {
                title: "Immich is ready",
                description: "1. 0 while the NAS or the database is away.",
                unit: "none",
                form: good_from(1.0),
                queries: &[(r#"kube_deployment_status_replicas_available{namespace="immich", deployment="immich-server"}"#, "")],
            },
            Panel {
                title: "Age of the newest backup",
                description: "Below a day and a half. No data: the component db-backup is off.",
                unit: "s",
                form: bad_from(129_600.0),
                queries: &[(
                    r#"time() - max(kube_cronjob_status_last_successful_time{namespace="immich", cronjob="immich-db-backup"})"#,
                    "",
                )],
            },
        ],
    },
    Row {
        title: "Requests",
        panels: &[
            Panel {
                title: "Requests by decision",
                description: "What guard did with each request.",
                unit: "reqps",
                form: Form::Lines,
                queries: &[("sum by (decision) (rate(guard_requests_total[5m]))", "{{decision}}")],
            },
            Panel {
                title: "Time to the end of the response",
                description: "From the end of the request's head. Large downloads and uploads take long, and that is right.",
                unit: "s",
                form: Form::Lines,
                queries: &[
                    ("histogram_quantile(0.5, sum by (le) (rate(guard_request_duration_seconds_bucket[5m])))", "half"),
                    ("histogram_quantile(0.99, sum by (le) (rate(guard_request_duration_seconds_bucket[5m])))", "99 of 100"),
                ],
            },
            Panel {
                title: "Bytes",
                description: "Bodies through guard.",
                unit: "Bps",
                form: Form::Lines,
                queries: &[
                    ("sum(rate(guard_request_body_bytes_total[5m]))", "to Immich"),
                    ("sum(rate(guard_response_body_bytes_total[5m]))", "to clients"),
                    ("sum(rate(guard_upload_bytes_total[5m]))", "large uploads"),
                ],
            },
        ],
    },
    Row {
        title: "Refusals",
        panels: &[
            Panel {
                title: "Refusals by reason",
                description: "troubleshooting.md has a section for each reason.",
                unit: "reqps",
                form: Form::Lines,
                queries: &[("sum by (reason) (rate(guard_refusals_total[5m])) > 0", "{{reason}}")],
            },
            Panel {
                title: "Refused assertions by cause",
                description: "expired for everybody at once: a clock. unknown-key: the key set.",
                unit: "reqps",
                form: Form::Lines,
                queries: &[("sum by (cause) (rate(guard_assertion_failures_total[5m])) > 0", "{{cause}}")],
            },
            Panel {
                title: "Requests to the auth server",
                description: "For the front door forward-auth only.",
                unit: "reqps",
                form: Form::Lines,
                queries: &[("sum by (result) (rate(guard_auth_requests_total[5m]))", "{{result}}")],
            },
        ],
    },
    Row {
        title: "guard",
        panels: &[
            Panel {
                title: "Now open",
                description: "Connections, requests in flight, tunnels (WebSockets) and large uploads.",
                unit: "none",
                form: Form::Lines,
                queries: &[
                    ("sum(guard_open_connections)", "connections"),
                    ("sum(guard_inflight_requests)", "requests"),
                    ("sum(guard_open_tunnels)", "tunnels"),
                    ("sum(guard_open_uploads)", "large uploads"),
                ],
            },
            Panel {
                title: "Memory budget",
                description: "Reserved by connections and requests. At the budget, idle connections give way, then new work gets 503.",
                unit: "bytes",
                form: Form::Lines,
                queries: &[("sum(guard_memory_reserved_bytes)", "reserved"), ("sum(guard_memory_budget_bytes)", "budget")],
            },
            Panel {
                title: "Connections that gave way",
                description: "Idle connections closed to make room, since the start.",
                unit: "none",
                form: Form::Lines,
                queries: &[("sum(guard_evicted_connections)", "closed")],
            },
            Panel {
                title: "Large uploads that ended",
                description: "By result, in an hour.",
                unit: "none",
                form: Form::Lines,
                queries: &[("sum by (result) (increase(guard_uploads_total[1h]))", "{{result}}")],
            },
        ],
    },
    Row {
        title: "Keys and tokens",
        panels: &[
            Panel {
                title: "Fetches of the key set",
                description: "6 in an hour, and none failed.",
                unit: "none",
                form: Form::Lines,
                queries: &[("sum by (result) (increase(guard_jwks_fetches_total[1h]))", "{{result}}")],
            },
            Panel {
                title: "Keys in the set",
                description: "Cloudflare has 2 at most times.",
                unit: "none",
                form: Form::Lines,
                queries: &[("max(guard_jwks_keys)", "keys")],
            },
            Panel {
                title: "Life left of identity tokens",
                description: "For machine learning on Cloud Run. It goes down for an hour, then up again.",
                unit: "s",
                form: Form::Lines,
                queries: &[("min by (audience) (guard_idtoken_seconds_to_expiry)", "{{audience}}")],
            },
            Panel {
                title: "Fetches of identity tokens, cold starts",
                description: "In an hour.",
                unit: "none",
                form: Form::Lines,
                queries: &[
                    ("sum by (source, result) (increase(guard_idtoken_fetches_total[1h]))", "{{source}} {{result}}"),
                    ("sum(increase(guard_idtoken_retries_total[1h]))", "sent again after a cold start"),
                ],
            },
        ],
    },
    Row {
        title: "The tunnel and the home",
        panels: &[
            Panel {
                title: "Responses at the tunnel by status",
                description: "What people outside got, from guard and from Immich.",
                unit: "reqps",
                form: Form::Lines,
                queries: &[(
                    r#"sum by (status_code) (rate(cloudflared_tunnel_response_by_code{namespace="immich-edge"}[5m])) > 0"#,
                    "{{status_code}}",
                )],
            },
            Panel {
                title: "Disks, free",
                description: "Needs node-exporter.",
                unit: "percentunit",
                form: Form::Lines,
                queries: &[(
                    r#"node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|autofs"} / node_filesystem_size_bytes"#,
                    "{{instance}} {{mountpoint}}",
                )],
            },
            Panel {
                title: "Restarts in an hour, and the version of guard",
                description: "Needs kube-state-metrics.",
                unit: "none",
                form: Form::Lines,
                queries: &[
                    (
                        r#"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{namespace=~"immich|immich-edge"}[1h])) > 0"#,
                        "{{pod}} {{container}}",
                    ),
                    ("count by (version) (guard_build_info)", "guard {{version}}"),
                ],
            },
        ],
    },
];
