//! The oracle: Google's own Python client must take our Google for the real one, and our Cloud Run must take its tokens. Then what guard
//! proves against them holds for the real ones too.
//!
//! `make test-google-auth` makes a Python with google-auth and runs this; `make test` needs no network and lists it as ignored.

use std::path::PathBuf;
use std::process::Command;

use testkit::RawClient;
use testkit::google::{ACCOUNT, CloudRun, Folder, google};

/// The interpreter that has google-auth and requests.
const VARIABLE: &str = "GOOGLE_AUTH_PYTHON";

/// Runs a script with these variables and arguments: what it printed.
async fn python(script: &'static str, variables: &[(&'static str, String)], arguments: &[String]) -> String {
    let python = PathBuf::from(std::env::var_os(VARIABLE).expect("GOOGLE_AUTH_PYTHON names a python that has google-auth"));
    let mut command = Command::new(python);
    command.args(["-c", script]).args(arguments).env_clear().envs(variables.iter().cloned());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn admits(cloud_run: &CloudRun, token: &str) -> u16 {
    let mut client = RawClient::connect(cloud_run.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    client.read_response().await.status
}

const FETCH: &str = "
import sys
import google.auth.transport.requests as transport
from google.oauth2 import id_token
print(id_token.fetch_id_token(transport.Request(), sys.argv[1]))
";

/// Verifies a token as Google's client does, with our published keys; prints the e-mail.
const VERIFY: &str = "
import sys
import google.auth.transport.requests as transport
from google.oauth2 import id_token
print(id_token.verify_token(sys.argv[1], transport.Request(), sys.argv[2], certs_url=sys.argv[3])['email'])
";

/// Exchanges a pod's token at the Security Token Service.
const EXCHANGE: &str = "
import json, sys
import google.auth.transport.requests as transport
from google.auth import identity_pool
info = json.load(open(sys.argv[1]))
del info['service_account_impersonation_url']
credentials = identity_pool.Credentials.from_info(info, scopes=['https://www.googleapis.com/auth/cloud-platform'])
credentials.refresh(transport.Request())
print(credentials.token)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs GOOGLE_AUTH_PYTHON: make test-google-auth"]
async fn googles_own_client_gets_its_tokens_here_and_they_are_let_in() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    let by_key = [("GOOGLE_APPLICATION_CREDENTIALS", folder.json("key.json", &google.key_file()))];
    let by_metadata = [("GCE_METADATA_HOST", google.host()), ("GCE_METADATA_IP", google.host())];
    for variables in [&by_key[..], &by_metadata[..]] {
        let token = python(FETCH, variables, &[cloud_run.url()]).await;
        assert_eq!(admits(&cloud_run, &token).await, 200, "{variables:?}");
        let keys = format!("http://{}/oauth2/v3/certs", google.host());
        assert_eq!(python(VERIFY, &[], &[token.clone(), cloud_run.url(), keys]).await, ACCOUNT);
        let (rest, _) = token.rsplit_once('.').unwrap();
        assert_eq!(admits(&cloud_run, &format!("{rest}.AAAA")).await, 401, "and not without its signature");
    }
    let seen = google.seen();
    assert_eq!((seen.assertions, seen.metadata, seen.refused), (1, 1, 0));

    let subject = folder.write("pod-token", &google.pod_token(600));
    let file = folder.json("federation.json", &google.federation_file(&subject));
    assert!(python(EXCHANGE, &[], &[file]).await.starts_with("ya29."));
    assert_eq!((google.seen().exchanges, google.seen().refused), (1, 0));
}
