//! Creates the certificates of a cluster: the authority, the API server, each client, and the key for service account tokens.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A certificate authority that writes its files to one folder.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates an authority and writes `ca.crt`, `sa.key` and `sa.pub` to `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "e2e");
        let key = KeyPair::generate()?;
        fs::write(dir.join("ca.crt"), params.self_signed(&key)?.pem())?;
        let accounts = KeyPair::generate()?;
        fs::write(dir.join("sa.key"), accounts.serialize_pem())?;
        fs::write(dir.join("sa.pub"), accounts.public_key_pem())?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Creates the certificate of the API server, with these addresses beside loopback: `apiserver.crt` and `apiserver.key`.
    pub(crate) fn server(&self, addresses: &[Ipv4Addr]) -> Result<()> {
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
        let names: Vec<_> = names.into_iter().chain(addresses.iter().map(ToString::to_string)).collect();
        self.sign("apiserver", CertificateParams::new(names)?, "kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Creates the certificate of a client and a kubeconfig for it. Returns the path of the kubeconfig, `NAME.kubeconfig`.
    pub(crate) fn client(&self, name: &str, user: &str, group: Option<&str>, api: u16) -> Result<PathBuf> {
        self.sign(name, CertificateParams::new(Vec::new())?, user, group, ExtendedKeyUsagePurpose::ClientAuth)?;
        let at = |file: String| self.dir.join(file).display().to_string();
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {
                "server": format!("https://127.0.0.1:{api}"), "certificate-authority": at("ca.crt".to_owned()),
            }}],
            "users": [{"name": name, "user": {
                "client-certificate": at(format!("{name}.crt")), "client-key": at(format!("{name}.key")),
            }}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        });
        let path = self.dir.join(format!("{name}.kubeconfig"));
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    fn sign(
        &self,
        file: &str,
        mut params: CertificateParams,
        name: &str,
        group: Option<&str>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<()> {
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate()?;
        fs::write(self.dir.join(format!("{file}.crt")), params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(self.dir.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }
}
