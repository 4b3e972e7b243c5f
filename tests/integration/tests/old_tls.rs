//! What other meshes still get away with: old versions, renegotiation, short keys, SHA-1. Each is refused with words of its own.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use consul_connect::{ConnectFailure, Destination, InvalidPeer, Refused, test_util::TestCa};
use mesh_tests::{Pair, TD, echo_once, pair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

/// A hello of a version before TLS 1.2, with the cipher suites and extensions of its time.
fn old_hello(version: [u8; 2], signature_schemes: bool) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]); // random
    body.push(0); // no session
    let suites = [
        0xc0, 0x0a, 0xc0, 0x09, 0xc0, 0x14, 0xc0, 0x13, 0x00, 0x35, 0x00, 0x2f,
    ];
    body.extend([0, 12]);
    body.extend(suites);
    body.extend([1, 0]); // no compression
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let formats = [0, 11, 0, 2, 1, 0];
    let mut extensions = [&groups[..], &formats].concat();
    if signature_schemes {
        extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]);
    }
    body.extend([0, u8::try_from(extensions.len()).expect("short")]);
    body.extend(extensions);
    let mut message = vec![1, 0, 0, u8::try_from(body.len()).expect("short")];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).expect("short")];
    record.extend(message);
    record
}

#[tokio::test]
async fn versions_before_tls_1_2_are_refused_by_their_name() {
    let mut pair = pair().await;
    let mut refusals = pair.refusals();
    let versions = [("SSL 3", [3, 0]), ("TLS 1.0", [3, 1]), ("TLS 1.1", [3, 2])];
    for ((name, version), schemes) in versions.into_iter().flat_map(|v| [(v, false), (v, true)]) {
        let mut tcp = TcpStream::connect(pair.address()).await.expect("a socket");
        let hello = old_hello(version, schemes);
        tcp.write_all(&hello).await.expect("room");
        let refused = tokio::select! {
            accepted = pair.listener.accept() => panic!("{name}: accepted {accepted:?}"),
            refused = refusals.recv() => refused.expect("a refusal"),
        };
        assert!(matches!(refused, Refused::OldTls), "{name}: {refused}");
        assert_eq!(refused.code(), "old_tls");
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.expect("an end");
        // A fatal alert, and nothing else: protocol_version, or handshake_failure to those who say less.
        let alert = if schemes { 70 } else { 40 };
        assert_eq!((answer[0], &answer[5..]), (21, &[2, alert][..]), "{name}");
    }
    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}

/// The `openssl` of this machine, or `None`, said on the terminal, when there is none.
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
fn openssl() -> Option<Files> {
    let found = std::process::Command::new("openssl")
        .arg("version")
        .output()
        .is_ok_and(|version| version.status.success());
    if !found {
        let required = std::env::var_os("MESH_LAB").is_some_and(|value| value == "required");
        assert!(!required, "MESH_LAB=required, and there is no openssl here");
        // Past the capture of the harness, so that nobody believes it ran.
        drop(writeln!(
            std::io::stderr(),
            "old_tls: tests skipped: there is no openssl here"
        ));
        return None;
    }
    Some(Files(tempfile::tempdir().expect("a directory")))
}

/// A directory of PEM files.
struct Files(TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn run(&self, arguments: &[&str]) {
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("openssl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
    }

    /// A leaf of `service` that `ca` signs with `digest`, for a key that `key` makes.
    fn leaf(&self, ca: &TestCa, service: &str, key: &[&str], digest: &str) {
        self.write("ca.pem", ca.root_pem());
        self.write("ca.key", &ca.key_pem());
        let id = ca.id(service);
        self.write(
            "leaf.ext",
            &format!(
                "subjectAltName=critical,URI:{id}\nextendedKeyUsage=clientAuth,serverAuth\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
            ),
        );
        self.run(&[&["genpkey", "-out", "leaf.key"], key].concat());
        self.run(&[
            "req", "-new", "-key", "leaf.key", "-subj", "/", "-out", "leaf.csr",
        ]);
        self.run(&[
            "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", digest,
            "-days", "1", "-extfile", "leaf.ext", "-out", "leaf.pem",
        ]);
    }

    fn client(&self, arguments: &[&str], address: &str) -> Child {
        let mut command = Command::new("openssl");
        command
            .args([
                "s_client", "-connect", address, "-cert", "leaf.pem", "-key", "leaf.key",
            ])
            .args(["-cipher", "DEFAULT@SECLEVEL=0"])
            .args(arguments);
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Child {
        command
            .current_dir::<&Path>(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("openssl")
    }
}

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA_1024: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
const RSA_2048: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// What the listener says to an openssl client with the leaf in `files`.
async fn refused(pair: &mut Pair, files: &Files) -> Refused {
    let mut refusals = pair.refusals();
    let _client = files.client(&[], &pair.address().to_string());
    let refused = async {
        tokio::select! {
            accepted = pair.listener.accept() => panic!("accepted {accepted:?}"),
            refused = refusals.recv() => refused.expect("a refusal"),
        }
    };
    timeout(SOON, refused).await.expect("a refusal in time")
}

/// An openssl server with the leaf in `files`, and where it is.
async fn server(files: &Files) -> (Child, Destination, TestCa) {
    let ca = TestCa::new(TD);
    let mut command = Command::new("openssl");
    command
        .args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            "leaf.pem",
            "-key",
            "leaf.key",
        ])
        .args(["-cipher", "DEFAULT@SECLEVEL=0", "-Verify", "1"]);
    let mut server = files.spawn(command);
    let output = server.stdout.take().expect("its words");
    let mut lines = BufReader::new(output).lines();
    let address = async {
        while let Some(line) = lines.next_line().await.expect("its words") {
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                return address.to_owned();
            }
        }
        panic!("openssl said nowhere");
    };
    let address = timeout(SOON, address).await.expect("it listens in time");
    // Nobody reads on, and it must be able to write.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let address: std::net::SocketAddr = address.parse().expect("an address");
    (server, Destination::new(address, ca.id("api")), ca)
}

#[tokio::test]
async fn a_key_of_1024_bits_is_refused_on_both_sides_and_one_of_2048_is_not() {
    let Some(files) = openssl() else { return };
    let mut pair = pair().await;
    files.leaf(&pair.ca, "web", &RSA_1024, "-sha256");
    let refused = refused(&mut pair, &files).await;
    let weak = matches!(refused, Refused::Peer(InvalidPeer::WeakKey { bits: 1024 }));
    assert!(weak, "{refused}");
    assert_eq!(refused.code(), "weak_key");

    files.leaf(&pair.ca, "api", &RSA_1024, "-sha256");
    let (_server, destination, _) = server(&files).await;
    let error = pair.connector.connect(&destination).await;
    let error = error.expect_err("refused");
    let weak = ConnectFailure::Peer(InvalidPeer::WeakKey { bits: 1024 });
    assert_eq!(error.failure(), &weak, "{error}");

    files.leaf(&pair.ca, "web", &RSA_2048, "-sha256");
    let _client = files.client(&[], &pair.address().to_string());
    let accepted = timeout(SOON, pair.listener.accept()).await;
    let accepted = accepted.expect("in time").expect("accepted");
    assert_eq!(
        accepted.remote.peer().expect("a caller").id(),
        &pair.ca.id("web")
    );
}

#[tokio::test]
async fn a_leaf_signed_with_sha_1_is_refused_on_both_sides() {
    let Some(files) = openssl() else { return };
    let mut pair = pair().await;
    files.leaf(&pair.ca, "web", &P256, "-sha1");
    let refused = refused(&mut pair, &files).await;
    let Refused::Peer(InvalidPeer::WeakSignature { algorithm }) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(algorithm, "ECDSA with SHA-1");
    assert_eq!(refused.code(), "weak_signature");

    files.leaf(&pair.ca, "api", &P256, "-sha1");
    let (_server, destination, _) = server(&files).await;
    let error = pair.connector.connect(&destination).await;
    let error = error.expect_err("refused");
    let ConnectFailure::Peer(InvalidPeer::WeakSignature { algorithm }) = error.failure() else {
        panic!("{error}");
    };
    assert_eq!(algorithm, "ECDSA with SHA-1");
}

#[tokio::test]
async fn a_renegotiation_is_refused_and_no_other_certificate_comes_in_by_it() {
    let Some(files) = openssl() else { return };
    let mut pair = pair().await;
    files.leaf(&pair.ca, "web", &P256, "-sha256");
    let mut client = files.client(&["-tls1_2"], &pair.address().to_string());
    let accepted = timeout(SOON, pair.listener.accept()).await;
    let accepted = accepted.expect("in time").expect("accepted");
    let peer = accepted.remote.peer().expect("a caller").clone();
    let mut words = client.stdin.take().expect("its ear");
    let mut said = BufReader::new(client.stderr.take().expect("its words")).lines();
    // The command of s_client that renegotiates, on a line of its own. It begins with what is said next.
    words.write_all(b"R\n").await.expect("room");
    let renegotiating = async {
        while let Some(line) = said.next_line().await.expect("its words") {
            if line.contains("RENEGOTIATING") {
                return;
            }
        }
        panic!("it does not renegotiate");
    };
    timeout(SOON, renegotiating).await.expect("in time");
    words.write_all(b"hello\n").await.expect("room");
    let (mut reader, mut writer) = tokio::io::split(accepted.stream);
    let mut heard = [0; 16];
    let ended = async {
        loop {
            tokio::select! {
                ended = reader.read(&mut heard) => break ended,
                // What TLS has to answer goes out with what is written.
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let _ = writer.write_all(b"x").await;
                    let _ = writer.flush().await;
                }
            }
        }
    };
    let ended = timeout(SOON, ended).await.expect("in time");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let mut why = String::new();
    while let Ok(Ok(Some(line))) = timeout(SOON, said.next_line()).await {
        why += &line.to_lowercase();
    }
    assert!(why.contains("no renegotiation"), "{why}");
    assert_eq!(accepted.remote.peer().expect("a caller").id(), peer.id());
    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}
