//! The certificates of a test cluster, and the kubeconfig of those who use it.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

/// Who signs in: a certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// The authority that server and clients trust.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("cannot make a certificate: {error}"),
    }
}

fn named(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, user);
    name
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = sure(CertificateParams::new(Vec::new()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("mlops-testkit", None);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = sure(KeyPair::generate());
        Self {
            issuer: sure(CertifiedIssuer::self_signed(params, key)),
        }
    }

    pub(super) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The certificate of a user in a group of Kubernetes.
    pub(super) fn client(&self, user: &str, group: Option<&str>) -> Credentials {
        let mut params = sure(CertificateParams::new(Vec::new()));
        params.distinguished_name = named(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(&params)
    }

    /// The certificate of a server with those names and addresses.
    pub(super) fn server(&self, names: &[&str]) -> Credentials {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = sure(CertificateParams::new(names));
        params.distinguished_name = named("kube-apiserver", None);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Credentials {
        let key = sure(KeyPair::generate());
        let certificate = sure(params.signed_by(&key, &self.issuer));
        Credentials {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A new key by itself.
pub(super) fn key_pair() -> (String, String) {
    let key = sure(KeyPair::generate());
    (key.serialize_pem(), key.public_key_pem())
}

impl Credentials {
    /// Writes `NAME.crt` and `NAME.key` into a folder.
    pub(super) fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        let certificate = folder.join(format!("{name}.crt"));
        let key = folder.join(format!("{name}.key"));
        sure(fs::write(&certificate, &self.certificate));
        sure(fs::write(&key, &self.key));
        [certificate, key]
    }

    /// A kubeconfig for the server at `url` that trusts `authority`, as JSON, which YAML contains.
    pub(super) fn kubeconfig(&self, url: &str, authority: &str) -> String {
        let data = |text: &str| STANDARD.encode(text);
        format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"test",
"clusters":[{{"name":"test","cluster":{{"server":"{url}","certificate-authority-data":"{}"}}}}],
"contexts":[{{"name":"test","context":{{"cluster":"test","user":"test","namespace":"default"}}}}],
"users":[{{"name":"test","user":{{"client-certificate-data":"{}","client-key-data":"{}"}}}}]}}
"#,
            data(authority),
            data(&self.certificate),
            data(&self.key)
        )
    }
}
