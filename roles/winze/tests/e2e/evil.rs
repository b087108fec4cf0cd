//! A hub with a good certificate and bad intentions: the real routing, around it a shell that hands every channel message
//! to the test before the routing sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, interval};
use winze_hub::HubConfig;
use winze_hub::core::{ConnId, HubCore, ListedPeer, Transmit};
use winze_messages::PeerName;
use winze_runtime::keyfile;
use winze_transport::{Frame, FrameReader, FrameWriter, Limits, ServerIdentity, respond};

use crate::world::{AbortOnDrop, Stage, spawn};

const LIMITS: Limits = Limits {
    payload_bytes_max: 65_536,
};

/// What becomes of a message: itself, another one, several, none.
pub type Tamper = Box<dyn FnMut(Frame) -> Vec<Frame> + Send>;

/// A handle on the hostile hub, to change its mind.
#[derive(Clone)]
pub struct EvilHub {
    state: Arc<Mutex<State>>,
}

struct State {
    core: HubCore,
    started: Instant,
    wakes: BTreeMap<ConnId, Arc<Notify>>,
    tamper: Tamper,
}

impl EvilHub {
    /// Starts one that is honest so far, with the keys of the stage's hub.
    pub async fn start(stage: &Stage) -> (EvilHub, SocketAddr, AbortOnDrop) {
        let config = stage.hub_config();
        let core = HubCore::new(&listed(&config), &[], config.limits.clone()).unwrap();
        let identity =
            keyfile::read_server_identity(&config.static_key_file, &config.certificate_file)
                .unwrap();
        let evil = EvilHub {
            state: Arc::new(Mutex::new(State {
                core,
                started: Instant::now(),
                wakes: BTreeMap::new(),
                tamper: Box::new(|frame| vec![frame]),
            })),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = spawn(evil.clone().accept(listener, Arc::new(identity)));
        (evil, address, task)
    }

    /// From now on this is done to every message on a channel.
    pub fn tamper(&self, tamper: impl FnMut(Frame) -> Vec<Frame> + Send + 'static) {
        self.lock().tamper = Box::new(tamper);
    }

    /// From now on every message is left as it is.
    pub fn behave(&self) {
        self.tamper(|frame| vec![frame]);
    }

    async fn accept(self, listener: TcpListener, identity: Arc<ServerIdentity>) {
        let mut clients = Vec::new();
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    let conn = ConnId(clients.len() as u64 + 1);
                    let client = self.clone().serve(conn, stream, identity.clone());
                    clients.push(spawn(client));
                }
                _ = ticks.tick() => {
                    let mut state = self.lock();
                    let now_ms = state.now_ms();
                    state.core.tick(now_ms);
                    state.wake_ready();
                }
            }
        }
    }

    async fn serve(self, conn: ConnId, mut stream: TcpStream, identity: Arc<ServerIdentity>) {
        let Ok(session) = respond(&mut stream, &identity, &mut OsRng).await else {
            return;
        };
        let (read_half, write_half) = stream.split();
        let mut reader = FrameReader::new(read_half, session.opener, LIMITS);
        let mut writer = FrameWriter::new(write_half, session.sealer, LIMITS);
        let wake = Arc::new(Notify::new());
        self.lock()
            .connected(conn, session.transcript, wake.clone());
        let mut incoming = Vec::new();
        loop {
            let mut outgoing = Vec::new();
            let left = self.lock().core.poll_transmit(conn, 1 << 16, &mut outgoing);
            for frame in &outgoing {
                writer.push(frame).unwrap();
            }
            if writer.flush().await.is_err() || left == Transmit::Last {
                break;
            }
            if left == Transmit::More {
                continue;
            }
            tokio::select! {
                read = reader.read_batch(&mut incoming, 64) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => self.lock().received(conn, &mut incoming),
                },
                () = wake.notified() => {}
            }
        }
        let mut state = self.lock();
        state.core.closed(conn);
        state.wake_ready();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn connected(
        &mut self,
        conn: ConnId,
        transcript: winze_transport::Transcript,
        wake: Arc<Notify>,
    ) {
        let now_ms = self.now_ms();
        self.wakes.insert(conn, wake);
        self.core.connected(conn, transcript, now_ms);
    }

    fn received(&mut self, conn: ConnId, incoming: &mut Vec<Frame>) {
        let mut batch = Vec::new();
        for frame in incoming.drain(..) {
            if frame.is_channel_msg() {
                batch.extend((self.tamper)(frame));
            } else {
                batch.push(frame);
            }
        }
        let now_ms = self.now_ms();
        self.core.frames(conn, &mut batch, now_ms);
        self.wake_ready();
    }

    fn wake_ready(&mut self) {
        self.core.take_events();
        for conn in self.core.take_ready() {
            if let Some(wake) = self.wakes.get(&conn) {
                wake.notify_one();
            }
        }
    }
}

fn listed(config: &HubConfig) -> Vec<ListedPeer> {
    let peers = config.peers.iter().map(|peer| ListedPeer {
        name: PeerName::new(&peer.role, &peer.name).unwrap(),
        public_key: peer.key.resolve().unwrap(),
        may_open: peer
            .may_open
            .iter()
            .map(|leave| (leave.extension, leave.peer.parse().unwrap()))
            .collect(),
    });
    peers.collect()
}
