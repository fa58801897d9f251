//! The protocol as its clients use it.

use testkit::immich::AssetAnswer;
use testkit::wait::eventually;
use testkit::{RawClient, TestEnvironment, noise};

use super::{Person, home, is_whole, metadata, part_head};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn parts_become_one_file_at_immich_byte_for_byte() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let length = 10 * MIB + 7;
    let path = ada.begin(length).await;
    assert!(path.starts_with("/.guard/uploads/"), "{path}");
    let before = home.immich.dials();
    for (from, to) in [(0, 4 * MIB), (4 * MIB, 4 * MIB + 1), (4 * MIB + 1, 9 * MIB)] {
        let response = ada.part(&path, from, to).await;
        assert_eq!((response.status, response.header("upload-offset")), (204, Some(&*to.to_string())), "{response:?}");
        assert!(response.header("upload-expires").is_some() && response.header("tus-resumable") == Some("1.0.0"));
        assert!(home.immich.stored().is_empty());
    }
    let response = ada.part(&path, 9 * MIB, length).await;
    assert_eq!((response.status, response.header("upload-offset")), (204, Some(&*length.to_string())), "{response:?}");
    assert_eq!(response.header("guard-asset-status"), Some("created"));
    assert_eq!(response.header("guard-asset-id"), Some("00000000-0000-4000-8000-000000000001"));
    is_whole(&home, length);
    assert_eq!(home.immich.dials() - before, 1, "one request for the whole file");
    let request = home.immich.last_request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/api/assets"));
    assert_eq!(request.header("cookie"), Some("immich_access_token=session-of-ada@example.com"));
    for name in ["upload-length", "upload-metadata", "tus-resumable", "cf-access-jwt-assertion", "transfer-encoding"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    let stored = home.immich.stored().remove(0);
    assert_eq!(request.header("content-length"), Some(&*stored.bytes.to_string()), "an exact length, so that a cut is seen");
    let file = stored.file.unwrap();
    assert_eq!(file.filename, "upload.mov");
    let names: Vec<_> = file.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["fileCreatedAt", "fileModifiedAt", "filename"]);
    assert_eq!(file.fields[2].1, "holiday.mov");
    // A client whose last answer was lost asks again.
    let response = ada.offset(&path).await;
    assert_eq!((response.status, response.header("upload-offset")), (200, Some(&*length.to_string())));
    assert_eq!(response.header("guard-asset-id"), Some("00000000-0000-4000-8000-000000000001"));
    eventually("the metrics", || home.guard.metrics.uploads("created") == 1).await;
    assert_eq!(home.guard.metrics.upload_bytes.get(), length);
}

#[tokio::test]
async fn a_client_finds_what_the_server_can_do() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let response = ada.send("OPTIONS /.guard/uploads", "", b"").await;
    assert_eq!(
        (response.status, response.header("tus-version"), response.header("tus-max-size")),
        (204, Some("1.0.0"), Some("21474836480"))
    );
    assert_eq!(response.header("tus-extension"), Some("creation,creation-with-upload,termination,expiration"));
    let sent = metadata(&[("filename", "a.jpg"), ("relativePath", "null")]);
    let path = ada.create(5, &sent).await.header("location").unwrap().to_owned();
    let response = ada.offset(&path).await;
    assert_eq!(
        (response.status, response.header("upload-offset"), response.header("upload-length")),
        (200, Some("0"), Some("5"))
    );
    assert_eq!((response.header("upload-metadata"), response.header("cache-control")), (Some(&*sent), Some("no-store")));
    // The version is checked in every request but OPTIONS.
    for line in ["POST /.guard/uploads", &format!("HEAD {path}"), &format!("PATCH {path}"), &format!("DELETE {path}")] {
        for version in ["", "Tus-Resumable: 0.2.2\r\n"] {
            let mut other = ada.clone();
            other.lines = other.lines.replace("Tus-Resumable: 1.0.0\r\n", version);
            let response = other.send(line, "", b"").await;
            assert_eq!((response.status, response.header("tus-version")), (412, Some("1.0.0")), "{line} {version}");
        }
    }
}

#[tokio::test]
async fn a_creation_may_bring_the_first_part_or_the_whole_file() {
    for length in [3, 8] {
        let home = home().await;
        let ada = Person::new(&home, "ada@example.com");
        let extra = format!(
            "Upload-Length: {length}\r\nUpload-Metadata: {}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 3\r\n",
            metadata(&[("filename", "a.jpg")])
        );
        let response = ada.send("POST /.guard/uploads", &extra, &noise::bytes(0, 3)).await;
        assert_eq!((response.status, response.header("upload-offset")), (201, Some("3")), "{response:?}");
        let path = response.header("location").unwrap().to_owned();
        if length == 8 {
            assert_eq!(ada.part(&path, 3, 8).await.status, 204);
        }
        is_whole(&home, length);
    }
}

#[tokio::test]
async fn a_body_without_a_length_and_a_method_in_a_header_work() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let extra = "X-HTTP-Method-Override: PATCH\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n\
                 Transfer-Encoding: chunked\r\n";
    let body = [&b"5\r\n"[..], &noise::bytes(0, 5), b"\r\n0\r\n\r\n"].concat();
    let response = ada.send(&format!("POST {path}"), extra, &body).await;
    assert_eq!((response.status, response.header("upload-offset")), (204, Some("5")), "{response:?}");
    is_whole(&home, 5);
}

#[tokio::test]
async fn the_newest_request_takes_over_and_a_stalled_one_is_cut_off() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(MIB).await;
    // A phone's network dies in the middle of a part.
    let mut dead = RawClient::connect(ada.address).await;
    dead.send(ada.head(&format!("PATCH {path}"), &part_head(0, MIB))).await;
    dead.send(noise::bytes(0, 1000)).await;
    eventually("the bytes to be with Immich", || home.immich.requests().iter().any(|request| request.body_bytes >= 1000)).await;
    let response = ada.offset(&path).await;
    assert_eq!((response.status, response.header("upload-offset")), (200, Some("1000")), "{response:?}");
    assert_eq!(dead.read_response().await.status, 423);
    assert_eq!(ada.part(&path, 0, 10).await.status, 409);
    assert_eq!(ada.part(&path, 1000, MIB).await.status, 204);
    is_whole(&home, MIB);
}

#[tokio::test]
async fn the_whole_offset_is_told_only_once_immich_has_the_file() {
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
    // Somebody who asks waits, and hears it with the answer.
    let mut asks = RawClient::connect(ada.address).await;
    asks.send(ada.head(&format!("HEAD {path}"), "")).await;
    assert_eq!(client.read_response().await.status, 423, "the newest request waits, not this one");
    home.immich.answer_assets(AssetAnswer::Store);
    let response = asks.read_response_to_head().await;
    assert_eq!(
        (response.status, response.header("upload-offset"), response.header("guard-asset-status")),
        (200, Some("5"), Some("created"))
    );
    is_whole(&home, 5);
}

#[tokio::test]
async fn immichs_no_is_passed_on_and_the_upload_is_over() {
    let home = home().await;
    home.immich.answer_assets(AssetAnswer::Refuse(400));
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let response = ada.part(&path, 0, 5).await;
    assert_eq!(response.status, 400);
    assert!(response.text().contains("Quota has been exceeded!"), "{response:?}");
    let response = ada.offset(&path).await;
    assert_eq!((response.status, response.header("upload-offset")), (410, None));
    assert!(home.immich.stored().is_empty());
    eventually("the metric", || home.guard.metrics.uploads("refused") == 1).await;
}

#[tokio::test]
async fn an_immich_that_breaks_off_is_a_502_once_and_then_the_upload_is_gone() {
    let home = home().await;
    home.immich.answer_assets(AssetAnswer::Die);
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let response = ada.part(&path, 0, 5).await;
    assert_eq!(response.status, 502, "so that a client looks: {response:?}");
    assert!(response.text().contains("begin again"), "{response:?}");
    assert_eq!(ada.offset(&path).await.status, 410);
    assert_eq!(ada.part(&path, 0, 5).await.status, 410);
}

#[tokio::test]
async fn a_checksum_that_immich_knows_ends_the_upload_with_its_first_part() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    // The stand-in knows one value only, which is no SHA-1: the header is what matters.
    let sent = metadata(&[("filename", "a.jpg"), ("checksum", "da39a3ee5e6b4b0d3255bfef95601890afd80709")]);
    let path = ada.create(5, &sent).await.header("location").unwrap().to_owned();
    assert_eq!(ada.part(&path, 0, 5).await.status, 204);
    assert_eq!(home.immich.last_request().header("x-immich-checksum"), Some("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
}

#[tokio::test]
async fn a_client_ends_its_upload_and_immich_has_nothing() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(MIB).await;
    assert_eq!(ada.part(&path, 0, 1000).await.status, 204);
    home.immich.wait_until("the part", |state| state.requests.iter().any(|request| request.body_bytes >= 1000)).await;
    assert_eq!(ada.send(&format!("DELETE {path}"), "", b"").await.status, 204);
    home.immich.wait_until("the upload to be broken off", |state| state.aborted_uploads == 1).await;
    assert_eq!(ada.offset(&path).await.status, 410);
    assert_eq!(ada.send(&format!("DELETE {path}"), "", b"").await.status, 410);
    assert!(home.immich.stored().is_empty());
}

#[tokio::test]
async fn an_upload_without_a_request_for_too_long_ends() {
    let home = TestEnvironment::with(|args| {
        args.uploads.large_uploads = Some("on".to_owned());
        args.uploads.large_uploads_idle = Some("1s".to_owned());
    })
    .await;
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(MIB).await;
    assert_eq!(ada.part(&path, 0, 1000).await.status, 204);
    home.immich.wait_until("the upload to be broken off", |state| state.aborted_uploads == 1).await;
    assert_eq!(ada.offset(&path).await.status, 410);
    eventually("no upload to be open", || home.guard.metrics.open_uploads.get() == 0).await;
}

#[tokio::test]
async fn off_means_that_the_paths_are_immichs() {
    let home = TestEnvironment::start().await;
    let ada = Person::new(&home, "ada@example.com");
    for path in ["/.guard/uploads", "/.guard/upload"] {
        assert_eq!(ada.send(&format!("GET {path}"), "", b"").await.status, 200);
        assert_eq!(home.immich.last_request().target, path);
    }
}

#[tokio::test]
async fn no_path_of_guards_own_reaches_immich() {
    let home = home().await;
    let ada = Person::new(&home, "ada@example.com");
    let before = home.immich.requests().len();
    for (path, wanted) in [
        ("/.guard/", 404),
        ("/.guard/x", 404),
        ("/.guard/uploadsx", 404),
        ("/.guard/uploads/", 405),
        ("/.guard/uploads/../api", 405),
        ("/.guard/upload", 200),
        ("/.guard/upload/page.js", 200),
        ("/.guard/upload/page.css", 200),
    ] {
        assert_eq!(ada.send(&format!("GET {path}"), "", b"").await.status, wanted, "{path}");
    }
    assert_eq!(home.immich.requests().len(), before);
    let page = ada.send("GET /.guard/upload", "", b"").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.header("cache-control").unwrap().contains("no-transform"));
    assert!(!page.text().contains("{{"), "every place of the page is filled");
}

#[tokio::test]
async fn without_a_session_immich_says_no_before_the_first_byte_and_a_shared_link_needs_none() {
    let home = home().await;
    home.immich.sign_everybody_out();
    let ada = Person::new(&home, "ada@example.com");
    let sent = metadata(&[("filename", "a.jpg")]);
    let response = ada.create(5, &sent).await;
    assert!(response.status == 401 && response.text().contains("Authentication required"), "{response:?}");
    let extra = format!("Upload-Length: 5\r\nUpload-Metadata: {sent}\r\nContent-Length: 0\r\n");
    let response = ada.send("POST /.guard/uploads?x=1&key=abc&y=2", &extra, b"").await;
    let path = response.header("location").unwrap_or_else(|| panic!("{response:?}")).to_owned();
    assert!(!path.contains("key"), "{path}");
    assert_eq!(ada.part(&path, 0, 5).await.status, 204);
    assert_eq!(home.immich.last_request().target, "/api/assets?key=abc");
}

#[tokio::test]
async fn a_full_nas_is_a_502_with_words_and_the_upload_is_gone() {
    let home = home().await;
    home.immich.answer_assets(AssetAnswer::Refuse(500));
    let ada = Person::new(&home, "ada@example.com");
    let path = ada.begin(5).await;
    let response = ada.part(&path, 0, 5).await;
    assert!(response.status == 502 && response.text().contains("Immich failed"), "{response:?}");
    assert_eq!(ada.offset(&path).await.status, 410);
    assert!(home.immich.stored().is_empty());
}
