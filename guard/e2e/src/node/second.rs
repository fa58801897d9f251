//! A second machine of the cluster: a kubelet and a containerd of its own, with its own pods. It shares network stack and address with the first, so
//! that kube-proxy and the policy agent serve both: what the two have between them is not shown by it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::node::{Node, Setup, find_kubelet};

use super::Home;
use crate::wait::{Look, until};

/// Its name.
pub(crate) const SECOND: &str = "second";
/// The range of its pods: the controller manager gives the ranges out in order.
const PODS: &str = "10.244.1.0/24";
/// Ports that the first kubelet has.
const PORT: u16 = 10350;
const HEALTH_PORT: u16 = 10348;

/// The machine. It ends with its handle, and [`Home::forget_second`] tells the cluster.
pub(crate) struct Second(Node);

impl Second {
    /// What its programs wrote last.
    pub(crate) fn logs(&self) -> String {
        self.0.logs()
    }
}

impl Home {
    /// Starts it, with the images of the first machine, and returns when it is Ready.
    pub(crate) async fn join_second(&self) -> Result<Second> {
        let folder = self.dir.join(SECOND);
        self.copy_images(&folder)?;
        let bin = &self.world.cluster.bin;
        let mut configuration = self.kubelet_configuration()?;
        configuration["port"] = PORT.into();
        configuration["healthzPort"] = HEALTH_PORT.into();
        let second = Second(Node::start(&Setup {
            folder: &folder,
            kubelet: &find_kubelet(bin).context("no kubelet")?,
            arguments: &self.kubelet_arguments(SECOND, "second"),
            configuration,
            pods: PODS,
            propagation: "slave",
            programs: Some(&self.dir.join("programs")),
        }));
        until("ready: the second machine", Duration::from_secs(90), async || {
            let words = ["get", "node", SECOND, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
            let said = self.world.cluster.kubectl(&words).unwrap_or_default();
            Ok(if said == "True" { Look::Done(()) } else { Look::NotYet(second.logs()) })
        })
        .await?;
        Ok(second)
    }

    /// Ends it, and removes it from the cluster.
    pub(crate) fn forget_second(&self, second: Second) -> Result<()> {
        drop(second);
        self.world.cluster.kubectl(&["delete", "node", SECOND]).map(drop)
    }

    /// Lays the images of the first machine into the folder of the second, under all of their names.
    fn copy_images(&self, folder: &Path) -> Result<()> {
        let images = folder.join("images");
        fs::create_dir_all(&images)?;
        let listed = self.ctr(&["images", "list"])?;
        let all: Vec<_> = listed
            .lines()
            .filter_map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                Some((*words.first()?, *words.iter().find(|word| word.starts_with("sha256:"))?))
            })
            .collect();
        let own: Vec<_> = all.iter().filter(|(name, _)| name.starts_with("localhost/") && name.ends_with(":test")).collect();
        let archive = images.join("all.tar");
        let names: Vec<_> = own.iter().map(|(name, _)| *name).collect();
        self.ctr(&[&["images", "export", &archive.display().to_string()], &names[..]].concat())?;
        let lines = all.iter().filter(|(name, _)| !names.contains(name) && name.contains('@')).filter_map(|(name, digest)| {
            let (from, _) = own.iter().find(|(_, of)| of == digest)?;
            Some(format!("{from} {name}\n"))
        });
        fs::write(images.join("all.tar.names"), lines.collect::<String>())?;
        Ok(())
    }
}
