//! A short campaign; `scripts/simulate` makes long ones.

use winze_simulator::campaign::{plan, try_seeds};
use winze_simulator::world::run;

#[test]
fn no_promise_is_broken_whatever_crashes_fills_up_slows_down_or_lies() {
    let report = try_seeds(1..=40, None, |_| {});
    assert_eq!(report.violation, None);
    assert!(report.requests > 1_000, "{} requests", report.requests);
    assert!(report.chat > 1_000, "{} numbered messages", report.chat);
    let [received, told] = report.group;
    assert!(
        received > 1_000,
        "{received} messages to members of a group"
    );
    assert!(told > 1_000, "{told} that members did not get");
    assert!(
        report.faults.iter().all(|count| *count > 0),
        "every kind of fault was made: {:?}",
        report.faults
    );
    assert_eq!(report.coverage.missing(), Vec::<String>::new());
}

#[test]
fn one_seed_is_one_run() {
    let [first, second] = [(); 2].map(|()| {
        let mut plan = plan(7, None);
        plan.tell = true;
        run(plan)
    });
    assert_eq!(first.story, second.story);
    assert_eq!(first.faults, second.faults);
    assert_eq!(first.requests, second.requests);
}
