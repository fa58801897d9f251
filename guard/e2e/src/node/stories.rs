//! The stories of the node, in the order in which they run. Each starts from the state that the one before it left.

mod components;
mod doctor;
mod first_photo;
mod init;
mod limits;
mod load;
mod matrix;
mod migrate;
mod nas;
mod other_doors;
mod power_cut;
mod quickstart;
mod rollout;
mod two_nodes;
mod upgrade;

use std::pin::Pin;
use std::time::Instant;

use anyhow::Result;

use super::Home;
use crate::telling::Telling;

/// The programs that must be in `tools/bin`.
pub(super) const TOOLS: [&str; 13] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kube-router",
    "kube-network-policies",
    "kustomize",
    "kustomize-controller",
    "source-controller",
];

pub(crate) use quickstart::terminal::Effort;

type Told<'h> = Pin<Box<dyn Future<Output = Result<String>> + 'h>>;

struct Story {
    title: &'static str,
    /// Whether the others need what it leaves.
    needed: bool,
    tell: for<'h> fn(&'h mut Home) -> Told<'h>,
}

macro_rules! story {
    ($title:literal, $path:path) => {
        Story { title: $title, needed: false, tell: |home| Box::pin($path(home)) }
    };
    ($title:literal, $path:path, needed) => {
        Story { title: $title, needed: true, tell: |home| Box::pin($path(home)) }
    };
}

const ALL: &[Story] = &[
    story!("the long quickstart, typed in a terminal: each command as it is printed", quickstart::long::typed),
    story!("the short quickstart, typed in a terminal: from a clean clone to the first photo", quickstart::short::typed),
    story!("guardctl init: a Job on the node gives the NAS its id", init::sentinel),
    story!("guardctl init --from-dump: another Immich's database enters before the server starts", migrate::from_dump),
    story!("from `git push` to a home that is Ready", first_photo::applied, needed),
    story!("a photo enters by the tunnel, and lies on the NAS", first_photo::by_tunnel),
    story!("a photo enters from the LAN", first_photo::by_lan),
    story!("who may talk to whom: as docs/network.md says, by kube-router", matrix::by_kube_router),
    story!("who may talk to whom: as docs/network.md says, by kube-network-policies", matrix::by_kube_network_policies),
    story!("the NAS is pulled while Immich runs", nas::pulled),
    story!("the NAS is away when Immich starts", nas::away_at_start),
    story!("the NAS hangs", nas::hung),
    story!("the NAS has forgotten the mount", nas::stale),
    story!("another disk is mounted in its place", nas::swapped),
    story!("the power fails in mid-upload, and the NAS is a minute late", power_cut::heals),
    story!("rolling restarts under load", rollout::under_load),
    story!("every part gets a new version in one commit", upgrade::to_new_versions),
    story!("requests fit a small node", limits::small_node),
    story!("many large uploads at once", limits::large_uploads),
    story!("each container is killed once, as without memory", limits::killed),
    story!("the backup and its drill, on a second disk", components::db_backup),
    story!("machine learning on Cloud Run", components::cloud_run),
    story!("share links and Authentik, switched on: their ways and their packets", other_doors::share_links_and_authentik),
    story!("two machines: one is drained under load, and Immich moves by NFS", two_nodes::drained),
    story!("doctor: a healthy home is told in one line, and nothing reachable within 5 s", doctor::healthy),
    story!("doctor: the NAS is away, another one, read-only, full, hangs", doctor::disks::broken),
    story!("doctor: the database and the cache are broken", doctor::database::broken),
    story!("doctor: guard, the tunnel and Flux are broken", doctor::edge::broken),
];

/// Tells all stories, or those whose title contains one of the words. Returns whether all were true.
pub(super) async fn tell(home: &mut Home, words: &[String]) -> Result<bool> {
    let mut telling = Telling::new(words);
    for story in ALL {
        if !telling.wants(story.title, story.needed) {
            continue;
        }
        let start = Instant::now();
        let outcome = match (story.tell)(home).await {
            Ok(said) => home.alive().map(|()| said),
            Err(error) => Err(error.context(home.state_of_pods())),
        };
        if !telling.told(story.title, start, outcome) {
            break;
        }
    }
    telling.end();
    Ok(telling.all_true())
}
