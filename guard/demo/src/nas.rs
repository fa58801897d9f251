//! The gate's story: mounted, it starts; pulled, it refuses; plugged in again, it goes on by itself. In a mount namespace of its own,
//! with a small memory file system in the NAS's place, so that it needs neither a NAS nor a cluster and leaves nothing behind.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Says that the story runs in its own namespace already.
const INSIDE: &str = "GUARD_DEMO_NAS_INSIDE";
const SHARE: &str = "nas.lan:/photos";

/// Tells the story; `true` if every step was as wanted.
pub fn run(program: &Path) -> io::Result<bool> {
    if std::env::var_os(INSIDE).is_none() {
        // Only comes back when it could not be started.
        let error = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--propagation", "private", "--"])
            .arg(std::env::current_exe()?)
            .args(["nas", "--guard"])
            .arg(program)
            .env(INSIDE, "1")
            .exec();
        return Err(io::Error::new(error.kind(), format!("unshare (util-linux) is needed, and user namespaces: {error}")));
    }
    let folder = std::env::temp_dir().join(format!("guard-demo-nas-{}", std::process::id()));
    let mut story = Story {
        program: program.to_owned(),
        share: folder.join("library"),
        termination_message: folder.join("termination-log"),
        id: String::new(),
        wrong: 0,
    };
    std::fs::create_dir_all(&story.share)?;
    let told = story.tell();
    story.pull()?;
    std::fs::remove_dir_all(&folder)?;
    told?;
    println!("\n{}", if story.wrong == 0 { "As wanted, every step." } else { "Not every step was as wanted." });
    Ok(story.wrong == 0)
}

struct Story {
    program: PathBuf,
    share: PathBuf,
    termination_message: PathBuf,
    id: String,
    wrong: usize,
}

impl Story {
    fn tell(&mut self) -> io::Result<()> {
        println!("guard nas: the disk is proved before Immich starts. {SHARE} stands for your NAS.\n");
        self.plug(SHARE)?;
        let init = self.guard(&["init"]).output()?;
        String::from_utf8_lossy(&init.stdout).trim().clone_into(&mut self.id);
        self.step("guard nas init, once, on the real NAS", 0, &init, "its id goes into the overlay");

        let started = self.start("first.jpg")?;
        self.step("mounted: guard nas exec -- Immich", 0, &started, "proved, then it becomes Immich");

        self.pull()?;
        let refused = self.start("lost.jpg")?;
        self.step(
            "the NAS is pulled: guard nas exec -- Immich",
            41,
            &refused,
            "Immich does not start. What kubectl describe pod shows:",
        );
        for line in std::fs::read_to_string(&self.termination_message)?.lines().take(2) {
            println!("        {line}");
        }
        let empty = self.share.read_dir()?.next().is_none();
        self.say("photos on the node's own disk", if empty { "none" } else { "some" }, empty, "");

        self.plug("other.lan:/music")?;
        let stranger = self.start("lost.jpg")?;
        self.step("another share in its place", 42, &stranger, "the source is not the one wanted");
        self.pull()?;
        self.plug(SHARE)?;
        let fresh = self.start("lost.jpg")?;
        self.step("a new, empty disk behind the same name", 43, &fresh, "no sentinel: this is not your NAS");
        self.pull()?;

        let mut waiting = self.command("second.jpg");
        let mut waiting = waiting.env("GUARD_NAS_WAIT", "60s").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // It has looked, and says that it waits.
        let mut said = String::new();
        let mut lines = BufReader::new(waiting.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        lines.read_line(&mut said)?;
        self.plug(SHARE)?;
        let again = self.guard(&["init"]).env("GUARD_NAS_ID", &self.id).output()?;
        self.step("Immich waits, and the NAS is plugged in again", 0, &again, "");
        // Nothing of it is lost in a full pipe.
        lines.read_to_string(&mut said)?;
        let healed = waiting.wait_with_output()?;
        self.step("nobody did anything else", 0, &healed, "it goes on by itself");
        let stored = self.share.join("second.jpg").exists();
        self.say("the photo", if stored { "on the NAS" } else { "elsewhere" }, stored, "");
        Ok(())
    }

    fn plug(&self, source: &str) -> io::Result<()> {
        succeeded(Command::new("mount").args(["-t", "tmpfs", source]).arg(&self.share))
    }

    fn pull(&self) -> io::Result<()> {
        // What is not mounted is pulled already.
        if is_mounted(&self.share)? { succeeded(Command::new("umount").arg(&self.share)) } else { Ok(()) }
    }

    fn guard(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("nas").args(arguments).env_remove(INSIDE).env("GUARD_NAS_PATH", &self.share);
        command.env("GUARD_NAS_FSTYPES", "tmpfs").env("GUARD_NAS_SOURCE", SHARE).env("GUARD_NAS_MIN_FREE", "1MiB");
        command.env("GUARD_NAS_TERMINATION_LOG", &self.termination_message).env("GUARD_NAS_WAIT", "0s");
        command
    }

    /// Immich, in the story: a program that writes one photo.
    fn command(&self, photo: &str) -> Command {
        let mut command = self.guard(&["exec", "--", "touch"]);
        command.arg(self.share.join(photo)).env("GUARD_NAS_ID", &self.id);
        command
    }

    fn start(&self, photo: &str) -> io::Result<Output> {
        self.command(photo).output()
    }

    fn step(&mut self, done: &str, wanted: i32, output: &Output, proves: &str) {
        let code = output.status.code().unwrap_or(-1);
        self.say(done, &format!("exit {code}"), code == wanted, proves);
    }

    fn say(&mut self, done: &str, got: &str, right: bool, proves: &str) {
        let (start, end) = match (io::stdout().is_terminal(), right) {
            (false, _) => ("", ""),
            (true, true) => ("\x1b[32m", "\x1b[0m"),
            (true, false) => ("\x1b[31m", "\x1b[0m"),
        };
        self.wrong += usize::from(!right);
        let line = format!("  {start}{}{end} {got:<10} {done:<48} {proves}", if right { '✓' } else { '✗' });
        println!("{}", line.trim_end());
    }
}

fn is_mounted(share: &Path) -> io::Result<bool> {
    let table = guard::nas::mountinfo::MountTable::read()?;
    Ok(share.to_str().is_some_and(|share| table.at(share).is_some()))
}

fn succeeded(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
