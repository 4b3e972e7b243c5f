//! Any byte stream in the mesh: `-- serve` echoes, `-- call` sends what it reads from its input.

use tokio::io::{self, AsyncWriteExt as _};
use tower_mesh::{Error, Mesh};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await?,
        Some("call") => call().await?,
        _ => return Err("say `serve` or `call`".into()),
    }
    Ok(())
}

async fn serve() -> Result<(), Error> {
    let mesh = Mesh::join("echo").await?;
    let mut listener = mesh.listen("127.0.0.1:0").await?;
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        mesh.shutdown().await; // after which `accept` says that there is nothing more
    });
    while let Some(stream) = listener.accept().await {
        // Only callers that the intentions allow get here, and only for as long as they do.
        println!("{} is here", stream.peer());
        tokio::spawn(async move {
            let (mut reader, mut writer) = io::split(stream);
            let echo = async {
                let bytes = io::copy(&mut reader, &mut writer).await?;
                // Without it the caller could not tell the end from a cut.
                writer.shutdown().await?;
                io::Result::Ok(bytes)
            };
            println!("done: {:?}", echo.await);
        });
    }
    Ok(())
}

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let stream = Mesh::join("web").await?.connect("echo").await?;
    eprintln!("connected to {}", stream.peer());
    let (mut reader, mut writer) = io::split(stream);
    let send = async {
        io::copy(&mut io::stdin(), &mut writer).await?;
        writer.shutdown().await
    };
    let mut output = io::stdout();
    tokio::try_join!(send, io::copy(&mut reader, &mut output))?;
    Ok(())
}
