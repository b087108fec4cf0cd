//! What the largest group can make the hub hold.

use super::groups::{GROUP, group_of, open_group};
use super::memory::check_memory;
use super::*;
use crate::limits::GROUP_MEMBERS_MAX;

const PAYLOAD_BYTES: usize = 60_000;

/// Four of them fit into the default window.
const MESSAGES_IN_WINDOW: u64 = 4;

fn member(place: usize) -> (String, SecretKey) {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&(place as u64).to_le_bytes());
    (
        format!("signer/{place}"),
        SecretKey::from_bytes(&key).unwrap(),
    )
}

#[test]
fn what_a_group_costs_is_within_the_bound_of_its_channels() {
    let limits = HubLimits::default();
    let window = Totals {
        messages: limits.window_messages,
        bytes: limits.window_bytes,
    };
    let members: Vec<(String, SecretKey)> = (0..GROUP_MEMBERS_MAX).map(member).collect();
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let mut peers: Vec<ListedPeer> = members
        .iter()
        .map(|(name, key)| ListedPeer {
            name: name.parse().unwrap(),
            public_key: key.public_key(),
            may_open: Vec::new(),
        })
        .collect();
    let mut pool = listed(POOL, &[]);
    pool.may_open = vec![(VENDOR, GROUP.parse().unwrap())];
    peers.push(pool);
    let mut net = Net::listing(&peers, &group_of(&names), limits);

    let pool = net.connect(POOL);
    net.say(pool, open_group(VENDOR));
    let opened = net.receive(pool);
    assert_eq!(opened.len(), 1 + GROUP_MEMBERS_MAX, "there is room for all");
    for (name, key) in &members {
        let conn = net.dial();
        let name = name.parse().unwrap();
        let proof = authentication::sign(key, transcript(conn).as_bytes(), &name, &[0; 32]);
        net.send(
            conn,
            [setup_connection(), request_extensions(), encoded(proof)],
        );
        let offer = net.receive(conn).into_iter().find_map(|seen| match seen {
            Seen::Hub(HubMessage::ChannelOffer(offer)) => Some(offer.channel_id),
            _ => None,
        });
        net.accept(conn, offer.unwrap(), Totals::default());
    }
    net.receive(pool);

    // No member takes anything, and the opener goes on. What does not fit into a member's window is told and forgotten.
    let bound = Totals {
        messages: MESSAGES_IN_WINDOW * GROUP_MEMBERS_MAX as u64,
        bytes: MESSAGES_IN_WINDOW * (GROUP_MEMBERS_MAX * PAYLOAD_BYTES) as u64,
    };
    let mut refusals = 0;
    for number in 0..20 {
        net.send(pool, [vendor(1, number, PAYLOAD_BYTES)]);
        let is_reject = |seen: &Seen| matches!(seen, Seen::Hub(HubMessage::Reject(_)));
        refusals += net
            .receive(pool)
            .iter()
            .filter(|seen| is_reject(seen))
            .count();
        assert!(bound.covers(net.core.load().queued));
        check_memory(&net.core, window);
    }
    assert_eq!(
        net.core.load().queued,
        bound,
        "the members' windows are full"
    );
    assert_eq!(refusals, 16 * GROUP_MEMBERS_MAX);

    // Nor does it read any more: then what is left of the group's own window is all that it gets.
    let mut unread = 0;
    while net.core.is_open(pool) {
        assert_eq!(net.core.load().queued, bound);
        check_memory(&net.core, window);
        net.send(pool, [vendor(1, 0, PAYLOAD_BYTES)]);
        unread += 1;
    }
    assert!((2..=MESSAGES_IN_WINDOW + 1).contains(&unread), "{unread}");
    assert_eq!(net.core.load().queued, Totals::default());
}
