//! The manifests of cloudflared enter, its file and its command line leave.

use std::path::{Path, PathBuf};

/// Where the file is mounted, and where the token is: [`args`] names both.
pub(crate) const CONFIG: &str = "/etc/cloudflared/config.yaml";
pub(crate) const TOKEN: &str = "/run/secrets/cloudflared-tunnel/token";

fn manifest(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/networking/cloudflared").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The very bytes of `config.yaml`.
pub(crate) fn config() -> String {
    manifest("config.yaml")
}

/// The origin that the file names: host and port.
pub(crate) fn origin() -> (String, u16) {
    let config = config();
    let services: Vec<_> = config.lines().filter_map(|line| line.trim().strip_prefix("- service: http://")).collect();
    let [service] = services[..] else { panic!("one service by http, found {services:?}") };
    let (host, port) = service.split_once(':').expect("a port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// `args` of the only container in `deployment.yaml`. No YAML reader: items of one list of plain words, told by their indentation.
pub(crate) fn args() -> Vec<String> {
    let text = manifest("deployment.yaml");
    let mut lines = text.lines().skip_while(|line| line.trim() != "args:");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outer = indent(lines.next().expect("args in deployment.yaml"));
    let items = lines.take_while(|line| indent(line) > outer).map(str::trim).filter(|line| !line.starts_with('#'));
    let args: Vec<_> = items.map(|item| item.strip_prefix("- ").expect("an item of a list").to_owned()).collect();
    for (flag, value) in [("--config", CONFIG), ("--token-file", TOKEN)] {
        assert!(args.contains(&format!("{flag}={value}")), "{flag}={value} in {args:?}");
    }
    args
}

/// A file below the temporary directory of these tests.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
