//! A person at a terminal, with a shell that keeps a history: what they type, and everything that could keep or show a secret.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use testkit::terminal::Terminal;

use super::fixture::{self, NO_INTERNET};
use crate::World;
use crate::api_proxy::ApiProxy;
use crate::process::run;
use crate::repo::git;

const READY: &str = "ready> ";

/// A shell in a terminal.
pub(super) struct Shell {
    terminal: Terminal,
    folder: PathBuf,
    seen: Arc<Seen>,
}

/// What anybody on this machine could have seen of the programs in the terminal, and of their temporary files.
#[derive(Default)]
struct Seen {
    /// Command lines and environments.
    processes: Mutex<BTreeSet<String>>,
    /// Temporary files that others could open.
    open_to_others: Mutex<BTreeSet<PathBuf>>,
}

impl Shell {
    /// Starts a shell in the clone. Its home, its history and its temporary files are in a folder of their own.
    pub(super) fn start(world: &World, proxy: &ApiProxy, name: &str) -> Result<Self> {
        let folder = world.dir.join(name);
        for part in ["home", "tmp"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let mut command = Terminal::command("bash");
        command.args(["--norc", "--noprofile", "-i"]).current_dir(&world.repo.tree).env_clear();
        let programs = fixture::program("guardctl")?;
        command.env("PATH", fixture::search_path(world, programs.parent()));
        command.env("HOME", folder.join("home")).env("HISTFILE", folder.join("home/history")).env("TMPDIR", folder.join("tmp"));
        command.env("KUBECONFIG", &proxy.kubeconfig).env("TZ", "Europe/Berlin").env("TERM", "dumb").env("PS1", READY);
        command.env(NO_INTERNET.0, NO_INTERNET.1);
        let mut terminal = Terminal::start(command)?;
        terminal.wait_for(READY)?;
        let seen = Arc::new(Seen::default());
        let (session, tmp, by_proxy) = (terminal.session(), folder.join("tmp"), seen.clone());
        proxy.observe(Arc::new(move || by_proxy.look(session, &tmp)))?;
        Ok(Self { terminal, folder, seen })
    }

    /// Types a command, without waiting for its end.
    pub(super) fn run(&mut self, command: &str) -> Result<()> {
        Ok(self.terminal.type_text(format!("{command}\n"))?)
    }

    /// Waits until this question stands there and an answer is waited for. Returns what was shown before it.
    pub(super) fn asked(&mut self, question: &str) -> Result<String> {
        let before = self.terminal.wait_for(question)?;
        self.terminal.wait_for(": ")?;
        self.seen.look(self.terminal.session(), &self.folder.join("tmp"));
        Ok(before)
    }

    /// Types an answer.
    pub(super) fn answer(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        self.terminal.type_text(text)?;
        Ok(self.terminal.type_text("\n")?)
    }

    /// Presses a key that needs no Enter.
    pub(super) fn press(&mut self, key: &str) -> Result<()> {
        Ok(self.terminal.type_text(key)?)
    }

    /// Gives a wrong answer to the question that stands there, which must be told what is wanted and asked again.
    pub(super) fn wrong(&mut self, question: &str, text: impl AsRef<[u8]>, wanted: &str) -> Result<()> {
        self.answer(&text)?;
        self.refused(question, wanted).with_context(|| format!("{question:?}, answered {:?}", cut(text.as_ref())))
    }

    /// Waits until an answer is refused with these words, and asked for again.
    pub(super) fn refused(&mut self, question: &str, wanted: &str) -> Result<()> {
        self.terminal.wait_for("✗ ")?;
        let said = self.asked(question)?;
        ensure!(said.contains(wanted), "found {said:?}, wanted {wanted:?}");
        Ok(())
    }

    /// Whether the terminal shows what is typed. Only while a question stands there: the shell shows it by itself.
    pub(super) fn echoes(&self) -> Result<bool> {
        Ok(self.terminal.echoes()?)
    }

    /// Waits for the end of a command. Returns its exit status, and what was shown. Fails if the terminal does not echo any more.
    pub(super) fn ended(&mut self) -> Result<(i32, String)> {
        let shown = self.terminal.wait_for(READY)?;
        self.run("echo status=$?=; stty -a")?;
        self.terminal.wait_for("\nstatus=")?;
        let status = self.terminal.wait_for("=")?.parse().context("a status is a number")?;
        let settings = self.terminal.wait_for(READY)?;
        ensure!(settings.split_whitespace().any(|it| it.trim_end_matches(';') == "echo"), "no echo any more: {settings}");
        Ok((status, shown))
    }

    /// Ends the shell. Fails if one of the secrets was shown, or is in an argument, an environment, the history or a file, or if others could read
    /// a temporary file. Returns the number of processes that were looked at.
    pub(super) fn end(mut self, world: &World, secrets: &[&str]) -> Result<usize> {
        self.run("exit")?;
        let left = self.terminal.end()?;
        ensure!(left.status.success() && left.echoes, "the shell: {} {}", left.status, left.echoes);
        let is_secret = |text: &str| secrets.iter().any(|secret| text.contains(secret));
        ensure!(!is_secret(&left.shown), "the terminal has shown a secret:\n{}", left.shown);
        let processes = self.seen.processes.lock().ok().context("a look panicked")?;
        for program in ["guardctl\0init", "guardctl\0doctor", "kubectl\0apply", "kubectl\0diff"] {
            ensure!(processes.iter().any(|it| it.contains(program)), "no process {program:?} was looked at");
        }
        if let Some(process) = processes.iter().find(|it| is_secret(it)) {
            anyhow::bail!("a secret is in an argument or in an environment: {process:?}");
        }
        let open = self.seen.open_to_others.lock().ok().context("a look panicked")?;
        ensure!(open.is_empty(), "others could read temporary files: {open:?}");
        let history = fs::read_to_string(self.folder.join("home/history"))?;
        ensure!(history.contains("guardctl init"), "the shell keeps no history: {history}");
        holds_none(&self.folder, &is_secret)?;
        // What Git does not track, ignored or not.
        let written = run(git(&world.repo.tree).args(["ls-files", "--others", "-z"]))?;
        let written: Vec<_> = written.split('\0').filter(|file| !file.is_empty()).collect();
        ensure!(written.iter().any(|file| file.contains("home.local")), "no overlay was looked at: {written:?}");
        for file in written {
            ensure!(!is_secret(&text(&world.repo.tree.join(file))?), "{file}: a secret is in it");
        }
        let left_over: Vec<_> = fs::read_dir(self.folder.join("tmp"))?.flatten().map(|it| it.path()).collect();
        ensure!(left_over.is_empty(), "temporary files are left: {left_over:?}");
        Ok(processes.len())
    }
}

impl Seen {
    /// Looks at each process of a session (proc(5)), and at its temporary files. What goes meanwhile is left out.
    fn look(&self, session: u32, tmp: &Path) {
        let (Ok(mut processes), Ok(mut open)) = (self.processes.lock(), self.open_to_others.lock()) else { return };
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let file = |name: &str| fs::read(process.path().join(name)).map(|it| String::from_utf8_lossy(&it).into_owned());
            let Ok(stat) = file("stat") else { continue };
            // Behind the name, which may have anything in it: state, parent, group, session.
            let own = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).and_then(|it| it.parse().ok());
            if own == Some(session) {
                processes.extend([file("cmdline"), file("environ")].into_iter().flatten());
            }
        }
        for entry in fs::read_dir(tmp).into_iter().flatten().flatten() {
            if entry.metadata().is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
                open.insert(entry.path());
            }
        }
    }
}

fn holds_none(folder: &Path, is_secret: &dyn Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            holds_none(&path, is_secret)?;
        } else if path.is_file() {
            ensure!(!is_secret(&text(&path)?), "{}: a secret is in it", path.display());
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

fn cut(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned()
}
