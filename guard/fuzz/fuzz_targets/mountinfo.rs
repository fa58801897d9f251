//! Any bytes as `/proc/self/mountinfo`: no panic, no endless walk, and whatever is found does cover the path.
#![no_main]

use guard::nas::mountinfo::MountTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (path, table) = text.split_once('\n').unwrap_or(("/data", &text));
    let table = MountTable::parse(table);
    if let Some(mount) = table.covering(path) {
        assert!(mount.mount_point == "/" || path.starts_with(mount.mount_point.trim_end_matches('/')));
    }
});
