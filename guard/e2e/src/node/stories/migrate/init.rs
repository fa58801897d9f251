//! How the story runs `guardctl init`: its clone, its answers, its dumps, and a kubectl that notes each restore and may abort one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

use super::{BACKUP, COMPOSE, DATA, text};
use crate::NODE;
use crate::node::{Home, LIBRARY};
use crate::process::run;

/// `guardctl init` for this home, and what it is given.
pub(super) struct Init {
    pub(super) tree: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) answers: PathBuf,
    pub(super) compose: PathBuf,
    pub(super) backup: PathBuf,
    kubeconfig: PathBuf,
    bin: PathBuf,
    nas_id: String,
}

impl Init {
    pub(super) fn new(home: &Home) -> Result<Self> {
        let folder = home.dir.join("migrate");
        fs::create_dir_all(&folder)?;
        let [compose, backup] = ["compose.sql", "backup.sql"].map(|name| folder.join(name));
        fs::write(&compose, COMPOSE)?;
        fs::write(&backup, BACKUP)?;
        run(Command::new("gzip").arg(&backup))?;
        let kubectl = folder.join("kubectl");
        fs::write(&kubectl, include_str!("kubectl.sh"))?;
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?;
        let init = Self {
            tree: home.world.repo.tree.clone(),
            answers: folder.join("answers.toml"),
            compose,
            backup: backup.with_extension("sql.gz"),
            kubeconfig: home.world.cluster.kubeconfig.clone(),
            bin: home.world.cluster.bin.clone(),
            nas_id: home.nas_id.clone(),
            folder,
        };
        init.answer("none", "host = \"none\"\n")?;
        Ok(init)
    }

    pub(super) fn answer(&self, repository: &str, internet: &str) -> Result<()> {
        let text = format!(
            "node = \"{NODE}\"\nphotos = \"{LIBRARY}\"\nnas_id = \"{}\"\ndatabase = \"{DATA}\"\nrepository = \"{repository}\"\n[internet]\n{internet}",
            self.nas_id
        );
        Ok(fs::write(&self.answers, text)?)
    }

    /// Runs it. The kubectl that it finds notes each restore, and may abort one.
    pub(super) fn run(&self, dump: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let program = std::env::current_exe()?.with_file_name("guardctl");
        let mut command = Command::new(&program);
        command.args(["init", "--yes", "--answers"]).arg(&self.answers).arg("--from-dump").arg(dump).args(flags);
        self.at_clone(&mut command).envs(environment.iter().copied()).output().context("guardctl init")
    }

    /// A run at a terminal, at which this is typed.
    pub(super) fn at_terminal(&self, dump: &Path, typed: &str) -> Result<Output> {
        let program = std::env::current_exe()?.with_file_name("guardctl");
        let line = format!("{} init --answers {} --from-dump {}", program.display(), self.answers.display(), dump.display());
        let (input, mut writer) = std::io::pipe()?;
        std::io::Write::write_all(&mut writer, typed.as_bytes())?;
        drop(writer);
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        self.at_clone(&mut command).stdin(input).output().context("script (util-linux)")
    }

    /// Lets a command run in the clone, for this cluster, by the story's kubectl.
    fn at_clone<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap_or_default());
        command.current_dir(&self.tree).env("PATH", path).env("KUBECONFIG", &self.kubeconfig);
        command.env("REAL_KUBECTL", self.bin.join("kubectl"))
    }

    /// Runs it to its end.
    pub(super) fn done(&self, dump: &Path, flags: &[&str]) -> Result<String> {
        let output = self.run(dump, flags, &[])?;
        ensure!(output.status.success(), "guardctl init --from-dump: {}\n{}", output.status, text(&output));
        Ok(text(&output))
    }

    /// A run that ends when half of the dump is in the database.
    pub(super) fn aborted(&self, how: &str) -> Result<()> {
        let before = self.restores()?;
        let half = (COMPOSE.len() / 2).to_string();
        let output = self.run(&self.compose, &[], &[("ABORT", how), ("BYTES", &half)])?;
        ensure!(output.status.code().is_none(), "{how}: {}, wanted an end by the signal\n{}", output.status, text(&output));
        ensure!(self.restores()? == before + 1, "{how}: the restore had not begun\n{}", text(&output));
        Ok(())
    }

    /// How often a restore has begun.
    pub(super) fn restores(&self) -> Result<usize> {
        let path = self.folder.join("restores");
        Ok(if path.exists() { fs::read_to_string(path)?.lines().count() } else { 0 })
    }

    /// Leaves the node as it was.
    pub(super) fn remove_home(&self, home: &Home) -> Result<()> {
        let kubectl = |arguments: &[&str]| home.world.cluster.kubectl(arguments);
        kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
        kubectl(&["delete", "namespace", "immich", "immich-edge", "--timeout=180s"])?;
        let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        kubectl(&["delete", policies, "-l", "app.kubernetes.io/component=admission"])?;
        fs::remove_dir_all(self.tree.join("clusters/home.local"))?;
        for entry in fs::read_dir(DATA)? {
            fs::remove_dir_all(entry?.path())?;
        }
        let library = format!("{LIBRARY}/library");
        if Path::new(&library).exists() {
            fs::remove_dir_all(library)?;
        }
        Ok(())
    }
}
