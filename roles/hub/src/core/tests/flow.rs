//! Messages on their way: order, credit, turns, refusals.

use winze_messages::families::mint_quote::MintQuoteResponse;

use super::*;

fn small_windows() -> HubLimits {
    HubLimits {
        payload_bytes_max: 4_096,
        window_messages: 4,
        window_bytes: 8_192,
        ..HubLimits::default()
    }
}

fn credits(seen: &[Seen]) -> Vec<Totals> {
    let credit = |seen: &Seen| match seen {
        Seen::Hub(HubMessage::Credit(credit)) => Some(Totals {
            messages: credit.messages,
            bytes: credit.bytes,
        }),
        _ => None,
    };
    seen.iter().filter_map(credit).collect()
}

#[test]
fn a_slow_mint_holds_back_its_own_pool_alone() {
    let mut net = Net::with(small_windows());
    let ends = net.joined(VENDOR, Totals::default());
    let other = net.connect(OTHER_POOL);
    let other_id = net.open(other, VENDOR, "").channel_id;
    let offer = net.offer(ends.mint);
    net.accept(ends.mint, offer.channel_id, PLENTY);
    net.receive(other);

    for number in 0..4 {
        net.send(ends.pool, [vendor(ends.pool_id, number, 10)]);
        net.send(other, [vendor(other_id, 100 + number, 10)]);
        assert_eq!(numbers(net.receive(ends.mint)), [100 + number]);
        net.receive(other);
    }
    assert_eq!(net.core.load().queued.messages, 4);
    assert!(credits(&net.receive(ends.pool)).is_empty());

    net.say(
        ends.mint,
        Credit {
            channel_id: ends.mint_id,
            messages: 2,
            bytes: 1_000,
        },
    );
    assert_eq!(numbers(net.receive(ends.mint)), [0, 1]);
    let granted = Totals {
        messages: 6,
        bytes: 8_192 + 20,
    };
    assert_eq!(credits(&net.receive(ends.pool)), [granted]);
}

#[test]
fn a_pool_that_gets_ahead_of_its_credit_is_closed_and_its_messages_are_gone() {
    let mut net = Net::with(small_windows());
    let ends = net.joined(VENDOR, Totals::default());
    let five = (0..5).map(|number| vendor(ends.pool_id, number, 10));
    net.send(ends.pool, five);
    assert_eq!(close_of(&net.receive(ends.pool)).0, "credit-exceeded");
    assert_eq!(net.core.load().queued, Totals::default());

    // By bytes as well as by messages.
    net.core.closed(ends.pool);
    let pool = net.connect(POOL);
    let id = net.open(pool, VENDOR, "").channel_id;
    let three = (0..3).map(|number| vendor(id, number, 4_096));
    net.send(pool, three);
    assert_eq!(close_of(&net.receive(pool)).0, "credit-exceeded");
}

#[test]
fn a_largest_message_goes_through_a_window_of_its_size_again_and_again() {
    let mut net = Net::with(HubLimits {
        window_bytes: 4_096,
        ..small_windows()
    });
    let ends = net.joined(VENDOR, PLENTY);
    for number in 0..10 {
        net.send(ends.pool, [vendor(ends.pool_id, number, 4_096)]);
        assert_eq!(numbers(net.receive(ends.mint)), [number]);
        assert_eq!(
            credits(&net.receive(ends.pool)).len(),
            1,
            "message {number}"
        );
    }
}

#[test]
fn credit_comes_in_batches_and_not_with_every_message() {
    let mut net = Net::with(HubLimits {
        window_messages: 256,
        ..HubLimits::default()
    });
    let ends = net.joined(VENDOR, PLENTY);
    let mut notices = 0;
    for number in 0..=255 {
        net.send(ends.pool, [vendor(ends.pool_id, number, 10)]);
        assert_eq!(numbers(net.receive(ends.mint)), [number]);
        notices += credits(&net.receive(ends.pool)).len();
    }
    assert_eq!(notices, 2);
}

#[test]
fn channels_take_turns_and_control_goes_before_them() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let second = net.open(ends.pool, VENDOR, "second").channel_id;
    let offer = net.offer(ends.mint);
    net.accept(ends.mint, offer.channel_id, PLENTY);
    net.receive(ends.pool);
    for number in 0..3 {
        net.send(ends.pool, [vendor(ends.pool_id, number, 10)]);
    }
    for number in 100..103 {
        net.send(ends.pool, [vendor(second, number, 10)]);
    }
    net.say(ends.mint, Ping { nonce: 9 });

    let mut seen = net.receive(ends.mint);
    let pong = Seen::Hub(HubMessage::Pong(Pong { nonce: 9 }));
    assert_eq!(seen.remove(0), pong);
    assert_eq!(numbers(seen), [0, 100, 1, 101, 2, 102]);
}

#[test]
fn a_poll_gives_no_more_than_it_was_asked_for_and_one_message() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let ten = (0..10).map(|number| vendor(ends.pool_id, number, 1_000));
    net.send(ends.pool, ten);
    let mut frames: Vec<Frame> = Vec::new();
    assert_eq!(
        net.core.poll_transmit(ends.mint, 2_500, &mut frames),
        Transmit::More
    );
    assert_eq!(frames.len(), 3);
    assert_eq!(net.core.load().queued.messages, 7);
}

#[test]
fn many_tiny_messages_are_no_larger_a_batch_than_a_few_large_ones() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    net.send(ends.pool, (0..200).map(|_| vendor(ends.pool_id, 0, 5)));
    let mut frames: Vec<Frame> = Vec::new();
    assert_eq!(
        net.core.poll_transmit(ends.mint, 1_000, &mut frames),
        Transmit::More
    );
    let bytes_on_the_wire: usize = frames
        .iter()
        .map(|frame| winze_transport::encrypted_frame_bytes(frame.payload.len()))
        .sum();
    assert!(bytes_on_the_wire < 1_100, "{bytes_on_the_wire}");
}

#[test]
fn every_fault_of_a_message_has_its_name_and_the_channel_goes_on() {
    let mut net = Net::new();
    let ends = net.joined(QUOTES, PLENTY);
    let good = quote_request(ends.pool_id);
    let changed = |change: fn(&mut Frame)| {
        let mut frame = good.clone();
        change(&mut frame);
        frame
    };
    let faults = [
        (changed(|frame| frame.msg_type = 0x8f), "unknown-message"),
        // The two messages that a pool sends to its miners.
        (changed(|frame| frame.msg_type = 0xc0), "wrong-direction"),
        (
            changed(|frame| frame.msg_type = MintQuoteResponse::MSG_TYPE),
            "wrong-direction",
        ),
        (changed(|frame| frame.payload.push(0)), "malformed"),
        (changed(|frame| frame.payload.truncate(30)), "malformed"),
        // Not UTF-8 where the unit stands.
        (changed(|frame| frame.payload[13] = 0xff), "malformed"),
        (
            changed(|frame| frame.payload.resize(2_000, 0)),
            "payload-too-long",
        ),
        (
            changed(|frame| frame.extension_type = VENDOR | CHANNEL_BIT),
            "wrong-extension",
        ),
        (
            changed(|frame| frame.extension_type = EXT_HUB | CHANNEL_BIT),
            "wrong-extension",
        ),
    ];
    let mut ordinal = 0;
    for (frame, code) in faults {
        ordinal += 1;
        net.send(ends.pool, [frame]);
        let seen = net.receive(ends.pool);
        let [Seen::Hub(HubMessage::Reject(reject))] = &seen[..] else {
            panic!("{code}: {seen:?}");
        };
        assert_eq!(
            (reject.error_code.as_str(), reject.ordinal),
            (code, ordinal),
            "{reject:?}"
        );
        assert_eq!(reject.channel_id, ends.pool_id);
    }
    assert!(net.receive(ends.mint).is_empty());
    net.send(ends.pool, [good]);
    assert_eq!(net.receive(ends.mint).len(), 1);
}

#[test]
fn a_frame_too_short_to_name_a_channel_names_none() {
    let mut net = Net::new();
    let ends = net.joined(QUOTES, PLENTY);
    let stump = Frame {
        extension_type: QUOTES | CHANNEL_BIT,
        msg_type: 0x80,
        payload: vec![1, 0],
    };
    net.send(ends.pool, [stump]);
    let seen = net.receive(ends.pool);
    let [Seen::Hub(HubMessage::Reject(reject))] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (reject.error_code.as_str(), reject.channel_id),
        ("unknown-channel", 0)
    );
}

#[test]
fn refusals_that_nobody_reads_stay_within_the_window() {
    let mut net = Net::with(small_windows());
    let ends = net.joined(QUOTES, PLENTY);
    let bad = |count| (0..count).map(|_| channel_frame(QUOTES, 0x8f, ends.pool_id, b"?"));
    net.send(ends.pool, bad(4));
    assert!(net.core.is_open(ends.pool));
    let seen = net.receive(ends.pool);
    assert_eq!(
        seen.len(),
        5,
        "four refusals and the credit for them: {seen:?}"
    );
    net.send(ends.pool, bad(5));
    assert_eq!(close_of(&net.receive(ends.pool)).0, "credit-exceeded");
}
