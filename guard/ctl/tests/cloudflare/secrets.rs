//! Secrets: from a file with the right mode, never in the arguments, in no output, in files that only their owner can read.

use std::os::unix::fs::PermissionsExt as _;

use testkit::cloudflare_api::Fault;

use super::home::Home;

/// Every secret that the stand-in gave out, the API token among them.
fn secrets(home: &Home) -> Vec<String> {
    home.api.edit(|state| state.secrets.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_output_not_even_when_cloudflare_repeats_it() {
    let home = Home::start().await;
    let token = std::fs::read_to_string(home.path("token")).unwrap();
    let mut said = String::new();
    // An answer that holds secrets where a message should be.
    let planted = format!("cfast_{}", "Zz9".repeat(16));
    home.api.plant(Fault::error("POST", "/access/apps", 400, 12130, &format!("{token} or {planted}")).times(1));
    said += &home.apply().await.said();
    assert!(said.contains("(token) or (secret)"), "{said}");
    for arguments in [
        &["plan"][..],
        &["apply", "--yes"],
        &["apply", "--yes", "--rotate", "ada"],
        &["check", "--no-cluster", "-v"],
        &["check", "--no-cluster", "-o", "json"],
    ] {
        said += &home.run(arguments).await.said();
    }
    let all = secrets(&home);
    assert!(all.len() >= 4, "{}", all.len());
    for secret in all.iter().chain([&planted]) {
        assert!(!said.contains(secret.as_str()), "{secret}: {said}");
    }
    let phone = std::fs::read_to_string(home.file("phone-ada")).unwrap();
    assert!(all.iter().any(|secret| phone.contains(secret)), "and the file has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_others_can_read_is_refused() {
    let home = Home::start().await;
    std::fs::set_permissions(home.path("token"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let run = home.plan().await;
    run.expect(2);
    assert!(run.stderr.contains("0640") && run.stderr.contains("chmod 600"), "{}", run.stderr);
    assert!(home.api.calls().is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_may_come_from_the_variable_and_nowhere_else_without_a_terminal() {
    let home = Home::start().await;
    let token = std::fs::read_to_string(home.path("token")).unwrap();
    let command = |variable: Option<&str>| {
        let mut command = std::process::Command::new(super::home::GUARDCTL);
        command.args([
            "cloudflare",
            "plan",
            "--api-url",
            &home.api.url(),
            "--host",
            "photos.example.com",
            "--family",
            "ada@example.com",
        ]);
        command.env_clear().current_dir(home.folder.path()).stdin(std::process::Stdio::null());
        command.envs(variable.map(|token| ("CLOUDFLARE_API_TOKEN", token)));
        command
    };
    let run =
        async |mut command: std::process::Command| tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(run(command(Some(&token))).await.status.code(), Some(4));
    let without = run(command(None)).await;
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--token-file FILE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_sent_to_https_or_to_this_computer_only() {
    let home = Home::start().await;
    for url in ["http://192.0.2.1/client/v4", "http://api.cloudflare.com/client/v4", "http://127.0.0.1.example.com/"] {
        let mut command = std::process::Command::new(super::home::GUARDCTL);
        command.args(["cloudflare", "plan", "--api-url", url, "--settings", &home.settings]).env_clear();
        command.arg("--token-file").arg(home.path("token"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(2), "{url}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("wanted https"), "{url}");
    }
}
