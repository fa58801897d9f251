//! A PostgreSQL of the test's own: on a socket in a directory of its own, asking for a password, and gone with its handle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The superuser's password.
pub(super) const PASSWORD: &str = r"p:w\d 1'";
/// What the library of these tests holds.
pub(super) const LIBRARY: &str = include_str!("library.sql");
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to run as root; this user is on every machine.
const NOBODY: u32 = 65534;

/// What this machine lacks for these tests.
pub(super) fn why_not() -> Option<String> {
    let missing = ["bash", "flock", "gzip", "sha256sum", "timeout"].into_iter().find(|name| on_path(name).is_none());
    missing
        .map(|name| format!("no {name}"))
        .or_else(|| programs().is_none().then(|| "no PostgreSQL server (Debian: apt-get install postgresql)".to_owned()))
}

/// Whether the server here has Immich's vector types' base. VectorChord itself is in no package registry.
pub(super) fn why_no_pgvector() -> Option<String> {
    let server = Postgres::start();
    let found = server.sql("select count(*) from pg_available_extensions where name = 'vector'");
    (found.trim() == "0").then(|| "this PostgreSQL has no pgvector".to_owned())
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The folder of the server's own programs, not of a distribution's wrappers around them.
pub(super) fn programs() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let linked = on_path("initdb").and_then(|file| file.canonicalize().ok());
        let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut packaged: Vec<_> = packaged.map(|entry| entry.path().join("bin/initdb")).collect();
        packaged.sort();
        let all = linked.into_iter().chain(packaged.into_iter().rev());
        all.filter_map(|file| Some(file.parent()?.to_owned())).find(|folder| folder.join("pg_dump").is_file())
    };
    FOUND.get_or_init(find).as_deref()
}

/// The programs of the old and of the new version in the tests of the upgrade: `OLD_POSTGRES` and `NEW_POSTGRES` name the folders
/// (`make test-db-upgrade`), or both are those of this machine.
pub(super) fn old_and_new() -> [PathBuf; 2] {
    ["OLD_POSTGRES", "NEW_POSTGRES"].map(|variable| {
        let named = std::env::var_os(variable).map(PathBuf::from);
        named.unwrap_or_else(|| programs().expect("checked before any test").to_owned())
    })
}

fn program(name: &str) -> PathBuf {
    programs().expect("checked before any test").join(name)
}

/// A program run as whoever runs the server and the scripts: never root.
pub(super) fn as_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A directory of that user's, gone with its handle.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("db-backup-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        own(&path);
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Gives a file to the user of [`as_user`].
pub(super) fn own(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

static TEMPLATES: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());

/// What the `initdb` of these programs makes, once for all servers.
fn template(programs: &Path) -> PathBuf {
    let mut templates = TEMPLATES.lock().unwrap();
    let made = templates.entry(programs.to_owned()).or_insert_with(|| {
        let directory = std::mem::ManuallyDrop::new(Directory::new());
        let password = directory.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        own(&password);
        let mut command = as_user(programs.join("initdb"));
        command.args(["--no-sync", "--username=immich", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
        command.arg("--pwfile").arg(&password).arg("--pgdata").arg(directory.path().join("data"));
        run(&mut command);
        directory.path().to_owned()
    });
    made.clone()
}

/// Removes what [`template`] made.
pub(super) fn clean_up() {
    for path in TEMPLATES.lock().unwrap().values() {
        drop(fs::remove_dir_all(path));
    }
}

/// Its standard output, or the test fails.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server. Its database is `immich`, its superuser too.
#[derive(Debug)]
pub(super) struct Postgres {
    directory: Directory,
    child: Child,
}

impl Postgres {
    /// An empty database.
    pub(super) fn start() -> Self {
        Self::start_of(programs().expect("checked before any test"))
    }

    /// An empty database on a server of the version in this folder.
    pub(super) fn start_of(programs: &Path) -> Self {
        let directory = Directory::new();
        let data = directory.path().join("data");
        run(as_user("cp").arg("-a").arg(template(programs).join("data")).arg(&data));
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = as_user(programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(directory.path());
        for setting in ["listen_addresses=", "fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_wal_size=1GB"] {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Self { directory, child };
        let ready = |server: &Self| server.client("pg_isready").output().unwrap().status.success();
        until("the server is ready", || {
            assert!(server.child.try_wait().unwrap().is_none(), "{}", server.log());
            ready(&server)
        });
        run(server.client("createdb").arg("immich"));
        server
    }

    /// The database of a family.
    pub(super) fn with_library() -> Self {
        let server = Self::start();
        server.sql(LIBRARY);
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// What `PGHOST` has to be.
    pub(super) fn host(&self) -> &Path {
        self.directory.path()
    }

    /// One of its programs, connected.
    pub(super) fn client(&self, name: &str) -> Command {
        let mut command = as_user(program(name));
        command.env("PGHOST", self.host()).env("PGUSER", "immich").env("PGPASSWORD", PASSWORD);
        command.env("PGDATABASE", "immich").stdin(Stdio::null());
        if name == "createdb" || name == "dropdb" {
            command.arg("--maintenance-db=postgres");
        }
        command
    }

    /// What these statements print.
    pub(super) fn sql(&self, statements: &str) -> String {
        let file = self.directory.path().join("statements.sql");
        fs::write(&file, statements).unwrap();
        own(&file);
        run(self.client("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file))
    }

    /// Every row of every table, and where the sequences are.
    pub(super) fn contents(&self) -> String {
        let tables = self.sql("select format('%I', tablename) from pg_tables where schemaname = 'public' order by 1");
        let mut statements = String::from("select sequencename, last_value from pg_sequences order by 1;\n");
        for table in tables.lines() {
            writeln!(statements, "\\echo {table}\ncopy (select * from {table} order by 1) to stdout;").unwrap();
        }
        self.sql(&statements)
    }

    /// An empty database in the place of the one that is there.
    pub(super) fn set_up_anew(&self) {
        run(self.client("dropdb").arg("immich"));
        run(self.client("createdb").arg("immich"));
    }

    /// As a power cut: every backend ends at once.
    pub(super) fn crash(&mut self) {
        self.signal(Signal::QUIT);
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::QUIT);
        drop(self.child.wait());
    }
}

/// Waits until this holds, or the test fails.
#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
