//! What an idle mutual TLS connection costs the server, in memory.

use consul_connect::test_util::TestCa;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Failure, bare, child,
    options::Options,
    process::{child, listening, resident, shown},
};

/// What the first connections cost besides themselves.
const FIRST: usize = 50;
/// How many are opened at a time: fewer than a listener takes.
const AT_A_TIME: usize = 50;

const CONTESTANTS: [(&str, &str, bool); 4] = [
    ("bare rustls, bytes", "bare-bytes", false),
    ("consul-connect listener, bytes", "connect", false),
    ("bare hyper + rustls, HTTP/1.1", "bare-http", true),
    ("tower-mesh server, HTTP/1.1", "mesh", true),
];

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
    let directory = tempfile::tempdir()?;
    child::write(&ca.material("api"), directory.path(), "api")?;
    let connector = TlsConnector::from(bare::client(&ca.material("web")));
    println!(
        "### Idle mutual TLS connections, {} of them after one exchange each, VmRSS of the server's process\n",
        options.connections
    );
    println!("| server | KiB a connection, first half | second half | all |");
    println!("| --- | --: | --: | --: |");
    for (name, what, http) in CONTESTANTS {
        let server = child(["hold", what, shown(directory.path())], Vec::new())?;
        let address = listening(&server).await?;
        let mut open = Vec::new();
        let mut seen = Vec::new();
        for count in [
            FIRST,
            FIRST + options.connections / 2,
            FIRST + options.connections,
        ] {
            while open.len() < count {
                let wanted = AT_A_TIME.min(count - open.len());
                open.extend(open_some(&connector, &address, http, wanted).await?);
            }
            seen.push((count, resident(server.id())?));
        }
        let each = |from: (usize, u64), to: (usize, u64)| {
            (to.1 as f64 - from.1 as f64) / 1024.0 / (to.0 - from.0) as f64
        };
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            each(seen[0], seen[1]),
            each(seen[1], seen[2]),
            each(seen[0], seen[2])
        );
    }
    Ok(())
}

async fn open_some(
    connector: &TlsConnector,
    address: &str,
    http: bool,
    count: usize,
) -> Result<Vec<TlsStream<TcpStream>>, Failure> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (connector, address) = (connector.clone(), address.to_owned());
        opening.spawn(async move {
            let tcp = TcpStream::connect(address).await?;
            let mut tls = connector.connect(ServerName::try_from("api")?, tcp).await?;
            if http {
                tls.write_all(b"GET /kilobyte HTTP/1.1\r\nhost: api\r\n\r\n")
                    .await?;
                let mut seen = Vec::new();
                while !seen.ends_with(&[b'x'; 1024]) {
                    if tls.read_buf(&mut seen).await? == 0 {
                        return Err("the server has closed a connection".into());
                    }
                }
            } else {
                tls.write_all(b"x").await?;
                tls.read_exact(&mut [0]).await?;
            }
            Ok::<_, Failure>(tls)
        });
    }
    opening.join_all().await.into_iter().collect()
}
