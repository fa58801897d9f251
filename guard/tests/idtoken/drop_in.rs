//! The real binary with the variables of either source design and no others, but for an admin port of its own, which keeps tests apart.

use std::net::{SocketAddr, TcpListener};

use testkit::google::{CloudRun, Folder, Google, google};

use super::{GUARD, get, refusal};
use testkit::admin;
use testkit::process::Process;
use testkit::wait::eventually;

type Variables = Vec<(&'static str, String)>;

/// A port that was free a moment ago.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A guard that gets its tokens by federation.
pub(crate) fn federation(google: &Google, cloud_run: &CloudRun, folder: &Folder) -> Variables {
    let subject = folder.write("pod-token", &google.pod_token(3600));
    vec![
        ("GUARD_IDTOKEN_BACKENDS", format!("127.0.0.1:0={}", cloud_run.url())),
        ("GUARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("GOOGLE_APPLICATION_CREDENTIALS", folder.json("federation.json", &google.federation_file(&subject))),
        ("GUARD_WORKERS", "2".to_owned()),
    ]
}

/// Waits until it has a token, by its log: its first listener and its admin port.
pub(crate) async fn listening(binary: Process) -> (Process, SocketAddr, SocketAddr) {
    eventually("both addresses and a token in the log", || {
        let log = binary.stdout();
        log.contains("guard idtoken is listening") && log.contains("identity token loaded")
    })
    .await;
    let log = binary.stdout();
    let address = |field: &str| -> SocketAddr {
        let value = log.split(&format!("\"{field}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no {field} in {log}"))
    };
    let (listen, admin) = (address("listen"), address("admin"));
    (binary, listen, admin)
}

async fn ask(address: SocketAddr, request: String) -> testkit::raw::Response {
    let mut client = testkit::RawClient::connect(address).await;
    client.send(request).await;
    client.read_response().await
}

#[tokio::test]
async fn the_environment_of_immich_auth_proxy_is_enough() {
    let ((google, cloud_run), folder, port) = (google(), Folder::new(), port());
    let (guard, address, admin_address) = listening(Process::start(
        GUARD,
        &["idtoken"],
        &[
            ("UPSTREAM_SERVER_URL", cloud_run.url()),
            ("PORT", port.clone()),
            ("GOOGLE_APPLICATION_CREDENTIALS", folder.json("sa.json", &google.key_file())),
            ("GUARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ],
    ))
    .await;
    assert_eq!(address.to_string(), format!("0.0.0.0:{port}"));
    let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let body = "x".repeat(5000);
    let request = format!("POST /predict HTTP/1.1\r\nHost: ml-proxy:8080\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask(here, request).await.json()["bytes"], 5000);
    assert_eq!(ask(here, get("/ping", "")).await.text(), "pong");
    assert_eq!(admin::get(admin_address, "/readyz").await.status, 200);
    guard.terminate();
    let ended = guard.end().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn the_environment_of_the_flask_auth_proxy_is_enough() {
    let ((google, cloud_run), port) = (google(), port());
    let (guard, address, admin_address) = listening(Process::start(
        GUARD,
        &["idtoken"],
        &[
            ("BACKEND_URL", cloud_run.url()),
            ("PORT", port.clone()),
            // Where the metadata server is when one is not on Google Cloud; the design itself runs there.
            ("GCE_METADATA_HOST", google.host()),
            ("GUARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ],
    ))
    .await;
    let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let request = "POST /chat HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello".to_owned();
    assert_eq!(ask(here, request).await.status, 200);
    assert_eq!(cloud_run.last().map(|reached| reached.line), Some("POST /chat".to_owned()));
    let health = admin::get(admin_address, "/health").await.json();
    assert_eq!((&health["status"], &health["service"]), (&"ok".into(), &"auth-proxy".into()));
    guard.terminate();
    assert_eq!(guard.end().await.code, Some(0));
}

#[tokio::test]
async fn everything_wrong_is_said_at_once_and_a_gcloud_login_is_told_why_not() {
    let folder = Folder::new();
    let login = folder.json("adc.json", &google().0.login());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = Process::run(
        GUARD,
        &["idtoken"],
        &[
            ("UPSTREAM_SERVER_URL", "http://ml.example".to_owned()),
            ("GOOGLE_APPLICATION_CREDENTIALS", login),
            ("GUARD_CORS_ORIGINS", "*".to_owned()),
            ("GUARD_ADMIN_LISTEN", taken.local_addr().unwrap().to_string()),
        ],
    )
    .await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    for said in
        ["3 problems", "UPSTREAM_SERVER_URL: found", "GUARD_CORS_ORIGINS: found", "audience of its tokens cannot be chosen"]
    {
        assert!(ended.stderr.contains(said), "{said} in {}", ended.stderr);
    }
    let ended = Process::run(GUARD, &["idtoken"], &[]).await;
    assert!(ended.code == Some(2) && ended.stderr.contains("UPSTREAM_SERVER_URL: not set"), "{ended:?}");
}

#[tokio::test]
async fn a_drain_refuses_what_is_new_and_ends_with_0() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    let (guard, address, _admin) =
        listening(Process::start(GUARD, &["idtoken"], &federation(&google, &cloud_run, &folder))).await;
    let mut upload = testkit::RawClient::connect(address).await;
    upload.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    upload.read_head().await;
    upload.read_through(b"first\r\n").await;
    guard.terminate();
    eventually("the drain to begin", || guard.stdout().contains("\"draining\"")).await;
    let answer = ask(address, get("/", "")).await;
    assert_eq!(refusal(&answer), (503, "not-ready"));
    upload.send("4\r\nlast\r\n0\r\n\r\n").await;
    upload.read_through(b"last\r\n").await;
    assert_eq!(guard.end().await.code, Some(0));
}
