//! `nats-server`, in the clear and with TLS, and `async-nats`.

use std::net::SocketAddr;

use async_nats::{Client, ConnectOptions, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{ReadyChunks, StreamExt, TryStreamExt};
use futures_util::{TryFutureExt, stream};

use super::certificate::TlsFiles;
use super::{Rig, folder};
use crate::error::BenchError;
use crate::limits::{CONNECTING_MAX, FRAMES_PER_TURN_MAX};
use crate::load::{AnyEndpoint, Endpoint, Shape};
use crate::server::Server;
use crate::setting::Setting;

/// Messages that a subscription holds; what comes beyond is dropped. Larger than any window here.
const SUBSCRIPTION_MESSAGES: usize = 1 << 18;

/// A running server and how to dial it.
pub struct Nats {
    /// The process.
    pub server: Server,
    address: SocketAddr,
    tls: Option<TlsFiles>,
}

impl Nats {
    /// Starts one on a free port, its files in `folder`. `more` are further arguments.
    ///
    /// # Errors
    /// Those of [`Server::start`] and [`Server::until_said`].
    pub async fn start(
        setting: &Setting,
        folder: &std::path::Path,
        with_tls: bool,
        more: &[String],
    ) -> Result<Nats, BenchError> {
        let mut arguments: Vec<String> =
            ["-a", "127.0.0.1", "-p", "-1"].map(str::to_owned).to_vec();
        let tls = match with_tls {
            true => Some(TlsFiles::make(folder)?),
            false => None,
        };
        if let Some(files) = &tls {
            let certificate = files.certificate.display().to_string();
            let key = files.key.display().to_string();
            let flags = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
            arguments.extend(flags.map(str::to_owned));
        }
        arguments.extend_from_slice(more);
        let mut server = Server::start("nats-server", &setting.programs.nats, &arguments, folder)?;
        let address = server
            .until_said(|line| {
                let (_, address) = line.split_once("Listening for client connections on ")?;
                address.trim().parse().ok()
            })
            .await?;
        server
            .until_said(|line| line.contains("Server is ready").then_some(()))
            .await?;
        Ok(Nats {
            server,
            address,
            tls,
        })
    }

    /// Connects a client.
    ///
    /// # Errors
    /// [`BenchError::Peer`].
    pub async fn connect(&self) -> Result<Client, BenchError> {
        let mut options = ConnectOptions::new().subscription_capacity(SUBSCRIPTION_MESSAGES);
        let scheme = match &self.tls {
            Some(files) => {
                options = options.require_tls(true).tls_client_config(files.client()?);
                "tls"
            }
            None => "nats",
        };
        let url = format!("{scheme}://{}", self.address);
        options
            .connect(url)
            .await
            .map_err(|error| BenchError::peer("nats", error))
    }
}

/// A server, and a connection for each sender and receiver.
///
/// # Errors
/// [`BenchError`].
pub async fn rig(setting: &Setting, shape: Shape, with_tls: bool) -> Result<Rig, BenchError> {
    let folder = folder()?;
    let nats = Nats::start(setting, folder.path(), with_tls, &[]).await?;
    let payload = Bytes::from(vec![0x5a; shape.payload_bytes]);
    let nats_ref = &nats;
    let receivers = connect_all(shape.receivers, |place| {
        let group = if shape.senders == 1 { 0 } else { place };
        NatsEndpoint::connect(
            nats_ref,
            payload.clone(),
            Some(format!("answer.{group}")),
            Some(format!("request.{group}")),
        )
    })
    .await?;
    let senders = connect_all(shape.senders, |place| {
        let answers = shape.answers.then(|| format!("answer.{place}"));
        NatsEndpoint::connect(
            nats_ref,
            payload.clone(),
            Some(format!("request.{place}")),
            answers,
        )
    })
    .await?;
    Ok(Rig {
        server: nats.server,
        senders,
        receivers,
        folder,
    })
}

async fn connect_all<F>(
    count: usize,
    connect: impl Fn(usize) -> F,
) -> Result<Vec<AnyEndpoint>, BenchError>
where
    F: Future<Output = Result<NatsEndpoint, BenchError>>,
{
    stream::iter(0..count)
        .map(|place| connect(place).map_ok(|endpoint| Box::new(endpoint) as AnyEndpoint))
        .buffered(CONNECTING_MAX)
        .try_collect()
        .await
}

struct NatsEndpoint {
    client: Client,
    payload: Bytes,
    to: Option<Subject>,
    from: Option<ReadyChunks<Subscriber>>,
}

impl NatsEndpoint {
    async fn connect(
        nats: &Nats,
        payload: Bytes,
        to: Option<String>,
        from: Option<String>,
    ) -> Result<NatsEndpoint, BenchError> {
        let client = nats.connect().await?;
        let from = match from {
            None => None,
            Some(subject) => {
                let subscriber = client.subscribe(subject).await;
                let subscriber = subscriber.map_err(|error| BenchError::peer("nats", error))?;
                Some(subscriber.ready_chunks(FRAMES_PER_TURN_MAX))
            }
        };
        // The server answers behind the subscription: it is there then.
        client
            .flush()
            .await
            .map_err(|error| BenchError::peer("nats", error))?;
        Ok(NatsEndpoint {
            client,
            payload,
            to: to.map(Subject::from),
            from,
        })
    }
}

#[async_trait]
impl Endpoint for NatsEndpoint {
    async fn send(&mut self, messages: usize) -> Result<(), BenchError> {
        let Some(to) = &self.to else {
            return Err(BenchError::peer("nats", "nowhere to send to"));
        };
        for _ in 0..messages {
            self.client
                .publish(to.clone(), self.payload.clone())
                .await
                .map_err(|error| BenchError::peer("nats", error))?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<usize, BenchError> {
        let came = match &mut self.from {
            Some(from) => from.next().await,
            None => None,
        };
        let came = came.ok_or_else(|| BenchError::peer("nats", "the subscription has ended"))?;
        match came
            .iter()
            .all(|message| message.payload.len() == self.payload.len())
        {
            true => Ok(came.len()),
            false => Err(BenchError::peer("nats", "another payload than was sent")),
        }
    }
}
