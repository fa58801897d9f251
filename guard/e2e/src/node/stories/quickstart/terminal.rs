//! A terminal with a shell in it, driven by tmux as a person drives it: keys go in, and what is on the screen comes out. tmux and not the
//! testkit's pseudo-terminal: it draws what a person would see, line by line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::process::run;
use crate::wait::{Look, until};

/// The whole of a first start: images are there, a database is made.
const LIMIT: Duration = Duration::from_secs(300);

/// What a way costs.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    /// Commands that were typed.
    commands: usize,
    /// Answers and values that were typed; what only Enter took does not count.
    values: usize,
    /// Keys that were pressed.
    keys: usize,
    /// Seconds of the machine: nobody thinks here.
    seconds: f32,
}

impl std::fmt::Display for Effort {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} commands, {} values, {} keys, {:.0} s of machine",
            self.commands, self.values, self.keys, self.seconds
        )
    }
}

/// The terminal. It ends with its handle.
pub(super) struct Terminal {
    socket: PathBuf,
    began: Instant,
    commands: usize,
    values: usize,
    keys: usize,
}

impl Terminal {
    /// Opens one in this folder. The shell's prompt is `[NUMBER OF THE COMMAND:EXIT CODE OF THE LAST ONE]`.
    pub(super) fn open(home: &Path, folder: &Path, path: &str) -> Result<Self> {
        let rc = home.join("bashrc");
        std::fs::write(&rc, format!("HISTFILE={}/history\nPROMPT_COMMAND='history -a'\nPS1='[\\#:$?]$ '\n", home.display()))?;
        let terminal = Self { socket: home.join("tmux"), began: Instant::now(), commands: 0, values: 0, keys: 0 };
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", "-c"]).arg(folder);
        command.arg(format!("bash --rcfile {} -i", rc.display()));
        // Not those of whoever runs the tests.
        command.env_clear().env("HOME", home).env("PATH", path).env("TERM", "xterm").env("LANG", "C.UTF-8");
        run(&mut command)?;
        run(terminal.tmux().args(["set-option", "-g", "history-limit", "20000"]))?;
        Ok(terminal)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket);
        command
    }

    /// What it has cost so far.
    pub(super) fn effort(&self) -> Effort {
        Effort { commands: self.commands, values: self.values, keys: self.keys, seconds: self.began.elapsed().as_secs_f32() }
    }

    /// Notes that this value was put into a file by an editor.
    pub(super) fn edited(&mut self, value: &str) {
        self.values += 1;
        self.keys += value.chars().count();
    }

    /// Everything that was shown so far.
    pub(super) fn screen(&self) -> Result<String> {
        run(self.tmux().args(["capture-pane", "-p", "-J", "-S", "-"]))
    }

    fn press(&mut self, text: &str) -> Result<()> {
        self.keys += text.chars().count() + 1;
        run(self.tmux().args(["send-keys", "-l", "--", text]))?;
        run(self.tmux().args(["send-keys", "Enter"])).map(drop)
    }

    /// Types a command, waits for its end, which must be well, and returns what it has shown.
    pub(super) async fn command(&mut self, text: &str) -> Result<String> {
        self.command_with(text, 0).await
    }

    /// The same, with another exit code.
    pub(super) async fn command_with(&mut self, text: &str, code: u8) -> Result<String> {
        self.begin(text).await?;
        self.ends(code).await
    }

    /// Types a command.
    pub(super) async fn begin(&mut self, text: &str) -> Result<()> {
        self.shows(&format!("[{}:", self.commands + 1), 1).await?;
        self.press(text)?;
        self.commands += 1;
        Ok(())
    }

    /// Waits until the last command has ended with this code, and returns what it has shown.
    pub(super) async fn ends(&self, code: u8) -> Result<String> {
        let (own, next) = (format!("[{}:", self.commands), format!("[{}:", self.commands + 1));
        self.shows(&next, 1).await?;
        let screen = self.screen()?;
        let (_, own) = screen.rsplit_once(&own).context("the command is not on the screen")?;
        let (shown, rest) = own.split_once(&next).context("the prompt is not on the screen")?;
        ensure!(rest.starts_with(&format!("{code}]")), "the command {} did not end with {code}:\n{screen}", self.commands);
        Ok(shown.split_once('\n').map_or("", |(_, shown)| shown).to_owned())
    }

    /// Answers a question once it is on the screen for the nth time; an empty answer takes what stands in brackets.
    pub(super) async fn answer(&mut self, question: &str, time: usize, text: &str) -> Result<()> {
        self.shows(question, time).await?;
        self.values += usize::from(!text.is_empty());
        self.press(text)
    }

    async fn shows(&self, text: &str, times: usize) -> Result<()> {
        until(&format!("on the screen: {text}"), LIMIT, async || {
            let screen = self.screen()?;
            Ok(if screen.matches(text).count() >= times { Look::Done(()) } else { Look::NotYet(screen) })
        })
        .await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.tmux().arg("kill-server").output());
    }
}
