//! The signals that ask a process to end.

use std::io;

use futures_util::stream::{self, BoxStream, StreamExt as _};

/// SIGTERM and SIGINT, each time. The process no longer dies of them from here on.
///
/// # Errors
///
/// The operating system's.
#[cfg(unix)]
pub(super) fn asks() -> io::Result<BoxStream<'static, ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(
        stream::unfold(signals, |(mut terminate, mut interrupt)| async {
            let which = tokio::select! {
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = interrupt.recv() => "SIGINT",
                else => return None,
            };
            tracing::info!(signal = which, "asked to leave the mesh");
            Some(((), (terminate, interrupt)))
        })
        .boxed(),
    )
}

/// Ctrl-C, each time. The process no longer dies of it from here on.
///
/// # Errors
///
/// The operating system's.
#[cfg(not(unix))]
pub(super) fn asks() -> io::Result<BoxStream<'static, ()>> {
    Ok(stream::unfold((), |()| async {
        tokio::signal::ctrl_c().await.ok()?;
        tracing::info!("asked to leave the mesh");
        Some(((), ()))
    })
    .boxed())
}
