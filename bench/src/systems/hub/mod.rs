//! `winze hub`, and lean clients of it: the transport, the messages and their authenticators, and credit both ways;
//! without the reconnecting, the wake-ups and the events of `winze-client`.

mod message;
mod peer;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::OsRng;
use winze_client::{WINDOW_BYTES_DEFAULT, WINDOW_MESSAGES_DEFAULT};
use winze_messages::{EXT_MINT_QUOTE, PeerName, Side};
use winze_runtime::{keyfile, ready};
use winze_transport::{PublicKey, SecretKey};

use super::signed::certificate;
use super::{Rig, folder};
use crate::error::BenchError;
use crate::limits::CONNECTING_MAX;
use crate::load::{AnyEndpoint, Shape};
use crate::server::Server;
use crate::setting::Setting;
use message::Messages;
pub use peer::HubPeer;

/// The payload at which the messages are quote requests; any other size goes as an extension that the hub does not know.
pub const QUOTE_PAYLOAD_BYTES: usize = 200;
/// An extension that the hub does not know.
const EXT_OPAQUE: u16 = 0x4a00;
/// Who asks.
const SENDER_ROLE: &str = "pool";
/// Who answers.
const RECEIVER_ROLE: &str = "mint";
/// The group of all receivers.
const GROUP: &str = "group/all";

/// A running hub and how to dial it.
pub struct Hub {
    /// The process.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    /// Who has signed its certificate.
    pub authority: PublicKey,
}

/// Somebody who is let in.
pub struct Member {
    /// As the hub's list has it.
    pub name: PeerName,
    /// What it proves itself with.
    pub secret: SecretKey,
}

impl Member {
    /// `role/name`, with a new key.
    ///
    /// # Errors
    /// [`BenchError::Machine`] where these are no names.
    pub fn new(role: &str, name: impl std::fmt::Display) -> Result<Member, BenchError> {
        let name = format!("{role}/{name}");
        Ok(Member {
            name: name
                .parse()
                .map_err(|error| BenchError::machine(&name, error))?,
            secret: SecretKey::generate(&mut OsRng),
        })
    }

    /// Its table in the hub's configuration; `may_open` is a peer or a group.
    pub fn listing(&self, may_open: Option<(u16, &str)>) -> String {
        let may_open = may_open.map_or_else(String::new, |(extension, peer)| {
            format!("{{ extension = {extension}, peer = \"{peer}\" }}")
        });
        format!(
            "\n[[peers]]\nrole = \"{}\"\nname = \"{}\"\npublic_key = \"{}\"\nmay_open = [{may_open}]\n",
            self.name.role(),
            self.name.name(),
            self.secret.public_key()
        )
    }
}

impl Hub {
    /// Starts one on free ports that lets `listed` in; `limits` are lines of its table of limits.
    ///
    /// # Errors
    /// Those of [`Server::start`] and [`Server::until_said`].
    pub async fn start(
        setting: &Setting,
        folder: &Path,
        listed: &str,
        limits: &str,
    ) -> Result<Hub, BenchError> {
        Hub::start_in(setting, folder, listed, limits, &[]).await
    }

    /// [`Self::start`] with variables of its environment.
    async fn start_in(
        setting: &Setting,
        folder: &Path,
        listed: &str,
        limits: &str,
        environment: &[(&str, &str)],
    ) -> Result<Hub, BenchError> {
        let authority = SecretKey::generate(&mut OsRng);
        let static_key = SecretKey::generate(&mut OsRng);
        let certificate = certificate(&authority, static_key.public_key());
        let machine = |error: &dyn std::fmt::Display| BenchError::machine("the hub's files", error);
        keyfile::write_secret(folder.join("static.key"), &static_key)
            .and_then(|()| {
                keyfile::write_certificate(folder.join("certificate.toml"), &certificate)
            })
            .map_err(|error| machine(&error))?;
        let config = folder.join("hub.toml");
        let text = format!(
            "role = \"hub\"\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n\
             static_key_file = \"static.key\"\ncertificate_file = \"certificate.toml\"\n\
             {listed}\n[limits]\nconnections_max = 8192\nconnections_per_address_max = 8192\n{limits}"
        );
        std::fs::write(&config, text).map_err(|error| machine(&error))?;
        let arguments = [
            "hub".to_owned(),
            "--config".to_owned(),
            config.display().to_string(),
        ];
        let mut server = Server::start_in(
            "hub",
            &setting.programs.winze,
            &arguments,
            folder,
            environment,
        )?;
        let address = server
            .until_said(|line| ready::address(line, "hub"))
            .await?;
        Ok(Hub {
            server,
            address,
            authority: authority.public_key(),
        })
    }
}

/// A hub, a connection for each sender and receiver, and their channels: each sender's to its receiver, or a single
/// one's to the group of all. The hub has the variables in its environment.
///
/// # Errors
/// [`BenchError`].
pub async fn rig(
    setting: &Setting,
    shape: Shape,
    environment: &[(&str, &str)],
) -> Result<Rig, BenchError> {
    let folder = folder()?;
    let extension = match shape.payload_bytes {
        QUOTE_PAYLOAD_BYTES => EXT_MINT_QUOTE,
        _ => EXT_OPAQUE,
    };
    let in_a_group = shape.senders == 1 && shape.receivers > 1;
    let members = |role: &str, count: usize| -> Result<Vec<Member>, BenchError> {
        (0..count).map(|place| Member::new(role, place)).collect()
    };
    let senders = members(SENDER_ROLE, shape.senders)?;
    let receivers = members(RECEIVER_ROLE, shape.receivers)?;
    let mut listed = String::new();
    for (place, sender) in senders.iter().enumerate() {
        let peer = match in_a_group {
            true => GROUP.to_owned(),
            false => receivers[place].name.to_string(),
        };
        listed.push_str(&sender.listing(Some((extension, &peer))));
    }
    for receiver in &receivers {
        listed.push_str(&receiver.listing(None));
    }
    if in_a_group {
        let names: Vec<String> = receivers
            .iter()
            .map(|receiver| format!("\"{}\"", receiver.name))
            .collect();
        // Writing to a String does not fail.
        let _ = write!(
            listed,
            "\n[[groups]]\nname = \"all\"\nmembers = [{}]\n",
            names.join(", ")
        );
    }
    let window = Window::of(shape, in_a_group);
    let limits = format!(
        "window_messages = {}\nwindow_bytes = {}\n",
        window.messages, window.bytes
    );
    let hub = Hub::start_in(setting, folder.path(), &listed, &limits, environment).await?;

    let messages = |own: &Member, peer: &Member, side| {
        Messages::new(
            extension,
            &own.secret,
            &peer.secret.public_key(),
            side,
            shape.payload_bytes,
        )
    };
    let first = &senders[0];
    // One message is sealed for all members of a group, so they share the first one's key with the sender.
    let pair_of = |place: usize| match in_a_group {
        true => (first, &receivers[0]),
        false => (&senders[place], &receivers[place]),
    };
    let (hub_ref, receivers_ref, senders_ref) = (&hub, &receivers, &senders);
    let mut receiving: Vec<HubPeer> = stream::iter(0..shape.receivers)
        .map(|place| {
            let (sender, receiver) = pair_of(place);
            let messages = messages(receiver, sender, Side::Responder);
            async move {
                HubPeer::connect(hub_ref, &receivers_ref[place], extension, window, messages?).await
            }
        })
        .buffered(CONNECTING_MAX)
        .try_collect()
        .await?;
    let mut sending: Vec<HubPeer> = stream::iter(0..shape.senders)
        .map(|place| {
            let (sender, receiver) = pair_of(place);
            let messages = messages(sender, receiver, Side::Requester);
            async move {
                HubPeer::connect(hub_ref, &senders_ref[place], extension, window, messages?).await
            }
        })
        .buffered(CONNECTING_MAX)
        .try_collect()
        .await?;
    for (place, sender) in sending.iter_mut().enumerate() {
        let peer = match in_a_group {
            true => GROUP.to_owned(),
            false => receivers[place].name.to_string(),
        };
        sender.open(&peer).await?;
    }
    for receiver in &mut receiving {
        receiver.accept().await?;
    }
    for sender in &mut sending {
        sender
            .far_ends_are_there(if in_a_group { shape.receivers } else { 1 })
            .await?;
    }
    let boxed = |peers: Vec<HubPeer>| -> Vec<AnyEndpoint> {
        peers
            .into_iter()
            .map(|peer| Box::new(peer) as AnyEndpoint)
            .collect()
    };
    Ok(Rig {
        server: hub.server,
        senders: boxed(sending),
        receivers: boxed(receiving),
        folder,
    })
}

/// A connection that is let in and opens nothing.
///
/// # Errors
/// [`BenchError`].
pub async fn idle_peer(hub: &Hub, member: &Member) -> Result<HubPeer, BenchError> {
    let window = Window {
        messages: 0,
        bytes: 0,
    };
    let messages = Messages::Opaque {
        extension: EXT_OPAQUE,
        bytes: Vec::new(),
    };
    HubPeer::connect(hub, member, EXT_OPAQUE, window, messages).await
}

/// Credit that hub and clients give on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// In messages.
    pub messages: u64,
    /// In payload bytes.
    pub bytes: u64,
}

impl Window {
    /// The hub's default, or what the shape keeps outstanding where that is more. A group's is four times as much: a
    /// member without credit would miss a message, where the others just wait.
    fn of(shape: Shape, in_a_group: bool) -> Window {
        let outstanding = shape.window as u64 * if in_a_group { 4 } else { 1 };
        Window {
            messages: outstanding.max(WINDOW_MESSAGES_DEFAULT),
            bytes: (outstanding * shape.payload_bytes as u64).max(WINDOW_BYTES_DEFAULT),
        }
    }
}
