//! A client that is let in and then sends anything.

#[cfg(test)]
use proptest::prelude::*;

use super::groups::{GROUP, SIGNERS, group_of, open_group, signers_and_pool};
use super::*;

/// Whatever an authenticated client sends, it can only hurt itself.
pub(super) fn check_noise_hurts_nobody_else(noise: impl IntoIterator<Item = Frame>) {
    let mut net = Net::new();
    let noisy = net.connect(OTHER_POOL);
    net.open(noisy, VENDOR, "");
    let ends = net.joined_beside(noisy);
    for frame in noise {
        net.send(noisy, [frame]);
    }
    net.receive(noisy);
    net.send(ends.pool, [vendor(ends.pool_id, 7, 10)]);
    let arrived = net.receive(ends.mint).into_iter().any(|seen| {
        matches!(seen, Seen::Channel(frame)
            if frame.channel_id() == Some(ends.mint_id) && frame.payload[4] == 7)
    });
    assert!(arrived);
    assert!(net.core.is_open(ends.pool) && net.core.is_open(ends.mint));
}

/// As [`check_noise_hurts_nobody_else`], by one that has opened a channel to a group: another opener of the same group
/// still reaches every member.
pub(super) fn check_noise_to_a_group_hurts_nobody_else(noise: impl IntoIterator<Item = Frame>) {
    let mut peers = signers_and_pool();
    let mut other = listed(OTHER_POOL, &[]);
    other.may_open = vec![(VENDOR, GROUP.parse().unwrap())];
    peers.push(other);
    let mut net = Net::listing(&peers, &group_of(&SIGNERS), HubLimits::default());
    let (noisy, honest) = (net.connect(OTHER_POOL), net.connect(POOL));
    for opener in [noisy, honest] {
        net.say(opener, open_group(VENDOR));
    }
    let opened = net.receive(honest).into_iter().find_map(|seen| match seen {
        Seen::Hub(HubMessage::OpenChannelSuccess(opened)) => Some(opened.channel_id),
        _ => None,
    });
    let signers = SIGNERS.map(|name| net.connect(name));
    for signer in signers {
        for seen in net.receive(signer) {
            if let Seen::Hub(HubMessage::ChannelOffer(offer)) = seen {
                net.accept(signer, offer.channel_id, PLENTY);
            }
        }
    }
    net.receive(noisy);
    for frame in noise {
        net.send(noisy, [frame]);
    }
    net.receive(noisy);
    net.send(honest, [vendor(opened.unwrap(), 7, 77)]);
    for signer in signers {
        let is_it = |seen: &Seen| matches!(seen, Seen::Channel(frame) if frame.payload.len() == 77 && frame.payload[4] == 7);
        let arrived = net
            .receive(signer)
            .iter()
            .filter(|seen| is_it(seen))
            .count();
        assert_eq!(arrived, 1);
        assert!(net.core.is_open(signer));
    }
    assert!(net.core.is_open(honest));
}

/// Frames with more sense than those of any bytes alone.
#[cfg(test)]
fn noise() -> impl Strategy<Value = Vec<Frame>> {
    let frame = (
        prop_oneof![
            Just(EXT_HUB),
            Just(QUOTES | CHANNEL_BIT),
            Just(VENDOR | CHANNEL_BIT),
            any::<u16>()
        ],
        prop_oneof![0u8..0x11, any::<u8>()],
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (1u32..6, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(id, rest)| [
                id.to_le_bytes().to_vec(),
                rest
            ]
            .concat()),
        ],
    );
    let frame = frame.prop_map(|(extension_type, msg_type, payload)| Frame {
        extension_type,
        msg_type,
        payload,
    });
    prop::collection::vec(frame, 1..60)
}

#[cfg(test)]
proptest! {
    #[test]
    fn noise_from_one_client_leaves_the_others_alone(noise in noise()) {
        check_noise_hurts_nobody_else(noise);
    }

    #[test]
    fn noise_to_a_group_leaves_the_others_alone(noise in noise()) {
        check_noise_to_a_group_hurts_nobody_else(noise);
    }
}
