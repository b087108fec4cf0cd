//! A listener that bounds how many connections are open, and how long each may stay silent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_IDLE_MAX};

/// Accepts a connection only when fewer than the limit are open.
pub(super) struct BoundedListener {
    inner: TcpListener,
    slots: Arc<Semaphore>,
    idle_max: Duration,
}

impl BoundedListener {
    pub(super) fn new(inner: TcpListener) -> Self {
        Self::with_bounds(inner, HTTP_CONNECTIONS_MAX, HTTP_IDLE_MAX)
    }

    pub(super) fn with_bounds(
        inner: TcpListener,
        connections_max: usize,
        idle_max: Duration,
    ) -> Self {
        BoundedListener {
            inner,
            slots: Arc::new(Semaphore::new(connections_max)),
            idle_max,
        }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            // The semaphore is never closed; waiting for ever is what a listener without slots does.
            return std::future::pending().await;
        };
        // axum's own implementation waits out errors such as a full file table.
        let (stream, address) = Listener::accept(&mut self.inner).await;
        (
            BoundedStream {
                stream,
                idle_max: self.idle_max,
                idle: Box::pin(sleep(self.idle_max)),
                in_request: false,
                _slot: slot,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that fails with `TimedOut` when it waits for too long for a request, for the rest of one and its answer,
/// or for the client to take more of an answer; and frees its slot when dropped.
pub(super) struct BoundedStream {
    stream: TcpStream,
    idle_max: Duration,
    idle: Pin<Box<Sleep>>,
    /// Whether a request has begun to come and nothing was written since: its further bytes buy no time.
    in_request: bool,
    _slot: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn restart_timer(&mut self) {
        let deadline = Instant::now() + self.idle_max;
        self.idle.as_mut().reset(deadline);
    }

    /// Fails once the timer has run out, whatever else may be had from the stream.
    fn out_of_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.out_of_time(cx) {
            return Poll::Ready(Err(error));
        }
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if result.is_ready() && !self.in_request {
            self.in_request = true;
            self.restart_timer();
        }
        result
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if result.is_ready() {
            self.in_request = false;
            self.restart_timer();
            return result;
        }
        self.out_of_time(cx).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
