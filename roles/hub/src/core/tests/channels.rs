//! A channel's life: opened, offered, accepted, left, met again, closed.

use super::*;

fn presence(channel_id: u32, present: bool, instance: u64) -> Seen {
    Seen::Hub(HubMessage::Presence(Presence {
        channel_id,
        present,
        instance,
    }))
}

/// Why a channel is not opened.
fn refusal(net: &mut Net, conn: ConnId, request: OpenChannel) -> String {
    net.say(conn, request);
    let seen = net.receive(conn);
    match &seen[..] {
        [Seen::Hub(HubMessage::OpenChannelError(error))] => error.error_code.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pool_opens_a_channel_before_the_mint_is_there_and_they_meet_later() {
    let mut net = Net::new();
    let pool = net.connect(POOL);
    let opened = net.open(pool, QUOTES, "main");
    assert!(!opened.peer_present);
    assert_eq!(opened.peer_instance, 0);

    let mint = net.connect(MINT);
    assert!(
        net.receive(pool).is_empty(),
        "the mint has not accepted yet"
    );
    let offer = net.offer(mint);
    assert_eq!(
        (offer.extension, offer.peer.as_str(), offer.label.as_str()),
        (QUOTES, POOL, "main")
    );
    assert!(offer.peer_present);
    net.accept(mint, offer.channel_id, PLENTY);
    assert_eq!(net.receive(pool), [presence(opened.channel_id, true, 2)]);

    let request = quote_request(opened.channel_id);
    net.send(pool, [request.clone()]);
    let mut expected = request;
    assert!(expected.set_channel_id(offer.channel_id));
    assert_eq!(net.receive(mint), [Seen::Channel(expected)]);
}

#[test]
fn a_mint_that_comes_back_is_offered_the_channel_anew_and_the_pool_keeps_its_id() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);
    net.core.closed(ends.mint);
    let changed = Seen::Common(CommonMessage::ChannelEndpointChanged {
        channel_id: ends.pool_id,
    });
    assert_eq!(
        net.receive(ends.pool),
        [changed, presence(ends.pool_id, false, 0)]
    );
    assert_eq!(net.core.counters().purged.messages, 1);

    net.send(ends.pool, [vendor(ends.pool_id, 2, 50)]);
    let seen = net.receive(ends.pool);
    let [Seen::Hub(HubMessage::Reject(reject))] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (reject.error_code.as_str(), reject.ordinal),
        ("peer-away", 2)
    );

    let mint = net.connect(MINT);
    let offer = net.offer(mint);
    net.accept(mint, offer.channel_id, PLENTY);
    assert!(
        net.receive(ends.pool)
            .contains(&presence(ends.pool_id, true, 3))
    );
    net.send(ends.pool, [vendor(ends.pool_id, 3, 50)]);
    assert_eq!(numbers(net.receive(mint)), [3]);
}

#[test]
fn a_pool_that_comes_back_meets_the_mint_under_its_old_id_with_one_notice() {
    let mut net = Net::new();
    let ends = net.joined(QUOTES, PLENTY);
    let replacement = net.connect(POOL);
    let opened = net.open(replacement, QUOTES, "");
    assert!(opened.peer_present, "the mint had accepted this channel");
    assert_eq!(opened.peer_instance, 2);
    // Away and back merge; the instance says that there was a change.
    assert_eq!(net.receive(ends.mint), [presence(ends.mint_id, true, 3)]);

    net.send(replacement, [quote_request(opened.channel_id)]);
    let seen = net.receive(ends.mint);
    let [Seen::Channel(frame)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(frame.channel_id(), Some(ends.mint_id));
}

#[test]
fn an_offer_that_was_never_sent_is_never_sent() {
    let mut net = Net::new();
    let mint = net.connect(MINT);
    for _ in 0..3 {
        let pool = net.connect(POOL);
        net.say(pool, open_channel(QUOTES, ""));
        net.core.closed(pool);
    }
    assert!(net.receive(mint).is_empty());
    assert_eq!(net.core.load().channels, 0);
}

#[test]
fn a_refused_channel_ends_with_the_acceptors_own_code() {
    let mut net = Net::new();
    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    let opened = net.open(pool, QUOTES, "");
    let offer = net.offer(mint);
    net.say(
        mint,
        ChannelOfferRefuse {
            channel_id: offer.channel_id,
            reason_code: "not-today".to_owned(),
        },
    );
    let refused = CloseChannel {
        channel_id: opened.channel_id,
        reason_code: "refused".to_owned(),
        detail: "not-today".to_owned(),
    };
    assert_eq!(
        net.receive(pool),
        [Seen::Hub(HubMessage::CloseChannel(refused))]
    );
    assert_eq!(net.core.load().channels, 0);
    let again = net.open(pool, QUOTES, "");
    assert_eq!(
        again.channel_id,
        opened.channel_id + 1,
        "ids are not used again"
    );
}

#[test]
fn an_offer_that_was_not_taken_carries_nothing_either_way() {
    let mut net = Net::new();
    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    let opened = net.open(pool, VENDOR, "");
    let offer = net.offer(mint);
    for (conn, channel_id) in [(pool, opened.channel_id), (mint, offer.channel_id)] {
        net.send(conn, [vendor(channel_id, 1, 10)]);
        let seen = net.receive(conn);
        assert!(
            matches!(&seen[..], [Seen::Hub(HubMessage::Reject(reject))]
                if reject.error_code == "peer-away" && reject.ordinal == 1),
            "{seen:?}"
        );
    }
    net.accept(mint, offer.channel_id, PLENTY);
    net.receive(pool);
    net.send(mint, [vendor(offer.channel_id, 2, 10)]);
    assert_eq!(numbers(net.receive(pool)), [2]);

    // An id that the client opened itself is none to accept.
    net.accept(pool, opened.channel_id, PLENTY);
    assert_eq!(close_of(&net.receive(pool)).0, "malformed");
}

#[test]
fn whoever_closes_a_channel_is_heard_to_the_end_first() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, Totals::default());
    for number in 1..=2 {
        net.send(ends.pool, [vendor(ends.pool_id, number, 10)]);
    }
    net.say(
        ends.pool,
        CloseChannel {
            channel_id: ends.pool_id,
            reason_code: "done".to_owned(),
            detail: String::new(),
        },
    );
    assert!(
        net.receive(ends.mint).is_empty(),
        "the mint gave no credit yet"
    );
    net.send(ends.mint, [vendor(ends.mint_id, 9, 10)]);
    let seen = net.receive(ends.mint);
    assert!(
        matches!(&seen[..], [Seen::Hub(HubMessage::Reject(reject))]
            if reject.error_code == "peer-away" && reject.ordinal == 1),
        "{seen:?}"
    );
    net.say(
        ends.mint,
        Credit {
            channel_id: ends.mint_id,
            messages: 2,
            bytes: 20,
        },
    );
    let mut seen = net.receive(ends.mint);
    let farewell = Seen::Hub(HubMessage::CloseChannel(CloseChannel {
        channel_id: ends.mint_id,
        reason_code: "closed-by-peer".to_owned(),
        detail: "done".to_owned(),
    }));
    assert_eq!(seen.pop(), Some(farewell));
    assert_eq!(numbers(seen), [1, 2]);

    net.send(ends.mint, [vendor(ends.mint_id, 3, 10)]);
    let seen = net.receive(ends.mint);
    let [Seen::Hub(HubMessage::Reject(reject))] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (reject.error_code.as_str(), reject.ordinal),
        ("unknown-channel", 0)
    );
}

#[test]
fn only_what_the_list_allows_is_opened() {
    let mut net = Net::new();
    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    let changed = |change: fn(&mut OpenChannel)| {
        let mut request = open_channel(QUOTES, "");
        change(&mut request);
        request
    };
    let not_allowed = [
        changed(|request| request.extension = 0x4803),
        changed(|request| request.peer = OTHER_POOL.to_owned()),
        changed(|request| request.peer = "mint/nobody-knows".to_owned()),
        changed(|request| request.peer = POOL.to_owned()),
    ];
    for request in not_allowed {
        assert_eq!(refusal(&mut net, pool, request), "not-allowed");
    }
    assert_eq!(
        refusal(&mut net, mint, open_channel(QUOTES, "")),
        "not-allowed"
    );
    let bad_name = changed(|request| request.peer = "MINT".to_owned());
    assert_eq!(refusal(&mut net, pool, bad_name), "bad-peer-name");
    let bad_label = changed(|request| request.label = "\u{7f}".to_owned());
    assert_eq!(refusal(&mut net, pool, bad_label), "bad-label");
    net.open(pool, QUOTES, "");
    assert_eq!(
        refusal(&mut net, pool, open_channel(QUOTES, "")),
        "already-open"
    );

    let plain = net.dial();
    let steps = [
        setup_connection(),
        negotiate(&[EXT_HUB]),
        proof(OTHER_POOL, &transcript(plain)),
    ];
    net.send(plain, steps);
    net.receive(plain);
    assert_eq!(
        refusal(&mut net, plain, open_channel(QUOTES, "")),
        "extension-not-negotiated"
    );
}

#[test]
fn a_mint_that_did_not_negotiate_the_extension_is_away_for_it() {
    let mut net = Net::new();
    let mint = net.dial();
    let steps = [
        setup_connection(),
        negotiate(&[EXT_HUB, VENDOR]),
        proof(MINT, &transcript(mint)),
    ];
    net.send(mint, steps);
    net.receive(mint);
    let pool = net.connect(POOL);
    assert!(!net.open(pool, QUOTES, "").peer_present);
    assert!(net.receive(mint).is_empty());
    net.open(pool, VENDOR, "");
    assert_eq!(net.offer(mint).extension, VENDOR);
}

#[test]
fn one_opener_cannot_take_all_of_a_mints_channels_and_left_ones_give_way() {
    let mut net = Net::with(HubLimits {
        channels_max: 4,
        channels_per_pair_max: 2,
        ..HubLimits::default()
    });
    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    let accept_all = |net: &mut Net| {
        for seen in net.receive(mint) {
            if let Seen::Hub(HubMessage::ChannelOffer(offer)) = seen {
                net.accept(mint, offer.channel_id, PLENTY);
            }
        }
    };
    net.open(pool, VENDOR, "1");
    net.open(pool, VENDOR, "2");
    assert_eq!(
        refusal(&mut net, pool, open_channel(VENDOR, "3")),
        "too-many-channels"
    );
    accept_all(&mut net);

    // A restart of the pool with other labels: the mint's ends of the old channels make room, one for one.
    net.core.closed(pool);
    net.receive(mint);
    let pool = net.connect(POOL);
    net.open(pool, VENDOR, "4");
    net.open(pool, VENDOR, "5");
    let seen = net.receive(mint);
    let closed = seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Hub(HubMessage::CloseChannel(_))));
    assert_eq!(closed.count(), 2, "{seen:?}");
    assert_eq!(
        refusal(&mut net, pool, open_channel(VENDOR, "6")),
        "too-many-channels"
    );
    assert_eq!(net.core.load().channels, 2);
}

#[test]
fn a_mint_without_room_is_offered_the_channel_once_it_has_some() {
    let mut net = Net::with(HubLimits {
        channels_max: 1,
        ..HubLimits::default()
    });
    let ends = net.joined(VENDOR, PLENTY);
    let other = net.connect(OTHER_POOL);
    assert!(!net.open(other, VENDOR, "").peer_present);
    assert!(net.receive(ends.mint).is_empty());

    // The pool that has the place goes. It may come back, but another is there and waits.
    net.core.closed(ends.pool);
    // The first poll gives the old place up, the next one offers it.
    let mut seen = net.receive(ends.mint);
    seen.extend(net.receive(ends.mint));
    let Some(Seen::Hub(HubMessage::ChannelOffer(offer))) = seen.last() else {
        panic!("{seen:?}");
    };
    net.accept(ends.mint, offer.channel_id, PLENTY);
    assert!(matches!(
        net.receive(other)[..],
        [Seen::Hub(HubMessage::Presence(Presence {
            present: true,
            ..
        }))]
    ));
}

#[test]
fn one_that_opens_fills_and_closes_does_not_take_a_mints_places_from_others() {
    let mut net = Net::with(HubLimits {
        channels_max: 8,
        channels_per_pair_max: 2,
        ..HubLimits::default()
    });
    let (greedy, mint) = (net.connect(POOL), net.connect(MINT));
    // Each channel is closed with a message in it that the mint has given no credit for, so that the mint's end of it
    // stays until it does.
    let mut refused = 0;
    for round in 0..8 {
        net.say(greedy, open_channel(VENDOR, &round.to_string()));
        let opened = net.receive(greedy).into_iter().find_map(|seen| match seen {
            Seen::Hub(HubMessage::OpenChannelSuccess(message)) => Some(message.channel_id),
            _ => None,
        });
        let Some(id) = opened else {
            refused += 1;
            continue;
        };
        let offer = net.offer(mint).channel_id;
        net.accept(mint, offer, Totals::default());
        net.send(greedy, [vendor(id, 1, 10)]);
        let close = CloseChannel {
            channel_id: id,
            reason_code: "done".to_owned(),
            detail: String::new(),
        };
        net.say(greedy, close);
    }
    assert!(refused > 0, "every place of the mint's is taken");
    let honest = net.connect(OTHER_POOL);
    net.open(honest, VENDOR, "");
    assert_eq!(net.offer(mint).peer, OTHER_POOL);
}

#[test]
fn the_instance_of_a_vendors_far_end_changes_with_the_sv2_notice_first() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let quiet = net.connect(POOL);
    net.open(quiet, VENDOR, "");
    // Nothing was sent on this channel yet: Stratum V2 asks for no notice.
    assert_eq!(net.receive(ends.mint), [presence(ends.mint_id, true, 3)]);

    let id = net.open(quiet, VENDOR, "busy").channel_id;
    let offer = net.offer(ends.mint);
    net.accept(ends.mint, offer.channel_id, PLENTY);
    net.send(quiet, [vendor(id, 1, 10)]);
    assert_eq!(numbers(net.receive(ends.mint)), [1]);
    net.core.closed(quiet);
    let seen = net.receive(ends.mint);
    let changed = Seen::Common(CommonMessage::ChannelEndpointChanged {
        channel_id: offer.channel_id,
    });
    let place = seen.iter().position(|seen| *seen == changed).unwrap();
    assert_eq!(seen[place + 1], presence(offer.channel_id, false, 0));
    assert_eq!(seen.len(), 3, "one notice for the quiet channel: {seen:?}");
}
