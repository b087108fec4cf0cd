//! Mining on a real node.

mod support;

use serde_json::json;
use support::miner::Miner;
use support::node::{self, Node};
use support::{World, metric, nobody, until};
use winze_miner::ChannelKind;

/// Shares of either kind of channel become blocks that Bitcoin Core accepts, with a transaction of somebody else in one of
/// them, and their coinbases pay the configured script.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_meets_regtests_target_is_a_block_on_the_nodes_chain() {
    let Some(executable) = node::find() else {
        println!(
            "SKIPPED: no bitcoind. Set BITCOIND_EXE, or put bitcoind on the PATH, to run this test."
        );
        return;
    };
    let node = Node::start(&executable).await;
    let world = World::new();
    world.seed_keyset().await;
    let script = "51201111111111111111111111111111111111111111111111111111111111111111";
    let tables = format!(
        r#"[bitcoind]
        address = "{}"
        cookie_file = "{}"
        poll_ms = 50
        [coinbase]
        payout_script = "{script}"
        tag = "regtest""#,
        node.rpc_addr,
        node.cookie_file().display()
    );
    let pool = world.start_pool(nobody(), "", &tables).await;
    until("a template", || async {
        let height = metric(pool.http, "winze_pool_template_height ").await;
        (height > 1.0).then_some(())
    })
    .await;

    for (kind, height) in [(ChannelKind::Standard, 2), (ChannelKind::Extended, 3)] {
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
        assert_eq!(outputs[0]["value"], 50.0);
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
