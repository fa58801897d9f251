//! The story of the way out: Google and a Cloud Run service on loopback, and a guard before it that has no key. Every line is a request
//! that was really sent.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::Value;

use super::client::{Answer, Client, Framing};
use super::steps::Steps;
use crate::DemoError;
use crate::guard_process::GuardProcess;
use guard::idtoken::config::DEFAULT_MAX_BODY_BYTES;
use testkit::google::{CloudRun, Cold, Google, SIGNATURE_REMOVED};
use testkit::issuer::unix_now;
use testkit::photos::hash;

/// A preview, as Immich sends it to machine learning.
const PICTURE_BYTES: u64 = 500_000;
/// The longest that the story waits for something to heal.
const PATIENCE: Duration = Duration::from_secs(30);

struct Story {
    program: PathBuf,
    google: Google,
    cloud_run: CloudRun,
    folder: PathBuf,
    steps: Steps,
}

/// Tells the story; `true` if every step was as wanted.
pub async fn run(program: &Path) -> Result<bool, DemoError> {
    let google = Google::start()?;
    let cloud_run = CloudRun::start(&google)?;
    let folder = std::env::temp_dir().join(format!("guard-demo-idtoken-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("guard idtoken: Immich at home, its machine learning on Cloud Run, which lets nobody in without a token of Google.");
    let mut story = Story { program: program.to_owned(), google, cloud_run, folder, steps: Steps::new() };
    let told = story.tell().await;
    std::fs::remove_dir_all(&story.folder)?;
    told?;
    Ok(story.steps.end())
}

impl Story {
    async fn tell(&mut self) -> Result<(), DemoError> {
        self.steps.part("Cloud Run by itself");
        let answer = ask(self.cloud_run.address(), &get("/", "")).await;
        self.wants(403, "a request without a token, as Immich sends it", &answer, "Immich cannot put one on");

        self.steps.part("Through guard, with a token of the pod and no key anywhere (workload identity federation)");
        let guard = self.open(Some(&self.federation()?)).await?;
        self.pictures(&guard).await?;
        self.spoofs(&guard).await;
        self.rests(&guard).await?;
        self.google.switch_off(true);
        let answer = ask(guard.address(), &get("/", "")).await;
        self.wants(200, "Google is down", &answer, "the token is good for an hour, and is renewed 22 minutes before its end");
        self.google.switch_off(false);
        drop(guard);

        self.steps.part("A role that was forgotten");
        self.forgets_a_role().await?;

        self.steps.part("Other sources");
        let key = self.write("key.json", &self.google.key_file())?;
        let login = self.write("login.json", &self.google.impersonation_file(&self.google.login()))?;
        for (file, done, proves) in [
            (Some(key), "a service account's key file", "as both source designs use it"),
            (None, "the metadata server", "on Google's own machines"),
            (Some(login), "a gcloud login that acts for the account", "on a developer's laptop"),
        ] {
            let guard = self.open(file.as_deref()).await?;
            let answer = ask(guard.address(), &get("/", "")).await;
            self.wants(200, done, &answer, proves);
            drop(guard);
        }
        Ok(())
    }

    async fn pictures(&mut self, guard: &GuardProcess) -> Result<(), DemoError> {
        let mut client = Client::connect(guard.address()).await?;
        client.upload("POST /predict HTTP/1.1\r\nHost: ml\r\n", PICTURE_BYTES, Framing::Declared).await?;
        let answer = client.answer().await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        self.steps.step("a picture of 500 KB", answer.status, body["sha256"] == hash(PICTURE_BYTES), "byte for byte");
        let reached = self.cloud_run.last();
        let token =
            reached.as_ref().and_then(|reached| reached.all("x-serverless-authorization").first().copied()).unwrap_or_default();
        self.steps.step(
            "what the container sees of the token",
            if token.is_empty() { "nothing" } else { "unsigned" },
            token.ends_with(SIGNATURE_REMOVED),
            "Cloud Run checked it and took the signature away",
        );
        Ok(())
    }

    async fn spoofs(&mut self, guard: &GuardProcess) {
        let lines =
            "X-Serverless-Authorization: Bearer mine\r\nX_Serverless_Authorization: Bearer mine\r\nAuthorization: Bearer app\r\n";
        let answer = ask(guard.address(), &get("/", lines)).await;
        self.wants(200, "a client that brings tokens of its own", &answer, "");
        let reached = self.cloud_run.last();
        let kept = reached.as_ref().is_some_and(|reached| {
            reached.headers.iter().all(|(_, value)| value != "Bearer mine") && reached.all("authorization") == ["Bearer app"]
        });
        self.steps.step(
            "what is left of them",
            if kept { "the app's own" } else { "too much" },
            kept,
            "nothing passes for guard's",
        );
    }

    async fn rests(&mut self, guard: &GuardProcess) -> Result<(), DemoError> {
        let before = self.cloud_run.seen().requests;
        let answer = ask(guard.address(), &get("/ping", "")).await;
        self.wants(200, "Immich's ping, every 30 s", &answer, "answered here");
        let woken = self.cloud_run.seen().requests - before;
        self.steps.step("what Cloud Run sees of it", format!("{woken} requests"), woken == 0, "it may sleep, and costs nothing");

        self.cloud_run.chill(2, Cold { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(0) });
        let answer = ask(guard.address(), &get("/", "")).await;
        let attempts = self.cloud_run.seen().requests - before;
        self.wants(200, "while it wakes up: two times 429 by Cloud Run itself", &answer, "sent again, within a budget");
        self.steps.step("how often it was asked", format!("{attempts} times"), attempts == 3, "the container saw one");

        let dialled = self.cloud_run.seen().connections;
        let mut client = Client::connect(guard.address()).await?;
        let answer = client
            .ask(format!("POST /predict HTTP/1.1\r\nHost: ml\r\nContent-Length: {}\r\n\r\n", DEFAULT_MAX_BODY_BYTES + 1))
            .await;
        self.wants(413, "one byte more than the 32 MiB that Cloud Run takes", &answer, "said before a byte was sent");
        let quiet = self.cloud_run.seen().connections == dialled;
        self.steps.step("what Cloud Run sees of it", if quiet { "nothing" } else { "a dial" }, quiet, "");
        Ok(())
    }

    async fn forgets_a_role(&mut self) -> Result<(), DemoError> {
        self.google.bind(false);
        let guard = self.open(Some(&self.federation()?)).await?;
        let began = Instant::now();
        let answer = ask(guard.address(), &get("/", "")).await;
        self.wants(503, "the pod may not act for the service account", &answer, "at once: Immich goes on to its next URL");
        let event = guard.logged(|message| message.starts_with("identity token not fetched")).await?;
        let why = event["error"].as_str().unwrap_or_default();
        self.steps.step("what the log says", "403", why.contains("getOpenIdToken"), why);
        self.google.bind(true);
        let mut status = 503;
        while status == 503 && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            status = ask(guard.address(), &get("/", "")).await.map_or(0, |answer| answer.status);
        }
        self.steps.step("the role is given", status, status == 200, "healed without a restart");
        let bare = self.cloud_run.seen().without_token;
        self.steps.step(
            "requests that ever left without a token",
            bare.saturating_sub(1),
            bare == 1,
            "only the very first, not through guard",
        );
        drop(guard);
        Ok(())
    }

    /// A guard that gets its tokens by this credential file, or by the metadata server.
    async fn open(&self, credentials: Option<&Path>) -> Result<GuardProcess, DemoError> {
        let mut variables = vec![
            ("GUARD_IDTOKEN_BACKENDS", format!("127.0.0.1:0={}", self.cloud_run.url())),
            ("GCE_METADATA_HOST", self.google.host()),
            ("GUARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("GUARD_GRACE", "1s".to_owned()),
        ];
        variables.extend(credentials.map(|path| ("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string())));
        let guard = GuardProcess::start(&self.program, &["idtoken"], &variables).await?;
        guard.logged(|message| message.starts_with("identity token ")).await?;
        Ok(guard)
    }

    /// The credential file of federation, and beside it the token that a cluster would project into the pod.
    fn federation(&self) -> io::Result<PathBuf> {
        let subject = self.folder.join(format!("pod-token-{}", unix_now()));
        std::fs::write(&subject, self.google.pod_token(600))?;
        self.write("federation.json", &self.google.federation_file(&subject.display().to_string()))
    }

    fn write(&self, name: &str, value: &Value) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, value.to_string())?;
        Ok(path)
    }

    fn wants(&mut self, wanted: u16, done: &str, answer: &io::Result<Answer>, proves: &str) {
        self.steps.wants(wanted, done, answer, proves);
    }
}

async fn ask(address: SocketAddr, request: &str) -> io::Result<Answer> {
    Client::connect(address).await?.ask(request).await
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: ml-proxy:8080\r\n{lines}\r\n")
}
