//! A small `scripts/soak`: the memory of a hub under loads that it must bear. How long messages take is not looked at: this
//! machine has other tests to run.

use std::time::Duration;

use winze_testbed::soak::{self, SoakPlan};

use crate::WINZE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hubs_memory_stays_within_its_limits_and_nobody_is_lost_among_deaf_peers_and_strangers() {
    let plan = SoakPlan {
        executable: WINZE.into(),
        idle: 100,
        pairs: 10,
        idle_for: Duration::from_millis(500),
        each: Duration::from_secs(3),
        floods: 1,
    };
    let report = soak::run(&plan, |line| eprintln!("{line}")).await.unwrap();
    assert_eq!(report.memory_problems(), Vec::<String>::new(), "{report:?}");
}
