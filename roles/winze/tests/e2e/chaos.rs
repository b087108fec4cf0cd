//! A short run of what `scripts/chaos` does: one, two or all three processes are killed, some of them in the middle of
//! starting.

use std::time::Duration;

use winze_testbed::chaos::{self, ChaosPlan};

use crate::WINZE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_share_is_one_redeemed_quote_after_kills_at_moments_that_a_seed_chose() {
    let plan = ChaosPlan {
        executable: WINZE.into(),
        lasts: Duration::from_secs(15),
        kills_min: 6,
        seed: 3,
        miners: 2,
        redis: false,
    };
    let report = chaos::run(&plan, |line| eprintln!("{line}")).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!((report.lost, report.duplicates), (0, 0), "{report:?}");
    assert_eq!(report.ecash_redeemed, report.ecash_expected, "{report:?}");
    assert!(report.kills.all() >= plan.kills_min, "{report:?}");
}
