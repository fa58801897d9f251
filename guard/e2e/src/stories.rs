//! The stories (end-to-end tests), in the order in which they run. Each starts from the state that the one before it left.

mod components;
mod doctor;
mod edges;
pub(crate) mod home;
pub(crate) mod init;
mod life;
mod source;

use std::pin::Pin;

use anyhow::Result;

use crate::World;

/// The programs that must be in `tools/bin`.
pub(crate) const TOOLS: [&str; 9] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kustomize",
    "kustomize-controller",
    "kwok",
    "source-controller",
];

type Told<'w> = Pin<Box<dyn Future<Output = Result<String>> + 'w>>;

/// A story: one end-to-end test.
pub(crate) struct Story {
    /// What the story shows.
    pub title: &'static str,
    /// Whether other stories need its result.
    pub needed: bool,
    tell: for<'w> fn(&'w mut World) -> Told<'w>,
}

impl Story {
    /// Runs the story. Returns a short remark about the result, or an error that says what is wrong.
    pub(crate) async fn tell(&self, world: &mut World) -> Result<String> {
        (self.tell)(world).await
    }
}

macro_rules! story {
    ($title:literal, $path:path) => {
        Story { title: $title, needed: false, tell: |world| Box::pin($path(world)) }
    };
    ($title:literal, $path:path, needed) => {
        Story { title: $title, needed: true, tell: |world| Box::pin($path(world)) }
    };
}

/// All stories.
pub(crate) const ALL: &[Story] = &[
    story!("doctor: a cluster without a home, and none at all", doctor::before::no_home),
    story!("an unedited home is stopped before a pod exists", home::unedited),
    story!("without Flux: kubectl apply -k gives every object as rendered", home::plain, needed),
    story!("with Flux: it takes over, every object as rendered, nothing made anew", home::handover, needed),
    story!("a placeholder that the patch missed is refused, and the status says which", edges::missed_placeholder),
    story!("only what .sourceignore lets through is fetched", source::ignored),
    story!("a Git server that is away leaves the last good state, and is caught up with", source::away),
    story!("a hand edit is put back", life::drift),
    story!("the private path survives reconciles, a commit and a restart of Flux", life::private_path),
    story!("a broken manifest leaves what runs, and the status says why", life::broken),
    story!("what a commit removes is pruned, a namespace never", life::prune),
    story!("an upgrade of Immich is one commit, and never runs two servers", life::upgrade),
    story!("the pods of the edge get nothing of the node", edges::pod_security),
    story!("no other pod mounts directories of the node", edges::hostpaths),
    story!("a second way in is refused by quota", edges::quota),
    story!("the API server accepts everything without a warning, but for hostPath", edges::warnings),
    story!("our service accounts may do nothing", edges::rbac),
    story!("the components reconcile, and leave again", components::all),
    story!("doctor: the Secrets are broken", doctor::secrets::broken),
    story!("doctor: Flux is broken", doctor::flux::broken),
    story!("doctor: what was applied is broken", doctor::workloads::broken),
    story!("doctor: an overlay is not fit to be applied", doctor::before::overlays),
    story!("with the rights of this home only, Flux applies it and nothing beside it", home::own_rights),
    story!("leaving Flux leaves everything running, and coming back changes nothing", home::leave_and_return),
    story!("guardctl init makes a home from a clean clone, and Flux applies what it wrote", init::from_a_clean_clone),
    story!(
        "guardctl init in a terminal: wrong answers are asked again, no secret is shown or kept",
        init::terminal::wrong_answers
    ),
    story!("guardctl init is left by Ctrl-C or Ctrl-D at each question, and a second run goes on", init::terminal::left),
    story!(
        "guardctl init is killed before and after each request that writes: nothing is torn or doubled",
        init::abort::at_each_write
    ),
];
