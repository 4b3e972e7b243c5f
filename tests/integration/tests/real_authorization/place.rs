//! One service twice: behind Envoy and as a member of ours, under the same intentions.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use mesh_lab::{Agent, Envoy, Sidecar};
use mesh_tests::{
    real::eventually,
    real_mesh::{Source, member},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tower_mesh::Mesh;

use super::{
    application::{Record, Seen, serve_echo},
    callers::{Callers, MARKERS, Protocol},
    line::{Answer, Line, fits_http2, to_http2},
    requests::Request,
    sets::Set,
    tokens::Keys,
};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) seen: Option<Seen>,
}

impl Outcome {
    /// Whether the application got it.
    pub(crate) fn is_allowed(&self) -> bool {
        self.seen.is_some() || self.answer == Answer::Echo
    }
}

pub(crate) struct Place {
    pub(crate) service: String,
    pub(crate) protocol: Protocol,
    _sidecar: Sidecar,
    mesh: Mesh,
    envoy: Side,
    ours: Side,
    _tasks: JoinSet<()>,
}

/// Where to call, and what comes through.
struct Side {
    address: SocketAddr,
    record: Record,
}

/// Open connections of the callers to both.
pub(crate) struct Lines<'a> {
    place: &'a Place,
    callers: &'a Callers,
    open: HashMap<&'static str, (Line<'a>, Line<'a>)>,
}

impl Place {
    pub(crate) async fn start(agent: &Agent, envoy: &Envoy<'_>, protocol: Protocol) -> Self {
        let spoken = protocol.of_the_service();
        let service = format!("api-{spoken}");
        let entry = json!({ "Kind": "service-defaults", "Name": service, "Protocol": spoken });
        agent.write_config_entry(&entry).await.expect("an entry");

        let mut tasks = JoinSet::new();
        let (behind_envoy, behind_ours) = (Record::default(), Record::default());
        let application = match protocol {
            Protocol::Tcp => serve_echo(&mut tasks).await,
            _ => behind_envoy.serve(&mut tasks).await,
        };
        let sidecar = envoy.sidecar(&service).application(application);
        let sidecar = sidecar.start().await.expect("a sidecar");

        let mesh = member(agent, &service, Source::Grpc, None);
        let mesh = mesh.join().await.expect("a member");
        let address = serve(&mesh, protocol, &behind_ours, &mut tasks).await;
        mesh.ready().await.expect("ready");
        Self {
            service,
            protocol,
            envoy: Side {
                address: sidecar.public_addr(),
                record: behind_envoy,
            },
            ours: Side {
                address,
                record: behind_ours,
            },
            _sidecar: sidecar,
            mesh,
            _tasks: tasks,
        }
    }

    /// Writes the intentions, waits until both follow them, and says how long that took Envoy and us.
    pub(crate) async fn put(
        &self,
        agent: &Agent,
        callers: &Callers,
        keys: &Keys,
        set: &Set,
    ) -> [Duration; 2] {
        match &set.any {
            Some(any) => agent.write_config_entry(&any.to_json()).await,
            None => agent.delete_config_entry("service-intentions", "*").await,
        }
        .expect("the intentions of all");
        // Written last, so that who has this has the other as well.
        agent
            .write_config_entry(&set.own.to_json())
            .await
            .expect("the intentions of this service");
        let what = |whose: &str| format!("{} of {whose} follows {set:?}", self.service);
        let envoy = async || {
            self.lets_the_marker_in(&self.envoy, callers, keys, set)
                .await
        };
        let envoy = eventually(&what("Envoy"), envoy).await.1;
        let ours = async || {
            // A byte stream bears no token, so nobody can be let in where one is asked for.
            match self.protocol == Protocol::Tcp && !set.own.jwt.is_empty() {
                true => self.knows(set),
                false => {
                    self.lets_the_marker_in(&self.ours, callers, keys, set)
                        .await
                }
            }?;
            self.verifies_tokens(set)
        };
        let ours = eventually(&what("ours"), ours).await.1;
        [envoy, ours]
    }

    /// Whether one marker may call and the other may not, as the set has it.
    async fn lets_the_marker_in(
        &self,
        side: &Side,
        callers: &Callers,
        keys: &Keys,
        set: &Set,
    ) -> Option<()> {
        for (index, marker) in MARKERS.into_iter().enumerate() {
            let request = Request::with_tokens(marker, &set.own.jwt, keys);
            let mut line = Line::new(callers, marker, self.protocol, side.address);
            let answer = line.call(&request, 0).await;
            let allowed = side.record.take(0).is_some() || answer == Answer::Echo;
            if allowed != (index == set.marker) {
                return None;
            }
        }
        Some(())
    }

    /// Whether our member has the set, whatever it lets in.
    fn knows(&self, set: &Set) -> Option<()> {
        let marker = Request::plain(MARKERS[set.marker]);
        let explained = self.explain(&marker);
        explained.contains(": allow, with ").then_some(())
    }

    /// Whether our member has the keys of every provider that the set names.
    fn verifies_tokens(&self, set: &Set) -> Option<()> {
        let providers = self.mesh.intentions()?.status().token_providers;
        let has_keys = |name: &str| {
            let mut known = providers.iter();
            known.any(|known| known.name == name && known.fault.is_none())
        };
        let mut asked = set.own.requirements();
        asked.all(|asked| has_keys(asked.provider)).then_some(())
    }

    pub(crate) fn lines<'a>(&'a self, callers: &'a Callers) -> Lines<'a> {
        Lines {
            place: self,
            callers,
            open: HashMap::new(),
        }
    }

    /// What our member says of a request.
    pub(crate) fn explain(&self, request: &Request) -> String {
        let caller = request.caller.parse().expect("a service name");
        let head = fits_http2(request).then(|| to_http2(request, 0).into_parts().0);
        let intentions = self.mesh.intentions().expect("its intentions");
        intentions
            .explain_service(&caller, head.as_ref())
            .to_string()
    }

    pub(crate) async fn stop(self) {
        self.mesh.shutdown().await;
    }
}

impl Lines<'_> {
    /// Sends the request to Envoy and to us, and says what became of it.
    pub(crate) async fn call(&mut self, request: &Request, probe: u64) -> (Outcome, Outcome) {
        let Place {
            protocol,
            envoy,
            ours,
            ..
        } = self.place;
        let line = |side: &Side| Line::new(self.callers, request.caller, *protocol, side.address);
        let lines = self.open.entry(request.caller);
        let lines = lines.or_insert_with(|| (line(envoy), line(ours)));
        let answers = tokio::join!(lines.0.call(request, probe), lines.1.call(request, probe));
        let outcome = |answer, side: &Side| Outcome {
            answer,
            seen: side.record.take(probe),
        };
        (outcome(answers.0, envoy), outcome(answers.1, ours))
    }
}

async fn serve(
    mesh: &Mesh,
    protocol: Protocol,
    record: &Record,
    tasks: &mut JoinSet<()>,
) -> SocketAddr {
    if protocol == Protocol::Tcp {
        let mut listener = mesh.listen("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Some(stream) = listener.accept().await {
                open.spawn(async move {
                    let (mut reader, mut writer) = tokio::io::split(stream);
                    // The caller may go at any time.
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        return address;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    let (server, application) = (mesh.clone(), record.application());
    tasks.spawn(async move {
        let served = server.serve_on(listener, application).await;
        served.expect("served until the end");
    });
    address
}
