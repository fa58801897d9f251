//! Requests that two servers could read differently.

use super::Tour;
use testkit::photos::Photos;

pub(super) async fn run(tour: &mut Tour<'_>) {
    tour.part("What can be misunderstood is refused");
    let token = tour.home.token();
    let before = tour.home.photos.as_ref().map(Photos::requests);
    let proof = format!("Host: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n");
    let flood = "X-Flood: 1\r\n".repeat(120);
    for (wanted, done, request) in [
        (
            400,
            "two framings in one request",
            format!("POST / HTTP/1.1\r\n{proof}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (400, "two lengths", format!("POST / HTTP/1.1\r\n{proof}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")),
        (
            400,
            "a transfer coding beside chunked",
            format!("POST / HTTP/1.1\r\n{proof}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (400, "a folded header line", format!("GET / HTTP/1.1\r\n{proof}X-A: 1\r\n 2\r\n\r\n")),
        (400, "a line that ends in a bare LF", format!("GET / HTTP/1.1\r\n{proof}X-A: 1\nX-B: 2\r\n\r\n")),
        (400, "an absolute target", format!("GET http://photos.example.com/ HTTP/1.1\r\n{proof}\r\n")),
        (400, "two hosts", format!("GET / HTTP/1.1\r\n{proof}Host: other.example.com\r\n\r\n")),
        (405, "CONNECT", format!("CONNECT photos.example.com:443 HTTP/1.1\r\n{proof}\r\n")),
        (431, "a flood of headers", format!("GET / HTTP/1.1\r\n{proof}{flood}\r\n")),
    ] {
        let answer = tour.ask(request).await;
        tour.wants(wanted, done, &answer, "");
    }
    if let (Some(photos), Some(before)) = (&tour.home.photos, before) {
        let seen = photos.requests() - before;
        tour.step("what the photo server saw of all these", format!("{seen} requests"), seen == 0, "no smuggling past the guard");
    }
}
