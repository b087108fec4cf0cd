//! The stand-ins against a real redis-server: they have the weaknesses of what they stand for, and no others.

use std::time::Duration;

use redis::Commands;
use tempfile::TempDir;
use winze_redis::testing::{RedisServer, Wanted};
use winze_testbed::legacy::{
    LegacyMint, LegacyMintKind, LegacyMintPlan, LegacyPool, LegacyPoolPlan, LegacyShape,
};
use winze_testbed::wait;

const SOON: Duration = Duration::from_secs(20);

struct Scene {
    redis: RedisServer,
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let folder = TempDir::new().unwrap();
        let redis = RedisServer::start(&folder.path().join("redis"), Wanted::default()).unwrap();
        Scene { redis, folder }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.redis.address())
    }

    fn mint(&self) -> LegacyMint {
        let store = self.folder.path().join("old-mint.sqlite");
        LegacyMint::start(LegacyMintPlan::new(self.url(), store)).unwrap()
    }

    fn pool(&self, shape: LegacyShape, shares: Option<u64>) -> LegacyPool {
        let plan = LegacyPoolPlan {
            shape,
            shares,
            shares_per_second: 500,
            ..LegacyPoolPlan::new(self.url())
        };
        LegacyPool::start(plan).unwrap()
    }
}

async fn made(mint: &LegacyMint, count: u64) {
    let made = wait::until("quotes of the old mint", SOON, || async {
        match mint.made_count() {
            made if made >= count => Ok(()),
            made => Err(format!("{made}")),
        }
    });
    made.await.unwrap();
}

#[tokio::test]
async fn an_old_pool_waits_for_the_keyset_and_its_shares_become_quotes_in_every_shape() {
    let scene = Scene::new();
    let pools = [
        LegacyShape::Nested,
        LegacyShape::FlatWithMessages,
        LegacyShape::Flat,
    ]
    .map(|shape| scene.pool(shape, Some(20)));
    assert!(pools.iter().all(|pool| pool.pushed_count() == 0));
    let mint = scene.mint();
    made(&mint, 60).await;
    let quotes = mint.quotes().unwrap();
    for pool in &pools {
        assert!(pool.pushed().iter().all(|hash| quotes.contains_key(hash)));
        assert_eq!(pool.pushed_count(), 20);
        assert_eq!(pool.answered_count().unwrap(), 20);
    }
    assert_eq!((quotes.len(), mint.unreadable_count()), (60, 0));
}

#[tokio::test]
async fn an_old_mint_that_is_killed_behind_its_pop_has_lost_that_entry_and_comes_back_for_the_others()
 {
    let scene = Scene::new();
    let mut mint = scene.mint();
    let mut pool = scene.pool(LegacyShape::Flat, None);
    made(&mint, 10).await;
    mint.kill_after_pop().await.unwrap();
    assert_eq!(mint.lost_count(), 1);
    pool.stop().await.unwrap();
    let kept = mint.quotes().unwrap().len() as u64;

    let again = scene.mint();
    let waiting = pool.pushed_count() - kept - 1;
    made(&again, waiting).await;
    let quotes = again.quotes().unwrap();
    let without = pool
        .pushed()
        .iter()
        .filter(|it| !quotes.contains_key(*it))
        .count();
    assert_eq!(without, 1, "what nobody had any more");
}

#[tokio::test]
async fn an_old_pool_ends_with_its_redis_and_one_that_is_killed_in_its_push_does_not_know_of_it() {
    let mut scene = Scene::new();
    let mint = scene.mint();
    let mut killed = scene.pool(LegacyShape::Flat, None);
    made(&mint, 5).await;
    killed.kill().await.unwrap();
    let unsure = killed.in_doubt().unwrap();
    made(&mint, killed.pushed_count() + 1).await;
    assert!(mint.quotes().unwrap().contains_key(&unsure));
    assert!(!killed.pushed().contains(&unsure));

    let other = scene.pool(LegacyShape::Flat, None);
    made(&mint, killed.pushed_count() + 6).await;
    scene.redis.kill();
    let ended = wait::until("end of the old pool", SOON, || async {
        other.problem().ok_or_else(|| "it runs".to_owned())
    });
    ended.await.unwrap();
    assert!(!other.is_running());
}

#[tokio::test]
async fn each_kind_of_old_mint_reads_what_mints_of_its_time_read_and_drops_the_rest() {
    let entry = |share: u32, amount: u32| {
        format!(
            r#""unit":"HASH","amount":{amount},"header_hash":"{share:064x}","description":null,"pubkey":null"#
        )
    };
    let nested = |share, amount| {
        let fields = entry(share, amount);
        format!(r#"{{"quote_request":{{{fields}}},"blinded_messages":[]}}"#)
    };
    let flat = |share, amount| {
        let fields = entry(share, amount);
        format!(r#"{{{fields},"keyset_id":"0011223344556677"}}"#)
    };
    let entries = [
        nested(1, 1_000),
        nested(1, 1_000),
        flat(2, 256),
        flat(2, 256),
        flat(3, 257),
    ];
    // Popped are the last ones first. Made, refused as repetitions, made a second time, dropped; and ids under their keys.
    for (kind, counts, ids) in [
        (LegacyMintKind::Nested, (2, 0, 1, 3), 1),
        (LegacyMintKind::Flat, (1, 1, 0, 3), 0),
        (LegacyMintKind::Lenient, (3, 2, 0, 0), 3),
    ] {
        let scene = Scene::new();
        let client = redis::Client::open(scene.url()).unwrap();
        let mut redis = client.get_connection().unwrap();
        let _: u64 = redis.rpush("mint:quotes:create", &entries).unwrap();
        let store = scene.folder.path().join("old-mint.sqlite");
        let plan = LegacyMintPlan::of_kind(kind, scene.url(), store);
        let mut mint = LegacyMint::start(plan).unwrap();
        let popped = wait::until("the end of the list", SOON, || async {
            match mint.popped_count() {
                5 => Ok(()),
                popped => Err(format!("{popped}")),
            }
        });
        popped.await.unwrap();
        // It has made the last one, and written its id.
        mint.stop().await.unwrap();
        let of = (
            mint.made_count(),
            mint.repeated_count(),
            mint.second_count(),
            mint.unreadable_count(),
        );
        assert_eq!(of, counts, "{kind:?}");
        let keys: Vec<String> = redis.keys("mint:quotes:hash:*").unwrap();
        assert_eq!(keys.len(), ids, "{kind:?}");
    }
}
