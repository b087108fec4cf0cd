//! A queue that holds what no pool of ours would push.

use redis::Commands;
use winze_redis::testing::Wanted;

use crate::deployment::{
    DEAD, Deployment, FIRST_KEYSET, FOREIGN_KEYSET, LIST, all_told, dead_letters, entry, hash,
    is_through, length, push, with_keyset,
};
use crate::support::until;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_entry_is_a_dead_letter_with_its_reason_and_every_good_one_a_quote() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let unescaped = |text: &str| entry(90).replace("null", &format!(r#""{text}""#));
    let twice = format!(r#"x","pubkey":"{}","y":""#, "03".repeat(33));
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (unescaped(&twice).into(), "stands twice"),
        (b"{\"unit\":\"HASH\"".to_vec(), "not JSON"),
        (Vec::new(), "not JSON"),
        (vec![0xff, 0xfe], "not JSON"),
        (vec![b'x'; 10 * MIB as usize], "10485760 bytes long"),
        ("[".repeat(60_000).into_bytes(), "not JSON"),
        (b"[]".to_vec(), "no JSON object"),
        (unescaped(r#"a "fine" share"#).into(), "not JSON"),
        (unescaped(&"d".repeat(300)).into(), "description"),
        (entry(90).replace(":8,", ":0,").into(), "amount 0"),
        (entry(90).replace("HASH", "SAT").into(), "unit \"sat\""),
        (entry(1).replace(":8,", ":9,").into(), "conflict"),
        (
            with_keyset(91, &hex::encode(FOREIGN_KEYSET)).into(),
            "unknown-keyset",
        ),
    ];
    let good = 1..=bad.len() as u32 + 1;
    push(&mut pool, [entry(1)]);
    for (share, (bad, _)) in (2..).zip(&bad) {
        push(&mut pool, [bad.as_slice(), entry(share).as_bytes()]);
    }
    let bridge = deployment.start_bridge().await;
    all_told(&mut pool, good.clone()).await;
    until("all are dead letters", async || {
        length(&mut pool, DEAD) == bad.len() as u64 && is_through(&mut pool)
    })
    .await;
    let mut letters = dead_letters(&mut pool);
    for (_, reason) in &bad {
        let at = letters.iter().position(|(said, _)| said.contains(reason));
        letters.swap_remove(at.unwrap_or_else(|| panic!("{reason} is not in {letters:?}")));
    }
    let good: Vec<String> = good.map(hash).collect();
    assert_eq!(mint.made.in_order(), good, "first sent in order, and once");
    assert_eq!(
        bridge.metric("dead_letters_total").await,
        bad.len() as u64,
        "each is counted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_entries_at_the_start_take_no_memory_and_hold_nobody_up() {
    const GOOD_EVERY: u32 = 1_000;
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    fill(&mut pool, GOOD_EVERY);
    assert_eq!(length(&mut pool, LIST), 1_000_000);
    let before = resident_bytes();
    let bridge = deployment.start_bridge().await;
    let mut most = before;
    until("all are dealt with", async || {
        most = most.max(resident_bytes());
        is_through(&mut pool)
    })
    .await;
    let good = 1_000_000 / GOOD_EVERY;
    all_told(&mut pool, 1..=good).await;
    assert_eq!(
        mint.made.in_order(),
        (1..=good).map(hash).collect::<Vec<_>>()
    );
    assert_eq!(length(&mut pool, DEAD), u64::from(1_000_000 - good));
    let grown = most.saturating_sub(before);
    // The list itself has over 100 MiB.
    assert!(grown < 48 * MIB, "grew by {} MiB", grown / MIB);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_under_the_keys_are_named_and_lose_nothing() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let _mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let _: () = pool.set(LIST, "no list").expect("it is taken");
    let bridge = deployment.start_bridge().await;
    bridge.has_fault(LIST).await;
    let _: u64 = pool.del(LIST).expect("it goes");

    // A hash where dead letters belong: the batch waits, and whose requests are good have their quotes.
    let _: u64 = pool.hset(DEAD, "a", "b").expect("it is taken");
    let occupied = format!("mint:quotes:hash:{}", hash(2));
    let _: u64 = pool.rpush(&occupied, "no id").expect("it is taken");
    push(&mut pool, ["{".to_owned(), entry(1), entry(2)]);
    bridge.has_fault(DEAD).await;
    let _: u64 = pool.del(DEAD).expect("it goes");
    until("the bad one is put aside", async || {
        length(&mut pool, DEAD) == 1 && is_through(&mut pool)
    })
    .await;
    until("the id takes the place of what was there", async || {
        let kind: String = redis::cmd("TYPE")
            .arg(&occupied)
            .query(&mut pool)
            .expect("a type");
        kind == "string"
    })
    .await;
    all_told(&mut pool, [1, 2]).await;
    bridge.is_ready().await;
}

/// A million entries, every so many of them a good one.
fn fill(pool: &mut redis::Connection, good_every: u32) {
    let bad = format!("{{\"unit\":\"HASH\",\"description\":\"{}", "x".repeat(80));
    let mut share = 0;
    for _ in 0..100 {
        let mut push = redis::cmd("RPUSH");
        push.arg(LIST);
        for number in 1..=10_000 {
            match number % good_every {
                0 => {
                    share += 1;
                    push.arg(entry(share));
                }
                _ => {
                    push.arg(&bad);
                }
            }
        }
        push.query::<u64>(pool).expect("it is taken");
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("it is there").trim().trim_end_matches(" kB");
    kib.trim().parse::<u64>().expect("a number") * 1024
}
