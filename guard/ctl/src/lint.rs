//! Checks a stream of Kubernetes objects against policies and returns findings. The policies and their reasons: docs/policies.md.
//!
//! ```text
//!  PATH ─▶ read (kustomize) ─▶ yaml ─▶ schema (typed, strict) ─▶ inventory ─▶ each policy of the table ─▶ exceptions ─▶ report
//! ```
//!
//! The checks read manifests only, before anything applies them. They do not connect to a cluster.

pub mod blueprint;
mod custom;
mod exception;
pub mod finding;
mod flux;
pub mod image;
pub mod inventory;
pub mod network;
pub mod object;
pub mod policies;
mod prometheus;
pub mod quantity;
pub mod read;
pub mod report;
pub mod schema;
pub mod sops;
pub mod strict;
pub mod workload;
pub mod yaml;

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use finding::{Finding, passes};
use inventory::Inventory;
use object::Object;
use policies::{POLICIES, Policy};

use crate::terminal::{Progress, Style};

/// The arguments of `guardctl lint`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl lint clusters/home.local                 # your home, before you push
  kustomize build clusters/home | guardctl lint -
  guardctl lint --explain network-peers")]
pub struct LintArgs {
    /// What to check: - for standard input, a YAML file, a directory with a kustomization.yaml (rendered first with $KUSTOMIZE,
    /// kustomize or kubectl), or a directory of YAML files
    #[arg(value_name = "PATH", default_value = "clusters/home")]
    paths: Vec<String>,

    /// The format of the findings
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    /// Fail on warnings too
    #[arg(long)]
    strict: bool,

    /// Do not report placeholders such as `__NAS_LIBRARY_PATH__`. Use this only for the base in Git, never for manifests that you apply
    #[arg(long)]
    allow_placeholders: bool,

    /// List all policies and exit
    #[arg(long, conflicts_with = "explain")]
    list: bool,

    /// Explain one policy: the rule, its severity and the page with its reason
    #[arg(long, value_name = "ID")]
    explain: Option<String>,
}

/// The format of the findings.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people, grouped by object
    Table,
    /// One JSON document for programs
    Json,
}

/// Runs `guardctl lint` and prints the findings. Returns `Ok(false)` if the findings fail the command.
///
/// # Errors
/// If the input cannot be read, or is not a stream of Kubernetes objects.
pub fn run(args: &LintArgs) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    let style = Style::of(&out);
    if args.list {
        for policy in POLICIES {
            writeln!(out, "{:<26} {:<8} {}", policy.id, policy.severity.label(), policy.sentence)?;
        }
        return Ok(true);
    }
    if let Some(id) = &args.explain {
        let policy = Policy::find(id)
            .with_context(|| format!("--explain: found `{id}`, wanted the id of a policy: run `guardctl lint --list`"))?;
        writeln!(
            out,
            "{}\n\n{}\n\nseverity  {}\nreason    {}",
            policy.id,
            policy.sentence,
            policy.severity.label(),
            policy.link()
        )?;
        writeln!(out, "exception annotation {}: \"{}: REASON\"", exception::ANNOTATION, policy.id)?;
        return Ok(true);
    }
    let progress = Progress::start("reading and checking the manifests");
    let mut findings = Vec::new();
    let mut count = 0;
    // Each path is a separate cluster: a Service in one path never selects a pod in another.
    for path in &args.paths {
        let objects = read::objects(path)?;
        anyhow::ensure!(!objects.is_empty(), "{path}: found no Kubernetes object, wanted at least one");
        count += objects.len();
        findings.extend(check(&objects));
    }
    drop(progress);
    findings.retain(|finding| !(args.allow_placeholders && finding.id == policies::placeholder::ID));
    match args.output {
        Output::Table => report::table(&mut out, style, &findings, count)?,
        Output::Json => report::json(&mut out, &findings, count, args.strict)?,
    }
    Ok(passes(&findings, args.strict))
}

/// Returns all findings for the objects of one cluster, in the order of the objects.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let inventory = Inventory::of(objects);
    let mut findings = policies::check(&inventory);
    exception::apply(&inventory, &mut findings);
    findings.sort_by_key(|finding| finding.index);
    findings
}
