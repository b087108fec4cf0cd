//! A coordinator speaks to a group of signers through a real hub: one of them is slow, one is away, one leaves and one
//! joins, and the coordinator's own connection breaks. Everybody gets what they can have, in order, and the coordinator knows
//! of each message whom it did not reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use winze_client::{
    ChannelEvent, ChannelHandle, GroupEvent, GroupHandle, GroupMemberState, HubClient,
    HubClientConfig, Identity, SendError,
};
use winze_hub::{Hub, HubConfig, Reloader};
use winze_messages::EXT_SIGNING;
use winze_runtime::config;
use winze_testbed::wait;
use winze_transport::SecretKey;

use crate::peer::PATIENCE;
use crate::world::{AbortOnDrop, Stage, spawn};

/// What the hub takes on a channel beyond what has left it, in messages.
const WINDOW: u64 = 8;
/// How often the channels of all members are looked at.
const MOMENT: Duration = Duration::from_millis(5);
const TO_ALL: u8 = 1;
const TO_ONE: u8 = 2;
const ANSWER: u8 = 3;

const FINE: &str = "signer/fine";
const SLOW: &str = "signer/slow";
const AWAY: &str = "signer/away";
const LATE: &str = "signer/late";

fn secret(peer: &str) -> SecretKey {
    let mut bytes = [b'.'; 32];
    bytes[..peer.len()].copy_from_slice(peer.as_bytes());
    SecretKey::from_bytes(&bytes).unwrap()
}

/// A hub whose list a test changes.
struct GroupHub {
    stage: Stage,
    address: SocketAddr,
    reloader: Reloader,
    _task: AbortOnDrop,
}

impl GroupHub {
    async fn start(members: &[&str]) -> GroupHub {
        let stage = Stage::new();
        let file = write_config(&stage, members);
        let read: HubConfig = config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        let hub = Hub::bind(read).await.unwrap();
        let (address, reloader) = (hub.hub_addr, hub.reloader());
        let task = spawn(async move { hub.run(std::future::pending()).await.unwrap() });
        GroupHub {
            stage,
            address,
            reloader,
            _task: task,
        }
    }

    /// The group has these members from now on.
    async fn regroup(&mut self, members: &[&str]) {
        let file = write_config(&self.stage, members);
        self.reloader.reload(&file).await.unwrap();
    }

    fn client(&self, peer: &str, change: impl FnOnce(&mut HubClientConfig)) -> HubClient {
        let mut config = HubClientConfig::new(self.address.to_string(), self.stage.authority);
        config.extensions = vec![EXT_SIGNING];
        change(&mut config);
        let (role, name) = peer.split_once('/').unwrap();
        HubClient::start(config, Identity::new(role, name, secret(peer)).unwrap())
    }
}

fn write_config(stage: &Stage, members: &[&str]) -> PathBuf {
    let mut text = format!(
        "role = \"hub\"\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n\
         static_key_file = \"keys/hub/static.key\"\ncertificate_file = \"keys/hub/certificate.toml\"\n\
         [limits]\nwindow_messages = {WINDOW}\n[[groups]]\nname = \"signers\"\nmembers = {members:?}\n"
    );
    for peer in ["coordinator/main", FINE, SLOW, AWAY, LATE] {
        let (role, name) = peer.split_once('/').unwrap();
        let key = secret(peer).public_key();
        let may_open = match role {
            "coordinator" => "{ extension = 0x4803, peer = \"group/signers\" }",
            _ => "",
        };
        text += &format!(
            "[[peers]]\nrole = \"{role}\"\nname = \"{name}\"\npublic_key = \"{key}\"\nmay_open = [{may_open}]\n"
        );
    }
    let file = stage.folder.path().join("hub.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A line to the hub that a test can cut.
struct Line {
    address: SocketAddr,
    cut: watch::Sender<u64>,
    _task: AbortOnDrop,
}

impl Line {
    async fn to(hub: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = watch::Sender::new(0);
        let cuts = cut.clone();
        let task = spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(hub).await.unwrap();
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = cut.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Line {
            address,
            cut,
            _task: task,
        }
    }

    fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

/// A member that answers whatever it gets, once it is let.
struct Signer {
    got: Arc<Mutex<Vec<u32>>>,
    reads: watch::Sender<bool>,
    _task: AbortOnDrop,
}

impl Signer {
    fn start(hub: &GroupHub, peer: &str, reads: bool) -> Signer {
        let client = hub.client(peer, |config| config.window_messages = 2);
        let got = Arc::new(Mutex::new(Vec::new()));
        let reads = watch::Sender::new(reads);
        let (seen, mut may_read) = (Arc::clone(&got), reads.subscribe());
        let task = spawn(async move {
            let mut listener = client.accept(EXT_SIGNING, 4, |_| true).unwrap();
            while let Some(mut channel) = listener.accept().await {
                let (seen, mut may_read) = (Arc::clone(&seen), may_read.clone());
                tokio::spawn(async move {
                    let _ = may_read.wait_for(|reads| *reads).await;
                    while let Some(event) = channel.next_event().await {
                        if let ChannelEvent::Message { bytes, .. } = event {
                            seen.lock().unwrap().push(number(&bytes));
                            while channel.try_send(ANSWER, &bytes) == Err(SendError::NoCredit) {
                                channel.changed().await.unwrap();
                            }
                        }
                    }
                });
            }
            let _ = may_read.changed().await;
        });
        Signer {
            got,
            reads,
            _task: task,
        }
    }

    fn got(&self) -> Vec<u32> {
        self.got.lock().unwrap().clone()
    }

    async fn has_got(&self, what: &str, good: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        let waited = wait::until(what, PATIENCE, || async {
            let got = self.got();
            match good(&got) {
                true => Ok(got),
                false => Err(format!("{got:?}")),
            }
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// Who speaks to the group, and what is known of who did not get what.
struct Coordinator {
    group: GroupHandle,
    channels: BTreeMap<String, ChannelHandle>,
    next: u32,
    /// By ordinal on the group's channel.
    to_all: BTreeMap<u64, u32>,
    missed: BTreeMap<String, BTreeSet<u32>>,
    answers: BTreeMap<String, Vec<u32>>,
    /// Why the channel to a member was closed.
    closed: BTreeMap<String, String>,
}

impl Coordinator {
    fn new(client: &HubClient) -> Coordinator {
        let group = "group/signers".parse().unwrap();
        Coordinator {
            group: client.open_group(EXT_SIGNING, &group, "").unwrap(),
            channels: BTreeMap::new(),
            next: 1,
            to_all: BTreeMap::new(),
            missed: BTreeMap::new(),
            answers: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    /// Takes note of all that has happened.
    fn look(&mut self) {
        while let Some(event) = self.group.try_event() {
            match event {
                GroupEvent::Joined(channel) => {
                    let peer = channel.name().peer.clone();
                    assert!(self.channels.insert(peer, channel).is_none());
                }
                GroupEvent::Open => {}
                GroupEvent::Lost => self.to_all.clear(),
                GroupEvent::Closed { code, .. } => panic!("closed: {code}"),
                GroupEvent::Reject { code, .. } => panic!("refused: {code}"),
                GroupEvent::RejectsOverflowed => panic!("nobody looked"),
            }
        }
        for (peer, channel) in &mut self.channels {
            let mut events = Vec::new();
            channel.take_events(&mut events, usize::MAX);
            for event in events {
                match event {
                    ChannelEvent::GroupReject { ordinal, code, .. } => {
                        assert!(matches!(&*code, "peer-away" | "no-credit"), "{code}");
                        let missed = self.missed.entry(peer.clone()).or_default();
                        assert!(missed.insert(self.to_all[&ordinal]));
                    }
                    ChannelEvent::Message { bytes, .. } => {
                        let answers = self.answers.entry(peer.clone()).or_default();
                        answers.push(number(&bytes));
                    }
                    ChannelEvent::Closed { code, .. } => {
                        self.closed.insert(peer.clone(), code);
                    }
                    ChannelEvent::Present { .. } | ChannelEvent::Away | ChannelEvent::Lost => {}
                    other => panic!("{peer}: {other:?}"),
                }
            }
        }
    }

    fn member(&self, peer: &str) -> Option<GroupMemberState> {
        let members = self.group.members();
        members.into_iter().find(|member| member.peer == peer)
    }

    fn can_take(&self, peer: &str) -> bool {
        let member = self.member(peer);
        member.is_some_and(|member| member.is_present && member.send_credit.messages > 0)
    }

    async fn until(&mut self, what: &str, good: impl Fn(&Coordinator) -> bool) {
        let waited = timeout(PATIENCE, async {
            loop {
                self.look();
                if good(self) {
                    return;
                }
                self.changed().await;
            }
        });
        let waited = waited.await.is_ok();
        assert!(
            waited,
            "{what}: {:?} {:?}",
            self.group.members(),
            self.missed
        );
    }

    /// Waits for something new: the group's own, or, after a moment, a member's.
    async fn changed(&mut self) {
        let _ = timeout(MOMENT, self.group.changed()).await;
    }

    /// Sends to all once the member that is in good order can take it, whatever the others can; to it alone where said.
    async fn send(&mut self, to_one: bool) -> u32 {
        let number = self.next;
        let sent = timeout(PATIENCE, async {
            loop {
                self.look();
                let bytes = number.to_le_bytes();
                let sent = match to_one {
                    _ if !self.can_take(FINE) => Err(SendError::NoCredit),
                    true => self.channels[FINE].try_send(TO_ONE, &bytes),
                    false => self.group.try_send(TO_ALL, &bytes),
                };
                match sent {
                    Ok(ordinal) if !to_one => {
                        self.to_all.insert(ordinal, number);
                        return;
                    }
                    Ok(_) => return,
                    Err(_) => self.changed().await,
                }
            }
        });
        sent.await
            .unwrap_or_else(|_| panic!("{number} cannot be sent"));
        self.next += 1;
        number
    }
}

fn is_rising(numbers: &[u32]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signer_gets_what_it_can_have_and_the_coordinator_knows_who_missed_what() {
    let mut hub = GroupHub::start(&[FINE, SLOW, AWAY]).await;
    let fine = Signer::start(&hub, FINE, true);
    let slow = Signer::start(&hub, SLOW, false);
    let line = Line::to(hub.address).await;
    let client = hub.client("coordinator/main", |config| {
        config.address = line.address.to_string();
    });
    let mut coordinator = Coordinator::new(&client);
    coordinator
        .until("two members there", |it| {
            it.can_take(FINE) && it.can_take(SLOW) && it.member(AWAY).is_some()
        })
        .await;

    // One in ten is for the member in good order alone.
    let mut to_one = BTreeSet::new();
    let mut seen_beforehand = BTreeSet::new();
    for _ in 0..40 {
        let slow_can_take = coordinator.can_take(SLOW);
        let alone = coordinator.next.is_multiple_of(10);
        let number = coordinator.send(alone).await;
        match alone {
            true => to_one.insert(number),
            false => slow_can_take && seen_beforehand.insert(number),
        };
    }
    let all: Vec<u32> = (1..=40).collect();
    let to_all: BTreeSet<u32> = (1..=40).filter(|number| !to_one.contains(number)).collect();
    fine.has_got("all that was sent", |got| got == all).await;
    coordinator
        .until("word of what was missed, and answers", |it| {
            it.missed.get(AWAY) == Some(&to_all)
                && it.missed.get(SLOW).map_or(0, BTreeSet::len) as u64
                    >= to_all.len() as u64 - WINDOW - 2
                && it.answers.get(FINE) == Some(&all)
        })
        .await;
    assert!(!coordinator.missed.contains_key(FINE));
    // Once it reads, it gets the rest: what the coordinator could see that it would get, and no more than it was not told of.
    let missed = coordinator.missed[SLOW].clone();
    slow.reads.send_replace(true);
    let expected: Vec<u32> = to_all.difference(&missed).copied().collect();
    let got = slow
        .has_got("what it did not miss", |got| got.len() >= expected.len())
        .await;
    assert_eq!(got, expected);
    assert!(
        seen_beforehand.is_disjoint(&missed),
        "{seen_beforehand:?} {missed:?}"
    );

    // The list changes while messages flow.
    let late = Signer::start(&hub, LATE, true);
    for number in 41..=80 {
        assert_eq!(coordinator.send(false).await, number);
        if number == 60 {
            hub.regroup(&[FINE, AWAY, LATE]).await;
        }
    }
    coordinator
        .until("the changes", |it| {
            it.closed.contains_key(SLOW) && it.can_take(LATE) && it.member(SLOW).is_none()
        })
        .await;
    assert_eq!(coordinator.closed[SLOW], "not-allowed");
    let last = coordinator.send(false).await;
    let got = late
        .has_got("the last", |got| got.last() == Some(&last))
        .await;
    fine.has_got("all of them", |got| got.iter().copied().eq(1..=last))
        .await;
    // From where it joined, each message either reached the new member or is known not to have.
    let before = coordinator.member(LATE).unwrap().messages_before;
    let first = coordinator.to_all[&(before + 1)];
    let missed = coordinator.missed.get(LATE).cloned().unwrap_or_default();
    let mut told: Vec<u32> = got.iter().chain(&missed).copied().collect();
    told.sort_unstable();
    assert!(told.iter().copied().eq(first..=last), "{got:?} {missed:?}");
    let got = slow.got();
    assert!(is_rising(&got) && got.last() <= Some(&80), "{got:?}");
    let missed = &coordinator.missed[SLOW];
    assert!(got.iter().all(|number| !missed.contains(number)));

    // The coordinator's own connection breaks; the group is there again, with the same members.
    line.cut();
    coordinator
        .until("the loss", |it| it.group.members().is_empty())
        .await;
    coordinator
        .until("the members", |it| it.can_take(FINE) && it.can_take(LATE))
        .await;
    for _ in 0..3 {
        let last = coordinator.send(false).await;
        fine.has_got("it again", |got| got.iter().copied().eq(1..=last))
            .await;
        late.has_got("it again", |got| got.last() == Some(&last))
            .await;
    }
    assert!(is_rising(&late.got()));
}
