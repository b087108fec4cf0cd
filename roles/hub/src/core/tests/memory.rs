//! What the hub holds for its clients, to the last message.

use super::super::credit::Totals;
use super::super::end::End;
use super::*;

/// What the hub holds for a sender is what its window says, and is accounted for to the last message: it waits for its
/// reader, or its refusal does. What a group adds are notices, as many for a member as the group's window has messages.
pub(super) fn check_memory(core: &HubCore, window: Totals) {
    for connection in core.connections.values() {
        for (channel_id, end) in connection.ends() {
            let held = end.inbound.held();
            assert!(
                window.covers(held),
                "{held:?} of {channel_id} in {connection:?}"
            );
            assert!(window.covers(end.outbound.waiting()));
            assert!(end.copies_refused().count() as u64 <= window.messages);
            if end.is_closing() || !end.is_known() {
                continue;
            }
            let undelivered = end.fan.as_ref().map_or(0, |fan| fan.undelivered());
            assert_eq!(
                held.messages,
                waiting_at_far(core, end) + end.refused_waiting() + undelivered,
                "messages of {channel_id} in {connection:?}"
            );
        }
    }
}

fn waiting_at_far(core: &HubCore, end: &End) -> u64 {
    let far = end.far().and_then(|far| {
        let connection = core.connections.get(&far.end.conn)?;
        connection.end_at(far.end.channel_id)
    });
    far.map_or(0, |far| far.outbound.waiting().messages)
}
