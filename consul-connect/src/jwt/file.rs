//! Files that an entry names: whoever writes entries must not make us read without end.

use std::{io, path::Path};

use tokio::{fs::File, io::AsyncReadExt as _};

use super::key_set::MAX_LENGTH;

/// # Errors
/// Also what is no file, as a pipe or a device, and what is longer than any set of keys or certificates.
pub(super) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    let most = u64::try_from(MAX_LENGTH).unwrap_or(u64::MAX);
    let file = File::open(path).await?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)
        .await?;
    if content.len() > MAX_LENGTH {
        let text = format!("it is longer than {MAX_LENGTH} bytes");
        return Err(io::Error::other(text));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_no_end_is_not_read() {
        let error = read(Path::new("/dev/zero")).await.expect_err("a device");
        assert_eq!(error.to_string(), "it is no regular file");
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file()
            .set_len(2 * MAX_LENGTH as u64)
            .expect("a hole");
        let error = read(file.path()).await.expect_err("too long");
        assert_eq!(
            error.to_string(),
            format!("it is longer than {MAX_LENGTH} bytes")
        );
        file.as_file().set_len(3).expect("shorter");
        assert_eq!(read(file.path()).await.expect("short"), [0; 3]);
    }
}
