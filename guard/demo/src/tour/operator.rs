//! What the operator meets: a wrong configuration, and the admin port.

use std::net::SocketAddr;

use super::{Tour, get};
use crate::client::Client;

pub(super) async fn run(tour: &mut Tour<'_>) {
    tour.part("What the operator sees");
    wrong_configuration(tour).await;
    for (path, wanted, proves) in [
        ("/livez", "ok", "for Kubernetes"),
        ("/readyz", "ok", "for Kubernetes"),
        ("/metrics", "guard_refusals_total{reason=\"unauthorized\"}", "for Prometheus"),
        ("/", "<h1 class=good>Open</h1>", "for you, on a phone"),
    ] {
        let answer = ask(tour.home.guard.admin_address, path).await;
        let right = answer.as_ref().is_ok_and(|body| body.contains(wanted));
        tour.step(&format!("{path} on the admin port"), if right { "answers" } else { "does not answer" }, right, proves);
    }
    let answer = tour.ask(get("/metrics", "")).await;
    tour.wants(401, "/metrics on the public port", &answer, "none of it faces the internet");
}

async fn wrong_configuration(tour: &mut Tour<'_>) {
    let mut command = std::process::Command::new(&tour.home.program);
    command.env_clear().arg("origin").env("GUARD_UPSTREAM", "immich").env("GUARD_MAX_BODY", "plenty").env("GUARD_GRACE", "soon");
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let Ok(Ok(output)) = output else { return tour.step("a wrong configuration", "cannot be tried", false, "") };
    let said = String::from_utf8_lossy(&output.stderr);
    let named = ["GUARD_UPSTREAM", "GUARD_MAX_BODY", "GUARD_GRACE", "GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"];
    let all = named.iter().all(|name| said.contains(name)) && output.status.code() == Some(2);
    let got = output.status.code().map_or_else(|| "no exit code".to_owned(), |code| format!("exit {code}"));
    tour.step("five mistakes in the configuration", got, all, "all five named at once, and no port was opened:");
    for line in said.lines().skip(1) {
        println!("      {line}");
    }
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let answer = Client::connect(address).await?.ask(get(path, "")).await?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
