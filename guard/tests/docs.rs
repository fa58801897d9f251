//! The pages know every variable, every refusal and every code that the binary knows, and every name that the manifests know; and
//! what they link to is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use guard::config::door::FRONT_DOORS;
use guard::nas::failure::Code;
use guard::refusal::Reason;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const QUICKSTART: &str = "specs/001-immich-zero-trust/quickstart.md";

fn page(name: &str) -> std::io::Result<String> {
    std::fs::read_to_string(Path::new(ROOT).join(name))
}

/// Every file below `directory` with this extension, but for what is built, or is an operator's own.
fn files(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        if path.is_dir() {
            if ![".git", "target", "bin", "home.local"].iter().any(|skipped| entry == *skipped) {
                files(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// The lines of a page that are not in a block of code.
fn lines(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !fence && !code
    })
}

/// Where a page's links lead: `[text](target)`.
fn links(page: &str) -> Vec<String> {
    let prose = |line: &str| line.split('`').step_by(2).collect::<String>();
    let targets = |line: String| line.split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)).collect();
    lines(page).flat_map(|line| -> Vec<String> { targets(prose(line)) }).collect()
}

/// What a link into a page may name: its headings, as GitHub spells them, and its `id`s.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut headings = BTreeMap::<String, u32>::new();
    for line in lines(page) {
        anchors.extend(line.split("id=\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)));
        let text = line.trim_start_matches('#');
        if text.len() < line.len() && text.starts_with(' ') {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let slug = text.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
            let seen = headings.entry(slug.clone()).or_default();
            anchors.insert(if *seen == 0 { slug } else { format!("{slug}-{seen}") });
            *seen += 1;
        }
    }
    anchors
}

/// What follows `key: ` in the lines of a manifest.
fn values(manifest: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ").map(str::to_owned);
    manifest.lines().filter_map(value).collect()
}

/// The variables that `--help` of a subcommand names.
fn variables(subcommand: &str) -> std::io::Result<Vec<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_guard")).args([subcommand, "--help"]).output()?;
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    // As one line: it is wrapped to the terminal.
    let words: Vec<_> = help.split_whitespace().collect();
    Ok(words.windows(2).filter(|pair| pair[0] == "[env:").map(|pair| name(pair[1])).collect())
}

/// What stands before a value, or before the bracket's end.
fn name(word: &str) -> String {
    word.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect()
}

#[test]
fn every_variable_has_its_row() -> std::io::Result<()> {
    for (subcommand, name, least) in
        [("origin", "docs/origin.md", 19), ("nas", "docs/nas.md", 8), ("idtoken", "docs/idtoken.md", 22)]
    {
        let (page, variables) = (page(name)?, variables(subcommand)?);
        assert!(variables.len() >= least, "{variables:?}");
        for variable in variables {
            assert!(page.contains(&format!("`{variable}`")), "{variable} in {name}");
        }
    }
    Ok(())
}

#[test]
fn every_refusal_has_its_row() -> std::io::Result<()> {
    let page = page("docs/origin.md")?;
    for reason in Reason::ALL {
        assert!(page.contains(&format!("`{}`", reason.label())), "{}", reason.label());
    }
    Ok(())
}

#[test]
fn every_code_has_its_row_and_the_anchor_that_its_message_names() -> std::io::Result<()> {
    let (nas, troubleshooting) = (page("docs/nas.md")?, page("troubleshooting.md")?);
    for code in Code::ALL {
        assert!(nas.contains(&format!("| {} | `{}` |", code.exit(), code.label())), "{code:?}");
        assert!(
            troubleshooting.contains(&format!("<a id=\"{}\"></a>{} `{}`", code.anchor(), code.exit(), code.label())),
            "{code:?}"
        );
    }
    Ok(())
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() -> std::io::Result<()> {
    let mut found = Vec::new();
    files(Path::new(ROOT), "md", &mut found)?;
    assert!(found.len() > 5, "{found:?}");
    let mut dead = Vec::new();
    for path in found {
        for link in links(&std::fs::read_to_string(&path)?) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let there = target.exists() && (anchor.is_empty() || anchors(&std::fs::read_to_string(&target)?).contains(anchor));
            if !there {
                dead.push(format!("{}: {link}", path.strip_prefix(ROOT).unwrap_or(&path).display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
    Ok(())
}

#[test]
fn the_quickstart_names_what_the_manifests_want() -> std::io::Result<()> {
    let (quickstart, mut manifests) = (page(QUICKSTART)?, Vec::new());
    files(&Path::new(ROOT).join("apps"), "yaml", &mut manifests)?;
    // What can be switched on later has a page of its own, docs/components.md; what Authentik is told is in docs/authentik.md.
    let apart = ["apps/components", "apps/identity"].map(|folder| Path::new(ROOT).join(folder));
    manifests.retain(|path| !apart.iter().any(|folder| path.starts_with(folder)));
    let mut wanted = BTreeSet::new();
    for path in manifests {
        let manifest = std::fs::read_to_string(&path)?;
        wanted.extend(["secretName", "key"].iter().flat_map(|key| values(&manifest, key)).map(|name| format!("`{name}`")));
        wanted.extend(values(&manifest, "nodePort").iter().map(|port| format!("NodePort {port}")));
        wanted.extend(values(&manifest, "path").iter().filter(|path| path.starts_with("/__")).map(|path| format!("`{path}`")));
        let secrets = manifest.split("secretKeyRef:").skip(1).filter_map(|rest| values(rest, "name").into_iter().next());
        wanted.extend(secrets.map(|name| format!("`{name}`")));
        if manifest.contains("kind: Service\n") {
            let (name, port) = (&values(&manifest, "name")[0], &values(&manifest, "port")[0]);
            let is_its_row = |row: &str| row.starts_with(&format!("| `{name}` |")) && row.contains(&format!("| {port} |"));
            assert!(quickstart.lines().any(is_its_row), "Service {name} with port {port} in {QUICKSTART}");
        }
    }
    assert!(wanted.len() > 10, "{wanted:?}");
    for name in wanted {
        assert!(quickstart.contains(&name), "{name} in {QUICKSTART}");
    }
    Ok(())
}

#[test]
fn every_task_is_listed_once_and_every_requirement_has_its_task() -> std::io::Result<()> {
    let (tasks, spec) = (page("specs/001-immich-zero-trust/tasks.md")?, page("specs/001-immich-zero-trust/spec.md")?);
    for number in 1..=37 {
        let listed = |mark: char| tasks.matches(&format!("\n- [{mark}] T{number:03} ")).count();
        assert_eq!(listed('x') + listed(' '), 1, "T{number:03}");
    }
    let done = tasks.matches("\n- [x] T").count();
    assert!(tasks.contains(&format!("{done} of 37 are done")), "{done} are ticked");
    let phases = tasks.split("## What each requirement rests on").next().unwrap_or_default();
    let requirements: Vec<_> =
        spec.split("- **").skip(1).filter_map(|rest| rest.split("**").next()).filter(|id| id.starts_with("FR-")).collect();
    assert_eq!(requirements.len(), 22, "{requirements:?}");
    for id in requirements {
        let cited = phases.split(id).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        assert!(cited, "{id} is cited by no task");
    }
    Ok(())
}

/// The row of a table that begins with this cell.
fn row<'p>(page: &'p str, cell: &str) -> Option<&'p str> {
    page.lines().find(|line| line.starts_with(&format!("| `{cell}` |")))
}

#[test]
fn every_front_door_has_its_row_with_the_variables_that_it_requires() -> std::io::Result<()> {
    let origin = page("docs/origin.md")?;
    for kind in &FRONT_DOORS {
        for variable in kind.required {
            let row = row(&origin, kind.name).or_else(|| row(&origin, variable));
            let found = row.is_some_and(|row| row.contains(&format!("`{variable}`")));
            assert!(found, "docs/origin.md, table of front doors: no row of {} that names {variable}", kind.name);
        }
    }
    Ok(())
}

#[test]
fn the_readme_states_the_figures_that_hold() -> std::io::Result<()> {
    let readme = page("README.md")?;
    let policies = page("docs/policies.md")?.matches("<a id=\"").count();
    assert!(readme.contains(&format!("{policies} policies")), "README.md has to say: {policies} policies");
    let makefile = page("Makefile")?;
    let limit =
        makefile.lines().find_map(|line| line.strip_prefix("MAX_BINARY_BYTES = ")?.parse::<f64>().ok()).unwrap_or_default();
    let limit = format!("below {} MB", limit / 1e6);
    assert!(readme.contains(&limit), "README.md has to say: {limit}");
    Ok(())
}

#[test]
fn every_page_is_listed_and_says_its_question() -> std::io::Result<()> {
    let list = page("docs/README.md")?;
    let (docs, mut pages) = (Path::new(ROOT).join("docs"), Vec::new());
    files(&docs, "md", &mut pages)?;
    for name in pages.iter().filter_map(|path| path.strip_prefix(&docs).ok()?.to_str()).filter(|name| *name != "README.md") {
        assert!(list.contains(&format!("]({name})")), "docs/README.md has no row of {name}");
    }
    Ok(())
}

#[test]
fn every_alert_leads_to_a_place_in_the_pages() -> std::io::Result<()> {
    let places = values(&page("apps/components/monitoring/prometheusrule.yaml")?, "runbook");
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        let (name, anchor) = place.split_once('#').unwrap_or((&place, ""));
        assert!(anchors(&page(name)?).contains(anchor), "an alert leads to {place}, which is not there");
    }
    Ok(())
}

/// Every key that a manifest takes from the Secret of guard is one at which guard starts.
#[test]
fn guard_starts_with_every_key_of_its_secret_that_a_manifest_reads() -> std::io::Result<()> {
    let (mut keys, mut manifests) = (BTreeSet::new(), Vec::new());
    files(&Path::new(ROOT).join("apps"), "yaml", &mut manifests)?;
    for path in manifests {
        let text = std::fs::read_to_string(path)?;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter(|pair| pair[0] == "name: immich-edge");
        keys.extend(pairs.filter_map(|pair| pair[1].strip_prefix("key: ")).map(str::to_owned));
    }
    assert!(keys.len() >= 8, "{keys:?}");
    let variables = variables("origin")?;
    for key in keys {
        let is_read = variables.contains(&format!("GUARD_{key}")) || guard::config::secret_keys::OTHERS.contains(&&*key);
        assert!(
            is_read,
            "a manifest reads {key} from the Secret immich-edge, and guard would not start with it: add it to OTHERS"
        );
    }
    Ok(())
}
