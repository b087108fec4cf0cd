use bitcoin::Target;
use stratum_core::common_messages_sv2::*;
use stratum_core::extensions_sv2::*;
use stratum_core::mining_sv2::*;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteNotification;
use winze_transport::{CHANNEL_BIT, Frame};

use super::rig::*;
use crate::mining::{Action, Hangup, Intake, QuoteNotice, codes, wire};
use crate::work::MinimumWork;

const START: u32 = 1_800_000_000;

fn connected() -> Rig {
    Rig::connected(8, work(1, template(1, HARD, START)))
}

#[test]
fn a_new_channel_hears_its_job_first_and_then_on_what() {
    let mut alice = connected();
    let opened = alice.open_standard(ALICE, 1.0);
    assert_eq!(
        types(&opened),
        [
            MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS,
            MESSAGE_TYPE_NEW_MINING_JOB,
            MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH
        ]
    );
    let opened = alice.open_extended(ALICE, 8);
    assert_eq!(
        types(&opened),
        [
            MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS,
            MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB,
            MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH
        ]
    );
    assert_eq!(alice.pool.channel_count(), 2);
}

#[test]
fn a_channel_is_refused_with_the_reason() {
    let mut alice = connected();
    assert_eq!(
        error_code(&alice.open_standard("alice", 1.0)).unwrap(),
        "unknown-user"
    );
    let no_point = format!("02{:064x}", 5);
    assert_eq!(
        error_code(&alice.open_extended(&no_point, 4)).unwrap(),
        "unknown-user"
    );
    assert_eq!(
        error_code(&alice.open_extended(ALICE, 9)).unwrap(),
        "min-extranonce-size-too-large"
    );
    assert_eq!(
        error_code(&alice.open_standard(ALICE, f32::NAN)).unwrap(),
        "invalid-nominal-hashrate"
    );
    alice.intake = Intake::KeysetUnknown;
    assert_eq!(
        error_code(&alice.open_standard(ALICE, 1.0)).unwrap(),
        codes::MINT_KEYSET_UNKNOWN
    );
    alice.intake = Intake::Open;
    for _ in 0..4 {
        assert_eq!(error_code(&alice.open_standard(ALICE, 1.0)), None);
    }
    assert_eq!(
        error_code(&alice.open_standard(ALICE, 1.0)).unwrap(),
        "channel-capacity-exhausted"
    );
}

#[test]
fn no_target_is_ever_easier_than_what_is_worth_a_quote() {
    let minimum = MinimumWork::new(8).target();
    let mut slow = connected();
    slow.open_standard(ALICE, 0.0);
    assert_eq!(slow.target, minimum);

    // A terahash miner gets a harder one, asks for less, and is held to the minimum.
    let mut fast = connected();
    fast.open_standard(ALICE, 1e12);
    assert!(fast.target < minimum);
    let update = UpdateChannelOwned {
        channel_id: fast.channel_id,
        nominal_hash_rate: 0.0,
        maximum_target: [0xff; 32].into(),
    };
    let answers = fast.send_frame(wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, update));
    assert_eq!(
        types(&answers),
        [MESSAGE_TYPE_SET_TARGET, MESSAGE_TYPE_NEW_MINING_JOB]
    );
    assert_eq!(fast.target, minimum);
}

#[test]
fn a_target_holds_for_the_jobs_after_it() {
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    let easy = alice.target;
    let old_job = alice.job.clone().unwrap();
    let harder = MinimumWork::new(12).target();
    let (nonce, _) = alice.grind(0, |hash| hash <= easy && hash > harder);

    let update = UpdateChannelOwned {
        channel_id: alice.channel_id,
        nominal_hash_rate: 1.0,
        maximum_target: harder.to_le_bytes().into(),
    };
    alice.send_frame(wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, update));
    assert_eq!(alice.target, harder);
    assert_eq!(records(&alice.submit_job(&old_job, nonce)).len(), 1);
    let (nonce, _) = alice.grind(0, |hash| hash <= easy && hash > harder);
    let refused = alice.submit(nonce);
    assert_eq!(error_code(&refused).unwrap(), "difficulty-too-low");
}

/// A proxy tells the sum of its miners, and they come all at once.
#[test]
fn a_burst_of_updates_costs_no_share_that_was_on_its_way() {
    let update = |channel_id, nominal_hash_rate| {
        let update = UpdateChannelOwned {
            channel_id,
            nominal_hash_rate,
            maximum_target: [0xff; 32].into(),
        };
        wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, update)
    };
    let mut proxy = connected();
    proxy.open_extended(ALICE, 4);
    let easy = proxy.target;
    let old_job = proxy.job.clone().unwrap();
    let (on_its_way, _) = proxy.grind(0, |hash| hash <= easy);
    let mut told = Vec::new();
    for miners in 1..=50_u16 {
        let frame = update(proxy.channel_id, 100.0 * f32::from(miners));
        told.extend(types(&proxy.send_frame(frame)));
    }
    let once = [
        MESSAGE_TYPE_SET_TARGET,
        MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB,
    ];
    assert_eq!(told, once);
    let first = proxy.target;
    assert_eq!(records(&proxy.submit_job(&old_job, on_its_way)).len(), 1);

    // What they come to is told a second later.
    assert!(proxy.tick(999).is_empty());
    assert_eq!(types(&proxy.tick(1_000)), once);
    assert!(proxy.target < first);
    assert!(proxy.tick(2_000).is_empty());

    // A job in between never has a target that the miner was not told.
    proxy.now_ms = 2_500;
    proxy.send_frame(update(proxy.channel_id, 20_000.0));
    proxy.send_frame(update(proxy.channel_id, 40_000.0));
    let before = proxy.target;
    let new_tip = proxy.new_work(work(2, template(2, HARD, START)));
    assert_eq!(types(&new_tip)[0], MESSAGE_TYPE_SET_TARGET);
    assert!(proxy.target < before);
    let (nonce, _) = proxy.grind(0, |hash| hash <= proxy.target);
    assert_eq!(records(&proxy.submit(nonce)).len(), 1);
}

#[test]
fn a_miner_that_is_faster_than_it_said_gets_harder_work_and_back_again() {
    let minimum = MinimumWork::new(8).target();
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    assert_eq!(alice.target, minimum);
    let channel = alice.pool.channels.get_mut(&alice.channel_id).unwrap();
    channel.backdate_vardiff(60, 500);
    assert!(alice.tick(4_999).is_empty(), "not every second");
    let harder = alice.tick(5_000);
    assert_eq!(
        types(&harder),
        [MESSAGE_TYPE_SET_TARGET, MESSAGE_TYPE_NEW_MINING_JOB]
    );
    assert!(alice.target < minimum);

    // Then it finds nothing for hours.
    for round in 2..20 {
        let channel = alice.pool.channels.get_mut(&alice.channel_id).unwrap();
        channel.backdate_vardiff(600, 0);
        alice.tick(round * 5_000);
    }
    assert_eq!(alice.target, minimum, "as easy as it gets, and no easier");
}

#[test]
fn an_update_that_makes_no_sense_is_answered_and_changes_nothing() {
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    let before = alice.target;
    let mut update = |channel_id, nominal_hash_rate, maximum_target: Target| {
        let message = UpdateChannelOwned {
            channel_id,
            nominal_hash_rate,
            maximum_target: maximum_target.to_le_bytes().into(),
        };
        let answers = alice.send_frame(wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, message));
        error_code(&answers).unwrap()
    };
    assert_eq!(update(99, 1.0, Target::MAX), "invalid-channel-id");
    assert_eq!(update(2, -1.0, Target::MAX), "invalid-nominal-hashrate");
    assert_eq!(update(2, 1.0, Target::ZERO), "max-target-out-of-range");
    assert_eq!(alice.target, before);
}

#[test]
fn a_tip_that_lasts_is_handed_out_again_before_clocks_run_out_of_it() {
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    for (minute, template_id) in (1..60).zip(2..) {
        let refresh = alice.new_work(work(template_id, template(1, HARD, START + minute * 60)));
        assert_eq!(types(&refresh), [MESSAGE_TYPE_NEW_MINING_JOB]);
    }
    let restamp = alice.new_work(work(100, template(1, HARD, START + 3_600)));
    assert_eq!(
        types(&restamp),
        [
            MESSAGE_TYPE_NEW_MINING_JOB,
            MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH
        ]
    );
    assert_eq!(alice.ntime, START + 3_600);
}

#[test]
fn the_setup_says_what_is_not_supported() {
    let silent = || Rig::silent(rules(8), work(1, template(1, HARD, START)));
    let mut alice = silent();
    let answers = alice.send(MESSAGE_TYPE_SETUP_CONNECTION, setup(0b1111));
    assert_eq!(error_code(&answers).unwrap(), "unsupported-feature-flags");
    let mut payload = sent(&answers).remove(0).payload;
    let refused: SetupConnectionError = wire::decode(&mut payload).unwrap();
    assert_eq!(
        refused.flags, 0b1010,
        "work selection, and a flag nobody knows"
    );
    assert!(matches!(hangup(&answers), Some(Hangup::SetupRefused(_))));

    let mut old = silent();
    let mut message = setup(0);
    message.min_version = 1;
    message.max_version = 1;
    let answers = old.send(MESSAGE_TYPE_SETUP_CONNECTION, message);
    assert_eq!(error_code(&answers).unwrap(), "protocol-version-mismatch");

    let mut stranger = silent();
    let mut frame = wire::frame(MESSAGE_TYPE_SETUP_CONNECTION, setup(0));
    frame.payload[0] = 9;
    let answers = stranger.send_frame(frame);
    assert_eq!(error_code(&answers).unwrap(), "unsupported-protocol");
}

#[test]
fn a_device_for_standard_jobs_gets_no_extended_channel() {
    let mut device = Rig::silent(rules(8), work(1, template(1, HARD, START)));
    device.send(MESSAGE_TYPE_SETUP_CONNECTION, setup(0b101));
    let answers = device.open_extended(ALICE, 4);
    assert_eq!(
        error_code(&answers).unwrap(),
        "extended-channels-not-supported-for-standard-jobs"
    );
    assert_eq!(error_code(&device.open_standard(ALICE, 1.0)), None);
}

fn request_extensions(extensions: Vec<u16>) -> Frame {
    let message = RequestExtensionsOwned {
        request_id: 3,
        requested_extensions: extensions.try_into().unwrap(),
    };
    wire::encode(1, MESSAGE_TYPE_REQUEST_EXTENSIONS, message)
}

#[test]
fn quotes_are_told_to_those_who_asked_for_them() {
    let notice = QuoteNotice::Issued(MintQuoteNotification {
        header_hash: [5; 32],
        quote_id: "q".to_owned(),
        amount: 4,
        unit: "hash".to_owned(),
        expires_at_unix_s: 0,
    });
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    let channel_id = alice.channel_id;
    let mut out = Vec::new();
    alice.pool.notify(channel_id, &notice, &mut out);
    assert!(out.is_empty(), "not negotiated");

    let answers = alice.send_frame(request_extensions(vec![2, EXT_MINT_QUOTE]));
    assert_eq!(types(&answers), [MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS]);
    alice.pool.notify(channel_id, &notice, &mut out);
    let told = sent(&out).remove(0);
    assert_eq!(told.extension_type, EXT_MINT_QUOTE | CHANNEL_BIT);
    assert_eq!((told.msg_type, told.channel_id()), (0xC0, Some(channel_id)));
    out.clear();
    alice.pool.notify(channel_id + 1, &notice, &mut out);
    assert!(out.is_empty(), "no such channel");

    let answers = connected().send_frame(request_extensions(vec![2]));
    assert_eq!(types(&answers), [MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR]);
}

#[test]
fn closing_the_group_closes_its_channels() {
    let mut alice = connected();
    alice.open_standard(ALICE, 1.0);
    alice.open_extended(ALICE, 4);
    let close = CloseChannelOwned {
        channel_id: 1,
        reason_code: "".try_into().unwrap(),
    };
    let actions = alice.send_frame(wire::channel_frame(MESSAGE_TYPE_CLOSE_CHANNEL, close));
    let closed = |action: &&Action| matches!(action, Action::Closed { .. });
    assert_eq!(actions.iter().filter(closed).count(), 2);
    assert!(types(&alice.new_work(work(2, template(2, HARD, START)))).is_empty());
    assert_eq!(error_code(&alice.submit(0)).unwrap(), "invalid-channel-id");
}

#[test]
fn a_connection_without_a_channel_or_without_a_word_is_closed() {
    let mut idler = connected();
    let mut out = Vec::new();
    idler.pool.tick(59_999, &mut out);
    assert!(out.is_empty());
    idler.pool.tick(60_000, &mut out);
    assert_eq!(hangup(&out), Some(Hangup::NoChannel));

    let mut silent = connected();
    silent.open_standard(ALICE, 1.0);
    let mut out = Vec::new();
    silent.pool.tick(599_999, &mut out);
    assert_eq!(hangup(&out), None);
    silent.pool.tick(600_000, &mut out);
    assert_eq!(hangup(&out), Some(Hangup::Idle));
}
