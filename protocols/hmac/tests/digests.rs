//! Digests against FIPS 180-4's examples, and against a library that shares nothing with the vector code but the standard.

mod messages;

use messages::messages;
use proptest::prelude::*;
use sha2::Digest;
use winze_hmac::{DIGEST_BYTES, Message, Sha256};

#[test]
fn the_standards_messages_have_the_standards_digests() {
    let vectors: [(&[u8], &str); 3] = [
        (
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ];
    for (body, expected) in vectors {
        let message = Message { head: &[], body };
        assert_eq!(hex::encode(Sha256::new().digest(message)), expected);
        let mut digests = [[0; DIGEST_BYTES]; 16];
        Sha256::new().digests(&[message; 16], &mut digests);
        assert!(digests.iter().all(|digest| hex::encode(digest) == expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn many_messages_have_the_digests_that_another_library_makes_one_by_one(
        block in any::<Option<([u8; 32], [u8; 32])>>(),
        messages in messages(),
    ) {
        let block = block.map(|(a, b)| [a, b].concat().try_into().unwrap());
        let of_block = block.as_ref().map_or(Sha256::new(), Sha256::behind);
        let messages: Vec<_> = messages.iter().map(|(text, split)| text.split_at(*split)).collect();
        let expected = messages.iter().map(|(head, body)| {
            let before = block.as_ref().map_or(&[][..], |block| block);
            sha2::Sha256::new().chain_update(before).chain_update(head).chain_update(body)
        });
        let expected: Vec<[u8; 32]> = expected.map(|hash| hash.finalize().into()).collect();
        let messages: Vec<_> = messages
            .into_iter()
            .map(|(head, body)| Message { head, body })
            .collect();
        for sha256 in [of_block.clone(), of_block.one_by_one()] {
            let mut digests = vec![[0; DIGEST_BYTES]; messages.len()];
            sha256.digests(&messages, &mut digests);
            prop_assert!(digests == expected);
            let alone = messages.iter().map(|message| sha256.digest(*message));
            prop_assert!(alone.eq(expected.iter().copied()));
        }
    }
}
