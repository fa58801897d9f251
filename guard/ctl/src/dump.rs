//! Reads a dump of another Immich's database and says how it gets into this home; `convert` writes it as SQL that this home's database takes.
//!
//! ```text
//! dump.sql, dump.sql.gz ─→ input ─→ scan ─┬─→ facts ─→ report
//!                                         └─→ convert ─→ SQL
//! ```
//!
//! Two kinds are known, both as text: `pg_dumpall` (Immich's page for Docker Compose, until 2.5) and `pg_dump` (Immich's own backups since, and this
//! repository's). Nothing is held in memory but one line.

pub(crate) mod convert;
mod facts;
mod input;
pub(crate) mod report;
mod scan;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

pub use facts::{Dump, Kind, read};
pub use report::problems;

/// Who owns the database here (apps/media/immich).
pub const OWNER: &str = "immich";
/// The major version of PostgreSQL here.
pub const MAJOR: u32 = 18;
/// Where the server here has the photos.
pub const MEDIA: &str = "/data";

/// The arguments of `guardctl dump`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl dump inspect dump.sql.gz                  # what is in it, and what to do
  guardctl dump convert dump.sql.gz > immich.sql     # SQL that this home takes")]
pub struct DumpArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is in a dump, what stands against it, and the steps to this home
    Inspect(InspectArgs),
    /// Write a dump as SQL for this home's database: Immich's database only, without owners, as one transaction
    Convert(ConvertArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl dump inspect dump.sql.gz
  guardctl dump inspect dump.sql.gz -o json")]
struct InspectArgs {
    /// The dump: SQL, or SQL by gzip
    file: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Args)]
#[command(after_help = "Examples:
  guardctl dump convert dump.sql.gz > immich.sql")]
struct ConvertArgs {
    /// The dump: SQL, or SQL by gzip
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the subcommand. `false`: something stands against this dump.
pub fn run(args: &DumpArgs) -> Result<bool> {
    match &args.command {
        Command::Inspect(args) => {
            let dump = read(&args.file)?;
            let found = problems(&dump);
            match args.output {
                Output::Text => print!("{}", report::text(&dump, &found, &args.file)),
                Output::Json => println!("{}", report::json(&dump, &found)),
            }
            Ok(found.is_empty())
        }
        Command::Convert(args) => {
            let dump = read(&args.file)?;
            let found = problems(&dump);
            if !found.is_empty() {
                for problem in &found {
                    eprintln!("✗ {problem}");
                }
                return Ok(false);
            }
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            convert::convert(&args.file, &dump, &convert::Around::default(), &mut out)?;
            out.flush()?;
            Ok(true)
        }
    }
}
