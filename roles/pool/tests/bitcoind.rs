//! Mining on a real node.

mod support;

use std::path::PathBuf;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Network, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness,
};
use serde_json::json;
use support::miner::Miner;
use support::node::{self, Node};
use support::{RunningPool, World, metric, nobody, until, within};
use winze_client::Store;
use winze_miner::ChannelKind;

/// Shares of either kind of channel become blocks that Bitcoin Core accepts, with a transaction of somebody else in
/// one of them, and their coinbases pay the configured script.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_meets_regtests_target_is_a_block_on_the_nodes_chain() {
    let Some(executable) = executable() else {
        return;
    };
    let node = Node::start(&executable).await;
    let txid = spend_the_first_coin(&node).await;
    let world = World::new();
    world.seed_keyset().await;
    let script = "51201111111111111111111111111111111111111111111111111111111111111111";
    let coinbase = format!(
        "payout_script = \"{script}\"
tag = \"regtest\""
    );
    let pool = start_pool(&world, &node, "", &coinbase).await;

    for (kind, height) in [(ChannelKind::Standard, 103), (ChannelKind::Extended, 104)] {
        let mut alice = Miner::start(pool.mining, world.authority, kind).await;
        let share = alice.find().await;
        assert!(share.meets_network_target);
        assert_eq!(alice.ask(&share).await, Ok(()));
        let hash = until("the block", || async {
            let best = node.call("getbestblockhash", json!([])).await;
            let block = node.call("getblock", json!([best, 1])).await;
            (block["height"] == height).then(|| best.as_str().unwrap().to_owned())
        })
        .await;
        let found = winze_messages::text::header_hash_to_text(&share.header_hash);
        assert_eq!(hash, found);
        let block = node.call("getblock", json!([hash, 2])).await;
        let outputs = block["tx"][0]["vout"].as_array().unwrap();
        assert_eq!(outputs[0]["scriptPubKey"]["hex"], script);
        // The first block has the transaction and its fee.
        let first = height == 103;
        assert_eq!(outputs[0]["value"], if first { 50.01 } else { 50.0 });
        assert_eq!(block["tx"][1]["txid"].as_str(), first.then_some(&txid[..]));
        assert_eq!(outputs[1]["value"], 0.0, "the witness commitment");
        until("the next template", || async {
            let next = metric(pool.http, "winze_pool_template_height ").await;
            (next == f64::from(height + 1)).then_some(())
        })
        .await;
    }
    let accepted = "winze_pool_blocks_found_total{outcome=\"accepted\"}";
    assert_eq!(metric(pool.http, accepted).await, 2.0);
    pool.running.stop().await;
}

/// A share is paid and its block kept for the node while it is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_found_while_the_node_restarts_is_on_its_chain_afterwards() {
    let Some(executable) = executable() else {
        return;
    };
    let mut node = Node::start(&executable).await;
    let world = World::new();
    world.seed_keyset().await;
    let pool = start_pool(&world, &node, "", ANYONES).await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;
    let share = alice.find().await;
    assert!(share.meets_network_target);

    node.stop().await;
    assert_eq!(alice.ask(&share).await, Ok(()));
    within(node.turn_away("submitblock", 3)).await;
    node.start_again(&executable).await;
    let found = winze_messages::text::header_hash_to_text(&share.header_hash);
    until("the block", || async {
        (node.call("getbestblockhash", json!([])).await == found).then_some(())
    })
    .await;
    let accepted = "winze_pool_blocks_found_total{outcome=\"accepted\"}";
    until("the count", || async {
        (metric(pool.http, accepted).await == 1.0).then_some(())
    })
    .await;
    pool.running.stop().await;
}

/// The operator sees at once that the node is gone, and after the time that was configured nobody is paid for a tip that
/// may be an old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_node_is_gone_says_so_and_pays_for_no_more_shares_until_it_is_back() {
    let Some(executable) = executable() else {
        return;
    };
    let mut node = Node::start(&executable).await;
    let world = World::new();
    world.seed_keyset().await;
    let top = "template_refresh_ms = 600000\ntemplate_stale_after_s = 1\n";
    let pool = start_pool(&world, &node, top, ANYONES).await;
    let connected = || metric(pool.http, "winze_pool_node_connected ");
    until("the node", || async {
        (connected().await == 1.0).then_some(())
    })
    .await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;

    node.stop().await;
    until("the operator can see it", || async {
        (connected().await == 0.0).then_some(())
    })
    .await;
    let outdated = Err("block-template-outdated".to_owned());
    let mut paid = 0;
    loop {
        let share = alice.find().await;
        let answer = alice.ask(&share).await;
        if answer == outdated {
            break;
        }
        assert_eq!(answer, Ok(()));
        paid += 1;
        assert!(paid < 100_000, "shares are paid for ever");
    }

    node.start_again(&executable).await;
    until("the node is there again", || async {
        (connected().await == 1.0).then_some(())
    })
    .await;
    // Shares for the job before the node's new one may still be on their way.
    let mut tries = 0;
    loop {
        let share = alice.find().await;
        match alice.ask(&share).await {
            Ok(()) => break,
            Err(code) => assert!(tries < 100, "{code}"),
        }
        tries += 1;
    }
    pool.running.stop().await;
}

/// The pool dies while it holds a block for its node. The next one finds it on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_whose_pool_died_before_the_node_came_back_is_on_its_chain_afterwards() {
    let Some(executable) = executable() else {
        return;
    };
    let mut node = Node::start(&executable).await;
    let world = World::new();
    world.seed_keyset().await;
    let pool = start_pool(&world, &node, "", ANYONES).await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;
    let share = alice.find().await;
    assert!(share.meets_network_target);
    node.stop().await;
    assert_eq!(alice.ask(&share).await, Ok(()));
    within(node.turn_away("submitblock", 2)).await;
    pool.running.kill().await;
    until("the store is let go of", || async {
        let opened = Store::open(&world.at("pool.sqlite"), &[]);
        opened.ok().map(drop)
    })
    .await;

    let tables = tables(&node, ANYONES);
    let pool = world.start_pool(nobody(), "", &tables).await;
    node.start_again(&executable).await;
    let found = winze_messages::text::header_hash_to_text(&share.header_hash);
    until("the block", || async {
        (node.call("getbestblockhash", json!([])).await == found).then_some(())
    })
    .await;
    let accepted = "winze_pool_blocks_found_total{outcome=\"accepted\"}";
    until("the count", || async {
        (metric(pool.http, accepted).await == 1.0).then_some(())
    })
    .await;
    pool.running.stop().await;
    let store = Store::open(&world.at("pool.sqlite"), &[]).unwrap();
    let kept = store.read(|connection| {
        Ok(
            connection.query_row("SELECT count(*) FROM pool_block", [], |row| {
                row.get::<_, u64>(0)
            })?,
        )
    });
    assert_eq!(kept.await.unwrap(), 0);
}

/// Makes 101 blocks, so that the first of them can be spent, and has the node take a transaction that does, with a
/// witness and a fee of 0.01. Anyone may: the coin's script is OP_TRUE.
async fn spend_the_first_coin(node: &Node) -> String {
    let anyone = Script::from_bytes(&[0x51]);
    let address = Address::p2wsh(anyone, Network::Regtest);
    let blocks = node
        .call("generatetoaddress", json!([101, address.to_string()]))
        .await;
    let block = node.call("getblock", json!([blocks[0], 1])).await;
    let coin = block["tx"][0].as_str().unwrap();
    let transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(coin.parse().unwrap(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[anyone.as_bytes()]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(4_999_000_000),
            script_pubkey: address.script_pubkey(),
        }],
    };
    let text = bitcoin::consensus::encode::serialize_hex(&transaction);
    let txid = node.call("sendrawtransaction", json!([text, 0])).await;
    txid.as_str().unwrap().to_owned()
}

/// A coinbase that anyone can spend, for tests that do not look at it.
const ANYONES: &str = "payout_script = \"51\"";

/// The node to test with. Without one a test says so and is over.
fn executable() -> Option<PathBuf> {
    let found = node::find();
    if found.is_none() {
        println!(
            "SKIPPED: no bitcoind. Set BITCOIND_EXE, or put bitcoind on the PATH, to run this test."
        );
    }
    found
}

/// The tables of a pool on `node`; `coinbase` are the lines of the last one.
fn tables(node: &Node, coinbase: &str) -> String {
    format!(
        "[bitcoind]\naddress = \"{}\"\ncookie_file = \"{}\"\npoll_ms = 50\n[coinbase]\n{coinbase}",
        node.rpc_addr,
        node.cookie_file().display()
    )
}

/// A pool on `node`, once it has work; `top` are lines at the top of its configuration.
async fn start_pool(world: &World, node: &Node, top: &str, coinbase: &str) -> RunningPool {
    let tables = tables(node, coinbase);
    let pool = world.start_pool(nobody(), top, &tables).await;
    until("a template", || async {
        let height = metric(pool.http, "winze_pool_template_height ").await;
        (height > 1.0).then_some(())
    })
    .await;
    pool
}
