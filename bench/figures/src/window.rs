//! How much a sender may send: the same for every system, kept by what its receivers have counted.

/// How many more messages may be sent where `sent` were, each receiver has counted as many as `arrived` says, and
/// `window` may be on their way to the slowest.
pub fn room(window: u64, sent: u64, arrived: impl Iterator<Item = u64>) -> u64 {
    // A count that runs ahead of what was sent is a message that came twice: it makes no room.
    let slowest = arrived.min().unwrap_or(sent).min(sent);
    window.saturating_sub(sent - slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_receiver_holds_the_sender_and_the_fastest_lets_nothing_more_through() {
        assert_eq!(room(16, 100, [100, 90].into_iter()), 6);
        assert_eq!(room(16, 100, [100, 84].into_iter()), 0);
        assert_eq!(room(16, 100, [100, 100].into_iter()), 16);
    }

    #[test]
    fn no_counting_error_opens_the_window_wider_than_it_is() {
        assert_eq!(room(16, 100, [130].into_iter()), 16);
        assert_eq!(room(16, 100, [0].into_iter()), 0);
        assert_eq!(room(16, 100, std::iter::empty()), 16);
    }
}
