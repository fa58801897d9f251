//! Answers of every kind that are not the right one.

use testkit::cloudflare_api::Fault;

use super::home::Home;

/// The run that meets this fault: its code, and what it said.
async fn meets(fault: Fault) -> (i32, String) {
    let home = Home::start().await;
    home.api.plant(fault);
    let run = home.apply().await;
    assert_eq!(home.api.open_moments(), Vec::<String>::new());
    (run.code.unwrap(), run.said())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_class_of_error_says_what_to_do() {
    let error = |status, code, message| Fault::error("POST", "/access/apps", status, code, message);
    for (fault, code, words) in [
        (Fault::error("GET", "", 401, 1000, "Invalid API Token"), 3, "does not accept the API token"),
        (Fault::error("GET", "", 400, 6003, "Invalid request headers"), 3, "does not accept the API token"),
        (error(403, 10000, "Authentication error"), 3, "Account > Access: Apps and Policies > Edit"),
        (error(409, 11010, "access.api.error.application_already_exists"), 1, "something is in the way"),
        (error(400, 12130, "access.api.error.invalid_request: no"), 1, "Cloudflare refuses (POST"),
        (error(404, 12083, "not_found"), 1, "not found"),
        (error(500, 10001, "internal"), 3, "whether it was done is not known"),
        (Fault::html("POST", "/access/apps"), 3, "whether it was done is not known"),
        (Fault::truncated("POST", "/access/apps"), 3, "whether it was done is not known"),
        (Fault::empty("POST", "/access/apps"), 3, "whether it was done is not known"),
        (Fault::truncated("GET", "/access/policies"), 3, "not Cloudflare's API"),
        (Fault::html("GET", "/access/policies"), 3, "cloudflarestatus"),
        (Fault::error("GET", "/access/organizations", 403, 9999, "access.api.error.not_enabled"), 3, "Zero Trust is not set up"),
        (Fault::error("GET", "/access/groups", 404, 7003, "Could not route"), 3, "not found"),
        (Fault::limited("", "/access/groups", 3600), 3, "wait 3600 s"),
    ] {
        let name = format!("{fault:?}");
        let (found, said) = meets(fault).await;
        assert!(said.contains(words), "{name}: {said}");
        assert_eq!(found, code, "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_sent_twice_unless_cloudflare_says_that_it_did_nothing() {
    let home = Home::start().await;
    home.api.plant(Fault::html("POST", "/access/apps").times(1));
    home.apply().await.expect(3);
    let posts =
        |home: &Home| home.api.calls().iter().filter(|call| call.method == "POST" && call.path.ends_with("/access/apps")).count();
    assert_eq!(posts(&home), 1);

    let home = Home::start().await;
    home.api.plant(Fault::limited("POST", "/access/apps", 30).times(2));
    home.apply().await.expect(0);
    assert_eq!(posts(&home), 3, "429 twice, then the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_repeated_when_cloudflare_is_away_for_a_moment() {
    for fault in [Fault::html("GET", "").times(2), Fault::close("GET", "", false).times(2), Fault::limited("GET", "", 2).times(2)]
    {
        let home = Home::start().await;
        home.api.plant(fault);
        home.plan().await.expect(4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_ends_with_the_timeout() {
    let home = Home::start().await;
    home.api.plant(Fault::hold("GET", "/access/apps", false));
    let run = home.run(&["plan", "--timeout", "200ms"]).await;
    run.expect(3);
    assert!(run.stderr.contains("it took too long"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_404_of_the_api_means_absent() {
    // An answer without Cloudflare's envelope comes from something in between: nothing may be made again because of it.
    for fault in [
        Fault::error("GET", "/rulesets/", 500, 10003, "could not find entrypoint ruleset"),
        Fault::html("GET", "/rulesets/"),
        Fault::truncated("GET", "/rulesets/"),
        Fault::close("GET", "/rulesets/", false),
    ] {
        let home = Home::healthy().await;
        home.api.plant(fault);
        home.api.forget();
        home.apply().await.expect(3);
        assert!(home.api.calls().iter().all(|call| !call.is_write()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let home = Home::start().await;
    let address = home.api.address();
    let mut command = home.command(&["plan"]);
    drop(home.api);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(3), "{address}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from Cloudflare"));
}
