//! How much may be carried: exactly 100 MiB, byte for byte, and not one byte more.

use std::io;

use super::{Tour, upload_head};
use crate::client::{Answer, Client, Framing};
use guard::config::DEFAULT_MAX_BODY_BYTES as LIMIT;
use testkit::photos::{Photos, hash};

/// How often the blind upload is tried.
const BLIND_TRIES: usize = 5;

pub(super) async fn run(tour: &mut Tour<'_>) {
    tour.part("How much may be carried");
    declared_too_large(tour).await;
    let Some(photos) = &tour.home.photos else { return };
    let wanted = hash(LIMIT);
    for (framing, how) in [(Framing::Declared, "with its length declared"), (Framing::Chunked, "in chunks")] {
        let stored = photos.stored().len();
        let answer = upload(tour, LIMIT, framing).await.and_then(|(sent, answer)| sent.map(|()| answer));
        tour.wants(201, &format!("exactly 100 MiB, {how}"), &answer, "a large video passes");
        let same = photos.stored().get(stored).is_some_and(|stored| stored.sha256 == wanted && stored.bytes == LIMIT);
        tour.step("its SHA-256 as the photo server stored it", if same { "the same" } else { "another" }, same, "byte for byte");
    }
    let stored = photos.stored().len();
    let answer = upload(tour, LIMIT + 1, Framing::Chunked).await.map(|(_, answer)| answer);
    tour.wants(413, "100 MiB and one byte, in chunks", &answer, "the limit holds where no length is declared");
    let more = photos.stored().len() - stored;
    tour.step("what was stored of it", format!("{more} files"), more == 0, "a broken upload is no photo");
    let mut seen = 0;
    for _ in 0..BLIND_TRIES {
        if let Ok((Ok(()), Answer { status: 413, .. })) = upload(tour, 2 * LIMIT, Framing::Declared).await {
            seen += 1;
        }
    }
    let done = "200 MiB by a client that sends it all before it listens";
    tour.step(
        done,
        format!("413, {seen} of {BLIND_TRIES}"),
        seen == BLIND_TRIES,
        "the app says why, instead of \"connection lost\"",
    );
}

async fn declared_too_large(tour: &mut Tour<'_>) {
    let dialled = tour.home.photos.as_ref().map(Photos::connections);
    let head = format!("{}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", upload_head(&tour.home.token()), LIMIT + 1);
    let answer = tour.ask(head).await;
    tour.wants(413, "100 MiB and one byte, declared, asking first (Expect)", &answer, "refused before a byte is sent");
    let told = answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains("http://nas.lan:30283"));
    tour.step(
        "its message",
        if told { "names the LAN address" } else { "does not help" },
        told,
        "large files go by the way at home",
    );
    if let (Some(photos), Some(dialled)) = (&tour.home.photos, dialled) {
        let more = photos.connections() - dialled;
        tour.step("new connections to the photo server", more, more == 0, "it was not even dialled");
    }
}

/// What came of the sending, and of the listening afterwards.
async fn upload(tour: &Tour<'_>, total: u64, framing: Framing) -> io::Result<(io::Result<()>, Answer)> {
    let mut client = Client::connect(tour.home.guard.address()).await?;
    let sent = client.upload(&upload_head(&tour.home.token()), total, framing).await;
    Ok((sent, client.answer().await?))
}
