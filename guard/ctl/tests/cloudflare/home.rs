//! A home at Cloudflare: the stand-in, a token, a folder, and the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::CloudflareApi;
use testkit::cloudflare_api::State;
use testkit::google::Folder;

pub(crate) const HOST: &str = "photos.example.com";
pub(crate) const GUARDCTL: &str = env!("CARGO_BIN_EXE_guardctl");

pub(crate) struct Home {
    pub(crate) api: CloudflareApi,
    pub(crate) folder: Folder,
    pub(crate) settings: String,
}

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Everything that it printed.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }

    /// One finding of `check -o json`.
    #[track_caller]
    pub(crate) fn finding(&self, id: &str) -> Value {
        let report: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.said()));
        report["checks"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    }

    /// The ids with this status.
    pub(crate) fn with_status(&self, status: &str) -> Vec<String> {
        let report: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.said()));
        let all = report["checks"].as_array().unwrap().iter();
        all.filter(|it| it["status"] == status).map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl Home {
    /// An empty account; the family is Ada, who has a phone.
    pub(crate) async fn start() -> Self {
        let home = Self { api: CloudflareApi::start().await, folder: Folder::new(), settings: String::new() };
        let settings = format!("host = \"{HOST}\"\nfamily = [\"ada@example.com\"]\nphones = [\"ada\"]\n");
        let home = Self { settings: home.folder.write("cloudflare.toml", &settings), ..home };
        home.use_token(&home.api.token());
        home
    }

    /// A home after `apply`, whose guard trusts it, and whose tunnel is connected.
    pub(crate) async fn healthy() -> Self {
        let home = Self::start().await;
        home.apply().await.expect(0);
        home.api.edit(|state| state.tunnels[0]["status"] = json!("healthy"));
        home
    }

    pub(crate) fn write_settings(&self, more: &str) {
        self.folder.write("cloudflare.toml", &format!("host = \"{HOST}\"\n{more}"));
    }

    pub(crate) fn use_token(&self, token: &str) {
        let path = self.folder.write("token", token);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that `apply` wrote.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(GUARDCTL);
        command.arg("cloudflare").args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        let flags = ["--api-url", &self.api.url(), "--second", "1", "--settings", &self.settings];
        if !arguments.contains(&"--timeout") {
            command.args(["--timeout", "5s"]);
        }
        command.args(flags).arg("--token-file").arg(self.path("token")).arg("--folder").arg(self.path("out"));
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) async fn plan(&self) -> Run {
        self.run(&["plan"]).await
    }

    pub(crate) async fn apply(&self) -> Run {
        self.run(&["apply", "--yes"]).await
    }

    /// `check` as JSON, against the values that `apply` wrote.
    pub(crate) async fn check(&self) -> Run {
        let values = self.file("edge.env");
        self.run(&["check", "-o", "json", "--values", values.to_str().unwrap()]).await
    }

    /// What the account looks like, without ids and what is never the same twice.
    pub(crate) fn picture(&self) -> Value {
        self.api.edit(|state| picture(state))
    }
}

fn picture(state: &State) -> Value {
    let pick = |object: &Value, members: &[&str]| members.iter().map(|member| object[*member].clone()).collect::<Value>();
    let name_of = |all: &[Value], id: &Value| all.iter().find(|it| it["id"] == *id).map_or(Value::Null, |it| it["name"].clone());
    let policy = |policy: &Value| {
        let include = policy["include"].as_array().unwrap().iter().map(|rule| match &rule["service_token"]["token_id"] {
            Value::Null => rule.clone(),
            id => name_of(&state.service_tokens, id),
        });
        json!([policy["name"], policy["decision"], include.collect::<Value>()])
    };
    let app = |app: &Value| {
        let policies = app["policies"].as_array().unwrap().iter().map(|link| name_of(&state.policies, &link["id"]));
        json!([pick(app, &["name", "domain", "destinations", "session_duration"]), policies.collect::<Value>()])
    };
    let rules = state
        .ruleset
        .as_ref()
        .map(|ruleset| ruleset["rules"].as_array().unwrap().iter().map(|it| it["ref"].clone()).collect::<Value>());
    json!({
        "apps": state.apps.iter().map(app).collect::<Value>(),
        "policies": state.policies.iter().map(policy).collect::<Value>(),
        "tokens": state.service_tokens.iter().map(|it| it["name"].clone()).collect::<Value>(),
        "tunnels": state.tunnels.iter().map(|it| pick(it, &["name", "config_src"])).collect::<Value>(),
        "records": state.records.iter().map(|it| pick(it, &["type", "name", "proxied", "comment"])).collect::<Value>(),
        "rules": rules, "websockets": state.settings["websockets"]["value"],
    })
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}
