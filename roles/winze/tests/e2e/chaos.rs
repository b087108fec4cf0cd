//! Short runs of what `scripts/chaos` does: one, two or three processes are killed, some of them in the middle of starting.

use std::time::Duration;

use winze_testbed::chaos::{self, ChaosPlan, Kills};

use crate::WINZE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_share_is_one_redeemed_quote_after_kills_at_moments_that_a_seed_chose() {
    let kills = short_run(false).await;
    assert_eq!((kills.bridge, kills.redis), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_where_every_request_goes_over_redis_and_a_bridge_and_these_are_killed_too() {
    let kills = short_run(true).await;
    let way_round = kills.bridge.unwrap() + kills.redis.unwrap();
    assert!(way_round >= 3, "{kills}");
}

async fn short_run(redis: bool) -> Kills {
    let plan = ChaosPlan {
        executable: WINZE.into(),
        lasts: Duration::from_secs(15),
        kills_min: 6,
        seed: 3,
        miners: 2,
        redis,
    };
    let report = chaos::run(&plan, |line| eprintln!("{line}")).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!((report.lost, report.duplicates), (0, 0), "{report:?}");
    assert_eq!(report.ecash_redeemed, report.ecash_expected, "{report:?}");
    assert!(report.kills.all() >= plan.kills_min, "{report:?}");
    report.kills
}
