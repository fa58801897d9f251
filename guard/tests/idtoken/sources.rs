//! Each source end to end, and that one fetch serves everybody.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::google::{SIGNATURE_REMOVED, Seen, Via, args, google, open};
use testkit::{CloudRunSetup, RawClient, google::Folder};

use super::get;

#[tokio::test]
async fn a_request_arrives_with_a_token_of_each_source() {
    for via in Via::ALL {
        let abroad = CloudRunSetup::with(via, |_args| {}).await;
        let answer = abroad.ask(get("/anything?x=1", "")).await;
        assert_eq!(answer.status, 200, "{via:?}: {}", answer.text());
        let reached = abroad.reached();
        assert_eq!(reached.line, "GET /anything?x=1", "{via:?}");
        let [token] = reached.all("x-serverless-authorization")[..] else { panic!("{via:?}: {reached:?}") };
        assert!(token.starts_with("Bearer ey") && token.ends_with(SIGNATURE_REMOVED), "{via:?}: {token}");
        assert!(reached.all("authorization").is_empty(), "{via:?}");
        let one = |metadata, assertions, access, exchanges, generated| Seen {
            metadata,
            assertions,
            access,
            exchanges,
            generated,
            refused: 0,
        };
        let wanted = match via {
            Via::Metadata => one(1, 0, 0, 0, 0),
            Via::KeyFile => one(0, 1, 0, 0, 0),
            Via::Federation => one(0, 0, 0, 1, 1),
            Via::Login | Via::ActingKey => one(0, 0, 1, 0, 1),
        };
        assert_eq!(abroad.google.seen(), wanted, "{via:?}");
    }
}

#[tokio::test]
async fn a_thousand_first_requests_at_once_cause_one_fetch() {
    // Each is four sockets in this process.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let ((google, cloud_run), folder) = (google(), Folder::new());
    google.hold(true);
    let egress_proxy = open(&args(&google, &cloud_run, &folder, Via::Federation));
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let mut client = RawClient::connect(egress_proxy.addresses[0]).await;
        client.send(get("/", "")).await;
        clients.push(client);
    }
    assert_eq!(cloud_run.seen().requests, 0, "nothing leaves without a token");
    google.hold(false);
    for mut client in clients {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!((google.seen().exchanges, google.seen().generated, google.seen().refused), (1, 1, 0));
    assert_eq!(cloud_run.seen().container.len(), 1_000);
    egress_proxy.stop();
}

#[tokio::test]
async fn backends_of_one_audience_share_a_token_and_others_have_their_own() {
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| {
        let url = args.backend[0].split_once('=').unwrap().1.to_owned();
        args.backend = vec![
            format!("127.0.0.1:0={url}"),
            format!("127.0.0.1:0={url};audience={url};header=authorization"),
            format!("127.0.0.1:0={url};audience=custom"),
        ];
    })
    .await;
    abroad.cloud_run.accept_audience("custom");
    let mut tokens = Vec::new();
    for (number, address) in abroad.egress_proxy.addresses.iter().enumerate() {
        let mut client = RawClient::connect(*address).await;
        client.send(get("/", "")).await;
        assert_eq!(client.read_response().await.status, 200, "{number}");
        let reached = abroad.reached();
        let header = if number == 1 { "authorization" } else { "x-serverless-authorization" };
        tokens.push(reached.all(header)[0].to_owned());
    }
    assert!(tokens[0] == tokens[1] && tokens[0] != tokens[2]);
    assert_eq!(abroad.google.seen().assertions, 2);
}
