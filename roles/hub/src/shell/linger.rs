//! The end of a socket: what was written last shall arrive.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::limits::{LINGER_BYTES_MAX, LINGER_MS};

/// Says that nothing more comes, then throws away what the client still sends until it closes too, within
/// [`LINGER_MS`] and [`LINGER_BYTES_MAX`].
pub(super) async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        // Not in the future: every connection would hold it from its beginning.
        let mut scratch = vec![0; 4096];
        let mut thrown_away = 0;
        while thrown_away < LINGER_BYTES_MAX {
            match stream.read(&mut scratch).await? {
                0 => break,
                bytes => thrown_away += bytes,
            }
        }
        std::io::Result::Ok(())
    };
    // Whatever comes of it, the socket is closed next.
    let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), drain).await;
}
