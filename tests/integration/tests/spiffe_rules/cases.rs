//! The rules of X509-SVID and SPIFFE-ID as cases: what is presented, and what the specifications say of it.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose as Extended, IsCa, KeyUsagePurpose as Usage,
};
use rustls_pki_types::CertificateDer;

use super::certificates::{Authority, Name, Spec, TD, dns, key, service_uri, uri};

/// What somebody presents, and to whom.
pub(crate) struct Case {
    /// By which rule it is judged; what it is.
    pub(crate) name: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) roots: Vec<String>,
    pub(crate) trust_domain: String,
    /// Whether the specifications accept it.
    pub(crate) accepted: bool,
}

pub(crate) struct Cases {
    pub(crate) root: Authority,
    pub(crate) key: rcgen::KeyPair,
    pub(crate) all: Vec<Case>,
}

impl Cases {
    pub(crate) fn all() -> Vec<Case> {
        let mut cases = Self {
            root: Authority::root(&Spec::authority("root")),
            key: key(),
            all: vec![],
        };
        cases.names();
        cases.usages();
        cases.paths_to_the_root();
        cases.ids();
        cases.all
    }

    /// A leaf that the root has signed.
    pub(crate) fn leaf(&mut self, accepted: bool, name: impl Into<String>, spec: &Spec) {
        let leaf = self.root.issue(spec, &self.key);
        self.chain(accepted, name, vec![leaf]);
    }

    pub(crate) fn chain(
        &mut self,
        accepted: bool,
        name: impl Into<String>,
        chain: Vec<CertificateDer<'static>>,
    ) {
        let roots = vec![self.root.pem.clone()];
        self.under(accepted, name, chain, roots, TD);
    }

    pub(crate) fn under(
        &mut self,
        accepted: bool,
        name: impl Into<String>,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<String>,
        trust_domain: &str,
    ) {
        self.all.push(Case {
            name: name.into(),
            chain,
            roots,
            trust_domain: trust_domain.to_owned(),
            accepted,
        });
    }

    fn names(&mut self) {
        let service = || uri(service_uri());
        let other = || uri(format!("spiffe://{TD}/ns/default/dc/dc1/svc/admin"));
        let email: Name = (1, b"web@example.com".to_vec());
        let address: Name = (7, vec![127, 0, 0, 1]);
        let registered: Name = (8, vec![0x2a, 0x03, 0x04]);
        for (accepted, name, names) in [
            (false, "1: no name at all", vec![]),
            (false, "1: a DNS name alone", vec![dns("web")]),
            (false, "1: the same URI twice", vec![service(), service()]),
            (false, "1: two services", vec![service(), other()]),
            (
                false,
                "1: a web address first",
                vec![uri("https://web"), service()],
            ),
            (
                false,
                "1: a web address second",
                vec![service(), uri("https://web")],
            ),
            (false, "1: an empty URI second", vec![service(), uri("")]),
            (
                false,
                "1: two services around a DNS name",
                vec![service(), dns("a"), other()],
            ),
            (
                true,
                "2: a DNS name first",
                vec![dns("web.example"), service()],
            ),
            (
                true,
                "2: a DNS name second",
                vec![service(), dns("web.example")],
            ),
            (
                true,
                "2: many DNS names",
                (0..50).map(|_| dns("a")).chain([service()]).collect(),
            ),
            (true, "2: a mail address", vec![email, service()]),
            (true, "2: an IP address", vec![address, service()]),
            (true, "2: a registered id", vec![registered, service()]),
            (
                true,
                "2: a DNS name that looks like an id",
                vec![dns(TD), service()],
            ),
        ] {
            self.leaf(accepted, name, &Spec::named(names));
        }
        let with_subject = Spec::service().with(|spec| spec.subject = Some("web"));
        self.leaf(true, "12: a subject beside critical names", &with_subject);
        let plain = with_subject.with(|spec| spec.names_are_critical = false);
        self.leaf(
            true,
            "12: a subject beside names that are not critical",
            &plain,
        );
        let neither = Spec::service().with(|spec| spec.names_are_critical = false);
        self.leaf(
            false,
            "12: no subject beside names that are not critical",
            &neither,
        );
    }

    fn usages(&mut self) {
        let signing = IsCa::Ca(BasicConstraints::Unconstrained);
        let short = IsCa::Ca(BasicConstraints::Constrained(0));
        for (accepted, name, ca) in [
            (true, "5: no basic constraints", IsCa::NoCa),
            (true, "5: no authority in so many words", IsCa::ExplicitNoCa),
            (false, "5: an authority", signing),
            (false, "5: an authority that may sign leafs only", short),
        ] {
            self.leaf(accepted, name, &Spec::service().with(|spec| spec.ca = ca));
        }
        let sign = Usage::DigitalSignature;
        for (accepted, name, usages) in [
            (
                false,
                "6: may sign certificates",
                vec![sign, Usage::KeyCertSign],
            ),
            (
                false,
                "6: may only sign certificates",
                vec![Usage::KeyCertSign],
            ),
            (false, "7: may sign revocations", vec![sign, Usage::CrlSign]),
            (false, "7: may only sign revocations", vec![Usage::CrlSign]),
            (
                false,
                "7: may sign both",
                vec![sign, Usage::KeyCertSign, Usage::CrlSign],
            ),
            (false, "8: no key usage", vec![]),
            (
                false,
                "8: may not sign: encipherment",
                vec![Usage::KeyEncipherment],
            ),
            (
                false,
                "8: may not sign: agreement",
                vec![Usage::KeyAgreement],
            ),
            (
                false,
                "8: may not sign: data",
                vec![Usage::DataEncipherment],
            ),
            (
                false,
                "8: may not sign: commitment",
                vec![Usage::ContentCommitment],
            ),
            (true, "8: may sign and nothing else", vec![sign]),
            (
                true,
                "9: encipherment as well",
                vec![sign, Usage::KeyEncipherment],
            ),
            (
                true,
                "9: agreement as well",
                vec![sign, Usage::KeyAgreement],
            ),
            (
                true,
                "9: commitment as well",
                vec![sign, Usage::ContentCommitment],
            ),
        ] {
            self.leaf(
                accepted,
                name,
                &Spec::service().with(|spec| spec.usages = usages),
            );
        }
        let plain = Spec::service().with(|spec| spec.usages_are_critical = false);
        self.leaf(false, "8: key usage that is not critical", &plain);
        let (client, server) = (Extended::ClientAuth, Extended::ServerAuth);
        for (accepted, name, extended) in [
            (true, "10: no extended usage", None),
            (false, "10: an empty one", Some(vec![])),
            (false, "10: clients only", Some(vec![client.clone()])),
            (false, "10: servers only", Some(vec![server.clone()])),
            (false, "10: code", Some(vec![Extended::CodeSigning])),
            (
                false,
                "10: anything, neither of both",
                Some(vec![Extended::Any]),
            ),
            (
                true,
                "10: both and code",
                Some(vec![client, server, Extended::CodeSigning]),
            ),
        ] {
            self.leaf(
                accepted,
                name,
                &Spec::service().with(|spec| spec.extended = extended),
            );
        }
    }
}
