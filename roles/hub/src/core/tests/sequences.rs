//! Any sequence of connecting, leaving, opening, closing, sending and reading, by clients that keep the rules, keeps
//! what the specification promises them.

use std::collections::BTreeMap;

#[cfg(test)]
use proptest::prelude::*;

use super::memory::check_memory;
use super::rule_keeper::{Channel, Client, WHO, credit, message};
use super::*;

const LABELS: u8 = 3;
const CHANNELS_MAX: usize = 3;
const WINDOW: Totals = Totals {
    messages: 6,
    bytes: 9_000,
};

fn limits() -> HubLimits {
    HubLimits {
        payload_bytes_max: 4_096,
        window_messages: WINDOW.messages,
        window_bytes: WINDOW.bytes,
        // Fewer than both pools may open together, so that some have to wait for a place.
        channels_max: CHANNELS_MAX as u32,
        channels_per_pair_max: 2,
        ..HubLimits::default()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Connect {
        who: usize,
    },
    Drop {
        who: usize,
    },
    Open {
        pool: usize,
        label: u8,
    },
    AnswerOffers {
        refuse: bool,
        credit: u8,
    },
    Send {
        who: usize,
        channel: u8,
        bytes: u16,
    },
    SendBad {
        who: usize,
        channel: u8,
    },
    Read {
        who: usize,
        bytes: u16,
    },
    Raise {
        who: usize,
        channel: u8,
        messages: u8,
    },
    Close {
        who: usize,
        channel: u8,
    },
    Pass {
        ms: u8,
    },
    /// The hub reads its list again: one of [`LISTS`].
    Relist {
        list: u8,
    },
}

/// Who is on a list under its own key and, of the pools, who may open channels. The first comes twice, being the most lively.
const LISTS: [([bool; 3], [bool; 2]); 6] = [
    ([true; 3], [true; 2]),
    ([true, false, true], [true, false]),
    ([true; 3], [false, true]),
    ([true, true, false], [true; 2]),
    ([false, false, true], [false; 2]),
    ([true; 3], [true; 2]),
];

#[cfg(test)]
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (who, channel) = (0..3usize, 0..8u8);
    let op = prop_oneof![
        3 => who.clone().prop_map(|who| Op::Connect { who }),
        1 => who.clone().prop_map(|who| Op::Drop { who }),
        5 => (0..2usize, 0..LABELS).prop_map(|(pool, label)| Op::Open { pool, label }),
        5 => (prop::bool::weighted(0.1), 0..20u8)
            .prop_map(|(refuse, credit)| Op::AnswerOffers { refuse, credit }),
        20 => (who.clone(), channel.clone(), 0..4_000u16)
            .prop_map(|(who, channel, bytes)| Op::Send { who, channel, bytes }),
        2 => (who.clone(), channel.clone()).prop_map(|(who, channel)| Op::SendBad { who, channel }),
        12 => (who.clone(), 1..5_000u16).prop_map(|(who, bytes)| Op::Read { who, bytes }),
        6 => (who.clone(), channel.clone(), 0..20u8)
            .prop_map(|(who, channel, messages)| Op::Raise { who, channel, messages }),
        1 => (who, channel).prop_map(|(who, channel)| Op::Close { who, channel }),
        2 => (0..100u8).prop_map(|ms| Op::Pass { ms }),
        1 => (0..LISTS.len() as u8).prop_map(|list| Op::Relist { list }),
    ];
    prop::collection::vec(op, 1..250)
}

struct World {
    net: Net,
    clients: [Option<Client>; 3],
    last_request: u32,
    /// The place of the present list in [`LISTS`].
    list: usize,
    /// Everything that was ever polled.
    polled: Vec<Frame>,
}

impl World {
    fn new() -> World {
        World {
            net: Net::with(limits()),
            clients: [None, None, None],
            last_request: 0,
            list: 0,
            polled: Vec::new(),
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Connect { who } => self.connect(who),
            Op::Drop { who } => {
                if let Some(client) = self.clients[who].take() {
                    self.net.core.closed(client.conn);
                }
            }
            Op::Open { pool, label } => self.open(pool, label),
            Op::AnswerOffers { refuse, credit } => self.answer_offers(refuse, credit),
            Op::Send {
                who,
                channel,
                bytes,
            } => self.send_message(who, channel, bytes),
            Op::SendBad { who, channel } => self.send_bad(who, channel),
            Op::Read { who, bytes } => {
                self.read(who, usize::from(bytes));
            }
            Op::Raise {
                who,
                channel,
                messages,
            } => self.raise(who, channel, u64::from(messages)),
            Op::Close { who, channel } => self.close(who, channel),
            Op::Pass { ms } => self.net.pass(u64::from(ms)),
            Op::Relist { list } => self.relist(usize::from(list) % LISTS.len()),
        }
        check_memory(&self.net.core, WINDOW);
        self.check_ends();
    }

    fn connect(&mut self, who: usize) {
        let conn = self.net.dial();
        let proof = proof(WHO[who], &transcript(conn));
        self.net
            .send(conn, [setup_connection(), request_extensions(), proof]);
        let let_in = self
            .net
            .core
            .take_events()
            .into_iter()
            .find_map(|event| match event {
                Event::Authenticated { instance, .. } => Some(instance),
                _ => None,
            });
        // An identity that changed hands too often keeps its present connection.
        let Some(instance) = let_in else {
            self.net.core.closed(conn);
            return;
        };
        assert!(LISTS[self.list].0[who], "{} is not listed", WHO[who]);
        if let Some(older) = self.clients[who].take() {
            assert!(!self.net.core.is_open(older.conn));
            self.net.core.closed(older.conn);
        }
        self.clients[who] = Some(Client {
            conn,
            instance,
            negotiated: LISTS[self.list].1 != [false; 2],
            channels: BTreeMap::new(),
            unanswered: Vec::new(),
            requests: BTreeMap::new(),
        });
    }

    /// Who is not on the new list is told so and cut off; the others go on.
    fn relist(&mut self, list: usize) {
        self.list = list;
        let (listed_as_before, may_open) = LISTS[list];
        let mut peers = Vec::new();
        for (who, name) in WHO.into_iter().enumerate() {
            let leave: &[u16] = match may_open.get(who) {
                Some(true) => &[VENDOR],
                _ => &[],
            };
            let mut peer = listed(name, leave);
            if !listed_as_before[who] {
                // The mint has to be there under some key: the pools' entries name it.
                peer.public_key = SecretKey::from_bytes(&[50 + who as u8; 32])
                    .unwrap()
                    .public_key();
            }
            if listed_as_before[who] || who == 2 {
                peers.push(peer);
            }
        }
        self.net.relist(&peers);
        for event in self.net.core.take_events() {
            if let Event::Ended { cause, .. } = event {
                assert_eq!(cause, EndCause::Closed(reasons::CloseReason::StruckOff));
            }
        }
        for (who, stays) in listed_as_before.into_iter().enumerate() {
            if let Some(struck) = self.clients[who].take_if(|_| !stays) {
                let last_words = self.net.receive(struck.conn);
                assert_eq!(close_of(&last_words).0, "struck-off");
                self.net.core.closed(struck.conn);
            }
        }
    }

    fn open(&mut self, pool: usize, label: u8) {
        let Some(client) = &mut self.clients[pool] else {
            return;
        };
        self.last_request += 1;
        client.requests.insert(self.last_request, label);
        let given = credit(5);
        let request = OpenChannel {
            request_id: self.last_request,
            extension: VENDOR,
            peer: MINT.to_owned(),
            label: label.to_string(),
            credit_messages: given.messages,
            credit_bytes: given.bytes,
        };
        self.net.say(client.conn, request);
    }

    fn answer_offers(&mut self, refuse: bool, messages: u8) {
        let Some(client) = &mut self.clients[2] else {
            return;
        };
        for channel_id in std::mem::take(&mut client.unanswered) {
            if refuse {
                client.channels.remove(&channel_id);
                let reason_code = "no".to_owned();
                self.net.say(
                    client.conn,
                    ChannelOfferRefuse {
                        channel_id,
                        reason_code,
                    },
                );
            } else if let Some(channel) = client.channels.get_mut(&channel_id) {
                channel.accepted = true;
                channel.given = credit(u64::from(messages));
                self.net.accept(client.conn, channel_id, channel.given);
            }
        }
    }

    fn channel(&mut self, who: usize, channel: u8) -> Option<(ConnId, u32, &mut Channel)> {
        let client = self.clients[who].as_mut()?;
        let place = usize::from(channel) % client.channels.len().max(1);
        let (id, channel) = client.channels.iter_mut().nth(place)?;
        Some((client.conn, *id, channel))
    }

    fn send_message(&mut self, who: usize, channel: u8, bytes: u16) {
        let Some((conn, channel_id, channel)) = self.channel(who, channel) else {
            return;
        };
        let ordinal = channel.sent.messages + 1;
        let frame = message(conn, channel_id, ordinal, channel.name, bytes);
        let sent = channel.sent.plus(Totals::one(frame.payload.len()));
        if channel.accepted && channel.granted.covers(sent) {
            channel.sent = sent;
            channel.unrefused.insert(ordinal, channel.far_instance);
            self.net.send(conn, [frame]);
        }
    }

    fn send_bad(&mut self, who: usize, channel: u8) {
        let Some((conn, channel_id, channel)) = self.channel(who, channel) else {
            return;
        };
        let frame = quote_request(channel_id);
        let sent = channel.sent.plus(Totals::one(frame.payload.len()));
        if channel.granted.covers(sent) {
            channel.sent = sent;
            // Must come back refused: meant for an instance that there never is.
            channel.unrefused.insert(sent.messages, u64::MAX);
            self.net.send(conn, [frame]);
        }
    }

    fn raise(&mut self, who: usize, channel: u8, messages: u64) {
        let Some((conn, channel_id, channel)) = self.channel(who, channel) else {
            return;
        };
        if channel.accepted {
            channel.given = channel.given.plus(credit(messages));
            let given = channel.given;
            self.net.say(
                conn,
                Credit {
                    channel_id,
                    messages: given.messages,
                    bytes: given.bytes,
                },
            );
        }
    }

    fn close(&mut self, who: usize, channel: u8) {
        let Some((conn, channel_id, _)) = self.channel(who, channel) else {
            return;
        };
        if let Some(client) = &mut self.clients[who] {
            client.channels.remove(&channel_id);
            client.unanswered.retain(|id| *id != channel_id);
        }
        let (reason_code, detail) = ("done".to_owned(), String::new());
        self.net.say(
            conn,
            CloseChannel {
                channel_id,
                reason_code,
                detail,
            },
        );
    }

    /// One poll. Whether it gave anything.
    fn read(&mut self, who: usize, bytes_max: usize) -> bool {
        let Some(client) = &mut self.clients[who] else {
            return false;
        };
        let mut frames = Vec::new();
        let left = self
            .net
            .core
            .poll_transmit(client.conn, bytes_max, &mut frames);
        assert_ne!(
            left,
            Transmit::Last,
            "{who} kept the rules and was closed: {frames:?}"
        );
        let some = !frames.is_empty();
        self.polled.extend(frames.iter().cloned());
        for frame in frames {
            client.take(who, seen(frame));
        }
        some
    }

    fn check_ends(&mut self) {
        for event in self.net.core.take_events() {
            if let Event::Ended { cause, .. } = event {
                assert_eq!(cause, EndCause::Gone, "nobody broke a rule");
            }
        }
    }

    /// Everyone reads everything, with credit for it. Then nothing that was promised is missing.
    fn settle(&mut self) {
        loop {
            self.answer_offers(false, 0);
            for who in 0..3 {
                let channels = self.clients[who]
                    .as_ref()
                    .map_or(0, |client| client.channels.len());
                for channel in 0..channels {
                    self.raise(who, channel as u8, 100);
                }
            }
            let reads = [0, 1, 2].map(|who| self.read(who, 1 << 20));
            if reads == [false; 3] {
                break;
            }
        }
        assert_eq!(self.net.core.load().queued, Totals::default());
    }

    /// The hub goes: requests on their way arrive, later ones do not, answers do, and everybody hears the last word.
    fn check_orderly_end(&mut self) {
        const QUIET_MS: u64 = 200;
        let send_on_all = |world: &mut World, who: usize| {
            for channel in 0..CHANNELS_MAX as u8 {
                world.send_message(who, channel, 20);
            }
        };
        send_on_all(self, 0);
        self.net.core.wind_down(700, self.net.now_ms);
        let requests = self.net.core.load().queued;
        send_on_all(self, 1);
        assert_eq!(self.net.core.load().queued, requests, "no new requests");
        self.settle();
        send_on_all(self, 2);
        if self.net.core.load().queued != Totals::default() {
            assert!(!self.net.core.is_drained(QUIET_MS, self.net.now_ms));
        }
        self.settle();
        self.net.core.is_drained(QUIET_MS, self.net.now_ms);
        self.net.pass(QUIET_MS);
        assert!(self.net.core.is_drained(QUIET_MS, self.net.now_ms));
        self.net.core.shut_down(700);
        for client in self.clients.iter().flatten() {
            let last_words = self.net.receive(client.conn);
            assert_eq!(close_of(&last_words), ("shutdown", 700));
        }
    }

    /// The live end of the same name on the other side.
    fn far_of(&self, who: usize, name: (usize, u8)) -> Option<(u64, &Channel)> {
        let far = if who == 2 { name.0 } else { 2 };
        let client = self.clients[far].as_ref()?;
        let channel = client
            .channels
            .values()
            .find(|channel| channel.name == name)?;
        Some((client.instance, channel))
    }

    /// A pool's channel without a far end: the mint is away, or has no place, not even one that its opener has left.
    fn check_waits_for_a_reason(&self, who: usize) {
        let mint = self.clients[2].as_ref();
        let Some(mint) = mint.filter(|mint| who != 2 && mint.negotiated) else {
            return;
        };
        let in_use = mint.channels.values();
        let in_use = in_use.filter(|channel| self.far_of(2, channel.name).is_some());
        assert_eq!(in_use.count(), CHANNELS_MAX, "{} waits", WHO[who]);
    }

    fn check_promises(&self) {
        for (who, client) in self.clients.iter().enumerate() {
            let Some(client) = client else { continue };
            for (channel_id, channel) in &client.channels {
                let may_open = LISTS[self.list].1[channel.name.0];
                assert!(may_open, "{} keeps a channel that is not allowed", WHO[who]);
                let far = self.far_of(who, channel.name);
                let instance = far.map_or(0, |(instance, _)| instance);
                assert_eq!(
                    channel.far_instance, instance,
                    "{} was told the truth about {channel_id}",
                    WHO[who]
                );
                let Some((instance, far)) = far else {
                    self.check_waits_for_a_reason(who);
                    continue;
                };
                for (ordinal, meant_for) in &channel.unrefused {
                    assert_ne!(*meant_for, u64::MAX, "a bad message was not refused");
                    let id = (client.conn.0, *channel_id, *ordinal);
                    assert!(
                        *meant_for != instance || far.all_arrived.contains(&id),
                        "message {ordinal} of {} on {channel_id} is lost",
                        WHO[who]
                    );
                }
            }
        }
    }
}

/// The operations, and what is left when all have read what is theirs. The same operations give the same outputs.
pub(super) fn check_promises_after(ops: &[Op]) {
    let run = || {
        let mut world = World::new();
        for op in ops {
            world.apply(op.clone());
        }
        world.settle();
        world.check_promises();
        world.check_orderly_end();
        world.polled
    };
    assert!(run() == run(), "the same inputs gave other outputs");
}

#[cfg(test)]
proptest! {
    #[test]
    fn clients_that_keep_the_rules_get_what_they_were_promised(ops in ops()) {
        check_promises_after(&ops);
    }
}
