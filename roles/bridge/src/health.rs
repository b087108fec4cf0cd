//! What `/health` says.

use serde_json::{Value, json};
use winze_client::outbox::SetBack;
use winze_client::{HubStatus, Store, answers};
use winze_runtime::ops_http::Health;

use crate::legacy_mint::{LegacyMint, LegacyMintStatus};
use crate::requests::RequestsStatus;

/// For the operator.
const NO_ID_EVER_CAME: &str = "many requests were taken off the list, and no quote's id has come since the start: the mint \
    does not read entries of this legacy_mint.shape, takes no such amounts, or writes its ids elsewhere or not at all";

/// As [`NO_ID_EVER_CAME`].
const KEYSET_CHANGED: &str = "the keyset changed while requests were open, of which another mint could make second quotes: \
    nothing is pushed again until a start with none open, or with legacy_mint.moved_from";

/// Ready is: what is switched on can be done now. A mint that is away is its own operator's matter: what is asked of it is on
/// disk.
pub(crate) fn health(
    hub: &HubStatus,
    store: &Store,
    requests: Option<&RequestsStatus>,
    legacy_mint: Option<&LegacyMint>,
) -> Health {
    let trouble = store.trouble();
    let can_take = requests.is_none_or(|it| it.redis.is_well && it.keyset_id.is_some());
    let can_push = legacy_mint.is_none_or(LegacyMint::is_ready);
    let legacy = legacy_mint.map(LegacyMint::status);
    let legacy = legacy.as_ref();
    let set_backs = legacy_mint.map(LegacyMint::set_backs).unwrap_or_default();
    Health {
        ready: hub.is_connected() && trouble.is_none() && can_take && can_push,
        detail: json!({
            "hub_connected": hub.is_connected(),
            "hub_last_error": hub.last_error,
            "store_trouble": trouble,
            "store_damage": store.damage(),
            "redis_connected": requests.is_none_or(|it| it.redis.is_well)
                && legacy.is_none_or(|it| it.redis_connected),
            "redis_last_fault": requests
                .and_then(|it| it.redis.fault.clone())
                .or_else(|| legacy.and_then(|it| it.last_fault.clone())),
            "requests": requests.map(of_requests),
            "legacy_mint": legacy.map(|it| of_legacy_mint(it, &set_backs)),
        }),
    }
}

fn of_requests(status: &RequestsStatus) -> Value {
    let requester = &status.requester;
    json!({
        "redis_connected": status.redis.is_well,
        "redis_last_fault": status.redis.fault,
        "takes_new": status.takes_new,
        "list_length": status.list_length,
        "dead_letters_length": status.dead_letters_length,
        "answers_untold": status.untold,
        "mint_present": requester.peer_present,
        "mint_store_known": requester.peer_known,
        "mint_keyset_id": status.keyset_id,
        "store_set_back": requester.set_back.map(set_back),
        "mint_store_set_back": requester.peer_set_back.map(set_back),
        "quotes_waiting": requester.waiting,
        "quotes_parked": requester.parked,
        "quotes_oldest_ms": requester.oldest_age_ms,
    })
}

fn of_legacy_mint(status: &LegacyMintStatus, set_backs: &[answers::SetBack]) -> Value {
    let set_backs: Vec<Value> = set_backs
        .iter()
        .map(|set_back| {
            json!({
                "pool": set_back.peer,
                "own_answers": set_back.own_answers,
                "told_answers": set_back.told_answers,
                "noticed_unix_ms": set_back.noticed_unix_ms,
            })
        })
        .collect();
    json!({
        "redis_connected": status.redis_connected,
        "redis_last_fault": status.last_fault,
        "takes_new": status.takes_new,
        "list_length": status.list_length,
        "is_list_full": status.is_list_full,
        "open": status.open,
        "unpushed": status.unpushed,
        "open_oldest_ms": status.oldest_ms,
        "unanswered": status.unanswered,
        "problem": match (status.is_unheard(), status.is_held) {
            (true, _) => Some(NO_ID_EVER_CAME),
            (_, true) => Some(KEYSET_CHANGED),
            _ => None,
        },
        "keyset_id": status.keyset_id,
        "keyset_problem": status.keyset_problem,
        "pools_present": status.responder.pools_present,
        "store_set_back": set_backs,
        "requests_under_way": status.responder.under_way,
    })
}

/// Highest numbers: what the store that was set back has, what the other one knows.
fn set_back(set_back: SetBack) -> Value {
    json!({
        "noticed_unix_ms": set_back.noticed_unix_ms,
        "had": set_back.had,
        "known": set_back.known,
    })
}
