//! One run of a script as its pod runs it: variables enter, its exit code and its words leave.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::postgres::{Directory, PASSWORD, Postgres, as_user, own, programs};

const COMPONENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../apps/components");

/// The scripts, the password file, and a folder in front of `PATH` for programs that misbehave.
#[derive(Debug)]
pub(super) struct Pod {
    directory: Directory,
}

impl Pod {
    pub(super) fn new() -> Self {
        let pod = Self { directory: Directory::new() };
        for name in ["scripts", "bin", "tmp", "backup"] {
            fs::create_dir(pod.at(name)).unwrap();
            own(&pod.at(name));
        }
        for (component, name) in [
            ("db-backup", "backup.sh"),
            ("db-backup", "restore-drill.sh"),
            ("db-backup", "rows.awk"),
            ("db-upgrade", "upgrade.sh"),
        ] {
            fs::copy(format!("{COMPONENTS}/{component}/{name}"), pod.at("scripts").join(name)).unwrap();
            fs::set_permissions(pod.at("scripts").join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        pod.set_password(PASSWORD);
        pod
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn set_password(&self, password: &str) {
        // As `kubectl create secret --from-file` leaves it: with the line break.
        fs::write(self.at("password"), format!("{password}\n")).unwrap();
        own(&self.at("password"));
    }

    /// Where the dumps go.
    pub(super) fn backup_dir(&self) -> PathBuf {
        self.at("backup")
    }

    /// A place for a test's own files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.at("tmp").join(name)
    }

    /// Puts a shell script in front of a program. `real` in it is a variable with the program's own path.
    pub(super) fn replace(&self, program: &str, script: &str) {
        let path = format!("{}:{}", programs().unwrap().display(), std::env::var("PATH").unwrap());
        let real = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()).unwrap();
        let file = self.at("bin").join(program);
        fs::write(&file, format!("#!/usr/bin/env bash\nreal={}\n{script}\n", real.display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes it away again.
    pub(super) fn put_back(&self, program: &str) {
        fs::remove_file(self.at("bin").join(program)).unwrap();
    }

    /// A `gzip` that takes the first bytes, says so in a file, and goes on only when told. The dump is under way meanwhile.
    pub(super) fn hold_the_dump(&self) -> Held {
        let (reached, go) = (self.file("reached"), self.file("go"));
        assert!(as_user("mkfifo").arg(&go).status().unwrap().success());
        let held = format!("{{ head -c 65536; : >{}; read -r _ <{}; cat; }} | \"$real\" \"$@\"", reached.display(), go.display());
        self.replace("gzip", &format!("case $* in *-dc*) exec \"$real\" \"$@\" ;; esac\n{held}"));
        // Read and write: neither this nor the reader's open waits, and the reader goes on when the handle is gone.
        Held { reached, go: fs::File::options().read(true).write(true).open(go).unwrap() }
    }

    /// `backup.sh`, ready to run.
    pub(super) fn backup(&self, server: &Postgres) -> Command {
        let mut command = self.script("backup.sh", server);
        command.env("PASSWORD_FILE", self.at("password")).env("BACKUP_KEEP", "14");
        command
    }

    /// `restore-drill.sh`, ready to run.
    pub(super) fn drill(&self, server: &Postgres) -> Command {
        let mut command = self.script("restore-drill.sh", server);
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    /// `upgrade.sh`, ready to run with the programs in this folder.
    pub(super) fn upgrade(&self, old: &Postgres, new: &Postgres, programs: &Path) -> Command {
        let mut command = self.script("upgrade.sh", new);
        command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        command.env("OLD_PGHOST", old.host()).env("PASSWORD_FILE", self.at("password")).env("SCRATCH", self.backup_dir());
        command.env("WAIT_SECONDS", "1");
        command
    }

    fn script(&self, name: &str, server: &Postgres) -> Command {
        // `timeout` hands signals on to the script alone, and ends what would hang.
        let mut command = as_user("timeout");
        command.args(["--foreground", "60", "bash"]).arg(self.at("scripts").join(name)).env_clear();
        let folders = format!("{}:{}", self.at("bin").display(), programs().unwrap().display());
        command.env("PATH", format!("{folders}:{}", std::env::var("PATH").unwrap()));
        command.env("PGHOST", server.host()).env("PGUSER", "immich").env("PGDATABASE", "immich");
        command.env("BACKUP_DIR", self.backup_dir()).env("GUARD_NAS_ID", "an-id").env("TMPDIR", self.at("tmp"));
        command.stdin(Stdio::null());
        command
    }

    /// A backup that has to work. The dump's name leaves.
    #[track_caller]
    pub(super) fn backed_up(&self, server: &Postgres) -> String {
        let outcome = run(&mut self.backup(server));
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        outcome.stdout.split(':').next().unwrap().to_owned()
    }

    /// The names of everything where the dumps go, but for the lock.
    pub(super) fn files(&self) -> Vec<String> {
        list(&self.backup_dir())
    }

    /// Everything that scripts left in their `/tmp`.
    pub(super) fn left_in_tmp(&self) -> Vec<String> {
        list(&self.at("tmp"))
    }
}

/// Sorted names, without the lock's.
pub(super) fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| name != ".lock").collect();
    names.sort();
    names
}

/// A dump that waits.
#[derive(Debug)]
pub(super) struct Held {
    reached: PathBuf,
    go: fs::File,
}

impl Held {
    /// Waits until it is under way.
    pub(super) fn under_way(&self) {
        super::postgres::until("the dump is under way", || self.reached.exists());
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self) {
        self.go.write_all(b"\n").unwrap();
    }
}

/// What a script left.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs it to its end.
pub(super) fn run(command: &mut Command) -> Outcome {
    end(start(command))
}

/// Starts it.
pub(super) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end.
pub(super) fn end(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// It refused with this code and these words, without a word of the password.
#[track_caller]
pub(super) fn refused(outcome: &Outcome, code: i32, words: &str) {
    assert_eq!(outcome.code, code, "{outcome:#?}");
    assert!(outcome.stderr.contains(words), "{outcome:#?}");
    assert!(!outcome.stderr.contains(PASSWORD), "{outcome:#?}");
}
