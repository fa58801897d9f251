//! What is refused, before Immich is connected to: strangers, other people, other sites, sizes that lie, and too many.

use testkit::issuer::unix_now;
use testkit::wait::eventually;
use testkit::{RawClient, noise};

use super::{Person, home, is_whole, metadata, part_head};

#[tokio::test]
async fn without_a_proof_there_is_neither_an_upload_nor_a_page() {
    let home = home().await;
    let mut stranger = Person::new(&home, "ada@example.com");
    stranger.lines = "Host: photos.example.com\r\nTus-Resumable: 1.0.0\r\n".to_owned();
    for line in
        ["OPTIONS /.guard/uploads", "POST /.guard/uploads", "HEAD /.guard/uploads/x", "GET /.guard/upload", "GET /.guard/x"]
    {
        assert_eq!(stranger.send(line, "", b"").await.status, 401, "{line}");
    }
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn an_upload_is_its_owners_alone() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let bob = Person::new(&home, "bob@example.com");
    let mut other_session = ada.clone();
    other_session.lines = other_session.lines.replace("session-of-ada", "session-of-bob");
    for other in [&bob, &other_session] {
        assert_eq!(other.offset(&path).await.status, 404);
        assert_eq!(other.part(&path, 0, 5).await.status, 404);
        assert_eq!(other.send(&format!("DELETE {path}"), "", b"").await.status, 404);
    }
    // The same person with a new token.
    let mut renewed = ada.clone();
    let mut claims = home.front_door.person("ada@example.com");
    claims["iat"] = (claims["iat"].as_u64().unwrap() - 1).into();
    renewed.lines = renewed.lines.replace(&home.front_door.token_for("ada@example.com"), &home.front_door.mint(&claims));
    assert_ne!(renewed.lines, ada.lines);
    assert_eq!(renewed.part(&path, 0, 5).await.status, 204);
    is_whole(&home, 5);
}

#[tokio::test]
async fn a_token_that_expired_between_parts_is_401_and_the_upload_waits_for_a_new_one() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(10).await;
    assert_eq!(ada.part(&path, 0, 4).await.status, 204);
    let mut expired = ada.clone();
    let mut claims = home.front_door.person("ada@example.com");
    claims["exp"] = (unix_now() - 60).into();
    expired.lines = expired.lines.replace(&home.front_door.token_for("ada@example.com"), &home.front_door.mint(&claims));
    assert_ne!(expired.lines, ada.lines);
    assert_eq!(expired.part(&path, 4, 10).await.status, 401);
    assert_eq!(ada.part(&path, 4, 10).await.status, 204);
    is_whole(&home, 10);
}

#[tokio::test]
async fn an_id_of_an_earlier_process_is_gone_and_any_other_is_unknown() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let (process, rest) = path.strip_prefix("/.guard/uploads/").unwrap().split_once('-').unwrap();
    let other = if process.starts_with('0') { "1" } else { "0" };
    assert_eq!(ada.offset(&format!("/.guard/uploads/{other}{}-{rest}", &process[1..])).await.status, 410);
    for id in ["x", "", "..", "%2e%2e", &format!("{process}-{}", "A".repeat(22)), &"x".repeat(5000)] {
        let status = ada.offset(&format!("/.guard/uploads/{id}")).await.status;
        assert!(matches!(status, 404 | 405), "{id}: {status}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_upload() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    for extra in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: https://photos.example.com.evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: https://photos.example.com\r\nOrigin: https://evil.example\r\n",
    ] {
        for line in ["POST /.guard/uploads".to_owned(), format!("PATCH {path}"), format!("DELETE {path}"), format!("HEAD {path}")]
        {
            let response = ada.send(&line, extra, b"").await;
            assert_eq!((response.status, response.header("guard-refusal")), (403, Some("forbidden")), "{line} {extra}");
        }
    }
    // A form can be sent by any site, without the header of the protocol.
    let mut form = ada.clone();
    form.lines = form.lines.replace("Tus-Resumable: 1.0.0\r\n", "");
    assert_eq!(form.send("POST /.guard/uploads", "Content-Length: 0\r\n", b"").await.status, 412);
    for extra in
        ["Origin: https://photos.example.com\r\n", "Sec-Fetch-Site: same-origin\r\n", "Origin: https://PHOTOS.example.com\r\n"]
    {
        assert_eq!(ada.send(&format!("HEAD {path}"), extra, b"").await.status, 200, "{extra}");
    }
}

#[tokio::test]
async fn names_sizes_and_metadata_are_checked_before_immich_is_dialled() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let good = metadata(&[("filename", "a.jpg")]);
    for (length, metadata, wanted) in [
        ("0", &*good, 400),
        ("-1", &good, 400),
        ("+5", &good, 400),
        ("5.0", &good, 400),
        ("", &good, 400),
        ("18446744073709551616", &good, 400),
        ("18446744073709551615", &good, 413),
        ("21474836481", &good, 413),
        ("5", "", 400),
        ("5", "filename !", 400),
        ("5", &super::metadata(&[("filename", "no extension")]), 400),
        ("5", &super::metadata(&[("filename", "a.jpg"), ("fileCreatedAt", "soon")]), 400),
        ("5\r\nUpload-Length: 6", &good, 400),
        ("5\r\nUpload-Metadata: filename YQ==", &good, 400),
    ] {
        let extra = format!("Upload-Length: {length}\r\nUpload-Metadata: {metadata}\r\nContent-Length: 0\r\n");
        let response = ada.send("POST /.guard/uploads", &extra, b"").await;
        assert_eq!(response.status, wanted, "{length} {metadata}: {response:?}");
        assert_eq!(response.header("location"), None);
    }
    let deferred = format!("Upload-Defer-Length: 1\r\nUpload-Metadata: {good}\r\nContent-Length: 0\r\n");
    assert_eq!(ada.send("POST /.guard/uploads", &deferred, b"").await.status, 501);
    assert_eq!(home.immich.dials(), 0);
    // What only Immich knows is asked before the first byte.
    let response = ada.create(5, &metadata(&[("filename", "a.exe")])).await;
    assert!(response.status == 415 && response.text().contains(".exe"), "{response:?}");
    home.immich.set_quota(Some((1000, 998)));
    let response = ada.create(5, &good).await;
    assert!(response.status == 400 && response.text().contains("quota"), "{response:?}");
    home.immich.set_quota(Some((1000, 995)));
    assert_eq!(ada.create(5, &good).await.status, 201);
    assert!(home.immich.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn offsets_that_are_wrong_change_nothing() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(10).await;
    assert_eq!(ada.part(&path, 0, 4).await.status, 204);
    let send_part = async |offset: &str, length: u64| {
        let extra =
            format!("Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n");
        ada.send(&format!("PATCH {path}"), &extra, &noise::bytes(0, length)).await
    };
    for (offset, length, wanted) in [
        ("0", 4, 409),
        ("3", 4, 409),
        ("5", 4, 409),
        ("10", 0, 409),
        ("11", 1, 413),
        ("4", 7, 413),
        ("18446744073709551615", 1, 413),
        ("18446744073709551616", 1, 400),
        ("-1", 1, 400),
        ("", 1, 400),
        ("4\r\nUpload-Offset: 4", 1, 400),
    ] {
        let response = send_part(offset, length).await;
        assert_eq!(response.status, wanted, "{offset} {length}: {response:?}");
    }
    let extra = "Upload-Offset: 4\r\nContent-Length: 1\r\nContent-Type: application/octet-stream\r\n";
    assert_eq!(ada.send(&format!("PATCH {path}"), extra, b"x").await.status, 415);
    let response = send_part("4", 0).await;
    assert_eq!((response.status, response.header("upload-offset")), (204, Some("4")), "an empty part is no error");
    assert_eq!(ada.part(&path, 4, 10).await.status, 204);
    is_whole(&home, 10);
}

#[tokio::test]
async fn a_part_that_turns_out_too_long_breaks_the_upload_and_immich_has_nothing() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    for body in [&b"b\r\nhello world\r\n0\r\n\r\n"[..], b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"] {
        let path = ada.begin(5).await;
        let extra = "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(ada.send(&format!("PATCH {path}"), extra, body).await.status, 413);
        assert_eq!(ada.offset(&path).await.status, 410);
    }
    assert!(home.immich.stored().is_empty());
}

#[tokio::test]
async fn a_part_above_the_limit_of_a_request_is_a_413() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let length = 200 * 1024 * 1024;
    let path = ada.begin(length).await;
    let mut client = RawClient::connect(ada.address).await;
    client.send(ada.head(&format!("PATCH {path}"), &part_head(0, length))).await;
    let response = client.read_response().await;
    assert_eq!((response.status, response.header("guard-refusal")), (413, Some("body-too-large")));
    assert_eq!(ada.offset(&path).await.header("upload-offset"), Some("0"));
}

#[tokio::test]
async fn uploads_are_bounded_and_ten_thousand_creations_leave_nothing() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let bob = Person::new(&home, "bob@example.com");
    let names: Vec<_> = (0..6).map(|number| metadata(&[("filename", &format!("{number}.jpg"))])).collect();
    let mut statuses = Vec::new();
    for name in &names {
        statuses.push(ada.create(5, name).await);
    }
    let codes: Vec<_> = statuses.iter().map(|response| response.status).collect();
    assert_eq!(codes, [201, 201, 201, 201, 503, 503]);
    assert!(statuses[5].header("retry-after").is_some(), "429 would be final for clients");
    assert_eq!(bob.create(5, &names[0]).await.status, 201, "the others have theirs");
    // Clients lose track of an upload and begin again: the same file takes the place of the old one.
    let mut client = RawClient::connect(ada.address).await;
    for _ in 0..10_000 {
        let extra = format!("Upload-Length: 5\r\nUpload-Metadata: {}\r\nContent-Length: 0\r\n", names[0]);
        client.send(ada.head("POST /.guard/uploads", &extra)).await;
        assert_eq!(client.read_response().await.status, 201);
    }
    eventually("the count to settle", || home.guard.metrics.open_uploads.get() == 5).await;
    assert!(home.immich.requests().iter().all(|request| request.method == "GET"), "Immich was only asked");
    let path = ada.create(5, &names[0]).await.header("location").unwrap().to_owned();
    assert_eq!(ada.part(&path, 0, 5).await.status, 204);
    is_whole(&home, 5);
}
