//! Rules 3, 4 and 15 to 19: what a SPIFFE id may look like.

use super::{
    cases::Cases,
    certificates::{Authority, Spec, TD, uri},
};

impl Cases {
    fn id(&mut self, accepted: bool, rule: u8, id: impl AsRef<[u8]>) {
        let name = format!("{rule}: {}", id.as_ref().escape_ascii());
        self.leaf(accepted, name, &Spec::named(vec![uri(id)]));
    }

    pub(crate) fn ids(&mut self) {
        let path = "/ns/default/dc/dc1/svc/web";
        for scheme in [
            "http://",
            "https://",
            "SPIFFE://",
            "Spiffe://",
            "spiffe:/",
            "spiffe//",
            "spiffe:",
            "://",
            "//",
            "",
            " spiffe://",
            "spiffe:// ",
            "xspiffe://",
            "spiffe:///",
        ] {
            self.id(false, 3, format!("{scheme}{TD}{path}"));
        }
        for id in [format!("spiffe://{TD}"), format!("spiffe://{TD}/")] {
            self.id(false, 4, id);
        }
        for id in [
            format!("spiffe://{TD}{path}?"),
            format!("spiffe://{TD}{path}?a=b"),
            format!("spiffe://{TD}{path}#"),
            format!("spiffe://{TD}{path}#a"),
            format!("spiffe://{TD}?{path}"),
            format!("spiffe://{TD}#{path}"),
            format!("spiffe://web@{TD}{path}"),
            format!("spiffe://web:secret@{TD}{path}"),
            format!("spiffe://@{TD}{path}"),
            format!("spiffe://{TD}:{path}"),
            format!("spiffe://{TD}:8443{path}"),
        ] {
            self.id(false, 15, id);
        }
        for id in [
            format!("spiffe://{}{path}", TD.to_ascii_uppercase()),
            format!("spiffe://{}{path}", TD.replace("consul", "Consul")),
            format!("spiffe://{TD}.{path}"),
            format!("spiffe://.{TD}{path}"),
            format!("spiffe://{}{path}", TD.replace('c', "%63")),
            format!("spiffe://[::1]{path}"),
            format!("spiffe://{path}"),
        ] {
            self.id(false, 17, id);
        }
        // Every byte in the trust domain; with the sweep of the path, as go-spiffe's tests have it.
        for byte in 0..=u8::MAX {
            let mut id = b"spiffe://".to_vec();
            id.push(byte);
            id.extend(format!("{TD}{path}").bytes());
            self.id(false, 16, id);
        }
        for byte in 0..=u8::MAX {
            let mut id = format!("spiffe://{TD}{path}").into_bytes();
            id.push(byte);
            id.push(b'x');
            let fits = byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            self.id(fits, 18, id);
        }
        let service = |name: &str| format!("spiffe://{TD}/ns/default/dc/dc1/svc/{name}");
        for name in [
            "...", ".web", "..web", "web.", "web..", "-", "_", "0", "Web", "WEB",
        ] {
            self.id(true, 18, service(name));
        }
        for name in [
            "", ".", "..", "web/", "web//", "/web", "./web", "../web", "web/.", "web/..", "%77eb",
            "w%65b", "web%2f", "web%2F", "web%00", "web%0a", "%2e", "%2e%2e", "%2E%2E", "web%",
            "web%2", "web%zz", "web%25", "%c3%a9", "web%5c", "*",
        ] {
            self.id(false, 18, service(name));
        }
        for id in [
            "//ns/default/dc/dc1/svc/web",
            "/ns//dc/dc1/svc/web",
            "/ns/default/dc/./svc/web",
            "/ns/default/dc/../svc/web",
            "/../ns/default/dc/dc1/svc/web",
        ] {
            self.id(false, 18, format!("spiffe://{TD}{id}"));
        }
        // What members of other meshes are called, or members of this one that are no services.
        for id in [
            "/web",
            "/ns/default/sa/web",
            "/svc/web",
            "/ns/default/dc/dc1/svc/web/extra",
            "/NS/default/DC/dc1/SVC/web",
            "/agent/client/dc/dc1/id/node",
            "/agent/server/dc/dc1",
            "/gateway/mesh/dc/dc1",
            "/ap/default/ns/default/dc/dc1/svc/web",
        ] {
            self.id(true, 18, format!("spiffe://{TD}{id}"));
        }
        let long = |length: usize| {
            let rest = format!("spiffe://{TD}/ns//dc/dc1/svc/web").len();
            format!(
                "spiffe://{TD}/ns/{}/dc/dc1/svc/web",
                "n".repeat(length - rest)
            )
        };
        self.id(true, 19, long(2048));
        self.id(false, 19, long(2049));
        self.id(false, 19, long(9000));
        for name in [
            "a",
            "1.2.3.4",
            "a-b_c.d",
            "localhost",
            "xn--bcher-kva.example",
            &"d".repeat(255),
        ] {
            let root = Authority::root(&Spec::authority("root"));
            let id = format!("spiffe://{name}/ns/default/dc/dc1/svc/web");
            let leaf = root.issue(&Spec::named(vec![uri(id)]), &self.key);
            self.under(
                true,
                format!("16: {name}"),
                vec![leaf],
                vec![root.pem],
                name,
            );
        }
    }
}
