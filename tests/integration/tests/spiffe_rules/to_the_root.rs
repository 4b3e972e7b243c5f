//! Rules 11, 13 and 14: the chain from a leaf to a root of its own trust domain, and who may sign in it.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose as Extended, IsCa, KeyUsagePurpose as Usage,
};

use super::{
    cases::Cases,
    certificates::{Authority, Spec, TD, uri},
};

impl Cases {
    pub(crate) fn paths_to_the_root(&mut self) {
        for (accepted, name, valid) in [
            (false, "11: expired a second ago", (-3600, -1)),
            (
                false,
                "11: expired a year ago",
                (-2 * 31_536_000, -31_536_000),
            ),
            (false, "11: valid in a second", (1, 3600)),
            (false, "11: valid in a year", (31_536_000, 2 * 31_536_000)),
            (true, "11: valid since now", (0, 3600)),
            (true, "11: valid until now", (-3600, 0)),
        ] {
            self.leaf(
                accepted,
                name,
                &Spec::service().with(|spec| spec.valid = valid),
            );
        }
        let good = self.root.issue(&Spec::service(), &self.key);
        self.chain(true, "11: what Consul issues", vec![good.clone()]);
        self.chain(false, "11: an empty chain", vec![]);
        let roots = || vec![self.root.pem.clone()];
        let stranger = Authority::root(&Spec::authority("root"));
        let forged = stranger.issue(&Spec::service(), &self.key);
        let (own, theirs) = (roots(), vec![stranger.pem.clone()]);
        self.under(
            false,
            "11: signed by another root of the same name",
            vec![forged.clone()],
            own.clone(),
            TD,
        );
        let brought = vec![forged.clone(), stranger.certificate.clone()];
        self.under(false, "11: which it brings along", brought, own.clone(), TD);
        self.under(
            false,
            "11: good, under another root",
            vec![good.clone()],
            theirs.clone(),
            TD,
        );
        self.under(
            true,
            "11: one of two roots",
            vec![forged],
            [own.clone(), theirs].concat(),
            TD,
        );
        self.under(
            false,
            "11: our root for another trust domain",
            vec![good.clone()],
            own,
            "other.consul",
        );
        let foreign = Spec::named(vec![uri("spiffe://other.consul/ns/default/dc/dc1/svc/web")]);
        self.leaf(false, "11: another trust domain under our root", &foreign);
        let itself = Authority::root(&Spec::service());
        self.chain(
            false,
            "11: signed by itself",
            vec![itself.certificate.clone()],
        );
        let mut bent = good.as_ref().to_vec();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        self.chain(false, "11: a bent signature", vec![bent.into()]);
        let mut cut = good.as_ref().to_vec();
        cut.truncate(last);
        self.chain(false, "11: cut short", vec![cut.into()]);
        let mut long = good.as_ref().to_vec();
        long.push(0);
        self.chain(false, "11: a byte too many", vec![long.into()]);
        self.chain(
            false,
            "11: no certificate but bytes",
            vec![b"web".to_vec().into()],
        );
        self.chain(
            false,
            "13: the root as somebody",
            vec![self.root.certificate.clone()],
        );

        let between = Spec::authority("between");
        for (accepted, name, spec) in [
            (true, "13: an authority between", between.clone()),
            (
                true,
                "13: without a name",
                between.clone().with(|spec| spec.names.clear()),
            ),
            (
                true,
                "13: without a subject",
                between.clone().with(|spec| spec.subject = None),
            ),
            (
                false,
                "13: no authority between",
                between.clone().with(|spec| spec.ca = IsCa::NoCa),
            ),
            (
                false,
                "13: no authority in so many words",
                between.clone().with(|spec| spec.ca = IsCa::ExplicitNoCa),
            ),
            (
                false,
                "13: may sign revocations only",
                between
                    .clone()
                    .with(|spec| spec.usages = vec![Usage::CrlSign]),
            ),
            (
                false,
                "13: may sign, but no certificates",
                between
                    .clone()
                    .with(|spec| spec.usages = vec![Usage::DigitalSignature]),
            ),
            (
                false,
                "13: expired",
                between.clone().with(|spec| spec.valid = (-3600, -1)),
            ),
            (
                false,
                "13: not valid yet",
                between.clone().with(|spec| spec.valid = (60, 3600)),
            ),
            (false, "13: a service between", Spec::service()),
            (
                false,
                "13: for code only",
                between
                    .clone()
                    .with(|spec| spec.extended = Some(vec![Extended::CodeSigning])),
            ),
        ] {
            let middle = self.root.below(&spec);
            let leaf = middle.issue(&Spec::service(), &self.key);
            self.chain(
                accepted,
                name,
                vec![leaf.clone(), middle.certificate.clone()],
            );
            if accepted {
                self.chain(false, format!("{name}, kept back"), vec![leaf]);
                self.chain(
                    false,
                    format!("{name}, as somebody"),
                    vec![middle.certificate],
                );
            }
        }
        let last = between
            .clone()
            .with(|spec| spec.ca = IsCa::Ca(BasicConstraints::Constrained(0)));
        let upper = self.root.below(&last);
        let lower = upper.below(&between);
        let leaf = lower.issue(&Spec::service(), &self.key);
        let chain = vec![leaf, lower.certificate, upper.certificate.clone()];
        self.chain(false, "13: deeper than its path length", chain);
        let leaf = upper.issue(&Spec::service(), &self.key);
        self.chain(
            true,
            "13: as deep as its path length",
            vec![leaf, upper.certificate],
        );
        for (name, of) in [
            (
                "14: an authority of another trust domain",
                "spiffe://other.consul".to_owned(),
            ),
            (
                "14: an authority with a web address",
                "https://vault.example".to_owned(),
            ),
        ] {
            let middle = self
                .root
                .below(&between.clone().with(|spec| spec.names = vec![uri(of)]));
            let leaf = middle.issue(&Spec::service(), &self.key);
            self.chain(true, name, vec![leaf, middle.certificate]);
        }
        let old = Authority::root(&Spec::authority("old").with(|spec| spec.valid = (-3600, -1)));
        let leaf = old.issue(&Spec::service(), &self.key);
        self.under(false, "11: an expired root", vec![leaf], vec![old.pem], TD);
    }
}
