#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]

use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clusters/home.example");

fn example() -> Files {
    crate::init::write::read(std::path::Path::new(EXAMPLE)).unwrap()
}

fn values_of_a_home() -> Values {
    Values {
        node: "home".to_owned(),
        photos: "/mnt/nas/photos".to_owned(),
        database: "/srv/db".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        nas_id: "3a55ae57-1cab-4631-8cb4-44d1159e8f48".to_owned(),
    }
}

#[test]
fn a_new_overlay_is_the_example_with_the_values_of_the_home() {
    let example = example();
    let files = render(&example, &Files::new(), &values_of_a_home(), None).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), example.keys().collect::<Vec<_>>());
    assert_eq!(read(&files).unwrap(), Some(values_of_a_home()));
    let changed: Vec<_> = files[PATCH].lines().zip(example[PATCH].lines()).filter(|(new, old)| new != old).collect();
    assert_eq!(changed.len(), 6, "{changed:#?}");
    assert_eq!(files[PATCH].lines().count(), example[PATCH].lines().count());
    assert!(files.values().all(|text| !text.contains(EXAMPLE_NODE)), "the parts for components know the node, too");
}

#[test]
fn the_second_time_nothing_changes() {
    let part =
        FluxPart { url: Some("ssh://git@git.example.org/a".to_owned()), image: Some("localhost/guard:1@sha256:ab".to_owned()) };
    let files = render(&example(), &Files::new(), &values_of_a_home(), Some(&part)).unwrap();
    assert_eq!(render(&example(), &files, &values_of_a_home(), Some(&part)).unwrap(), files);
}

#[test]
fn what_somebody_added_stays() {
    let mut files = render(&example(), &Files::new(), &values_of_a_home(), None).unwrap();
    let backup = files["db-backup/nas.patch.yaml"].clone();
    let mine = "        - name: data\n          hostPath:\n            path: /srv/db # the fast disk\n";
    let patch = files[PATCH].replace("        - name: data\n          hostPath:\n            path: /srv/db\n", mine) + &backup;
    files.insert(PATCH.to_owned(), patch);
    files.insert("mine.yaml".to_owned(), "# mine\n".to_owned());
    let moved = Values { node: "pi5".to_owned(), database: "/srv/new".to_owned(), ..values_of_a_home() };
    let after = render(&example(), &files, &moved, None).unwrap();
    assert_eq!(read(&after).unwrap(), Some(moved));
    assert!(after[PATCH].contains("path: /srv/new # the fast disk\n"), "{}", after[PATCH]);
    assert!(after[PATCH].ends_with(&backup), "the patch of the backup is another disk's");
    assert_eq!(after["mine.yaml"], "# mine\n");
}

#[test]
fn a_value_that_yaml_would_read_as_something_else_is_quoted() {
    for (text, wanted) in [
        ("home", "home"),
        ("/mnt/nas/immich", "/mnt/nas/immich"),
        ("123", "\"123\""),
        ("on", "\"on\""),
        ("1e3", "\"1e3\""),
        ("/mnt/a: b #c", "\"/mnt/a: b #c\""),
        ("", "\"\""),
        ("null", "\"null\""),
        ("2026-01-01", "\"2026-01-01\""),
    ] {
        let found = scalar(text);
        let read = yaml::values(&format!("a: {found}\n"), yaml::Dialect::Kubectl).unwrap();
        assert_eq!(read[0]["a"], text);
        if text != "2026-01-01" {
            assert_eq!(found, wanted);
        }
    }
    let odd = Values { photos: "/mnt/our photos/a: b".to_owned(), node: "17".to_owned(), ..values_of_a_home() };
    let files = render(&example(), &Files::new(), &odd, None).unwrap();
    assert_eq!(read(&files).unwrap(), Some(odd));
}

#[test]
fn a_patch_without_a_place_for_a_value_is_refused() {
    let example = example();
    for (cut, wanted) in [
        ("            path: /mnt/nas/immich\n", "library"),
        ("        kubernetes.io/hostname: node.example.com\n", HOSTNAME),
        ("        guard.immich/nas-id: 00000000-0000-4000-8000-000000000000\n", NAS_ID),
        ("            - name: TZ\n", "TZ"),
    ] {
        let mut there = example.clone();
        let patch = there[PATCH].replacen(cut, "", 1);
        assert_ne!(patch, there[PATCH], "{cut}");
        there.insert(PATCH.to_owned(), patch);
        let error = format!("{:#}", render(&example, &there, &values_of_a_home(), None).unwrap_err());
        assert!(error.contains(wanted) && error.contains("flux/nas.patch.yaml"), "{cut}: {error}");
    }
}

#[test]
fn flux_is_told_the_url_and_a_local_image() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let part = FluxPart {
        url: Some("ssh://git@git.example.org/a/b".to_owned()),
        image: Some(format!("localhost/guard:0.1.0@{digest}")),
    };
    let files = render(&example(), &Files::new(), &values_of_a_home(), Some(&part)).unwrap();
    let documents = yaml::values(&files[HOME_PATCH], yaml::Dialect::Kubectl).unwrap();
    assert_eq!(documents[0]["spec"]["url"], "ssh://git@git.example.org/a/b");
    assert_eq!(documents[0]["spec"]["secretRef"]["name"], "home-git");
    let image = &documents[1]["spec"]["images"][0];
    assert_eq!((image["name"].as_str(), image["newName"].as_str()), (Some("guard"), Some("localhost/guard")));
    assert_eq!(image["newTag"], format!("0.1.0@{digest}"));
    assert_eq!(read_url(&files).as_deref(), Some("ssh://git@git.example.org/a/b"));
    let kustomization = yaml::values(&files[FLUX], yaml::Dialect::Kubectl).unwrap();
    assert_eq!(kustomization[0]["patches"][0]["path"], "home.patch.yaml");
}

#[test]
fn an_https_repository_needs_no_key() {
    let part = FluxPart { url: Some("https://git.example.org/a/b".to_owned()), image: None };
    let files = render(&example(), &Files::new(), &values_of_a_home(), Some(&part)).unwrap();
    assert!(!files[HOME_PATCH].contains("secretRef"));
    assert_eq!(yaml::values(&files[HOME_PATCH], yaml::Dialect::Kubectl).unwrap().len(), 1);
}
