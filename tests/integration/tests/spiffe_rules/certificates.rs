//! Certificates to the byte: what Consul would issue, and what nobody should.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use x509_parser::time::ASN1Time;

pub(crate) const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The moment of all verdicts: 1 December 2026.
pub(crate) const NOW: u64 = 1_796_083_200;

const DAY: i64 = 86_400;

/// One of the names of a certificate: the number that says of which kind it is (RFC 5280 §4.2.1.6), and its bytes.
pub(crate) type Name = (u8, Vec<u8>);

pub(crate) fn uri(uri: impl AsRef<[u8]>) -> Name {
    (6, uri.as_ref().to_vec())
}

pub(crate) fn dns(name: &str) -> Name {
    (2, name.into())
}

/// What is in a certificate. [`Spec::service`] is what Consul issues.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) subject: Option<&'static str>,
    pub(crate) names: Vec<Name>,
    pub(crate) names_are_critical: bool,
    pub(crate) ca: IsCa,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    pub(crate) usages_are_critical: bool,
    /// `None` for no such extension.
    pub(crate) extended: Option<Vec<ExtendedKeyUsagePurpose>>,
    /// In seconds from [`NOW`].
    pub(crate) valid: (i64, i64),
}

impl Spec {
    pub(crate) fn named(names: Vec<Name>) -> Self {
        Self {
            subject: None,
            names,
            names_are_critical: true,
            ca: IsCa::ExplicitNoCa,
            usages: vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
                KeyUsagePurpose::DataEncipherment,
                KeyUsagePurpose::KeyAgreement,
            ],
            usages_are_critical: true,
            extended: Some(vec![
                ExtendedKeyUsagePurpose::ClientAuth,
                ExtendedKeyUsagePurpose::ServerAuth,
            ]),
            valid: (-60, 3 * DAY),
        }
    }

    pub(crate) fn service() -> Self {
        Self::named(vec![uri(service_uri())])
    }

    pub(crate) fn authority(name: &'static str) -> Self {
        Self {
            subject: Some(name),
            names: vec![uri(format!("spiffe://{TD}"))],
            names_are_critical: false,
            ca: IsCa::Ca(BasicConstraints::Unconstrained),
            usages: vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
            usages_are_critical: true,
            extended: None,
            valid: (-DAY, 365 * DAY),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(subject) = self.subject {
            params.distinguished_name.push(DnType::CommonName, subject);
        }
        params.is_ca = self.ca;
        let date = |offset: i64| {
            let seconds = NOW.saturating_add_signed(offset);
            let time = ASN1Time::from_timestamp(seconds.try_into().expect("a date in range"));
            time.expect("a date in range").to_datetime()
        };
        (params.not_before, params.not_after) = (date(self.valid.0), date(self.valid.1));
        if self.usages_are_critical {
            params.key_usages = self.usages.clone();
        } else {
            let mut bits = 0u8;
            for usage in &self.usages {
                bits |= match usage {
                    KeyUsagePurpose::DigitalSignature => 0x80,
                    KeyUsagePurpose::KeyEncipherment => 0x20,
                    KeyUsagePurpose::DataEncipherment => 0x10,
                    KeyUsagePurpose::KeyAgreement => 0x08,
                    other => panic!("no bit is known here for {other:?}"),
                };
            }
            // A bit string of eight bits, none of them unused.
            let content = vec![0x03, 0x02, 0x00, bits];
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 15], content);
            params.custom_extensions.push(extension);
        }
        match &self.extended {
            Some(purposes) if purposes.is_empty() => {
                let extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]);
                params.custom_extensions.push(extension);
            }
            Some(purposes) => params.extended_key_usages = purposes.clone(),
            None => {}
        }
        if !self.names.is_empty() {
            let names = self.names.iter();
            let names = names.flat_map(|(kind, bytes)| tagged(0x80 | kind, bytes));
            let content = tagged(0x30, &names.collect::<Vec<_>>());
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
            extension.set_criticality(self.names_are_critical);
            params.custom_extensions.push(extension);
        }
        params
    }
}

pub(crate) fn service_uri() -> String {
    format!("spiffe://{TD}/ns/default/dc/dc1/svc/web")
}

/// A certificate that may sign, if what is in it lets it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn root(spec: &Spec) -> Self {
        let key = key();
        let params = spec.params();
        let certificate = params.self_signed(&key).expect("a root");
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn below(&self, spec: &Spec) -> Self {
        let key = key();
        let params = spec.params();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(&self, spec: &Spec, key: &KeyPair) -> CertificateDer<'static> {
        let certificate = spec.params().signed_by(key, &self.issuer);
        certificate.expect("a certificate").der().clone()
    }
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut all = vec![tag];
    // In as few bytes as will do, or it is no DER.
    match u8::try_from(length) {
        Ok(length @ ..0x80) => all.push(length),
        Ok(length) => all.extend([0x81, length]),
        Err(_) => {
            let length = u16::try_from(length).expect("less than 64 KiB");
            all.push(0x82);
            all.extend(length.to_be_bytes());
        }
    }
    all.extend(content);
    all
}
