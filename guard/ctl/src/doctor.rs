//! Says what is wrong with a home: looks at the cluster and at the outside, finds the cause among the consequences, and prints the command that
//! cures it. It only reads.

mod bundle;
mod checks;
mod collect;
mod dns;
pub mod evidence;
pub mod graph;
mod local;
mod phone;
pub mod report;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

pub use checks::{CHECKS, PRE};
pub(crate) use collect::{client as http_client, edge_values, kube_config, team_keys};
use evidence::{Evidence, Look};
use guard::config::units::read_positive_duration;
pub(crate) use local::is_own_disk;
use report::Report;

use crate::terminal::{Progress, Style};

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The path, the cause, what failed and what to do.
    Table,
    /// Three lines.
    Short,
    /// For programs: docs/doctor.schema.json.
    Json,
    /// For an issue.
    Md,
}

/// The arguments of `guardctl doctor`.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    after_help = "Examples:\n  guardctl doctor\n  guardctl doctor --pre   # before anything is applied\n  guardctl doctor --edge --host photos.example.com   # from outside, without the cluster\n  \
                        guardctl doctor --explain GD-NAS-41"
)]
pub struct DoctorArgs {
    /// How to print the report
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Show the checks that passed, too
    #[arg(short, long)]
    verbose: bool,
    /// Run only the checks of these categories or ids, such as nas,GD-EDGE-02
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Look from outside only: is the host name gated?
    #[arg(long, requires = "host")]
    edge: bool,
    /// Look at the cluster only
    #[arg(long, conflicts_with = "edge")]
    cluster: bool,
    /// Look at what can be known before anything is applied: the tools, the overlay, the nodes, the Secrets
    #[arg(long, conflicts_with_all = ["edge", "cluster", "wait"])]
    pre: bool,
    /// The folder of the overlay, for --pre
    #[arg(long, value_name = "DIR", default_value = "clusters/home.local")]
    overlay: String,
    /// A file with the two headers of a phone's service token, one a line: asks from outside as that phone
    #[arg(long, value_name = "FILE")]
    phone: Option<PathBuf>,
    /// The public resolvers to ask, by DNS over HTTPS with answers in JSON
    #[arg(long, value_name = "URL", value_delimiter = ',', default_values = dns::RESOLVERS)]
    resolver: Vec<String>,
    /// The public host name, where the cluster does not say it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Look again until nothing fails, for this long, such as 5m
    #[arg(long, value_name = "TIME", value_parser = read_positive_duration)]
    wait: Option<Duration>,
    /// Count warnings as failures
    #[arg(long)]
    strict: bool,
    /// Also write an archive for whoever helps: the report, objects, logs and versions, without what is private
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Say what a check looks at, without looking
    #[arg(long, value_name = "ID", conflicts_with_all = ["edge", "cluster", "only"])]
    explain: Option<String>,
    /// Check recorded evidence instead of a home
    #[arg(long, value_name = "FILE", hide = true)]
    evidence: Option<PathBuf>,
    /// Write the evidence, which holds no secret, to a file
    #[arg(long, value_name = "FILE", hide = true)]
    record: Option<PathBuf>,
}

/// The time between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Nothing could be looked at.
const BLIND: u8 = 3;

/// Runs the checks and prints the report.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    if let Some(id) = &args.explain {
        let Some(check) = CHECKS.iter().chain(PRE).find(|check| check.id.eq_ignore_ascii_case(id)) else {
            bail!("there is no check {id}")
        };
        let needs = if check.needs.is_empty() { "nothing".to_owned() } else { check.needs.join(", ") };
        println!("{}  {}\nneeds: {needs}\nmore: troubleshooting.md#{}", check.id, check.title, check.anchor);
        return Ok(ExitCode::SUCCESS);
    }
    args.bundle.as_deref().map_or(Ok(()), bundle::check)?;
    let began = Instant::now();
    let (evidence, report) = loop {
        let (evidence, report) = examine(args)?;
        let is_over = args.wait.is_none_or(|wait| began.elapsed() + PAUSE > wait);
        if report.ok || is_over || args.evidence.is_some() {
            break (evidence, report);
        }
        let cause = report.checks.iter().find(|finding| finding.status == graph::Status::Fail);
        eprintln!(
            "{:4} s  {}",
            began.elapsed().as_secs(),
            cause.map_or_else(String::new, |it| format!("{} {}", it.id, it.detail))
        );
        std::thread::sleep(PAUSE);
    };
    let style = Style::of(&std::io::stdout());
    match args.output {
        Output::Table => print!("{}", report.table(style, args.verbose)),
        Output::Short => print!("{}", report.short(style)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Md => print!("{}", report.markdown()),
    }
    if let Some(path) = &args.bundle {
        let raw = if args.evidence.is_some() {
            bundle::Raw::default()
        } else {
            let _progress = Progress::start("collecting for the archive");
            in_runtime(bundle::collect(args.context.clone(), &evidence))?
        };
        let (files, bytes) = bundle::write(path, &evidence, &report, &raw)?;
        eprintln!("{}: {files} files, {} KiB. Look through it before you send it", path.display(), bytes.div_ceil(1024));
    }
    Ok(if is_blind(&evidence) {
        ExitCode::from(BLIND)
    } else if report.ok && !(args.strict && report.summary.warn > 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks, or reads what was recorded, and checks it.
fn examine(args: &DoctorArgs) -> Result<(Evidence, Report)> {
    let evidence = match &args.evidence {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| format!("{}: no recorded evidence", path.display()))?
        }
        None => look(args)?,
    };
    if let Some(path) = &args.record {
        std::fs::write(path, serde_json::to_vec_pretty(&evidence)?).with_context(|| path.display().to_string())?;
    }
    let findings = match (args.pre, args.edge) {
        (true, _) => graph::run(PRE, &evidence),
        (_, true) => graph::run(checks::from_outside(), &evidence),
        _ => graph::run(CHECKS, &evidence),
    };
    let report = Report::new(findings.into_iter().filter(|finding| is_wanted(finding.id, &args.only)).collect());
    Ok((evidence, report))
}

fn look(args: &DoctorArgs) -> Result<Evidence> {
    let _progress = Progress::start(if args.edge { "looking from outside" } else { "looking at the cluster and from outside" });
    // A second one does nothing: the first counts.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let scope = collect::Scope {
        cluster: !args.edge,
        outside: !args.cluster && !args.pre,
        host: args.host.clone(),
        context: args.context.clone(),
        overlay: args.pre.then(|| args.overlay.clone()),
        resolvers: args.resolver.clone(),
        phone: args.phone.as_deref().map(phone::headers).transpose()?,
    };
    in_runtime(collect::collect(&scope))
}

fn in_runtime<T>(what: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let found = runtime.block_on(what);
    // The system's resolver blocks a thread for as long as it likes, past the deadline of the look: nobody waits for it.
    runtime.shutdown_background();
    Ok(found)
}

/// Whether neither the cluster nor the outside could be seen.
fn is_blind(evidence: &Evidence) -> bool {
    let no_cluster = !matches!(evidence.api, Look::Found(_));
    no_cluster
        && evidence.local.found().is_none()
        && !matches!(evidence.edge, Look::Found(_))
        && !matches!(evidence.addresses, Look::Found(_))
}

fn is_wanted(id: &str, only: &[String]) -> bool {
    let is_named = |name: &String| {
        let category = id.split('-').nth(1).unwrap_or_default();
        name.eq_ignore_ascii_case(id) || name.eq_ignore_ascii_case(category)
    };
    only.is_empty() || only.iter().any(is_named)
}
