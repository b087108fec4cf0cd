//! What comes in one batch is treated as it would be one by one.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use winze_messages::families::mint_quote::MintQuoteResponse;

use super::groups::{SIGNERS, group_of, open_group, signers_and_pool};
use super::*;

/// A message of a pool, good or not.
#[derive(Clone, Debug)]
enum Sent {
    Vendor { payload_bytes: usize },
    Quote,
    Malformed,
    WrongExtension,
    QuoteToVendor,
    WrongDirection,
    UnknownChannel,
    OnAChannelItWasNotToldOf,
    OnTheSecondChannel,
    Stump,
    Ping,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (5..300_usize).prop_map(|payload_bytes| Sent::Vendor { payload_bytes }),
        12 => Just(Sent::Quote),
        1 => Just(Sent::Malformed),
        1 => Just(Sent::WrongExtension),
        1 => Just(Sent::QuoteToVendor),
        1 => Just(Sent::WrongDirection),
        1 => Just(Sent::UnknownChannel),
        1 => Just(Sent::OnAChannelItWasNotToldOf),
        2 => Just(Sent::OnTheSecondChannel),
        1 => Just(Sent::Stump),
        1 => Just(Sent::Ping),
    ]
}

/// How far the mint's end is.
#[derive(Clone, Copy, Debug)]
enum Far {
    Takes,
    TakesThree,
    IsAway,
}

struct Three {
    net: Net,
    ends: Joined,
    vendor_id: u32,
    second_id: u32,
}

impl Three {
    /// A pool with two channels for quotes to the mint and one of an extension that the hub does not know, and with one
    /// of which it has yet to hear. The mint has other ids for them.
    fn new(far: Far, is_leaving: bool) -> Three {
        let mut net = Net::with(HubLimits {
            payload_bytes_max: 4_096,
            window_messages: 12,
            window_bytes: 8_192,
            ..HubLimits::default()
        });
        let takes = match far {
            Far::TakesThree => Totals {
                messages: 3,
                bytes: 100_000,
            },
            _ => PLENTY,
        };
        let other = net.connect(OTHER_POOL);
        net.open(other, VENDOR, "");
        let mut ends = net.joined_beside(other);
        let mut open = |extension, label| {
            let opened = net.open(ends.pool, extension, label).channel_id;
            let offered = net.offer(ends.mint).channel_id;
            net.accept(ends.mint, offered, takes);
            net.receive(ends.pool);
            opened
        };
        ends.pool_id = open(QUOTES, "");
        let (vendor_id, second_id) = (open(VENDOR, "vendor"), open(QUOTES, "second"));
        net.say(ends.pool, open_channel(QUOTES, "new"));
        let offered = net.offer(ends.mint).channel_id;
        net.accept(ends.mint, offered, takes);
        if matches!(far, Far::IsAway) {
            net.core.closed(ends.mint);
        }
        if is_leaving {
            net.core.wind_down(1_000, net.now_ms);
        }
        net.events();
        net.core.take_ready();
        Three {
            net,
            ends,
            vendor_id,
            second_id,
        }
    }

    fn frame(&self, number: u8, sent: &Sent) -> Frame {
        let id = self.ends.pool_id;
        let mut quote = quote_request(id);
        match sent {
            Sent::Vendor { payload_bytes } => vendor(self.vendor_id, number, *payload_bytes),
            Sent::Quote => quote,
            Sent::Malformed => {
                quote.payload.push(0);
                quote
            }
            Sent::WrongExtension => vendor(id, number, 10),
            Sent::QuoteToVendor => quote_request(self.vendor_id),
            Sent::WrongDirection => {
                quote.msg_type = MintQuoteResponse::MSG_TYPE;
                quote
            }
            Sent::UnknownChannel => quote_request(77),
            Sent::OnAChannelItWasNotToldOf => quote_request(self.second_id + 1),
            Sent::OnTheSecondChannel => quote_request(self.second_id),
            Sent::Stump => {
                quote.payload.truncate(2);
                quote
            }
            Sent::Ping => encoded(Ping { nonce: 5 }),
        }
    }
}

/// Who was woken, what everybody got, what happened and what was counted.
fn outcome(mut net: Net) -> (BTreeSet<ConnId>, Vec<Vec<Seen>>, String) {
    let woken = net.core.take_ready();
    let got = (1..=net.last_conn).map(|conn| net.receive(ConnId(conn)));
    let got = got.collect();
    let rest = (net.events(), net.core.counters().clone(), net.core.load());
    (woken, got, format!("{rest:?}"))
}

/// The frames in batches of so many.
fn send_in(net: &mut Net, conn: ConnId, frames: &[Frame], batches: &[usize]) {
    let mut rest = frames;
    for frames in batches.iter().cycle() {
        let (batch, behind) = rest.split_at(rest.len().min(*frames));
        rest = behind;
        net.send(conn, batch.to_vec());
        if rest.is_empty() {
            break;
        }
    }
}

/// A pool that has opened a group and may not have read so; one signer is there and has accepted.
fn group(is_told: bool) -> (Net, ConnId) {
    let listed = signers_and_pool();
    let mut net = Net::listing(&listed, &group_of(&SIGNERS), HubLimits::default());
    let pool = net.connect(POOL);
    net.say(pool, open_group(VENDOR));
    if is_told {
        net.receive(pool);
    }
    let signer = net.connect(SIGNERS[0]);
    let offer = net.offer(signer);
    net.accept(signer, offer.channel_id, PLENTY);
    if is_told {
        net.receive(pool);
    }
    net.events();
    net.core.take_ready();
    (net, pool)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn however_messages_are_cut_into_batches_the_same_becomes_of_them(
        sent in vec(sent(), 1..30),
        batches in vec(1..30_usize, 1..4),
        far in prop_oneof![4 => Just(Far::Takes), 1 => Just(Far::TakesThree), 1 => Just(Far::IsAway)],
        is_leaving in prop::bool::weighted(0.1),
    ) {
        let mut one_by_one = Three::new(far, is_leaving);
        let mut batched = Three::new(far, is_leaving);
        let frames = sent.iter().enumerate();
        let frames: Vec<Frame> = frames
            .map(|(number, sent)| batched.frame(number as u8, sent))
            .collect();
        send_in(&mut one_by_one.net, one_by_one.ends.pool, &frames, &[1]);
        send_in(&mut batched.net, batched.ends.pool, &frames, &batches);
        prop_assert_eq!(outcome(batched.net), outcome(one_by_one.net));
    }

    /// Ids 1 to 4 are the group's and its members', told or not.
    #[test]
    fn however_messages_to_a_group_are_cut_into_batches_the_same_becomes_of_them(
        sent in vec((1..6_u32, 5..50_usize), 1..20),
        batches in vec(1..20_usize, 1..4),
        is_told in any::<bool>(),
    ) {
        let ((mut one_by_one, pool), (mut batched, _)) = (group(is_told), group(is_told));
        let sent = sent.iter().enumerate();
        let frames: Vec<Frame> = sent
            .map(|(number, (channel_id, payload_bytes))| {
                vendor(*channel_id, number as u8, *payload_bytes)
            })
            .collect();
        send_in(&mut one_by_one, pool, &frames, &[1]);
        send_in(&mut batched, pool, &frames, &batches);
        prop_assert_eq!(outcome(batched), outcome(one_by_one));
    }
}
