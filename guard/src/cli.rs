//! The command line of `guard`, as clap reads it. It is in the library, so that `guardctl` can write completions and man pages for it: the binary
//! in the image does not carry them.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::OriginArgs;
use crate::idtoken::config::IdtokenArgs;
use crate::nas::NasCli;

/// Protects a family's Immich: authenticates requests, checks the NAS mount, attaches identity tokens.
#[derive(Parser)]
#[command(name = "guard", version, propagate_version = true)]
#[command(after_help = "Examples:
  guard origin --help
  guard nas check --path /mnt/nas/immich
  guard idtoken --backend 127.0.0.1:8080=https://ml.example.com")]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `guard`.
#[derive(Subcommand)]
pub enum Command {
    /// Forward a request to Immich only if it is authenticated and not too large
    #[command(after_help = "Examples:
  guard origin --upstream http://127.0.0.1:2283 --access-team family --access-aud AUD_TAG
  guard origin --upstream http://127.0.0.1:2283 --front-door forward-auth \\
    --auth-url http://127.0.0.1:9000 --external-url https://photos.example.com")]
    Origin(Box<OriginArgs>),
    /// Keep Immich from starting, or writing, while the NAS is not mounted
    #[command(after_help = "Examples:
  guard nas check --path /mnt/nas/immich
  guard nas exec --path /data -- node dist/main.js")]
    Nas(Box<NasCli>),
    /// Forward requests with an identity token, to Cloud Run or another backend that requires one
    #[command(after_help = "Examples:
  guard idtoken --backend 127.0.0.1:8080=https://ml.example.com
  guard idtoken --backend 127.0.0.1:8080=https://ml.example.com \\
    --google-application-credentials key.json")]
    Idtoken(Box<IdtokenArgs>),
}

/// The whole command line, with every subcommand, flag and variable.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
