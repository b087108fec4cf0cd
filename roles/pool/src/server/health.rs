//! What `/health` and `/metrics` say.

use std::sync::{Arc, Weak};

use serde_json::json;
use winze_client::outbox::SetBack;
use winze_client::{HubClient, HubStatus, RequesterStatus};
use winze_runtime::metrics::{Registry, text};
use winze_runtime::ops_http::{Health, OpsState};

use super::PoolState;
use super::redis::RedisHandle;
use crate::mining::Intake;

/// The closures hold no part of the pool alive: its end does not wait for the HTTP port's.
pub(super) fn ops(state: &Arc<PoolState>, hub: &HubClient, registry: Registry) -> OpsState {
    let hub_status = hub.status();
    let weak = Arc::downgrade(state);
    let for_metrics = (weak.clone(), hub_status.clone());
    OpsState::new(
        move || health(&weak, &hub_status.borrow()),
        move || {
            let (state, hub_status) = &for_metrics;
            if let Some(state) = state.upgrade() {
                refresh(&state, hub_status.borrow().is_connected());
            }
            text(&registry)
        },
    )
}

/// Ready is: miners can open channels, what they mine on is not outdated, their shares can be written down, and their
/// quotes travel: one of the ways that are
/// switched on is open. A pool that is not connected to the hub goes on taking shares, and so does for a while one whose bitcoin node is away; the operator is
/// the one to know.
fn health(state: &Weak<PoolState>, hub: &HubStatus) -> Health {
    let hub_connected = hub.is_connected();
    let Some(state) = state.upgrade() else {
        return Health {
            ready: false,
            detail: json!({ "state": "stopping" }),
        };
    };
    let paying = state.intake() == Intake::Open;
    let keyset = state.keyset.borrow().as_ref().map(hex::encode);
    let (height, age) = match &*state.templates.borrow() {
        Some(work) => (Some(work.template.height), Some(work.fetched.elapsed())),
        None => (None, None),
    };
    let template_fresh = age.is_some_and(|age| age <= state.freshness.template_age_max);
    let away = state.source_away.borrow().clone();
    let requests: RequesterStatus = state.requester.status();
    let trouble = state.ledger.trouble();
    let redis = state.redis.as_ref().map(RedisHandle::status);
    let redis_connected = redis.as_ref().map(|redis| redis.is_connected);
    let redis_takes = redis.as_ref().map(|redis| !redis.refuses);
    let travel = hub_connected || (redis_connected, redis_takes) == (Some(true), Some(true));
    Health {
        ready: travel && paying && template_fresh && trouble.is_none(),
        detail: json!({
            "store_trouble": trouble,
            "store_damage": state.ledger.damage(),
            "quote_path": state.quote_path.name(),
            "redis_connected": redis_connected,
            "redis_takes_requests": redis_takes,
            "redis_last_error": redis.and_then(|redis| redis.last_fault),
            "redis_too_large": state.redis.as_ref().map(|_| state.metrics.redis_too_large.get()),
            "hub_connected": hub_connected,
            "hub_last_error": hub.last_error,
            "mint_present": requests.peer_present,
            "mint_store_known": requests.peer_known,
            "store_set_back": requests.set_back.map(set_back),
            "mint_store_set_back": requests.peer_set_back.map(set_back),
            "mint_keyset_id": keyset,
            "template_height": height,
            "template_age_s": age.map(|age| age.as_secs()),
            "node_connected": age.is_some() && away.is_none(),
            "node_last_error": away.map(|away| away.error),
            "channels": state.metrics.channels.get(),
            "quotes_waiting": requests.waiting,
            "quotes_parked": requests.parked,
            "quotes_oldest_ms": requests.oldest_age_ms,
        }),
    }
}

/// Highest numbers: what the store that was set back has, what the other one knows.
fn set_back(set_back: SetBack) -> serde_json::Value {
    json!({
        "noticed_unix_ms": set_back.noticed_unix_ms,
        "had": set_back.had,
        "known": set_back.known,
    })
}

fn refresh(state: &PoolState, hub_connected: bool) {
    let metrics = &state.metrics;
    let requests = state.requester.status();
    metrics.quotes_waiting.set(requests.waiting);
    metrics.quotes_parked.set(requests.parked);
    metrics
        .quotes_oldest_ms
        .set(requests.oldest_age_ms.unwrap_or(0));
    metrics
        .store_failing
        .set(i64::from(state.ledger.trouble().is_some()));
    metrics
        .store_damage
        .set(i64::from(state.ledger.damage().is_some()));
    metrics
        .store_set_back
        .set(i64::from(requests.set_back.is_some()));
    metrics
        .mint_store_set_back
        .set(i64::from(requests.peer_set_back.is_some()));
    metrics.hub_connected.set(i64::from(hub_connected));
    let redis = state.redis.as_ref().map(RedisHandle::status);
    let redis_connected = redis.is_some_and(|redis| redis.is_connected);
    metrics.redis_connected.set(i64::from(redis_connected));
    metrics.mint_contradictions.set(requests.counts.nonsense);
    metrics.mint_present.set(i64::from(requests.peer_present));
    let node_connected = state.templates.borrow().is_some() && state.source_away.borrow().is_none();
    metrics.node_connected.set(i64::from(node_connected));
    metrics.template_height.set(height(state).unwrap_or(0));
}

fn height(state: &PoolState) -> Option<u64> {
    let work = state.templates.borrow();
    work.as_ref().map(|work| work.template.height)
}
