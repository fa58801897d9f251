//! The images' root file systems: the guard's from its `Containerfile`, and one that stands in for Immich's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stand_in;

/// `GUARD_BIN` (`make test-pod`: the static release binary, as the image has it), else cargo's, which wants this machine's libraries.
pub(crate) fn guard() -> PathBuf {
    std::env::var_os("GUARD_BIN").map_or_else(|| env!("CARGO_BIN_EXE_guard").into(), PathBuf::from)
}

/// What a container runtime takes from an image.
pub(crate) struct Image {
    /// Its root file system.
    pub root: PathBuf,
    /// Before a manifest's `args`, unless it has a `command`.
    pub entrypoint: Vec<String>,
    /// `PATH`.
    pub path: String,
}

/// The image `guard`.
pub(crate) fn of_guard(folder: &Path) -> Image {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Containerfile")).unwrap();
    let lines = |word: &str| text.lines().filter_map(move |line| line.strip_prefix(word)).collect::<Vec<_>>();
    assert_eq!(lines("FROM "), ["scratch"], "this test makes an image of nothing but what is copied");
    let [entrypoint] = lines("ENTRYPOINT ")[..] else { panic!("one ENTRYPOINT") };
    let [copied] = lines("COPY ")[..] else { panic!("one COPY") };
    let root = folder.join("guard-image");
    copy_program(&root, &guard(), copied.rsplit(' ').next().unwrap());
    Image { root, entrypoint: serde_json::from_str(entrypoint).unwrap(), path: "/bin".to_owned() }
}

/// Immich's: `tini`, `bash` and `start.sh`, as the command in the manifest wants them, and a program that stands in for the server.
pub(crate) fn of_immich(folder: &Path) -> Image {
    let root = folder.join("immich-image");
    copy_program(&root, Path::new("/bin/bash"), "/bin/bash");
    copy_program(&root, &std::env::current_exe().unwrap(), "/image/immich");
    // The guard that is handed over is a static one, unless it is cargo's.
    copy_libraries(&root, &guard());
    for (name, script) in [
        ("tini", "#!/bin/bash\n[[ $1 != -- ]] || shift\nexec \"$@\"\n".to_owned()),
        ("start.sh", format!("#!/bin/bash\nexec immich {}\n", stand_in::NAME)),
    ] {
        fs::write(root.join("image").join(name), script).unwrap();
        fs::set_permissions(root.join("image").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    Image { root, entrypoint: vec!["tini".to_owned(), "--".to_owned()], path: "/image:/bin".to_owned() }
}

/// What holds a pod's namespaces while its containers come and go.
pub(crate) fn of_pause(folder: &Path) -> Image {
    let root = folder.join("pause-image");
    copy_program(&root, Path::new("/bin/sleep"), "/bin/sleep");
    Image { root, entrypoint: vec!["/bin/sleep".to_owned(), "infinity".to_owned()], path: "/bin".to_owned() }
}

/// Puts a program there, with its libraries.
fn copy_program(root: &Path, program: &Path, place: &str) {
    copy(root, program, place);
    copy_libraries(root, program);
}

/// Puts this machine's libraries where a program looks for them; a static one has none.
fn copy_libraries(root: &Path, program: &Path) {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(root, Path::new(library), library);
    }
}

fn copy(root: &Path, from: &Path, to: &str) {
    let to = root.join(to.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, &to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
