//! Tables as kernels write them, and tables as nobody should.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const CONTAINER: &str = "\
600 500 0:50 / / ro,relatime master:20 - overlay overlay rw,lowerdir=/a\n\
601 600 0:51 / /proc rw,nosuid - proc proc rw\n\
602 600 254:0 /var/lib/kubelet/pods/x/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda rw\n";

fn on(lines: &str, path: &str) -> Option<(String, String)> {
    let table = MountTable::parse(&format!("{CONTAINER}{lines}"));
    table.covering(path).map(|mount| (mount.fstype.clone(), mount.source.clone()))
}

#[allow(clippy::unnecessary_wraps, reason = "compared with a look-up that may find nothing")]
fn pair(fstype: &str, source: &str) -> Option<(String, String)> {
    Some((fstype.to_owned(), source.to_owned()))
}

#[test]
fn a_bind_of_the_mount_or_of_a_directory_in_it_tells_the_truth() {
    let nas = "700 600 0:41 / /data rw,nosuid,nodev,relatime - fuse.fakenfs nas.lan:/photos rw\n";
    assert_eq!(on(nas, "/data"), pair("fuse.fakenfs", "nas.lan:/photos"));
    assert_eq!(on(nas, "/data/library/a"), pair("fuse.fakenfs", "nas.lan:/photos"));
    assert_eq!(on(nas, "/data2"), pair("overlay", "overlay"), "a prefix of the name is not a parent");
    let sub = "700 600 7:0 /immich /data rw,relatime - ext4 /dev/loop0 rw\n";
    assert_eq!(on(sub, "/data"), pair("ext4", "/dev/loop0"));
    let bare = "700 600 254:0 /mnt/nas /data rw,relatime - ext4 /dev/vda rw\n";
    assert_eq!(on(bare, "/data"), pair("ext4", "/dev/vda"));
}

#[test]
fn the_last_mount_stacked_on_a_point_counts() {
    let stacked = "700 600 254:0 /mnt/nas /data rw master:1 - ext4 /dev/vda rw\n\
                   701 700 0:83 / /data rw master:45 - fuse.fakenfs nas.lan:/photos rw\n";
    assert_eq!(on(stacked, "/data"), pair("fuse.fakenfs", "nas.lan:/photos"));
    let reversed: String = stacked.lines().rev().fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(on(&reversed, "/data"), pair("fuse.fakenfs", "nas.lan:/photos"), "the order of lines says nothing");
}

#[test]
fn a_parent_directory_carries_its_sub_mounts_and_an_over_mount_hides_them() {
    let parent = "700 600 254:0 /mnt /data rw - ext4 /dev/vda rw\n\
                  701 700 0:41 / /data/nas rw - nfs4 nas.lan:/photos rw\n";
    assert_eq!(on(parent, "/data/nas/x"), pair("nfs4", "nas.lan:/photos"));
    assert_eq!(on(parent, "/data"), pair("ext4", "/dev/vda"));
    let hidden = format!("{parent}702 700 0:90 / /data rw - tmpfs tmpfs rw\n");
    assert_eq!(on(&hidden, "/data/nas/x"), pair("tmpfs", "tmpfs"), "what lies below an over-mount is not reached");
}

#[test]
fn optional_fields_escapes_and_read_only() {
    let table = MountTable::parse(
        "1 0 0:1 / / rw - rootfs rootfs rw\n36 1 98:0 /a\\040b /mnt\\011x\\134y rw,noatime shared:1 master:2 propagate_from:3 - nfs4 nas:/my\\040photos ro,vers=4.2\n",
    );
    let mount = table.at("/mnt\tx\\y").unwrap();
    assert_eq!((mount.root.as_str(), mount.source.as_str()), ("/a b", "nas:/my photos"));
    assert_eq!(mount.propagation, ["shared:1", "master:2", "propagate_from:3"]);
    assert!(mount.is_read_only() && mount.receives_mounts());
    assert!(!table.at("/").unwrap().receives_mounts());
}

#[test]
fn a_mount_goes_with_the_host_where_it_lies_on_one_that_follows_it() {
    let vanishes = |below: &str| {
        let nas = "702 700 0:41 / /data rw - nfs4 nas.lan:/photos rw\n";
        let table = MountTable::parse(&format!("600 1 0:5 / / rw master:9 - overlay overlay rw\n{below}{nas}"));
        table.can_vanish(table.at("/data").unwrap())
    };
    assert!(vanishes("700 600 254:0 /mnt/nas /data rw master:1 - ext4 /dev/vda rw\n"));
    assert!(vanishes("700 600 254:0 /mnt/nas /data rw shared:7 master:1 - ext4 /dev/vda rw\n"));
    for pinned in [
        "700 600 254:0 /mnt/nas /data rw - ext4 /dev/vda rw\n",
        // The node itself, where nothing comes from elsewhere.
        "700 600 254:0 /mnt/nas /data rw shared:7 - ext4 /dev/vda rw\n",
        "700 600 0:40 / /data rw master:1 - autofs /etc/auto.nas rw\n",
    ] {
        assert!(!vanishes(pinned), "{pinned}");
    }
    let bound =
        MountTable::parse("600 1 0:5 / / rw master:9 - overlay overlay rw\n702 600 0:41 / /data rw master:2 - nfs4 nas:/ rw\n");
    assert!(!bound.can_vanish(bound.at("/data").unwrap()), "a bind of the mount itself stays");
}

#[test]
fn ten_thousand_lines_are_read_and_searched() {
    let mut text = CONTAINER.to_owned();
    for number in 0..10_000 {
        let _ = writeln!(text, "{} 600 0:{number} / /mnt/{number} rw - tmpfs tmpfs rw", 1_000 + number);
    }
    let table = MountTable::parse(&text);
    assert_eq!(table.mounts().len(), 10_003);
    assert_eq!(table.covering("/mnt/9999/x").unwrap().mount_point, "/mnt/9999");
}

#[test]
fn this_machines_own_table_has_a_root() {
    assert!(MountTable::read().unwrap().covering("/").is_some());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic_or_loop(text in "([0-3]{1,2} [0-3]{1,2} 0:1 /[a-c\\\\0-9]{0,5} (/[a-c]{0,2}){1,3} rw( shared:1)? - [a-z]{1,4} [a-z]{1,4} rw\n){0,12}|\\PC{0,200}", path in "(/[a-c]{1,2}){1,4}") {
        let table = MountTable::parse(&text);
        if let Some(mount) = table.covering(&path) {
            prop_assert!(mount.mount_point == "/" || is_below(&path, &mount.mount_point));
        }
    }

    #[test]
    fn what_the_kernel_escapes_is_read_back(name in "[ -~\t\n]{1,40}") {
        let escaped: String = name.bytes().map(|byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}"),
            plain => char::from(plain).to_string(),
        }).collect();
        prop_assert_eq!(unescape(&escaped), name);
    }
}
