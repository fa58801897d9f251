#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";

/// Somebody who types these lines, and then leaves.
struct Typist {
    lines: VecDeque<String>,
    shown: String,
    questions: usize,
}

impl Typist {
    fn new(lines: &[&str]) -> Self {
        Self { lines: lines.iter().map(|line| (*line).to_owned()).collect(), shown: String::new(), questions: 0 }
    }
}

impl Prompt for Typist {
    fn say(&mut self, text: &str) -> Result<()> {
        self.shown += text;
        Ok(())
    }

    fn line(&mut self, question: &str) -> Result<String> {
        self.questions += 1;
        self.shown += question;
        let Some(line) = self.lines.pop_front() else { return Err(crate::init::terminal::Left.into()) };
        self.shown.extend([line.as_str(), "\n"]);
        Ok(line)
    }

    fn hidden(&mut self, question: &str, accept: &dyn Fn(&str) -> Checked<()>) -> Result<String> {
        loop {
            self.questions += 1;
            self.shown += question;
            self.shown += "\n";
            let Some(line) = self.lines.pop_front() else { return Err(crate::init::terminal::Left.into()) };
            match accept(line.trim()) {
                Ok(()) => return Ok(line),
                Err(wanted) => self.say(&format!("   ✗ {wanted}\n"))?,
            }
        }
    }
}

struct World;

impl Outside for World {
    fn mount(&self, _: &str, photos: &str) -> Checked<Option<String>> {
        if photos.starts_with("/mnt/") { Ok(None) } else { Err(format!("{photos} is on ext4, wanted the NAS")) }
    }

    fn team(&self, team: &str) -> Checked<bool> {
        if team == "family" { Ok(true) } else { Err("no key set".to_owned()) }
    }
}

fn defaults() -> Defaults {
    Defaults {
        nodes: vec!["home".to_owned(), "pi5".to_owned()],
        node: Some("home".to_owned()),
        photos: Some("/mnt/nas/immich".to_owned()),
        database: "/srv/immich/postgres".to_owned(),
        time_zone: "Etc/UTC".to_owned(),
        lan_url: Some("http://192.0.2.10:30283".to_owned()),
        ..Defaults::default()
    }
}

fn token() -> String {
    STANDARD.encode(r#"{"a":"1","s":"planted","t":"2"}"#)
}

#[test]
fn a_home_for_the_lan_is_five_times_enter() {
    let mut typist = Typist::new(&["", "", "", "", ""]);
    let (answers, token) = ask(&Given::default(), &defaults(), &World, Some(&mut typist)).unwrap();
    assert_eq!(typist.questions, 5, "{}", typist.shown);
    assert_eq!((answers.node.as_str(), answers.photos.as_str()), ("home", "/mnt/nas/immich"));
    assert_eq!((answers.repository, answers.internet), (None, None));
    assert!(token.is_none());
}

#[test]
fn a_home_for_the_internet_is_at_most_eight_questions() {
    let token = token();
    let mut typist = Typist::new(&["pi5", "/mnt/a/b", "/srv/db", "none", "photos.family.test", "family", AUD, &token]);
    let (answers, entered) = ask(&Given::default(), &defaults(), &World, Some(&mut typist)).unwrap();
    assert_eq!(typist.questions, 8, "{}", typist.shown);
    let internet = answers.internet.unwrap();
    assert_eq!((internet.host.as_str(), internet.team.as_str(), internet.aud.as_str()), ("photos.family.test", "family", AUD));
    assert_eq!(internet.lan_url.as_deref(), Some("http://192.0.2.10:30283"));
    assert_eq!(entered.unwrap().reveal(), token);
    assert!(!typist.shown.contains(&token) && !typist.shown.contains("planted"));
}

#[test]
fn wrong_input_is_asked_again_at_each_question() {
    let token = token();
    let lines = [
        ("wrong-node", "home"),
        ("/srv/photos/x", "/mnt/nas/immich"),
        ("/mnt/nas/immich/db", "/srv/db"),
        ("https://you:pa55@git.family.test/x", "none"),
        ("photos.example.com", "photos.family.test"),
        ("nobody", "family"),
        ("4714", AUD),
        ("planted-and-wrong", &token),
    ];
    let typed: Vec<_> = lines.iter().flat_map(|(wrong, right)| [*wrong, *right]).collect();
    let mut typist = Typist::new(&typed);
    ask(&Given::default(), &defaults(), &World, Some(&mut typist)).unwrap();
    assert_eq!(typist.questions, 16);
    assert_eq!(typist.shown.matches('✗').count(), 8, "{}", typist.shown);
    assert!(!typist.shown.contains("planted"), "a wrong token is not shown either");
}

#[test]
fn whoever_leaves_at_a_question_gives_no_answer() {
    let token = token();
    let all = ["", "", "", "", "photos.family.test", "family", AUD, &token];
    for count in 0..all.len() {
        let error = ask(&Given::default(), &defaults(), &World, Some(&mut Typist::new(&all[..count]))).err().unwrap();
        assert_eq!(error.to_string(), "the question was left", "after {count}");
    }
}

#[test]
fn what_the_file_gives_is_not_asked() {
    let given = Given { node: Some("pi5".to_owned()), repository: Some("none".to_owned()), ..Given::default() };
    let mut typist = Typist::new(&["", "", ""]);
    let (answers, _) = ask(&given, &defaults(), &World, Some(&mut typist)).unwrap();
    assert_eq!((typist.questions, answers.node.as_str()), (3, "pi5"));
}

#[test]
fn without_a_terminal_every_problem_is_named_at_once() {
    let mut given = Given { node: Some("nobody".to_owned()), time_zone: Some("Mars".to_owned()), ..Given::default() };
    given.internet.host = Some("photos.family.test".to_owned());
    given.internet.tunnel_token_file = Some("/nowhere".into());
    let defaults = Defaults { photos: None, ..defaults() };
    let error = ask(&given, &defaults, &World, None).err().unwrap().to_string();
    let named = ["node:", "photos:", "internet.team:", "internet.aud:", "internet.tunnel_token_file:"];
    assert!(named.iter().all(|name| error.contains(name)), "{error}");
}

#[test]
fn enter_keeps_the_token_of_the_cluster() {
    let kept = Defaults {
        host: Some("photos.family.test".to_owned()),
        team: Some("family".to_owned()),
        aud: Some(AUD.to_owned()),
        has_token: true,
        ..defaults()
    };
    let mut typist = Typist::new(&["", "", "", "", "", "", "", ""]);
    let (answers, token) = ask(&Given::default(), &kept, &World, Some(&mut typist)).unwrap();
    assert!(answers.internet.is_some() && token.is_none());
}
