//! The list changes while everybody is connected.

use super::*;

/// Why a client was not let in.
fn refused(net: &mut Net, who: &str) -> String {
    let conn = net.dial();
    let proof = proof(who, &transcript(conn));
    net.send(conn, [setup_connection(), request_extensions(), proof]);
    match net.receive(conn).last() {
        Some(Seen::Hub(HubMessage::AuthenticateError(error))) => error.error_code.clone(),
        other => panic!("{other:?}"),
    }
}

fn not_allowed(channel_id: u32) -> Seen {
    Seen::Hub(HubMessage::CloseChannel(CloseChannel {
        channel_id,
        reason_code: "not-allowed".to_owned(),
        detail: "the list does not allow this channel any more".to_owned(),
    }))
}

fn names(peers: &[&str]) -> Vec<winze_messages::names::PeerName> {
    peers.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn a_pool_that_is_struck_off_is_cut_off_with_all_it_sent_and_the_other_pool_notices_nothing() {
    let mut net = Net::new();
    let struck = net.connect(OTHER_POOL);
    let struck_id = net.open(struck, VENDOR, "").channel_id;
    let ends = net.joined_beside(struck);
    net.send(struck, [vendor(struck_id, 66, 50)]);
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);

    let reloaded = net.relist(&[listed(POOL, &[VENDOR, QUOTES]), listed(MINT, &[])]);
    assert_eq!(reloaded.struck_off, names(&[OTHER_POOL]));
    assert_eq!(
        (reloaded.connections_ended, reloaded.channels_ended),
        (1, 1)
    );
    assert_eq!(reloaded.added, []);

    assert_eq!(close_of(&net.receive(struck)), ("struck-off", 0));
    net.send(struck, [vendor(struck_id, 67, 50)]);
    let seen = net.receive(ends.mint);
    assert!(
        matches!(&seen[0], Seen::Hub(HubMessage::CloseChannel(close))
        if close.reason_code == "not-allowed")
    );
    assert_eq!(numbers(seen[1..].to_vec()), [1]);
    assert!(net.receive(ends.pool).is_empty());
    assert_eq!(net.core.load().channels, 1);
    net.core.closed(struck);
    assert_eq!(refused(&mut net, OTHER_POOL), "unlisted-key");

    let reloaded = net.relist(&everybody());
    assert_eq!(reloaded.added, names(&[OTHER_POOL]));
    let back = net.connect(OTHER_POOL);
    assert!(!net.open(back, VENDOR, "").peer_present, "offered anew");
    let offer = net.offer(ends.mint);
    assert_eq!(offer.peer, OTHER_POOL);
}

#[test]
fn a_permission_that_is_taken_away_ends_its_channel_and_no_other() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let quotes = net.open(ends.pool, QUOTES, "").channel_id;
    let offered = net.offer(ends.mint).channel_id;
    net.accept(ends.mint, offered, PLENTY);
    net.receive(ends.pool);
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);

    let reloaded = net.relist(&[listed(POOL, &[QUOTES]), listed(MINT, &[])]);
    assert_eq!(
        (reloaded.connections_ended, reloaded.channels_ended),
        (0, 1)
    );
    let seen = net.receive(ends.mint);
    let [Seen::Channel(delivered), farewell] = &seen[..] else {
        panic!("what was taken before is delivered: {seen:?}");
    };
    assert_eq!(delivered.payload[4], 1);
    assert_eq!(*farewell, not_allowed(ends.mint_id));
    assert_eq!(net.receive(ends.pool), [not_allowed(ends.pool_id)]);

    net.send(ends.pool, [quote_request(quotes)]);
    assert!(matches!(&net.receive(ends.mint)[..], [Seen::Channel(_)]));
    net.say(ends.pool, open_channel(VENDOR, "again"));
    let seen = net.receive(ends.pool);
    assert!(
        matches!(&seen[..], [Seen::Hub(HubMessage::OpenChannelError(error))]
        if error.error_code == "not-allowed"),
        "{seen:?}"
    );
}

#[test]
fn an_offer_that_nobody_has_heard_of_is_not_made_once_it_is_not_allowed() {
    let mut net = Net::new();
    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    let opened = net.open(pool, VENDOR, "").channel_id;
    net.relist(&[listed(POOL, &[]), listed(MINT, &[])]);
    assert!(net.receive(mint).is_empty());
    assert_eq!(net.receive(pool), [not_allowed(opened)]);
}

#[test]
fn a_mint_whose_key_is_replaced_is_met_again_under_its_new_one() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let mut list = everybody();
    list[2].public_key = SecretKey::from_bytes(&[33; 32]).unwrap().public_key();
    let reloaded = net.relist(&list);
    assert_eq!(reloaded.struck_off, names(&[MINT]));
    assert_eq!(reloaded.added, names(&[MINT]));
    assert_eq!(reloaded.channels_ended, 0);
    assert_eq!(close_of(&net.receive(ends.mint)).0, "struck-off");
    let away = Seen::Hub(HubMessage::Presence(Presence {
        channel_id: ends.pool_id,
        present: false,
        instance: 0,
    }));
    assert_eq!(net.receive(ends.pool), [away]);
    assert_eq!(refused(&mut net, MINT), "unlisted-key");
    // The old key again: the channel that was kept is offered, under the old name.
    net.relist(&everybody());
    let mint = net.connect(MINT);
    assert_eq!(net.offer(mint).peer, POOL);
}

#[test]
fn a_list_that_contradicts_itself_changes_nothing() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let limits = net.core.limits.clone();
    // The pool's permission names a mint that is gone.
    let faulty = [listed(POOL, &[VENDOR])];
    let error = net.core.reload(&faulty, &[], limits).unwrap_err();
    assert!(error.to_string().contains("not listed"), "{error}");
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);
    assert_eq!(numbers(net.receive(ends.mint)), [1]);
    assert!(net.receive(ends.pool).is_empty());
    net.connect(OTHER_POOL);
}

#[test]
fn a_list_in_another_order_is_the_same_list() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let mut list = everybody();
    list.reverse();
    assert_eq!(net.relist(&list), Reloaded::default());
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);
    assert_eq!(numbers(net.receive(ends.mint)), [1]);
    assert_eq!(net.core.load().present, names(&[MINT, POOL]));
}

#[test]
fn a_mint_that_came_before_anybody_could_open_anything_to_it_is_asked_to_come_again() {
    let mut net = Net::new();
    let alone = [listed(MINT, &[])];
    net.relist(&alone);
    let mint = net.connect(MINT);
    net.relist(&everybody());
    assert_eq!(net.receive(mint), [super::leaving::asked_to_reconnect()]);
    assert_eq!(net.relist(&everybody()), Reloaded::default());
    net.core.closed(mint);

    let (pool, mint) = (net.connect(POOL), net.connect(MINT));
    net.open(pool, VENDOR, "");
    net.offer(mint);
    net.relist(&everybody());
    assert!(net.receive(mint).is_empty());
}
