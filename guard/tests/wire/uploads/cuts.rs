//! Cut at every kind of place: the file is whole in the end, or not there.

use testkit::immich::AssetAnswer;
use testkit::process::OriginProcess;
use testkit::wait::eventually;
use testkit::{Immich, RawClient, TestEnvironment, noise};

use super::{Person, home, is_whole, part_head};
use crate::GUARD;

const LENGTH: u64 = 3_000_000;

/// Sends bytes of a part and goes away.
async fn cut(ada: &Person, path: &str, from: u64, to: u64, sent: u64, resets: bool) {
    let mut client = RawClient::connect(ada.address).await;
    let request = [ada.head(&format!("PATCH {path}"), &part_head(from, to - from)).into_bytes(), noise::bytes(from, to)].concat();
    client.send_lossy(&request[..usize::try_from(sent).unwrap().min(request.len())]).await;
    if resets {
        client.reset();
    }
}

#[tokio::test]
async fn two_hundred_random_cuts_leave_a_whole_file_or_none() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = |limit: u64| {
        // xorshift64.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let (mut cuts, mut files) = (0, 0);
    while cuts < 200 {
        let path = ada.begin(LENGTH).await;
        let mut offset = 0;
        while offset < LENGTH {
            let to = LENGTH.min(offset + 1 + next(400_000));
            if next(3) > 0 {
                cuts += 1;
                // In the head, in the body, or in the last byte.
                cut(&ada, &path, offset, to, next(to - offset + 700), next(2) == 0).await;
            } else if ada.part(&path, offset, to).await.status == 204 && to == LENGTH {
                offset = to;
                continue;
            }
            let response = ada.offset(&path).await;
            assert_eq!(response.status, 200, "{response:?}");
            let now: u64 = response.header("upload-offset").unwrap().parse().unwrap();
            // More than this part, where an earlier one that was thought dead arrived meanwhile.
            assert!(now >= offset, "{offset} {now}");
            offset = now;
        }
        files += 1;
        let stored = home.immich.stored();
        assert_eq!(stored.len(), files);
        let file = stored.last().unwrap().file.as_ref().expect("a form that ended well");
        assert_eq!((file.bytes, &file.sha256), (LENGTH, &noise::sha256(LENGTH)));
    }
    assert_eq!(home.immich.aborted_uploads(), 0);
}

#[tokio::test]
async fn a_cut_while_immich_answers_is_answered_when_the_client_asks_again() {
    let home = home().await;
    home.immich.answer_assets(AssetAnswer::Hold);
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let mut client = RawClient::connect(ada.address).await;
    client.send(ada.head(&format!("PATCH {path}"), &part_head(0, 5))).await;
    client.send(noise::bytes(0, 5)).await;
    eventually("Immich to have all", || {
        home.immich.requests().iter().any(|request| request.complete && request.method == "POST")
    })
    .await;
    client.reset();
    home.immich.answer_assets(AssetAnswer::Store);
    let response = ada.offset(&path).await;
    assert_eq!((response.status, response.header("upload-offset")), (200, Some("5")));
    is_whole(&home, 5);
}

#[tokio::test]
async fn an_immich_that_restarts_between_parts_ends_the_upload_and_the_next_one_works() {
    let TestEnvironment { front_door, immich, guard } = home().await;
    let address = immich.addr();
    let home = TestEnvironment { front_door, immich, guard };
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(LENGTH).await;
    assert_eq!(ada.part(&path, 0, 1000).await.status, 204);
    // The part is accepted before Immich is connected to.
    home.immich.wait_until("the part", |state| state.requests.iter().any(|request| request.body_bytes >= 1000)).await;
    let TestEnvironment { front_door, immich, guard } = home;
    immich.stop().await;
    let config = testkit::immich::Config { listen: address, ..testkit::immich::Config::default() };
    let home = TestEnvironment { front_door, immich: Immich::start_with(config).await, guard };
    eventually("guard to see it", || home.guard.metrics.uploads("broken") == 1).await;
    assert_eq!(ada.part(&path, 1000, 2000).await.status, 502, "a client looks after this");
    assert_eq!(ada.offset(&path).await.status, 410);
    let path = ada.begin(5).await;
    assert_eq!(ada.part(&path, 0, 5).await.status, 204);
    is_whole(&home, 5);
}

#[tokio::test]
async fn after_guard_was_killed_immich_has_nothing_and_the_upload_is_gone() {
    let more = [("GUARD_LARGE_UPLOADS", "on")];
    let TestEnvironment { front_door, immich, guard } = TestEnvironment::process(GUARD, &more).await;
    let token = front_door.token_for("ada@example.com");
    let lines = format!("Host: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\nTus-Resumable: 1.0.0\r\n");
    let ada = Person { address: guard.address, lines };
    let path = ada.begin(LENGTH).await;
    assert_eq!(ada.part(&path, 0, 1_000_000).await.status, 204);
    drop(guard);
    immich.wait_until("the upload to be broken off", |state| state.aborted_uploads == 1).await;
    let mut variables = testkit::process::origin_variables(&front_door, &immich.url());
    variables.extend(more.map(|(name, value)| (name, value.to_owned())));
    let guard = OriginProcess::start(GUARD, &variables).await;
    let ada = Person { address: guard.address, ..ada };
    let response = ada.offset(&path).await;
    assert_eq!((response.status, response.header("upload-offset")), (410, None));
    assert!(immich.stored().is_empty());
}

#[tokio::test]
async fn a_part_that_is_under_way_when_the_drain_begins_is_finished() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(LENGTH).await;
    let mut client = RawClient::connect(ada.address).await;
    client.send(ada.head(&format!("PATCH {path}"), &part_head(0, LENGTH))).await;
    client.send(noise::bytes(0, 1000)).await;
    eventually("the bytes to be with Immich", || home.immich.requests().iter().any(|request| request.body_bytes >= 1000)).await;
    home.guard.stop();
    client.send(noise::bytes(1000, LENGTH)).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("guard-asset-status")), (204, Some("created")), "{response:?}");
    is_whole(&home, LENGTH);
}
