//! Flux that cannot fetch, may not, or cannot apply.

use anyhow::{Result, ensure};

use super::{HOST, Homes, put_back};
use crate::World;
use crate::flux::reconcile;

const SUSPEND: &str = r#"{"spec":{"suspend":true}}"#;

/// The whole story.
pub(in super::super) async fn broken(world: &mut World) -> Result<String> {
    let mut homes = Homes::with_secrets(world)?;
    homes.patch("flux-system", "kustomization/home", SUSPEND)?;
    homes.cured("Flux is suspended", "GD-FLUX-02", &[])?;
    homes.patch("flux-system", "gitrepository/home", SUSPEND)?;
    homes.cured("the source is suspended", "GD-FLUX-02", &[])?;

    let url = homes.world.forge.url();
    let source = |homes: &Homes<'_>, url: &str| {
        homes.patch("flux-system", "gitrepository/home", &format!("{{\"spec\":{{\"url\":\"{url}\"}}}}"))
    };
    source(&homes, &format!("{url}-of-another"))?;
    homes.kubectl(&["-n", "flux-system", "wait", "gitrepository/home", "--for=condition=Ready=false", "--timeout=60s"])?;
    let fix = homes.named("a repository that is not there", &["GD-FLUX-01"])?;
    // Which URL is right, only its owner knows.
    source(&homes, &url)?;
    homes.cure(&fix, &[])?;
    homes.well()?;

    homes.world.repo.edit("clusters/home/kustomization.yaml", "components: []", "components: [../../apps/components/none]")?;
    let commit = homes.world.repo.commit("A component that is none")?;
    let status = reconcile(homes.world, &commit).await?;
    ensure!(crate::flux::ready(&status) == "False", "Flux applied a component that is none");
    homes.named("a commit that cannot be built", &["GD-FLUX-03"])?;
    let commit = homes.world.repo.revert()?;
    homes.world.applied(&commit).await?;
    homes.well()?;

    // The objects of Flux are in no path that Flux applies.
    homes.kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
    homes.kubectl(&["-n", "immich", "delete", "deploy/immich-redis"])?;
    let fix = homes.named("the objects of Flux and a deployment were deleted", &["GD-POD-01"])?;
    homes.cure(&fix, &[])?;
    put_back(&homes).await?;
    homes.well()?;

    homes.patch("flux-system", "kustomization/home", SUSPEND)?;
    homes.patch("immich-edge", "secret/immich-edge", "{\"data\":{\"EXTERNAL_HOST\":null}}")?;
    homes.named("two causes at once: Flux is suspended, and a key is missing", &["GD-FLUX-02", "GD-SECRET-03"])?;
    homes.patch("immich-edge", "secret/immich-edge", &format!("{{\"stringData\":{{\"EXTERNAL_HOST\":\"{HOST}\"}}}}"))?;
    homes.cured("the one that is left of them", "GD-FLUX-02", &[])?;
    Ok(homes.end())
}
