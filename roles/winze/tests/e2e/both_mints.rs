//! What both mints of a move have made, share by share.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OpenFlags};
use winze_testbed::configs::{RedisSettings, Settings};
use winze_testbed::{Deployment, Role, wait};

use crate::killed::SOON;
use crate::redis_paths::counted;

/// Every quote in the new mint's store, by header hash.
fn of_new_mint(deployment: &Deployment) -> BTreeMap<String, Vec<String>> {
    let file = deployment.folder().join("ecash.sqlite");
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    store.busy_timeout(SOON).unwrap();
    let mut all = store
        .prepare("SELECT request_lookup_id, id FROM mint_quote")
        .unwrap();
    let rows = all
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let mut quotes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let (hash, id) = row.unwrap();
        quotes.entry(hash).or_default().push(id);
    }
    quotes
}

/// No header hash has a quote at both, nor two at the new one. How many the new one has.
pub fn no_share_has_two(deployment: &Deployment, old: &BTreeSet<String>) -> u64 {
    let new = of_new_mint(deployment);
    for (hash, ids) in &new {
        assert_eq!(ids.len(), 1, "{hash} has several quotes at the new mint");
        assert!(!old.contains(hash), "{hash} has a quote at both mints");
    }
    new.len() as u64
}

/// A change to what goes over Redis.
pub fn of_redis(change: impl FnOnce(&mut RedisSettings)) -> impl FnOnce(&mut Settings) {
    |settings| {
        if let Some(redis) = &mut settings.redis {
            change(redis);
        }
    }
}

/// The bridge is started again, to finish what it has begun, or to go on.
pub async fn bridge(deployment: &mut Deployment, finishes: bool) {
    let change = of_redis(|redis| redis.bridge_finishes = finishes);
    deployment.change(change).unwrap();
    deployment.terminate(Role::Bridge).await.unwrap();
    deployment.restart(Role::Bridge).await.unwrap();
}

/// Waits until each of these of the bridge's metrics is 0.
pub async fn bridge_has_no(deployment: &Deployment, what: &[&str]) {
    wait::until("end of what the bridge has begun", SOON, || async {
        for what in what {
            let left = counted(deployment, Role::Bridge, &format!("winze_bridge_{what}")).await;
            if left > 0.0 {
                return Err(format!("{left} {what}"));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until nothing is in this list.
pub async fn is_empty(deployment: &Deployment, list: &str) {
    let config = deployment.redis_config().unwrap();
    let redis = config.open().unwrap();
    let lists = winze_redis::Handover::new(&redis, list, &config.quote_key_prefix);
    let lists = tokio::sync::Mutex::new(lists);
    wait::until("end of the list", SOON, || async {
        match lists.lock().await.length().await.unwrap() {
            0 => Ok(()),
            length => Err(format!("{length} in {list}")),
        }
    })
    .await
    .unwrap();
}
