//! The images' root file systems: the guard's from its `Containerfile`, and one that stands in for Immich's.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::image::Image;

use super::stand_in;

/// `GUARD_BIN` (`make test-pod`: the static release binary, as the image has it), else cargo's, which wants this machine's libraries.
pub(crate) fn guard() -> PathBuf {
    std::env::var_os("GUARD_BIN").map_or_else(|| env!("CARGO_BIN_EXE_guard").into(), PathBuf::from)
}

/// The image `guard`.
pub(crate) fn of_guard(folder: &Path) -> Image {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Containerfile")).unwrap();
    let lines = |word: &str| text.lines().filter_map(move |line| line.strip_prefix(word)).collect::<Vec<_>>();
    assert_eq!(lines("FROM "), ["scratch"], "this test makes an image of nothing but what is copied");
    let [entrypoint] = lines("ENTRYPOINT ")[..] else { panic!("one ENTRYPOINT") };
    let [copied] = lines("COPY ")[..] else { panic!("one COPY") };
    let entrypoint: Vec<&str> = serde_json::from_str(entrypoint).unwrap();
    let mut image = Image::new(folder.join("guard-image"), &entrypoint);
    image.add_program(&guard(), copied.rsplit(' ').next().unwrap());
    image.user = String::from("65532:65532");
    image
}

/// Immich's: `tini`, `bash` and `start.sh`, as the command in the manifest wants them, and a program that stands in for the server.
pub(crate) fn of_immich(folder: &Path) -> Image {
    let mut image = Image::new(folder.join("immich-image"), &["tini", "--"]);
    image.path = String::from("/image:/bin");
    image.add_program(Path::new("/bin/bash"), "/bin/bash");
    image.add_program(&std::env::current_exe().unwrap(), "/image/immich");
    // The guard that is handed over is a static one, unless it is cargo's.
    image.add_libraries(&guard());
    image.add_script("/image/tini", "#!/bin/bash\n[[ $1 != -- ]] || shift\nexec \"$@\"\n");
    image.add_script("/image/start.sh", &format!("#!/bin/bash\nexec immich {}\n", stand_in::NAME));
    image
}
