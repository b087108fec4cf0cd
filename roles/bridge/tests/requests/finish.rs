//! A bridge that has to finish what it has, while somebody else reads the list.

use redis::Commands;
use winze_redis::testing::Wanted;

use crate::deployment::{
    Deployment, FIRST_KEYSET, KEYSET, LIST, TAKEN, all_told, entry, length, push, told,
};
use crate::support::{RunningBridge, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_takes_nothing_new_finishes_what_it_has_taken_and_leaves_list_and_keyset_alone()
 {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let mut config = deployment.config(deployment.redis.config());
    if let Some(requests) = &mut config.requests {
        requests.takes_new = false;
    }
    // Where a bridge was killed between taking and writing down; and what is for whoever reads the list now.
    push(&mut pool, (1..=10).map(entry));
    for _ in 1..=10 {
        let _: String = pool
            .lmove(LIST, TAKEN, redis::Direction::Left, redis::Direction::Right)
            .expect("there is one");
    }
    push(&mut pool, (11..=15).map(entry));
    let _: () = pool.set(KEYSET, "the old mint's").expect("it is set");

    let bridge = RunningBridge::start(config).await;
    all_told(&mut pool, 1..=10).await;
    until("what was taken is settled", async || {
        length(&mut pool, TAKEN) == 0
    })
    .await;
    // It has gone round, and would have taken the others long since.
    push(&mut pool, [entry(16)]);
    until("it has looked at the list", async || {
        bridge.health().await["detail"]["requests"]["list_length"] == 6
    })
    .await;
    let said = &bridge.health().await["detail"]["requests"]["takes_new"];
    assert_eq!(
        *said, false,
        "whoever forgets to take it out again shall see it"
    );
    assert_eq!((length(&mut pool, LIST), length(&mut pool, TAKEN)), (6, 0));
    assert!((11..=16).all(|share| told(&mut pool, share).is_none()));
    let keyset: String = pool.get(KEYSET).expect("a text");
    assert_eq!(keyset, "the old mint's");
    assert!(mint.made.each_once());
    bridge.stop().await;
}
