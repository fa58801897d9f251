//! A token with too few permissions is told by the permission that is missing.

use super::home::Home;

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_permission_is_named_for_reading_and_for_writing() {
    for (group, row) in [
        ("Access: Apps and Policies", "Account > Access: Apps and Policies"),
        ("Access: Service Tokens", "Account > Access: Service Tokens"),
        ("Cloudflare Tunnel", "Account > Cloudflare Tunnel (also shown as \"Argo Tunnel (Legacy)\")"),
        ("DNS", "Zone > DNS"),
        ("Cache Settings", "Zone > Cache Rules"),
        ("Zone Settings", "Zone > Zone Settings"),
    ] {
        let home = Home::start().await;
        home.use_token(&home.api.token_without(&[&format!("{group} Write")]));
        home.plan().await.expect(4);
        let run = home.apply().await;
        run.expect(3);
        assert!(
            run.stderr.contains(&format!("lacks a permission: {row}")) && run.stderr.contains("> Edit"),
            "{group}: {}",
            run.stderr
        );
        assert_eq!(home.api.open_moments(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_missing_is_told_at_once() {
    let home = Home::start().await;
    let missing = ["Access: Organizations, Identity Providers, and Groups Read", "Cloudflare Tunnel Read"];
    home.use_token(&home.api.token_without(&missing));
    let run = home.plan().await;
    run.expect(3);
    assert!(run.stderr.contains("Account > Access: Organizations, Identity Providers, and Groups > Read"), "{}", run.stderr);

    home.use_token(&home.api.token_without(&["Zone Read"]));
    let run = home.plan().await;
    run.expect(3);
    assert!(run.stderr.contains("Zone > Zone > Read"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_it_could_not_look_at() {
    let home = Home::healthy().await;
    home.use_token(&home.api.token_without(&["Bot Management Write"]));
    home.check().await.expect(0);
    let groups = "Access: Organizations, Identity Providers, and Groups Read";
    home.use_token(&home.api.token_without(&[groups]));
    let run = home.check().await;
    run.expect(3);
    let finding = run.finding("CF-ACCESS-04");
    assert_eq!(finding["status"], "skip");
    assert!(finding["detail"].as_str().unwrap().contains("Account > Access: Organizations"), "{finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_account_does_too() {
    let home = Home::start().await;
    home.use_token(&home.api.account_token());
    home.apply().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_is_no_missing_permission() {
    let home = Home::start().await;
    home.use_token(&format!("cfut_{}", "ab12".repeat(12)));
    let run = home.plan().await;
    run.expect(3);
    assert!(run.stderr.contains("does not accept the API token"), "{}", run.stderr);
}
