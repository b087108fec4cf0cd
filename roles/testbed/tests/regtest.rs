//! The regtest node that the demonstration and the end-to-end tests mine on.

use winze_testbed::{RegtestNode, TestbedError};

#[tokio::test]
async fn a_regtest_node_mines_for_itself_and_is_gone_when_dropped() {
    let executable = match RegtestNode::find_executable() {
        Ok(executable) => executable,
        Err(missing @ TestbedError::NoNode { .. }) => {
            eprintln!("SKIPPED, nothing was tested: {missing}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let node = RegtestNode::start(&executable).await.unwrap();
    assert_eq!(
        node.height().await.unwrap(),
        1,
        "out of the initial download"
    );
    node.mine(2).await.unwrap();
    assert_eq!(node.height().await.unwrap(), 3);
    let payments = node.coinbase_payments(3).await.unwrap();
    assert_eq!(payments, [("51".to_owned(), 5_000_000_000)]);
    let error = node
        .call("nonsense", serde_json::json!([]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");

    let access = node.access().clone();
    drop(node);
    assert!(!access.cookie_file.exists());
    access
        .call("getblockcount", serde_json::json!([]))
        .await
        .unwrap_err();
}
