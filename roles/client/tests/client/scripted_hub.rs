//! A hub whose every word a test chooses, on the transport's server side.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use winze_client::HubClientConfig;
use winze_messages::families::common::{CommonMessage, SetupConnectionSuccess};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensionsSuccess};
use winze_messages::families::hub::{
    Authenticate, AuthenticateSuccess, HubMessage, OpenChannelSuccess, Presence,
};
use winze_messages::families::mint_quote::StoreQuery;
use winze_messages::{PairKeys, authentication, channel_frame};
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{
    Certificate, Frame, FrameReader, FrameWriter, Limits, PublicKey, SecretKey, ServerIdentity,
    Transcript, respond,
};

/// Far beyond anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// `future`, or a test that fails because it waited in vain.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Looks again and again until `condition` holds.
pub async fn until<T: Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> T {
    let started = std::time::Instant::now();
    loop {
        let seen = look();
        if good(&seen) {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub struct ScriptedHub {
    listener: TcpListener,
    identity: ServerIdentity,
    authority: PublicKey,
}

impl ScriptedHub {
    pub async fn bind() -> ScriptedHub {
        let authority = SecretKey::generate(&mut OsRng);
        let static_key = SecretKey::generate(&mut OsRng);
        let now = now_unix_s_u32();
        let certificate = Certificate::sign(
            &authority,
            static_key.public_key(),
            now - 60,
            now + 3_600,
            &[5; 32],
        );
        ScriptedHub {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            identity: ServerIdentity::new(static_key, certificate).unwrap(),
            authority: authority.public_key(),
        }
    }

    /// For a client that does not let the test wait.
    pub fn client_config(&self) -> HubClientConfig {
        let address = self.listener.local_addr().unwrap();
        let mut config = HubClientConfig::new(address.to_string(), self.authority);
        config.backoff_min_ms = 1;
        config.backoff_max_ms = 50;
        config
    }

    /// The next connection, once its handshake is done.
    pub async fn handshake(&self) -> HubSide {
        within("a connection", async {
            loop {
                let (mut stream, _) = self.listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                match respond(&mut stream, &self.identity, &mut OsRng).await {
                    Ok(session) => {
                        return HubSide::new(stream, session);
                    }
                    // A client that was shut down between its dial and its first act.
                    Err(_) => continue,
                }
            }
        })
        .await
    }

    /// The next connection, let in.
    pub async fn accept(&self) -> HubSide {
        let mut side = self.handshake().await;
        side.let_in(15_000, 45_000).await;
        side
    }
}

/// The hub's end of one connection.
pub struct HubSide {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    transcript: Transcript,
    read: VecDeque<Frame>,
    next_instance: u64,
}

impl HubSide {
    fn new(stream: TcpStream, session: winze_transport::Session) -> HubSide {
        let (read_half, write_half) = stream.into_split();
        let limits = Limits {
            payload_bytes_max: 65_536,
        };
        HubSide {
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            transcript: session.transcript,
            read: VecDeque::new(),
            next_instance: 1,
        }
    }

    /// Steps 2 to 7; checks the client's proof.
    pub async fn let_in(&mut self, ping_interval_ms: u32, idle_timeout_ms: u32) -> Authenticate {
        let proof = self.until_authenticate().await;
        assert!(authentication::verify(&proof, self.transcript.as_bytes()).is_ok());
        self.say(AuthenticateSuccess {
            payload_bytes_max: 65_536,
            channels_max: 16,
            ping_interval_ms,
            idle_timeout_ms,
        })
        .await;
        proof
    }

    pub async fn until_authenticate(&mut self) -> Authenticate {
        let hello = self.frame().await;
        assert!(matches!(
            CommonMessage::decode(&hello),
            Ok(CommonMessage::SetupConnection(_))
        ));
        let success = SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        };
        self.send(success.to_frame().unwrap()).await;
        let request = self.frame().await;
        let Ok(ExtensionsMessage::RequestExtensions(request)) = ExtensionsMessage::decode(&request)
        else {
            panic!("{request:?}");
        };
        let success = RequestExtensionsSuccess {
            request_id: request.request_id,
            supported_extensions: request.requested_extensions,
        };
        self.send(success.to_frame().unwrap()).await;
        let proof = self.frame().await;
        match HubMessage::decode(&proof) {
            Ok(HubMessage::Authenticate(proof)) => proof,
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&mut self, frame: Frame) {
        self.writer.push(&frame).unwrap();
        within("the client to read", self.writer.flush())
            .await
            .unwrap();
    }

    pub async fn say(&mut self, message: impl Into<HubMessage>) {
        self.send(message.into().to_frame().unwrap()).await;
    }

    /// The next frame; `None` when the client has closed the connection.
    pub async fn frame_or_end(&mut self) -> Option<Frame> {
        if let Some(frame) = self.read.pop_front() {
            return Some(frame);
        }
        let mut frames = Vec::new();
        match within("a frame", self.reader.read_batch(&mut frames, 64)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                self.read.extend(frames);
                self.read.pop_front()
            }
        }
    }

    pub async fn frame(&mut self) -> Frame {
        self.frame_or_end()
            .await
            .expect("the client is still there")
    }

    /// The next message of the hub family that is neither credit nor a sign of life. A StoreQuery of the mint-quote
    /// family, which is sent on every channel, is passed over.
    pub async fn hub_message(&mut self) -> HubMessage {
        loop {
            let frame = self.frame().await;
            if frame.is_channel_msg() && frame.msg_type == StoreQuery::MSG_TYPE {
                continue;
            }
            match HubMessage::decode(&frame) {
                Ok(HubMessage::Credit(_) | HubMessage::Ping(_) | HubMessage::Pong(_)) => {}
                Ok(message) => return message,
                Err(error) => panic!("{error}: {frame:?}"),
            }
        }
    }

    /// The next channel message: its type and what is behind the channel id.
    pub async fn channel_message(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut frame = self.frame().await;
            if frame.is_channel_msg() {
                return (frame.msg_type, frame.payload.split_off(4));
            }
        }
    }

    /// Answers the `OpenChannel` that the client sends with channel id 1 and a peer that is there.
    pub async fn open_channel(&mut self) -> u64 {
        let instance = self.new_instance();
        self.open_channel_with(Some(instance), 1_000, 1_000_000)
            .await;
        instance
    }

    /// The same with the far end of choice, which is away where it has no instance, and credit of choice.
    pub async fn open_channel_with(
        &mut self,
        peer_instance: Option<u64>,
        credit_messages: u64,
        credit_bytes: u64,
    ) {
        let HubMessage::OpenChannel(open) = self.hub_message().await else {
            panic!("an OpenChannel is awaited");
        };
        self.say(OpenChannelSuccess {
            request_id: open.request_id,
            channel_id: 1,
            peer_present: peer_instance.is_some(),
            peer_instance: peer_instance.unwrap_or(0),
            credit_messages,
            credit_bytes,
        })
        .await;
    }

    /// Another instance of the far end of channel 1.
    pub async fn peer_is_replaced(&mut self) {
        let instance = self.new_instance();
        self.say(Presence {
            channel_id: 1,
            present: true,
            instance,
        })
        .await;
    }

    pub fn new_instance(&mut self) -> u64 {
        self.next_instance += 1;
        self.next_instance
    }

    /// A sealed message on channel 1.
    pub async fn send_sealed(
        &mut self,
        keys: &PairKeys,
        msg_type: u8,
        body: &[u8],
        sequence: u64,
        request_digest: Option<[u8; 32]>,
    ) {
        let sealed = keys.seal(msg_type, body, sequence, request_digest);
        self.send(channel_frame(0x4802, msg_type, 1, &sealed)).await;
    }
}
