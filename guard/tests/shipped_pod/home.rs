//! A node with the mountpoint of the example overlay, a NAS for it, and the pod that is rendered for both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use testkit::image::Image;
use testkit::nas::{FakeNas, Host};

use super::container::Container;
use super::image;
use super::render;
use super::spec::{self, Place};

/// `hostPath` of the library in the example overlay: a directory on the NAS, below the mountpoint of [`Host::point`].
const LIBRARY: &str = "immich";
/// `runAsUser` in the manifest is who owns it.
const OWNER: u32 = 1000;

/// The home.
pub(crate) struct Home {
    /// The node, as far as its disk and its mounts.
    pub host: Host,
    nas_id: String,
    /// The pod template as it is rendered for this home.
    pub template: Value,
    /// The image `guard`.
    pub guard: Image,
    /// What stands in for Immich's.
    pub immich: Image,
    started: AtomicU32,
}

impl Home {
    /// A home whose NAS was initialised, by the guard, as docs/nas.md says. It is mounted as long as the second value lives.
    pub(crate) fn new() -> (Self, FakeNas) {
        let host = Host::new(image::guard());
        let nas = Self::nas(&host);
        let mut init = Command::new(image::guard());
        let output =
            init.args(["nas", "init", "--source", "nas.lan:*", "--path"]).arg(host.point().join(LIBRARY)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let nas_id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let template = render::deployment(&host.disk(), "immich-server", &nas_id)["spec"]["template"].clone();
        let (guard, immich) = (image::of_guard(&host.disk()), image::of_immich(&host.disk()));
        for volume in template["spec"]["volumes"].as_array().unwrap() {
            let folder = host.disk().join("pod").join(volume["name"].as_str().unwrap());
            fs::create_dir_all(&folder).unwrap();
            // As the kubelet leaves an emptyDir: every user of the pod may write.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        (Self { host, nas_id, template, guard, immich, started: AtomicU32::new(0) }, nas)
    }

    fn nas(host: &Host) -> FakeNas {
        let nas = host.nas();
        nas.mkdir(LIBRARY);
        nas.chown(LIBRARY, OWNER, 0o755);
        nas
    }

    /// The same NAS, back after it was away.
    pub(crate) fn nas_again(&self) -> FakeNas {
        let nas = Self::nas(&self.host);
        let mut init = Command::new(image::guard());
        let init = init.args(["nas", "init", "--path"]).arg(self.library()).env("GUARD_NAS_ID", &self.nas_id);
        assert!(init.output().unwrap().status.success());
        nas
    }

    /// The library's directory on the node.
    pub(crate) fn library(&self) -> PathBuf {
        self.host.point().join(LIBRARY)
    }

    /// The NAS is away, and somebody made its directory on the node's own disk: what `type: Directory` cannot see.
    pub(crate) fn bare_library(&self) {
        fs::create_dir(self.library()).unwrap();
        std::os::unix::fs::chown(self.library(), Some(OWNER), Some(OWNER)).unwrap();
    }

    /// The directory of a volume that is the pod's own.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.host.disk().join("pod").join(name)
    }

    /// What lies in it.
    pub(crate) fn in_volume(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.volume(name)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Starts the init container `nas-gate`.
    pub(crate) fn gate(&self) -> Result<Container, String> {
        self.start("initContainers", "nas-gate", &self.guard)
    }

    /// Starts the container `server`.
    pub(crate) fn server(&self) -> Result<Container, String> {
        self.start("containers", "server", &self.immich)
    }

    fn start(&self, list: &str, name: &str, image: &Image) -> Result<Container, String> {
        let containers = self.template["spec"][list].as_array().unwrap();
        let [container] = &containers[..] else { panic!("{list}: wanted one, found {}", containers.len()) };
        assert_eq!(container["name"], name);
        let folder = self.host.disk().join(format!("{name}-{}", self.started.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).unwrap();
        let termination_log = folder.join("termination-log");
        fs::write(&termination_log, "").unwrap();
        fs::set_permissions(&termination_log, fs::Permissions::from_mode(0o666)).unwrap();
        let place = Place { node: self.host.disk(), pod: self.host.disk().join("pod"), termination_log };
        let config = spec::config(&self.template, container, image, &place)?;
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        Ok(Container::run(folder, container.clone()))
    }
}
