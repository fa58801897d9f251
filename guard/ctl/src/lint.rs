//! Policies as code: a stream of Kubernetes objects goes in, findings come out. The rules and their reasons: docs/policies.md.
//!
//! ```text
//!  PATH ─▶ read (kustomize) ─▶ yaml ─▶ schema (typed, strict) ─▶ inventory ─▶ each policy of the table ─▶ exceptions ─▶ report
//! ```
//!
//! Nothing here knows a cluster: what is found is in the manifests, before anything applies them.

pub mod blueprint;
mod exception;
pub mod finding;
mod flux;
pub mod image;
pub mod inventory;
pub mod network;
pub mod object;
pub mod policies;
pub mod quantity;
pub mod read;
pub mod report;
pub mod schema;
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

/// What `guardctl lint` takes.
#[derive(Args)]
pub struct LintArgs {
    /// `-`, a YAML file, a directory with a kustomization.yaml (rendered first: $KUSTOMIZE, kustomize or kubectl), or any other directory
    #[arg(value_name = "PATH", default_value = "clusters/home")]
    paths: Vec<String>,

    /// How findings are written
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    /// Warnings fail as well
    #[arg(long)]
    strict: bool,

    /// A placeholder like `__NAS_LIBRARY_PATH__` is no finding: for the committed base, never for what is applied
    #[arg(long)]
    allow_placeholders: bool,

    /// Print every policy and end
    #[arg(long, conflicts_with = "explain")]
    list: bool,

    /// Print what one policy wants, and where its reason is written
    #[arg(long, value_name = "ID")]
    explain: Option<String>,
}

/// How findings are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Grouped by object, for people
    Table,
    /// One document, for machines
    Json,
}

/// Lints what the arguments name. `Ok(false)`: there are findings.
pub fn run(args: &LintArgs) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    if args.list {
        for policy in POLICIES {
            writeln!(out, "{:<26} {:<8} {}", policy.id, policy.severity.label(), policy.sentence)?;
        }
        return Ok(true);
    }
    if let Some(id) = &args.explain {
        let policy =
            Policy::find(id).with_context(|| format!("--explain: found `{id}`, wanted one of `guardctl lint --list`"))?;
        writeln!(
            out,
            "{}\n\n{}\n\nseverity  {}\nreason    {}",
            policy.id,
            policy.sentence,
            policy.severity.label(),
            policy.link()
        )?;
        writeln!(out, "exception annotation {}: \"{}: why\"", exception::ANNOTATION, policy.id)?;
        return Ok(true);
    }
    let mut findings = Vec::new();
    let mut count = 0;
    // Each path is a cluster of its own: a Service of one never selects a pod of another.
    for path in &args.paths {
        let objects = read::objects(path)?;
        anyhow::ensure!(!objects.is_empty(), "{path}: found no Kubernetes object");
        count += objects.len();
        findings.extend(check(&objects));
    }
    findings.retain(|finding| !(args.allow_placeholders && finding.id == policies::placeholder::ID));
    match args.output {
        Output::Table => report::table(&mut out, &findings, count)?,
        Output::Json => report::json(&mut out, &findings, count, args.strict)?,
    }
    Ok(passes(&findings, args.strict))
}

/// Every finding in the objects of one cluster, in the order of the objects.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let inventory = Inventory::of(objects);
    let mut findings = policies::check(&inventory);
    exception::apply(&inventory, &mut findings);
    findings.sort_by_key(|finding| finding.index);
    findings
}
