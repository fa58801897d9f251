//! `guardctl init` as a person uses it, in a real terminal: wrong answers, and keys that leave a question.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use testkit::terminal::{CTRL_C, CTRL_D};

use super::fixture::{self, AUD, EXAMPLE_ID, Home, NAS_ID, TOKEN, is_tidy, is_untouched};
use super::shell::Shell;
use crate::World;
use crate::api_proxy::ApiProxy;

const PHOTOS: &str = "Directory of the photos";
const REPOSITORY: &str = "Repository that Flux fetches";
const HIDDEN: &str = "Token of the tunnel";
/// The questions of a home for the internet, in their order.
const QUESTIONS: [&str; 8] = [
    "Node with the mount",
    PHOTOS,
    "Directory of the database",
    REPOSITORY,
    "Public host name",
    "Team at Cloudflare Access",
    "AUD tag of the Access application",
    HIDDEN,
];
const WRITE: &str = "Write this? [y/N]";
const REPLACE: &str = "Replace what the cluster has?";
const ID: &str = "The id that it printed";
const ANOTHER: &str = "Is it meant to be another one? [y/N]";
const APPLY: &str = "Apply it now";
const OTHER_ID: &str = "91a3c5c8-6f0e-4e53-9d0b-0f2f6a7c1d2e";
/// What Enter is eight times: what is there is kept.
const ENTER: [&str; 8] = [""; 8];
/// Bytes that are no text, without those that are keys of the terminal.
const GARBAGE: &[u8] = b"\x01\x02\x07\x1b[A\xff\xfe\x80";
/// What a terminal cuts after 4095 (termios(3)).
const LONG: usize = 10_000;

/// The answers of a new home.
fn right(world: &World) -> [String; 8] {
    ["", "/mnt/nas/immich", "", &world.forge.url(), "photos.family.test", "family", AUD, TOKEN].map(str::to_owned)
}

/// What is part of the token, and must not be found anywhere.
fn parts_of_token() -> [&'static str; 4] {
    [&TOKEN[..40], &TOKEN[40..], "cGxhbnRlZC10dW5uZWwtc2VjcmV0", "planted"]
}

/// Wrong answers to each question first, then the right one.
pub(crate) async fn wrong_answers(world: &mut World) -> Result<String> {
    fixture::clean_clone(world).await?;
    let proxy = ApiProxy::start(world.cluster.client.clone(), &world.dir).await?;
    let mut shell = Shell::start(world, &proxy, "terminal-wrong")?;
    let open = world.dir.join("open-token");
    fs::write(&open, TOKEN)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644))?;
    let long = "a".repeat(LONG);
    let label = "a".repeat(64);
    let short_aud = &AUD[1..];
    let wrong: [&[(&str, &str)]; 7] = [
        &[("nowhere", "wanted a node of the cluster: home")],
        &[
            ("", "wanted an absolute path"),
            ("mnt/nas/immich", "wanted an absolute path"),
            ("/mnt", "wanted a directory below the mount point"),
            ("/mnt/../etc/x", "wanted a path without"),
        ],
        &[
            ("srv/immich", "wanted an absolute path"),
            ("/mnt/nas/immich/db", "wanted one on the node's own disk"),
            ("/mnt/nas", "wanted one on the node's own disk"),
        ],
        &[
            ("photos", "wanted https://HOST/PATH"),
            ("ftp://git.family.test/photos", "wanted https://HOST/PATH"),
            ("https://you:pa55word@git.family.test/photos", "\"…@git.family.test/photos\", wanted https://HOST/PATH"),
            ("https://git.example.com/family/photos", "wanted the URL of your fork"),
        ],
        &[
            ("photos", "wanted a host name only"),
            ("https://photos.family.test/", "wanted a host name only"),
            ("photos.example.com", "wanted your own host name"),
        ],
        &[
            ("", "wanted TEAM of"),
            ("a b", "wanted TEAM of"),
            ("family.example.org", "wanted TEAM of"),
            (&label, "wanted TEAM of"),
        ],
        &[("", "found 0 characters, wanted an AUD tag"), (short_aud, "found 63 characters, wanted an AUD tag")],
    ];
    let mut count = 0;
    shell.run("guardctl init")?;
    for ((question, wrong), right) in QUESTIONS.into_iter().zip(wrong).zip(right(world)) {
        shell.asked(question)?;
        for (text, wanted) in wrong {
            shell.wrong(question, text, wanted)?;
        }
        shell.wrong(question, GARBAGE, "wanted")?;
        shell.wrong(question, &long, "wanted 1024 at most")?;
        count += wrong.len() + 2;
        ensure!(shell.echoes()?, "{question}: what is typed is not shown");
        shell.answer(right)?;
    }
    count += wrong_tokens(&mut shell, &open.display().to_string())?;
    shell.asked(WRITE)?;
    ensure!(shell.echoes()?, "no echo behind the token");
    count += wrong_yes(&mut shell, WRITE)?;
    is_untouched(world, "before anything was agreed")?;
    is_tidy(world, "before anything was agreed")?;
    shell.answer("y")?;
    shell.asked(ID)?;
    for (text, wanted) in [("x", "wanted the id"), (EXAMPLE_ID, "wanted the id"), (long.as_str(), "wanted 1024 at most")] {
        shell.wrong(ID, text, wanted)?;
    }
    shell.wrong(ID, GARBAGE, "wanted the id")?;
    shell.answer(NAS_ID)?;
    shell.asked(APPLY)?;
    count += 4 + wrong_yes(&mut shell, APPLY)?;
    shell.answer("n")?;
    let (status, said) = shell.ended()?;
    ensure!(status == 0 && said.contains("kubectl apply -k clusters/home.local/flux"), "{status} {said}");
    is_right(world)?;

    // Another team: the one value that is to be replaced.
    let mut other = ENTER;
    other[5] = "other";
    agree(&mut shell, &other)?;
    shell.asked(REPLACE)?;
    shell.asked("[y/N]")?;
    count += wrong_yes(&mut shell, REPLACE)?;
    shell.asked("[y/N]")?;
    shell.answer("n")?;
    ensure!(shell.ended()?.0 == 1 && team(world)? == "family", "a value was replaced against a no");

    let home = Home::look(world)?;
    let password = home.password().context("no password")?.clone();
    fs::remove_file(open)?;
    let secrets: Vec<_> = parts_of_token().into_iter().chain([password.as_str()]).collect();
    let processes = shell.end(world, &secrets)?;
    Ok(format!("{count} wrong answers were refused; {processes} command lines and environments without a secret"))
}

/// Wrong tokens, and one that is pasted with a line break; then the right one. Nothing of them is shown.
fn wrong_tokens(shell: &mut Shell, open: &str) -> Result<usize> {
    shell.asked(HIDDEN)?;
    let (open, long) = (format!("@{open}"), "a".repeat(LONG));
    let behind_at = format!("@{TOKEN}");
    let wrong: [(&[u8], &str); 10] = [
        (b"", "found 0 characters that do not decode"),
        (b"planted", "found 7 characters that do not decode"),
        (&TOKEN.as_bytes()[..40], "found 40 characters that do not decode"),
        (GARBAGE, "that do not decode"),
        (long.as_bytes(), "found 10000 characters that do not decode"),
        (b"@", "wanted @FILE"),
        (behind_at.as_bytes(), "wanted @FILE"),
        (b"@/nowhere/token", "/nowhere/token: cannot be read"),
        (b"@/", "/: cannot be read"),
        (open.as_bytes(), "wanted a file that only you can read: chmod 600"),
    ];
    for (text, wanted) in &wrong {
        ensure!(!shell.echoes()?, "the token is shown");
        shell.wrong(HIDDEN, text, wanted)?;
    }
    let (first, second) = TOKEN.split_at(40);
    shell.answer(format!("{first}\n{second}"))?;
    for _ in 0..2 {
        shell.refused(HIDDEN, "that do not decode")?;
    }
    ensure!(!shell.echoes()?, "the token is shown");
    shell.answer(TOKEN)?;
    Ok(wrong.len() + 2)
}

/// Answers that are neither yes nor no.
fn wrong_yes(shell: &mut Shell, question: &str) -> Result<usize> {
    let long = "y".repeat(LONG);
    shell.wrong(question, "maybe", "wanted y or n")?;
    shell.wrong(question, "yn", "wanted y or n")?;
    shell.wrong(question, GARBAGE, "wanted y or n")?;
    shell.wrong(question, long, "wanted 1024 at most")?;
    Ok(4)
}

/// Ctrl-C and Ctrl-D at each question: nothing is written where nothing was agreed, and a second run goes on where something was.
pub(crate) async fn left(world: &mut World) -> Result<String> {
    fixture::clean_clone(world).await?;
    let proxy = ApiProxy::start(world.cluster.client.clone(), &world.dir).await?;
    let mut shell = Shell::start(world, &proxy, "terminal-left")?;
    let right = right(world);
    let mut count = 0;
    for key in [CTRL_C, CTRL_D] {
        for answered in 0..=QUESTIONS.len() {
            shell.run("guardctl init")?;
            for (question, answer) in QUESTIONS.iter().zip(&right).take(answered) {
                shell.asked(question)?;
                shell.answer(answer)?;
            }
            let question = QUESTIONS.get(answered).copied().unwrap_or(WRITE);
            shell.asked(question)?;
            ensure!(shell.echoes()? == (question != HIDDEN), "{question}: the echo");
            leave(&mut shell, key, question)?;
            is_untouched(world, question)?;
            is_tidy(world, question)?;
            count += 1;
        }
    }

    // Agreed, and left while the id of the NAS is asked for, and before it is applied.
    let answers = right.each_ref().map(String::as_str);
    agree(&mut shell, &answers)?;
    shell.asked(ID)?;
    leave(&mut shell, CTRL_C, ID)?;
    let first = Home::look(world)?;
    agree(&mut shell, &ENTER)?;
    shell.asked(ID)?;
    leave(&mut shell, CTRL_D, ID)?;
    ensure!(Home::look(world)? == first, "the second run changed what the first had made");
    agree(&mut shell, &ENTER)?;
    shell.asked(ID)?;
    shell.answer(NAS_ID)?;
    shell.asked(APPLY)?;
    leave(&mut shell, CTRL_C, APPLY)?;
    is_right(world)?;
    let home = Home::look(world)?;
    ensure!(home.secrets == first.secrets, "a later run changed a Secret");
    // Nothing is left to agree to.
    answer_all(&mut shell, &ENTER)?;
    shell.asked(APPLY)?;
    leave(&mut shell, CTRL_D, APPLY)?;
    count += 4;

    let mut other = ENTER;
    other[5] = "other";
    for key in [CTRL_C, CTRL_D] {
        agree(&mut shell, &other)?;
        shell.asked(REPLACE)?;
        shell.asked("[y/N]")?;
        leave(&mut shell, key, REPLACE)?;
        ensure!(Home::look(world)? == home, "{REPLACE} was left, and something changed");
        count += 1;
    }

    // Another directory, with another NAS behind it: it is not written before that is agreed.
    let mut moved = ENTER;
    moved[1] = "/mnt/other/immich";
    for key in [CTRL_C, CTRL_D] {
        agree(&mut shell, &moved)?;
        shell.asked(ID)?;
        shell.answer(OTHER_ID)?;
        shell.asked(ANOTHER)?;
        leave(&mut shell, key, ANOTHER)?;
        ensure!(Home::look(world)? == home, "{ANOTHER} was left, and something changed");
        count += 1;
    }
    agree(&mut shell, &moved)?;
    shell.asked(ID)?;
    shell.answer(OTHER_ID)?;
    shell.asked(ANOTHER)?;
    shell.answer("y")?;
    shell.asked(APPLY)?;
    shell.answer("")?;
    ensure!(shell.ended()?.0 == 0, "a home that has moved");
    let patch = fs::read_to_string(fixture::overlay(world).join("flux/nas.patch.yaml"))?;
    ensure!(patch.contains("/mnt/other/immich") && patch.contains(OTHER_ID) && !patch.contains(NAS_ID), "{patch}");

    let password = home.password().context("no password")?;
    let secrets: Vec<_> = parts_of_token().into_iter().chain([password.as_str()]).collect();
    let processes = shell.end(world, &secrets)?;
    Ok(format!("left {count} times; {processes} command lines and environments without a secret"))
}

/// Presses a key at a question. Fails unless guardctl ends by it, without a success.
fn leave(shell: &mut Shell, key: &str, question: &str) -> Result<()> {
    shell.press(key)?;
    let (status, said) = shell.ended()?;
    // 130 is the shell's word for SIGINT. While nothing is echoed, Ctrl-C is a byte.
    let is_signal = key == CTRL_C && question != HIDDEN;
    ensure!(status == if is_signal { 130 } else { 1 }, "{question}: {status} {said}");
    Ok(())
}

/// Answers the questions.
fn answer_all(shell: &mut Shell, answers: &[&str; 8]) -> Result<()> {
    shell.run("guardctl init")?;
    for (question, answer) in QUESTIONS.iter().zip(answers) {
        shell.asked(question)?;
        shell.answer(answer)?;
    }
    Ok(())
}

/// Answers the questions, and agrees.
fn agree(shell: &mut Shell, answers: &[&str; 8]) -> Result<()> {
    answer_all(shell, answers)?;
    shell.asked(WRITE)?;
    shell.answer("y")
}

fn team(world: &World) -> Result<String> {
    Ok(fixture::value(&fixture::secret(world, "immich-edge", "immich-edge")?, "ACCESS_TEAM"))
}

/// Fails unless the home is the one of the right answers.
fn is_right(world: &World) -> Result<()> {
    let home = Home::look(world)?;
    let edge = home.secrets.get("immich-edge").context("no Secret for guard")?;
    let wanted = [("ACCESS_TEAM", "family"), ("ACCESS_AUD", AUD), ("EXTERNAL_HOST", "photos.family.test")];
    ensure!(wanted.iter().all(|(key, value)| edge.get(*key).is_some_and(|it| it == value)), "{edge:?}");
    ensure!(fixture::value(&fixture::secret(world, "immich-edge", "cloudflared-tunnel")?, "token") == TOKEN, "another token");
    let patch = fs::read_to_string(fixture::overlay(world).join("flux/nas.patch.yaml"))?;
    for text in [NAS_ID, "/mnt/nas/immich", "/srv/immich/postgres", "Europe/Berlin", "kubernetes.io/hostname: home"] {
        ensure!(patch.contains(text), "{text} is not in the overlay:\n{patch}");
    }
    fixture::modes(&fixture::overlay(world))
}
