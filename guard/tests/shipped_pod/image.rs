//! The images' root file systems: the guard's from its `Containerfile`, and one that stands in for Immich's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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
    /// Its variables.
    pub env: Vec<String>,
    /// What is bound into it because this machine has it already.
    pub mounts: Vec<Value>,
}

/// The image `guard`.
pub(crate) fn of_guard(folder: &Path) -> Image {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Containerfile")).unwrap();
    let lines = |word: &str| text.lines().filter_map(move |line| line.strip_prefix(word)).collect::<Vec<_>>();
    assert_eq!(lines("FROM "), ["scratch"], "this test makes an image of nothing but what is copied");
    let [entrypoint] = lines("ENTRYPOINT ")[..] else { panic!("one ENTRYPOINT") };
    let [copied] = lines("COPY ")[..] else { panic!("one COPY") };
    let place = copied.rsplit(' ').next().unwrap().trim_start_matches('/');
    let root = folder.join("guard-image");
    fs::create_dir_all(root.join(place).parent().unwrap()).unwrap();
    fs::copy(guard(), root.join(place)).unwrap();
    let mut mounts = Vec::new();
    if !is_static(&guard()) {
        let libraries = ["/lib", "/lib64", "/usr/lib"].into_iter().filter(|path| Path::new(path).exists());
        mounts.extend(libraries.map(|path| read_only(Path::new(path), path)));
    }
    Image { root, entrypoint: serde_json::from_str(entrypoint).unwrap(), env: vec![path("/bin")], mounts }
}

/// Immich's: a Debian with `tini`, `bash` and `start.sh`, as the command in the manifest wants it. The Debian is this machine's.
pub(crate) fn of_immich(folder: &Path) -> Image {
    let root = folder.join("immich-image");
    let mut mounts = Vec::new();
    for name in ["usr", "bin", "sbin", "lib", "lib64"] {
        let (from, to) = (Path::new("/").join(name), root.join(name));
        fs::create_dir_all(&root).unwrap();
        if let Ok(target) = fs::read_link(&from) {
            std::os::unix::fs::symlink(target, to).unwrap();
        } else if from.is_dir() {
            mounts.push(read_only(&from, &format!("/{name}")));
        }
    }
    let scripts = root.join("image");
    fs::create_dir_all(&scripts).unwrap();
    let program = std::env::current_exe().unwrap();
    mounts.push(read_only(&program, "/image/immich"));
    for (name, script) in [
        ("tini", "#!/bin/sh\n[ \"$1\" = -- ] && shift\nexec \"$@\"\n".to_owned()),
        ("start.sh", format!("#!/bin/sh\nexec /image/immich {}\n", stand_in::NAME)),
    ] {
        fs::write(scripts.join(name), script).unwrap();
        fs::set_permissions(scripts.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    Image { root, entrypoint: vec!["tini".to_owned()], env: vec![path("/image:/usr/bin:/bin")], mounts }
}

fn path(folders: &str) -> String {
    format!("PATH={folders}")
}

fn read_only(from: &Path, to: &str) -> Value {
    json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", "rprivate", "ro"]})
}

/// Whether a program of 64 bits names no interpreter (ELF: program header `PT_INTERP`).
fn is_static(program: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let bytes = fs::read(program).unwrap();
    let half = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let headers = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let (size, count) = (half(54), half(56));
    (0..count).all(|index| bytes[headers + index * size..][..4] != PT_INTERP.to_le_bytes())
}
