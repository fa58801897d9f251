//! Brings guard's image to a home: into the node's containerd, without a registry, or as a reference of a registry. Either way the name and the digest
//! go into a kustomization, so that what runs is what was built.

mod archive;
mod kustomization;
mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};

use archive::Archive;
use node::{Distribution, Node};

use crate::lint::image::Image;

/// Where `make image` puts the archive that it is asked for here.
const ARCHIVE: &str = "target/image/guard.tar";
/// The kustomizations that may hold the image, best first: the operator's own, and the one that Flux reads.
const KUSTOMIZATIONS: [&str; 2] = ["clusters/home.local/kustomization.yaml", "clusters/home/kustomization.yaml"];

/// The arguments of `guardctl image`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl image load --node home                     # by ssh, without a registry
  guardctl image set ghcr.io/OWNER/guard:0.1.0@sha256:DIGEST")]
pub struct ImageArgs {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    /// Put an image into the containerd of each node, without a registry
    Load(LoadArgs),
    /// Write the name and digest of a published image into the overlay
    Set(SetArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl image load                                 # this computer is the node
  guardctl image load --node home --node second
  guardctl image load guard.tar --distribution k3s")]
struct LoadArgs {
    /// The OCI archive [default: `make image` makes one]
    archive: Option<PathBuf>,
    /// A node, as ssh knows it; repeat it for each node on which guard or Immich may run [default: this computer]
    #[arg(long = "node", value_name = "HOST", value_parser = node::read_host)]
    nodes: Vec<String>,
    /// What runs Kubernetes there [default: found out by containerd's socket]
    #[arg(long, value_enum)]
    distribution: Option<Distribution>,
    /// The socket of another containerd
    #[arg(long, value_name = "PATH", value_parser = node::read_socket)]
    socket: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl image set ghcr.io/OWNER/guard:0.1.0@sha256:DIGEST")]
struct SetArgs {
    /// The image, as name:tag@sha256:digest
    reference: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Place {
    /// The kustomization with the image [default: clusters/home.local/kustomization.yaml if it is there, else clusters/home/kustomization.yaml]
    #[arg(long, value_name = "FILE")]
    kustomization: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(args: ImageArgs) -> Result<bool> {
    match args.command {
        Commands::Load(args) => load(args)?,
        Commands::Set(args) => set(&args.reference, &args.place)?,
    }
    Ok(true)
}

fn load(args: LoadArgs) -> Result<()> {
    let path = match args.archive {
        Some(path) => path,
        None => make()?,
    };
    // What cannot be written is told before anything is loaded.
    let place = args.place.find()?;
    let archive = Archive::read(&path)?;
    println!("{}:{}\n  digest   {}\n  archive  {}", archive.name, archive.tag, archive.digest, path.display());
    let nodes = if args.nodes.is_empty() { vec![Node::Local] } else { args.nodes.into_iter().map(Node::Ssh).collect() };
    for node in &nodes {
        let runtime = match (&args.socket, args.distribution) {
            (Some(socket), _) => node::Runtime::at(socket),
            (None, Some(distribution)) => node::Runtime::of(distribution)?,
            (None, None) => node.find_runtime()?,
        };
        node.import(&runtime, &archive, &path)?;
    }
    write(&place, &archive.name, &archive.tag, &archive.digest)
}

/// Makes the archive.
fn make() -> Result<PathBuf> {
    ensure!(
        Path::new("Makefile").is_file() && Path::new("tools/image").is_file(),
        "found no archive and no Makefile here; wanted: guardctl image load ARCHIVE, or the root of this repository"
    );
    std::fs::create_dir_all(Path::new(ARCHIVE).parent().unwrap_or(Path::new(".")))?;
    println!("+ make image IMAGE_ARCHIVE={ARCHIVE}");
    let status = Command::new("make").arg("image").arg(format!("IMAGE_ARCHIVE={ARCHIVE}")).status().context("make")?;
    ensure!(status.success(), "make image ended with {status}; what it lacks is above (docs/image.md)");
    Ok(ARCHIVE.into())
}

fn set(reference: &str, place: &Place) -> Result<()> {
    let image = Image::parse(reference);
    match (image.tag, image.digest) {
        (Some(tag), Some(digest)) if image.is_pinned() && !image.is_unpublished() => {
            write(&place.find()?, image.repository, tag, digest)
        }
        _ => bail!("found {reference:?}, wanted name:tag@sha256:digest, with the digest that the registry told"),
    }
}

impl Place {
    fn find(&self) -> Result<PathBuf> {
        if let Some(path) = &self.kustomization {
            ensure!(path.is_file(), "{}: found no file, wanted a kustomization.yaml", path.display());
            return Ok(path.clone());
        }
        let found = KUSTOMIZATIONS.iter().map(PathBuf::from).find(|path| path.is_file());
        found.with_context(|| {
            format!(
                "found neither {}, wanted one, --kustomization FILE, or the root of this repository",
                KUSTOMIZATIONS.join(" nor ")
            )
        })
    }
}

fn write(place: &Path, name: &str, tag: &str, digest: &str) -> Result<()> {
    let is_changed = kustomization::set_image(place, name, &format!("{tag}@{digest}"))?;
    println!("✓ {}: {name}:{tag}@{digest}{}", place.display(), if is_changed { "" } else { " (as it was)" });
    if is_changed {
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Git ignores the operator's own folder.
        if folder.ends_with("home.local") {
            println!("next: kubectl apply -k {}", folder.display());
        } else {
            println!("next: with Flux, commit it; without: kubectl apply -k {}", folder.display());
        }
    }
    Ok(())
}
