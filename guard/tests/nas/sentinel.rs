//! The file that says which NAS this is: read with suspicion, written by the operator alone.

use testkit::nas::{Mode, Propagation};
use testkit::tests;

use super::{host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![
    the_wanted_id_is_good,
    without_an_id_no_sentinel_is_wanted,
    no_sentinel_and_the_sentinel_of_another_nas_are_refused,
    a_link_that_leads_to_the_right_id_is_never_followed,
    a_sentinel_that_may_not_be_read_is_no_missing_one,
    nothing_but_init_makes_one,
    init_writes_once_and_says_the_same_ever_after,
    what_init_wrote_can_be_read_by_every_user,
    init_keeps_the_id_of_another_nas_unless_forced,
    init_refuses_where_nothing_may_be_written,
];

const NAME: &str = ".guard-nas-id";
const ID: &str = "3f1c0c9e-5ac3-4f6e-9d0f-0123456789ab";

fn sentinel(id: &str) -> String {
    format!(r#"{{"v":1,"id":"{id}","label":"photos"}}"#)
}

fn the_wanted_id_is_good() {
    let host = host();
    let nas = host.nas();
    nas.put(NAME, sentinel(ID));
    let container = host.container(&host.point(), Propagation::Private);
    proved(&container.guard(&["nas", "check"]).env("GUARD_NAS_ID", ID).run());
    proved(&container.guard(&["nas", "probe", "--id", ID]).run());
    assert_eq!(nas.list(""), [NAME]);
}

fn without_an_id_no_sentinel_is_wanted() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    proved(&container.guard(&["nas", "check"]).run());
    proved(&container.guard(&["nas", "check"]).env("GUARD_NAS_ID", "").run());
    nas.put(NAME, "of whomever");
    proved(&container.guard(&["nas", "check"]).run());
}

fn no_sentinel_and_the_sentinel_of_another_nas_are_refused() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let check = || container.guard(&["nas", "exec", "--wait", "0s", "--", "touch", "/data/photo"]).env("GUARD_NAS_ID", ID).run();
    refused(&check(), 43);
    for content in [
        sentinel("another"),
        sentinel(&ID.to_uppercase()),
        sentinel(&ID[..35]),
        String::new(),
        ID.to_owned(),
        "{".to_owned(),
        "\u{0}".repeat(100),
        format!(r#"{{"id":"{ID}"}}"#),
        " ".repeat(100_000) + &sentinel(ID),
    ] {
        nas.put(NAME, content);
        refused(&check(), 44);
    }
    nas.put(NAME, [0xff, 0xfe]);
    refused(&check(), 44);
    assert_eq!(nas.list(""), [NAME], "the command never ran");
}

fn a_link_that_leads_to_the_right_id_is_never_followed() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    assert_eq!(container.sh(&format!("echo '{}' > /guard/id", sentinel(ID))).run().code(), 0);
    nas.put("deep/id", sentinel(ID));
    for target in ["/guard/id", "../guard/id", "deep/id"] {
        nas.symlink(NAME, target);
        assert_eq!(container.sh("cat /data/.guard-nas-id").run().stdout.trim(), sentinel(ID), "the link works");
        refused(&container.guard(&["nas", "check", "--id", ID]).run(), 44);
        refused(&container.guard(&["nas", "init", "--id", "another"]).run(), 44);
    }
    assert_eq!(container.sh("cat /guard/id").run().stdout.trim(), sentinel(ID));
}

fn a_sentinel_that_may_not_be_read_is_no_missing_one() {
    let host = host();
    let nas = host.nas();
    nas.chown("", 1000, 0o755);
    nas.put(NAME, sentinel(ID));
    nas.chown(NAME, 0, 0o600);
    let container = host.container(&host.point(), Propagation::Private);
    refused(&container.guard(&["nas", "check", "--id", ID]).user(1000).run(), 50);
    nas.chown(NAME, 0, 0o644);
    proved(&container.guard(&["nas", "check", "--id", ID]).user(1000).run());
}

fn nothing_but_init_makes_one() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for id in ["", ID] {
        for args in [
            &["nas", "check"][..],
            &["nas", "wait", "--wait", "0s"],
            &["nas", "probe"],
            &["nas", "probe", "--definite"],
            &["nas", "exec", "--wait", "0s", "--", "true"],
            &["nas", "install", "--check", "--to", "/guard/guard"],
        ] {
            let code = container.guard(args).env("GUARD_NAS_ID", id).run().code();
            assert_eq!(code, if id.is_empty() { 0 } else { 43 }, "{args:?}");
            assert_eq!(nas.list(""), Vec::<String>::new(), "{args:?}");
        }
    }
}

fn init_writes_once_and_says_the_same_ever_after() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let first = container.guard(&["nas", "init", "--label", "photos"]).run();
    assert_eq!(first.code(), 0, "{first:?}");
    let id = first.stdout.strip_suffix('\n').unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "a random UUID: {id}");
    let written = nas.read(NAME).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&written).unwrap(),
        serde_json::json!({"v": 1, "id": id, "label": "photos"})
    );
    for args in [&["nas", "init"][..], &["nas", "init", "--label", "else"], &["nas", "init", "--id", id]] {
        let again = container.guard(args).run();
        assert_eq!((again.code(), again.stdout.as_str()), (0, first.stdout.as_str()));
        assert_eq!(nas.read(NAME).unwrap(), written);
    }
    assert_eq!(nas.list(""), [NAME]);
    proved(&container.guard(&["nas", "check", "--id", id]).run());
    let other = host.container(&host.point(), Propagation::Private);
    assert_eq!(other.guard(&["nas", "init"]).run().stdout, first.stdout);
}

fn what_init_wrote_can_be_read_by_every_user() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let written = container.sh("umask 077; exec /image/guard nas init").run();
    assert_eq!(written.code(), 0, "{written:?}");
    proved(&container.guard(&["nas", "probe", "--id", written.stdout.trim()]).user(1000).run());
}

fn init_keeps_the_id_of_another_nas_unless_forced() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for there in [sentinel("another"), "not one of ours".to_owned()] {
        nas.put(NAME, &there);
        let outcome = container.guard(&["nas", "init"]).env("GUARD_NAS_ID", ID).run();
        refused(&outcome, 44);
        assert_eq!(outcome.stdout, "");
        assert_eq!(nas.read(NAME).unwrap(), there.as_bytes());
        let forced = container.guard(&["nas", "init", "--force"]).env("GUARD_NAS_ID", ID).run();
        assert_eq!((forced.code(), forced.stdout.trim()), (0, ID), "{forced:?}");
        proved(&container.guard(&["nas", "check", "--id", ID]).run());
        assert_eq!(nas.list(""), [NAME]);
    }
}

fn init_refuses_where_nothing_may_be_written() {
    let host = host();
    let bare = host.container(&host.point(), Propagation::Private);
    for args in [&["nas", "init"][..], &["nas", "init", "--force"]] {
        let outcome = bare.guard(args).run();
        refused(&outcome, 41);
        assert_eq!(outcome.stdout, "");
    }
    assert!(host.strays().is_empty());
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for (mode, code) in [(Mode::RootSquash, 47), (Mode::ReadOnly, 45), (Mode::Full, 46), (Mode::Stale, 49)] {
        nas.set(mode);
        let outcome = container.guard(&["nas", "init"]).run();
        refused(&outcome, code);
        assert_eq!(outcome.stdout, "");
        assert_eq!(nas.list(""), Vec::<String>::new(), "{mode:?}");
    }
}
