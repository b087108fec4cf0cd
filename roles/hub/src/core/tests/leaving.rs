//! The hub goes, in good order.

use winze_messages::families::common::Reconnect;

use super::*;

const QUIET_MS: u64 = 200;

pub(super) fn asked_to_reconnect() -> Seen {
    Seen::Common(CommonMessage::Reconnect(Reconnect {
        new_host: String::new(),
        new_port: 0,
    }))
}

#[test]
fn a_hub_that_goes_delivers_what_it_took_and_answers_and_refuses_new_requests() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);
    net.core.wind_down(700, net.now_ms);
    assert!(!net.core.is_drained(QUIET_MS, net.now_ms));
    net.send(ends.pool, [vendor(ends.pool_id, 2, 50)]);

    let seen = net.receive(ends.mint);
    assert_eq!(seen[0], asked_to_reconnect());
    assert_eq!(numbers(seen[1..].to_vec()), [1]);
    let seen = net.receive(ends.pool);
    assert_eq!(seen[0], asked_to_reconnect());
    let Seen::Hub(HubMessage::Reject(reject)) = &seen[1] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (reject.ordinal, reject.error_code.as_str()),
        (2, "peer-away")
    );

    net.pass(QUIET_MS - 1);
    net.send(ends.mint, [vendor(ends.mint_id, 3, 50)]);
    assert!(
        !net.core.is_drained(QUIET_MS, net.now_ms),
        "an answer waits"
    );
    assert_eq!(numbers(net.receive(ends.pool)), [3]);
    net.pass(QUIET_MS - 1);
    assert!(
        !net.core.is_drained(QUIET_MS, net.now_ms),
        "one more may come"
    );
    net.pass(1);
    assert!(net.core.is_drained(QUIET_MS, net.now_ms));

    net.core.shut_down(700);
    for conn in [ends.pool, ends.mint] {
        assert_eq!(close_of(&net.receive(conn)), ("shutdown", 700));
    }
}

#[test]
fn one_that_is_not_let_in_yet_or_comes_now_is_told_to_come_back() {
    let mut net = Net::new();
    let early = net.dial();
    net.core.wind_down(700, net.now_ms);
    let late = net.dial();
    for conn in [early, late] {
        assert_eq!(close_of(&net.receive(conn)), ("shutdown", 700));
    }
    assert!(net.core.is_drained(QUIET_MS, net.now_ms), "nobody is there");
}

#[test]
fn one_that_does_not_read_is_not_waited_for_for_ever_by_the_core_but_is_known() {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, Totals::default());
    net.send(ends.pool, [vendor(ends.pool_id, 1, 50)]);
    net.core.wind_down(700, net.now_ms);
    net.receive(ends.pool);
    net.receive(ends.mint);
    net.pass(10 * QUIET_MS);
    assert!(
        !net.core.is_drained(QUIET_MS, net.now_ms),
        "no credit for it"
    );
    net.core.shut_down(700);
    assert_eq!(close_of(&net.receive(ends.mint)), ("shutdown", 700));
}
