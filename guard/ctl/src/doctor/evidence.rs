//! Everything that the checks look at, collected once. The checks are functions of it, so that a recorded home can be checked like a real one.
//!
//! It holds no secret: of a Secret only the names of its keys, and facts about each value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The result of one look.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look<T> {
    /// This was found.
    Found(T),
    /// It failed, for this reason.
    Failed(String),
    /// Nobody looked.
    #[default]
    Skipped,
}

impl<T> Look<T> {
    /// What was found.
    pub const fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The version of the API server.
    pub api: Look<String>,
    /// Objects by kind: `Node`, `Namespace`, `Deployment`, `Pod`, `Event`, `CronJob`, `ConfigMap`, `NetworkPolicy`, `GitRepository`, `Kustomization`.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// Kinds that could not be listed, and why.
    pub unreadable: BTreeMap<String, String>,
    /// The Secrets of both namespaces, by `namespace/name`.
    pub secrets: BTreeMap<String, BTreeMap<String, KeyFacts>>,
    /// The last lines of containers that do not run well, by `pod/container`.
    pub logs: BTreeMap<String, String>,
    /// cloudflared.
    pub tunnel: Look<Tunnel>,
    /// guard's readiness, as its admin port says.
    pub guard_ready: Look<String>,
    /// guard's metrics that checks read.
    pub guard_metrics: BTreeMap<String, f64>,
    /// The public host name.
    pub host: Option<String>,
    /// The addresses of the public host name, as this computer's resolver says.
    pub addresses: Look<Vec<String>>,
    /// The addresses of the public host name, A and AAAA, as each public resolver says.
    pub public_addresses: BTreeMap<String, Look<Vec<String>>>,
    /// The addresses of the name at home (the host of `LAN_URL`), where that is a name.
    pub lan_addresses: Look<Vec<String>>,
    /// The answer from outside to a request without a token.
    pub edge: Look<EdgeAnswer>,
    /// The answer from outside to a request with a phone's token.
    pub phone: Look<EdgeAnswer>,
    /// The status of a WebSocket from outside with a phone's token; 101 is right.
    pub websocket: Look<u16>,
    /// The last lines of Immich's server, where it runs.
    pub server_log: String,
    /// The commit in this folder, where it is a clone of the home's repository.
    pub head: Option<String>,
    /// What is on this computer.
    pub local: Look<Local>,
    /// The number of keys at the team's address.
    pub team_keys: Look<usize>,
    /// The status of Immich at its address in the LAN.
    pub lan: Look<u16>,
    /// The seconds by which this computer's clock is ahead of the API server's.
    pub clock_api: Option<i64>,
    /// The seconds by which this computer's clock is ahead of Cloudflare's.
    pub clock_edge: Option<i64>,
}

/// Facts about one value of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyFacts {
    /// Its length, in bytes.
    pub bytes: usize,
    /// It begins or ends with white space.
    pub has_space: bool,
    /// What it says, where it is no secret (the team, the audience, the host name).
    pub public: Option<String>,
    /// Whether it has the form of a tunnel's token; none for other keys.
    pub is_tunnel_token: Option<bool>,
}

/// What cloudflared says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tunnel {
    /// Its connections to Cloudflare.
    pub connections: u64,
    /// The version of the configuration in force; above -1, it comes from the dashboard.
    pub config_version: i64,
    /// The services of the configuration in force.
    pub services: Vec<String>,
}

/// An answer from outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeAnswer {
    /// Its status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `Guard-Refusal`.
    pub refusal: Option<String>,
    /// `cf-mitigated`.
    pub mitigated: Option<String>,
}

/// What is on this computer: the tools and the overlay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Local {
    /// The folder of the overlay.
    pub overlay: String,
    /// Whether it is there.
    pub is_there: bool,
    /// The versions of the tools, by name.
    pub tools: BTreeMap<String, String>,
    /// The number of objects that the overlay renders.
    pub render: Look<usize>,
    /// The policies that the render breaks.
    pub findings: Vec<LintFinding>,
    /// The name of the node for the server and the database.
    pub nodes: Vec<String>,
    /// The directory of the photos, as given.
    pub library: Option<String>,
    /// The directory of the database, as given.
    pub database: Option<String>,
    /// The file system below the photos, where this computer is the node: type and source.
    pub mount: Option<(String, String)>,
    /// The storage classes that volumes of the render ask for; an empty name asks for the default one.
    pub storage_classes: Vec<String>,
    /// Files of the overlay that Git tracks.
    pub tracked: Vec<String>,
}

/// A policy that the render breaks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LintFinding {
    /// The policy.
    pub id: String,
    /// Whether it fails the lint.
    pub is_error: bool,
    /// What was found, where, and what is wanted.
    pub text: String,
}

impl Evidence {
    /// The objects of a kind.
    pub fn all<'e>(&'e self, kind: &str) -> impl Iterator<Item = &'e Value> {
        self.objects.get(kind).into_iter().flatten()
    }

    /// One object.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.all(kind).find(|object| {
            object["metadata"]["name"] == name && (namespace.is_empty() || object["metadata"]["namespace"] == namespace)
        })
    }

    /// The pods of a workload: those with its name as label.
    pub fn pods_of<'e>(&'e self, namespace: &'e str, name: &'e str) -> impl Iterator<Item = &'e Value> {
        self.all("Pod").filter(move |pod| {
            pod["metadata"]["namespace"] == namespace
                && pod["metadata"]["labels"]["app.kubernetes.io/name"] == name
                && pod["metadata"]["deletionTimestamp"].is_null()
        })
    }

    /// The messages of a pod's warning events, the newest last.
    pub fn warnings<'e>(&'e self, pod: &'e Value) -> impl Iterator<Item = &'e str> {
        self.all("Event")
            .filter(|event| event["type"] == "Warning" && event["involvedObject"]["name"] == pod["metadata"]["name"])
            .filter_map(|event| event["message"].as_str())
    }

    /// A public value of the Secret of guard.
    pub fn edge_value(&self, key: &str) -> Option<&str> {
        self.secrets.get("immich-edge/immich-edge")?.get(key)?.public.as_deref()
    }
}
