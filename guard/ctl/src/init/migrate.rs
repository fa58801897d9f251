//! `--from-dump`: the dump of another Immich is restored into this home's database before the server starts. The order is that of docs/migrate.md:
//! photos, database alone, restore, compare; the rest is applied after it. A run after an abort finds out again what is done: the restore is one
//! transaction, so the database has the whole dump or nothing of it.

mod database;
mod sql;
mod state;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::Run;
use super::answers::Answers;
use super::find::OVERLAY;
use super::sentinel::quoted;
use crate::dump::{self, Dump, report};
use crate::terminal::Progress;
use state::State;

/// The dump of another Immich, which can be restored here.
pub(crate) struct Move {
    path: PathBuf,
    dump: Dump,
}

impl Move {
    /// Reads a dump. What stands against it is an error.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let _progress = Progress::start("reading the dump");
        let dump = dump::read(path)?;
        let problems = dump::problems(&dump);
        ensure!(
            problems.is_empty(),
            "{} cannot be restored here, and nothing was changed\n{}",
            path.display(),
            report::about(&dump, &problems).trim_end()
        );
        Ok(Self { path: path.to_owned(), dump })
    }

    /// What is in it, as `guardctl dump inspect` says it.
    pub(crate) fn about(&self) -> String {
        report::about(&self.dump, &[])
    }

    /// What is going to be done, in its order.
    pub(crate) fn plan(&self, answers: &Answers) -> String {
        format!(
            "From the dump, in this order\n\
             \x20 + the photos: you copy them into {} on {}\n\
             \x20 + the database alone: applied, and waited for; it must be empty\n\
             \x20 + {}: restored as one transaction, which is committed only if each table has the rows of the dump\n\
             \x20 + the rest of the home",
            answers.photos,
            answers.node,
            self.path.display()
        )
    }

    /// How the photos get there.
    fn photos(&self, answers: &Answers) -> String {
        let photos = quoted(&answers.photos);
        let version = self.dump.immich.as_deref().map_or_else(String::new, |version| format!(", which ran Immich {version}"));
        format!(
            "\nThe photos. On the old machine, stop the server{version}: docker stop immich_server\n\
             On {}, copy everything below the old UPLOAD_LOCATION:\n  \
               sudo rsync -aH --info=progress2 OLD:/path/of/UPLOAD_LOCATION/ {photos}/\n  \
               sudo chown -R 1000:1000 {photos}",
            answers.node
        )
    }
}

impl Run<'_> {
    /// Brings the dump into the database. `false` if the photos are still to be copied.
    pub(super) fn migrate(&mut self, answers: &Answers) -> Result<bool> {
        let Some(moving) = self.moving.take() else { return Ok(true) };
        println!("{}", moving.photos(answers));
        if !self.agrees("This program cannot see them. Are they all there?", self.args.yes)? {
            println!("\nLater: {} goes on from here. Nothing was restored.", self.args.again());
            return Ok(false);
        }
        println!("… the database alone");
        database::apply_alone(&self.cluster, OVERLAY)?;
        let found = database::look(&self.cluster)?;
        match state::judge(&found, &moving.dump) {
            State::Restored => println!("✓ the dump: restored already, {}", found.told()),
            State::Other(why) => bail!("{why}"),
            State::Empty => {
                if let Some(why) = self.in_the_way()? {
                    bail!("{why}");
                }
                println!("… the dump: {}", moving.path.display());
                let restored = database::restore(&self.cluster, &moving.path, &moving.dump);
                let found = database::look(&self.cluster);
                let found = state::outcome(restored, found, &moving.dump).with_context(|| moving.path.display().to_string())?;
                println!("✓ the dump: restored, each table has the rows of the dump: {}", found.told());
            }
        }
        println!(
            "  To go back: docker start immich_server. It has its database and its photos; what is uploaded here from now on is here only."
        );
        Ok(true)
    }

    /// What would write into an empty database during the restore.
    fn in_the_way(&self) -> Result<Option<String>> {
        if self.cluster.field("immich", "deployment/immich-server", "{.spec.replicas}")?.is_some_and(|it| it != "0") {
            return Ok(Some(
                "Immich's server is in the cluster already, and makes its tables whenever it starts; wanted the database alone: \
                 docs/migrate.md, \"The database is not empty\""
                    .to_owned(),
            ));
        }
        let home = "kustomization.kustomize.toolkit.fluxcd.io/home";
        let is_active =
            self.has_flux && self.cluster.field("flux-system", home, "{.spec.suspend}")?.is_some_and(|it| it != "true");
        Ok(is_active.then(|| {
            "Flux applies this home already, and would start the server during the restore: flux suspend kustomization home; \
             afterwards: flux resume kustomization home"
                .to_owned()
        }))
    }
}
