//! A terminal with a shell in it, driven by tmux as a person drives it: keys go in, and what is on the screen comes out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::run;
use crate::wait::{Look, until};

/// The whole of a first start: images are there, a database is made.
const LIMIT: Duration = Duration::from_secs(300);

/// The terminal. It ends with its handle.
pub(super) struct Terminal {
    socket: PathBuf,
    /// Commands that were typed.
    pub(super) commands: usize,
    /// Answers that were typed, those that only Enter took not counted.
    pub(super) values: usize,
    /// Keys that were pressed.
    pub(super) keys: usize,
}

impl Terminal {
    /// Opens one in this folder. The shell's prompt is `[NUMBER OF THE COMMAND:EXIT CODE OF THE LAST ONE]`.
    pub(super) fn open(home: &Path, folder: &Path, path: &str) -> Result<Self> {
        let rc = home.join("bashrc");
        std::fs::write(&rc, format!("HISTFILE={}/history\nPROMPT_COMMAND='history -a'\nPS1='[\\#:$?]$ '\n", home.display()))?;
        let terminal = Self { socket: home.join("tmux"), commands: 0, values: 0, keys: 0 };
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

    /// Everything that was shown so far.
    pub(super) fn screen(&self) -> Result<String> {
        run(self.tmux().args(["capture-pane", "-p", "-J", "-S", "-"]))
    }

    fn press(&mut self, text: &str) -> Result<()> {
        self.keys += text.chars().count() + 1;
        run(self.tmux().args(["send-keys", "-l", "--", text]))?;
        run(self.tmux().args(["send-keys", "Enter"])).map(drop)
    }

    /// Types a command, and waits for the next prompt of the shell, or for a question.
    pub(super) async fn command(&mut self, text: &str) -> Result<()> {
        self.begin(text).await?;
        self.ends().await
    }

    /// Types a command.
    pub(super) async fn begin(&mut self, text: &str) -> Result<()> {
        let prompt = format!("[{}:", self.commands + 1);
        self.shows(&prompt, 1).await?;
        self.press(text)?;
        self.commands += 1;
        Ok(())
    }

    /// Waits until the last command has ended, which must be well.
    pub(super) async fn ends(&self) -> Result<()> {
        let next = format!("[{}:", self.commands + 1);
        self.shows(&next, 1).await?;
        let screen = self.screen()?;
        ensure!(screen.contains(&format!("{next}0]")), "the command {} failed:\n{screen}", self.commands);
        Ok(())
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
