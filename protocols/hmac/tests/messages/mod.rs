//! Messages of every length that matters.

use proptest::collection::vec;
use proptest::prelude::*;

/// Of a message: around the ends of blocks, where the padding needs another one or just does not.
fn message_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..400_usize,
        3 => prop::sample::select(vec![0, 22, 23, 54, 55, 56, 63, 64, 65, 118, 119, 120, 121, 128]),
        1 => 2_000..5_000_usize,
    ]
}

/// Each with a place to split it at.
pub fn messages() -> impl Strategy<Value = Vec<(Vec<u8>, usize)>> {
    let text = |bytes, first| -> Vec<u8> { (0..bytes).map(|i| (i % 251) as u8 ^ first).collect() };
    let message = move |bytes: BoxedStrategy<usize>| {
        (bytes, any::<u8>(), any::<prop::sample::Index>())
            .prop_map(move |(bytes, first, split)| (text(bytes, first), split.index(bytes + 1)))
    };
    // All of different lengths, or all of one, as those of a role are.
    let different = vec(message(message_bytes().boxed()), 0..40);
    let same = message_bytes().prop_flat_map(move |bytes| vec(message(Just(bytes).boxed()), 0..40));
    prop_oneof![different, same]
}
