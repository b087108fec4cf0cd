//! MACs against the RFC's, and against a library that shares nothing with the vector code but the RFC.

mod messages;

use hmac::{Hmac, Mac};
use messages::messages;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use winze_hmac::{Key, MAC_BYTES, Message};

fn both_ways(key: &[u8; 32]) -> [Key; 2] {
    [Key::new(key), Key::one_by_one(key)]
}

fn by_other(key: &[u8; 32], head: &[u8], body: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(head);
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// RFC 2104 fills a short key up with zeros, and hashes one that is longer than a block.
fn fitted(key: &[u8]) -> [u8; 32] {
    let mut fitted = [0; 32];
    match key.len() {
        0..=32 => fitted[..key.len()].copy_from_slice(key),
        _ => fitted = Sha256::digest(key).into(),
    }
    fitted
}

/// RFC 4231, test cases 1 to 4, 6 and 7; case 5 is one of a truncated MAC.
#[test]
fn the_rfcs_messages_have_the_rfcs_macs() {
    let counted: Vec<u8> = (1..=25).collect();
    let vectors: [(&[u8], &[u8], &str); 6] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &counted,
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, text, expected) in vectors {
        for key in both_ways(&fitted(key)) {
            for split in [0, 5, text.len()] {
                let (head, body) = text.split_at(split);
                assert_eq!(hex::encode(key.mac(Message { head, body })), expected);
            }
            // Alone, and in each lane.
            let message = Message {
                head: &[],
                body: text,
            };
            let mut macs = [[0; MAC_BYTES]; 16];
            key.macs(&[message; 16], &mut macs);
            assert!(macs.iter().all(|mac| hex::encode(mac) == expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn many_messages_have_the_macs_that_another_library_makes_one_by_one(
        key in any::<[u8; 32]>(),
        messages in messages(),
    ) {
        let messages: Vec<_> = messages.iter().map(|(text, split)| text.split_at(*split)).collect();
        let expected: Vec<_> = messages
            .iter()
            .map(|(head, body)| by_other(&key, head, body))
            .collect();
        let messages: Vec<_> = messages
            .into_iter()
            .map(|(head, body)| Message { head, body })
            .collect();
        for key in both_ways(&key) {
            let mut macs = vec![[0; MAC_BYTES]; messages.len()];
            key.macs(&messages, &mut macs);
            prop_assert!(macs == expected);
        }
    }
}
