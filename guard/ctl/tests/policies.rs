//! Each policy finds its own mistake and no other, and has its place in docs/policies.md.
//!
//! A fixture is a few fields, merged into `lint/good.yaml` by kind, namespace and name: maps by key (`null` removes), lists by `mountPath`
//! or `name` (`$delete: true` removes), other lists as a whole. What is not there yet is added.

#![allow(clippy::expect_used, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use guardctl::lint::check;
use guardctl::lint::finding::Finding;
use guardctl::lint::object::Object;
use guardctl::lint::policies::POLICIES;
use guardctl::lint::yaml;
use serde_json::Value;

fn place(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn good() -> Vec<Value> {
    yaml::documents(&text("tests/lint/good.yaml"), "good.yaml").expect("good.yaml is YAML")
}

fn lint(values: Vec<Value>) -> Vec<Finding> {
    let objects: Vec<_> =
        values.into_iter().enumerate().map(|(index, value)| Object::new(index, "test", value).expect("an object")).collect();
    check(&objects)
}

fn identity(value: &Value) -> [Option<&str>; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| value.pointer(pointer).and_then(Value::as_str))
}

/// The good cluster with a fixture merged into it.
fn with(fixture: &str) -> Vec<Value> {
    let mut values = good();
    for patch in yaml::documents(fixture, "fixture").expect("a fixture is YAML") {
        match values.iter_mut().find(|value| identity(value) == identity(&patch)) {
            Some(value) => merge(value, patch),
            None => values.push(patch),
        }
    }
    values
}

fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(map), Value::Object(patch)) => {
            for (key, patch) in patch {
                if patch.is_null() {
                    map.remove(&key);
                } else {
                    merge(map.entry(key).or_insert(Value::Null), patch);
                }
            }
        }
        (Value::Array(items), Value::Array(patches)) if patches.iter().any(|patch| key(patch).is_some()) => {
            for patch in patches {
                let place = items.iter().position(|item| key(item) == key(&patch));
                match (place, patch.get("$delete").is_some()) {
                    (Some(place), true) => drop(items.remove(place)),
                    (Some(place), false) => merge(&mut items[place], patch),
                    (None, _) => items.push(patch),
                }
            }
        }
        (value, patch) => *value = patch,
    }
}

fn key(item: &Value) -> Option<&str> {
    item.get("mountPath").or_else(|| item.get("name")).and_then(Value::as_str)
}

/// The ids that a set of findings has.
fn ids(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn no_policy_has_anything_to_say_about_the_good_cluster() {
    let findings = lint(good());
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn each_fixture_is_found_by_its_policy_and_by_no_other_than_it_names() {
    let mut wrong = BTreeMap::new();
    for policy in POLICIES {
        let name = format!("tests/lint/{}.yaml", policy.id);
        let fixture = std::fs::read_to_string(place(&name)).unwrap_or_else(|_| {
            panic!(
                "guard/ctl/{name} does not exist. Write a few fields that make the cluster of good.yaml break the policy `{}`: \
                 kind, metadata.name and metadata.namespace of the object, then the wrong field. postgres-command.yaml is an example.",
                policy.id
            )
        });
        let also =
            fixture.lines().find_map(|line| line.strip_prefix("# Also found: ")).into_iter().flat_map(|ids| ids.split(", "));
        let wanted: BTreeSet<_> = also.chain([policy.id]).collect();
        let findings = lint(with(&fixture));
        if ids(&findings) != wanted {
            wrong.insert(policy.id, findings);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_policy_has_one_fixture_and_each_fixture_a_policy() {
    let known: BTreeSet<_> = POLICIES.iter().map(|policy| policy.id.to_owned()).collect();
    let files = std::fs::read_dir(place("tests/lint")).expect("tests/lint is there");
    let names = files.map(|file| file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned());
    let fixtures: BTreeSet<_> = names.filter(|name| name != "good").collect();
    assert_eq!(known.len(), POLICIES.len(), "an id is there twice");
    let foreign: Vec<_> = fixtures.difference(&known).collect();
    assert!(foreign.is_empty(), "guard/ctl/tests/lint: no policy for {foreign:?}: remove these files, or add rows to POLICIES");
    assert_eq!(fixtures, known);
}

/// The ids of the anchors of a page, in their order.
fn anchors(page: &str) -> Vec<&str> {
    page.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(id, _)| id).collect()
}

#[test]
fn each_policy_has_its_row_and_its_section_in_the_docs_and_each_of_them_a_policy() {
    let list = text("../../docs/policies.md");
    let known: Vec<_> = POLICIES.iter().map(|policy| policy.id).collect();
    for (place, policy) in POLICIES.iter().enumerate() {
        let id = policy.id;
        let before = place.checked_sub(1).map_or("the first heading", |before| POLICIES[before].id);
        let row = list.lines().find(|line| line.starts_with(&format!("| <a id=\"{id}\"></a>[{id}](")));
        let page = row.and_then(|row| row.split_once("](")?.1.split_once('#')).map(|(page, _)| page);
        let Some((row, page)) = row.zip(page) else {
            panic!(
                "docs/policies.md has no row for `{id}`. Write this one after `{before}`, where GROUP is one of docs/policies/:\n\n\
                 | <a id=\"{id}\"></a>[{id}](policies/GROUP.md#{id}) | {} |",
                policy.sentence
            )
        };
        assert!(row.replace('`', "").ends_with(&format!(" | {} |", policy.sentence)), "{row}\nwanted: {}", policy.sentence);
        let section = text(&format!("../../docs/{page}"));
        let section = section.split(&format!("# <a id=\"{id}\"></a>{id}")).nth(1).and_then(|rest| rest.split("\n#").next());
        assert!(
            section.is_some_and(|section| section.contains("\n- Why: ") && section.contains("\n- Do: ")),
            "docs/{page} has no section for `{id}`. Write this one, with the reason and the cure:\n\n\
             ## <a id=\"{id}\"></a>{id}\n\n{}\n\n- Why: REASON: [source](https://…).\n- Do: CURE.",
            policy.sentence
        );
    }
    assert_eq!(anchors(&list), known, "docs/policies.md has the rows in the order of POLICIES");
    let pages = std::fs::read_dir(place("../../docs/policies")).expect("docs/policies is there");
    let sections: usize =
        pages.map(|page| anchors(&std::fs::read_to_string(page.expect("a page").path()).expect("a page of text")).len()).sum();
    assert_eq!(sections, known.len(), "docs/policies/ has a section that belongs to no policy");
}

#[test]
fn a_finding_says_where_and_what_and_why() {
    let findings = lint(with(&text("tests/lint/unknown-field.yaml")));
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!(finding.object, "Deployment immich/immich-server");
    assert_eq!(finding.field, "spec.template.spec.containers[0].livenessprobe");
    assert_eq!(finding.wanted, "`livenessProbe`: did you mean this field?");
    assert_eq!(finding.link, "docs/policies.md#unknown-field");
}

/// The server with a configuration file: where it is said to be, its mount, its volume.
fn configured(file: &str, mount: &str, volume: &str) -> Vec<(String, String)> {
    let patch = format!(
        "kind: Deployment\nmetadata: {{name: immich-server, namespace: immich}}\nspec: {{template: {{spec: {{\n  containers: [{{name: server, \
         env: [{{name: IMMICH_CONFIG_FILE, {file}}}], volumeMounts: [{{{mount}, name: config}}]}}],\n  volumes: [{{name: config, {volume}}}]}}}}}}\n"
    );
    lint(with(&patch))
        .into_iter()
        .map(|finding| (finding.id.to_owned(), format!("{} {}", finding.field, finding.found)))
        .collect()
}

#[test]
fn the_configuration_file_is_one_of_a_secret_that_is_there() {
    let (file, mount) = ("value: /config/immich.yaml", "mountPath: /config");
    for (file, mount, volume) in [
        (file, mount, "secret: {secretName: immich-oidc}"),
        (file, mount, "secret: {secretName: any, optional: false, items: [{key: a, path: immich.yaml}]}"),
        (
            file,
            "mountPath: /config/immich.yaml, subPath: immich.yaml",
            "secret: {secretName: any, items: [{key: a, path: immich.yaml}]}",
        ),
        (file, mount, "projected: {sources: [{secret: {name: immich-oidc}}]}"),
    ] {
        assert_eq!(configured(file, mount, volume), [], "{file}, {mount}, {volume}");
    }
    for (file, mount, volume, id, wanted) in [
        (file, mount, "configMap: {name: immich-config}", "immich-config-source", "from the ConfigMap immich-config"),
        (file, mount, "emptyDir: {}", "immich-config-source", "which is not a Secret"),
        (
            file,
            mount,
            "secret: {secretName: a, items: [{key: a, path: other.yaml}]}",
            "immich-config-source",
            "has no file `immich.yaml`",
        ),
        (file, mount, "projected: {sources: [{configMap: {name: a}}, {secret: {name: b}}]}", "immich-config-source", "ConfigMap"),
        (
            file,
            mount,
            "projected: {sources: [{secret: {name: b, items: [{key: a, path: b}]}}]}",
            "immich-config-source",
            "has no file",
        ),
        (
            file,
            "mountPath: /configuration",
            "secret: {secretName: immich-oidc}",
            "immich-config-source",
            "where no volume is mounted",
        ),
        ("value: immich.yaml", mount, "secret: {secretName: immich-oidc}", "immich-config-source", "not an absolute path"),
        ("value: ''", mount, "secret: {secretName: immich-oidc}", "immich-config-source", "not an absolute path"),
        (
            "valueFrom: {fieldRef: {fieldPath: metadata.name}}",
            mount,
            "secret: {secretName: immich-oidc}",
            "immich-config-source",
            "the manifest does not show which file it is",
        ),
        (file, mount, "secret: {secretName: any, optional: true}", "immich-config-waits", "volumes[4].secret.optional true"),
        (
            file,
            mount,
            "projected: {sources: [{secret: {name: any, optional: true}}]}",
            "immich-config-waits",
            "sources[0].secret.optional",
        ),
    ] {
        let findings = configured(file, mount, volume);
        let [(found, text)] = findings.as_slice() else { panic!("{file}, {mount}, {volume}: {findings:?}") };
        assert!(found == id && text.contains(wanted), "{wanted}: {findings:?}");
    }
}

#[test]
fn a_password_in_a_variable_and_one_in_a_file_are_both_found() {
    let findings = lint(with(&text("tests/lint/literal-credential.yaml")));
    let found: Vec<_> = findings.iter().map(|finding| (finding.field.as_str(), finding.found.as_str())).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&("data.immich.yaml", "a credential at oauth.clientSecret")), "{found:?}");
}

#[test]
fn an_exception_with_a_reason_covers_its_object_and_no_other() {
    let mistake = |name: &str, annotation: &str| {
        format!(
            "kind: Deployment\nmetadata: {{name: {name}, namespace: immich, annotations: {{{annotation}}}}}\n\
             spec: {{template: {{spec: {{enableServiceLinks: true}}}}}}\n"
        )
    };
    let excepted = mistake("immich-redis", "guardctl.lint/allow: \"service-links: it reads no variable\"");
    assert_eq!(lint(with(&excepted)).len(), 0);
    let findings = lint(with(&format!("{excepted}---\n{}", mistake("immich-server", ""))));
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].object, "Deployment immich/immich-server");
}

#[test]
fn an_exception_from_what_is_no_policy_is_invalid() {
    let patch = "kind: Deployment\nmetadata: {name: immich-redis, namespace: immich, annotations: {guardctl.lint/allow: \"no-such: x\"}}\n";
    assert_eq!(ids(&lint(with(patch))), BTreeSet::from(["exception-invalid"]));
}

fn guardctl(args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_guardctl")).args(args).current_dir(place("tests/lint")).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_code_tells_findings_from_input_that_cannot_be_read() {
    assert_eq!(guardctl(&["lint", "good.yaml"]).0, Some(0));
    assert_eq!(guardctl(&["lint", "secret-object.yaml"]).0, Some(1));
    // A warning fails only when asked to.
    assert_eq!(guardctl(&["lint", "unchecked-kind.yaml"]).0, Some(0));
    assert_eq!(guardctl(&["lint", "--strict", "unchecked-kind.yaml"]).0, Some(1));
    for (args, message) in [
        (["lint", "no-such-file.yaml"].as_slice(), "no-such-file.yaml: cannot be read"),
        (&["lint", "../policies.rs"], "wanted a YAML stream"),
        (&["lint", "--explain", "no-such-policy"], "no-such-policy"),
    ] {
        let (code, _, error) = guardctl(args);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn the_table_groups_by_object_and_json_has_the_same_findings() {
    let (_, table, _) = guardctl(&["lint", "secret-object.yaml"]);
    assert!(
        table.starts_with("Secret immich/immich-postgres  (secret-object.yaml)\n  error    secret-object  kind\n"),
        "{table}"
    );
    assert!(table.ends_with("1 object, 1 error, 0 warnings\n"), "{table}");
    let (_, json, _) = guardctl(&["lint", "-o", "json", "secret-object.yaml"]);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["schema"], "guardctl.lint/v1");
    assert_eq!(report["ok"], false);
    assert_eq!(report["summary"]["errors"], 1);
    let finding = &report["findings"][0];
    for (key, value) in [("id", "secret-object"), ("severity", "error"), ("field", "kind"), ("source", "secret-object.yaml")] {
        assert_eq!(finding[key], value);
    }
}

#[test]
fn a_placeholder_is_allowed_only_where_it_is_asked_for() {
    let base = text("tests/lint/good.yaml").replace("/mnt/nas/immich", "/__NAS_LIBRARY_PATH__");
    let lint = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardctl"));
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("a pipe").write_all(base.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, table) = lint(&["lint", "-"]);
    assert!(code == Some(1) && table.contains("placeholder-left"), "{table}");
    assert_eq!(lint(&["lint", "--allow-placeholders", "-"]), (Some(0), "37 objects, 0 errors, 0 warnings\n".to_owned()));
}

#[test]
fn list_and_explain_name_the_policies() {
    let (_, list, _) = guardctl(&["lint", "--list"]);
    assert_eq!(list.lines().count(), POLICIES.len());
    let (code, text, _) = guardctl(&["lint", "--explain", "nas-exec"]);
    assert!(code == Some(0) && text.contains("docs/policies.md#nas-exec"), "{text}");
}

#[test]
fn a_duplicate_key_is_no_yaml() {
    let error = yaml::documents("a: 1\nb: 2\na: 3\n", "x.yaml").expect_err("refused");
    assert!(format!("{error:#}").contains("duplicate"), "{error:#}");
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let values = yaml::documents("mode: 0440\nquoted: \"0440\"\n---\n---\n# nothing\n---\non: yes\n", "x").expect("YAML");
    assert_eq!(values, [serde_json::json!({"mode": 288, "quoted": "0440"}), serde_json::json!({"on": true})]);
}
