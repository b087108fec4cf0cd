//! A core and a hub that a test plays by hand, on a clock of its own.

mod channels;
mod group_sequences;
mod groups;
mod way_in;

use winze_messages::families::common::{CommonMessage, SetupConnectionSuccess};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensionsSuccess};
use winze_messages::families::hub::{
    Authenticate, AuthenticateSuccess, HubMessage, OpenChannelSuccess,
};
use winze_messages::{EXT_MINT_QUOTE, channel_frame};
use winze_transport::SecretKey;

use super::*;
const REQUEST: u8 = 0x80;

/// A client's core with a hub that a test plays by hand.
struct Scene {
    core: SessionCore,
    now_ms: u64,
    /// What the client has written and the test has not looked at.
    written: Vec<Frame>,
}

fn identity() -> Identity {
    let secret = SecretKey::from_bytes(&[7; 32]).unwrap();
    Identity::new("pool", "main", secret).unwrap()
}

fn mint() -> PeerName {
    "mint/main".parse().unwrap()
}

fn transcript() -> Transcript {
    Transcript::from_bytes([3; 32])
}

impl Scene {
    fn new() -> Scene {
        let config = SessionConfig {
            endpoint_host: "hub.example".to_owned(),
            endpoint_port: 4801,
            extensions: vec![EXT_MINT_QUOTE],
            setup_timeout_ms: 5_000,
            payload_bytes_max: 65_536,
            window: Credit {
                messages: 4,
                bytes: 262_144,
            },
            unsent_messages_max: 8,
        };
        Scene {
            core: SessionCore::new(identity(), config),
            now_ms: 0,
            written: Vec::new(),
        }
    }

    /// Up to the point where the client waits for `Authenticate.Success`.
    fn authenticating() -> (Scene, Authenticate) {
        let mut scene = Scene::new();
        scene.core.connected(&transcript(), [1; 32], 0).unwrap();
        let hello = scene.take_one();
        let CommonMessage::SetupConnection(hello) = CommonMessage::decode(&hello).unwrap() else {
            panic!("{hello:?}");
        };
        assert_eq!(
            (hello.protocol, hello.min_version, hello.max_version),
            (0, 2, 2)
        );
        scene.hear(setup_success()).unwrap();
        let request = scene.take_one();
        let ExtensionsMessage::RequestExtensions(request) =
            ExtensionsMessage::decode(&request).unwrap()
        else {
            panic!("{request:?}");
        };
        assert_eq!(request.requested_extensions, [EXT_HUB, EXT_MINT_QUOTE]);
        scene
            .hear(extensions_success(
                request.request_id,
                &[EXT_HUB, EXT_MINT_QUOTE],
            ))
            .unwrap();
        let proof = scene.take_one();
        let HubMessage::Authenticate(proof) = HubMessage::decode(&proof).unwrap() else {
            panic!("{proof:?}");
        };
        (scene, proof)
    }

    fn connected() -> Scene {
        let (mut scene, _) = Scene::authenticating();
        scene.let_in();
        scene
    }

    fn let_in(&mut self) {
        self.hear(
            AuthenticateSuccess {
                payload_bytes_max: 65_536,
                channels_max: 256,
                ping_interval_ms: 1_000,
                idle_timeout_ms: 3_000,
            }
            .to_frame()
            .unwrap(),
        )
        .unwrap();
        assert!(self.core.is_ready());
    }

    /// Breaks the connection and sets up a new one.
    fn reconnect(&mut self) {
        self.core.disconnected();
        self.core
            .connected(&transcript(), [1; 32], self.now_ms)
            .unwrap();
        self.hear(setup_success()).unwrap();
        self.hear(extensions_success(1, &[EXT_HUB, EXT_MINT_QUOTE]))
            .unwrap();
        self.written.clear();
        while self.core.poll_transmit().is_some() {}
        self.let_in();
    }

    fn hear(&mut self, frame: Frame) -> Result<(), SessionError> {
        self.core.handle_frame(frame, self.now_ms)
    }

    fn say(&mut self, message: impl Into<HubMessage>) -> Result<(), SessionError> {
        let frame = message.into().to_frame().unwrap();
        self.hear(frame)
    }

    fn take_all(&mut self) -> Vec<Frame> {
        self.written
            .extend(std::iter::from_fn(|| self.core.poll_transmit()));
        std::mem::take(&mut self.written)
    }

    fn take_one(&mut self) -> Frame {
        let mut frames = self.take_all();
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    fn take_hub_messages(&mut self) -> Vec<HubMessage> {
        self.take_all()
            .iter()
            .map(|frame| HubMessage::decode(frame).unwrap())
            .collect()
    }

    /// Opens a channel to the mint, which is there as `instance`.
    fn channel(&mut self, credit: Credit, instance: u64) -> ChannelKey {
        let key = self
            .core
            .open(EXT_MINT_QUOTE, &mint(), "", self.now_ms)
            .unwrap();
        self.opened(1, credit, Some(instance));
        assert_eq!(
            self.core.take_event(key),
            Some(ChannelEvent::Present { instance })
        );
        key
    }

    /// The hub answers the `OpenChannel` that waits.
    fn opened(&mut self, channel_id: u32, credit: Credit, instance: Option<u64>) {
        let HubMessage::OpenChannel(open) = self.take_hub_messages().remove(0) else {
            panic!("an OpenChannel is awaited");
        };
        assert_eq!((open.extension, &*open.peer), (EXT_MINT_QUOTE, "mint/main"));
        self.say(OpenChannelSuccess {
            request_id: open.request_id,
            channel_id,
            peer_present: instance.is_some(),
            peer_instance: instance.unwrap_or(0),
            credit_messages: credit.messages,
            credit_bytes: credit.bytes,
        })
        .unwrap();
    }

    fn events(&mut self, key: ChannelKey) -> Vec<ChannelEvent> {
        std::iter::from_fn(|| self.core.take_event(key)).collect()
    }
}

fn setup_success() -> Frame {
    SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    }
    .to_frame()
    .unwrap()
}

fn extensions_success(request_id: u16, supported: &[u16]) -> Frame {
    RequestExtensionsSuccess {
        request_id,
        supported_extensions: supported.to_vec(),
    }
    .to_frame()
    .unwrap()
}

fn credit(messages: u64, bytes: u64) -> Credit {
    Credit { messages, bytes }
}

fn from_mint(channel_id: u32, bytes: &[u8]) -> Frame {
    channel_frame(EXT_MINT_QUOTE, 0x81, channel_id, bytes)
}
