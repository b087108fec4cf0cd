//! Runs against a library that shares nothing with ours but the RFC.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
use proptest::collection::vec;
use proptest::prelude::*;
use winze_aead::{
    Aead, HEADER_BYTES, MAC_BYTES, RUN_FRAMES_MAX, RUN_PAYLOAD_BYTES_MAX, Refused, frame_bytes,
};

const NONCES_MAX: u64 = 2 * RUN_FRAMES_MAX as u64;
const EQUAL_BYTES: usize = 40;

/// The length of the payload is in the header's last three bytes, U24 LE.
fn payload_bytes(header: &[u8; HEADER_BYTES]) -> usize {
    let [.., a, b, c] = *header;
    u32::from_le_bytes([a, b, c, 0]) as usize
}

/// Frames as plaintext, with `fill` where the MACs go.
fn lay_out(payloads: &[Vec<u8>], fill: u8) -> Vec<u8> {
    let mut run = Vec::new();
    for (number, payload) in payloads.iter().enumerate() {
        let [a, b, c, _] = (payload.len() as u32).to_le_bytes();
        run.extend([number as u8, 0x48, 0x80, a, b, c]);
        run.extend([fill; MAC_BYTES]);
        run.extend(payload);
        run.extend([fill; MAC_BYTES]);
    }
    run
}

fn lengths(payloads: &[Vec<u8>]) -> Vec<usize> {
    payloads.iter().map(Vec::len).collect()
}

/// One run after the other, until there is none; how many frames that were, and where they end.
fn open_runs(aead: &Aead, nonce: u64, run: &mut [u8], lengths: &[usize]) -> (usize, usize) {
    let (mut opened, mut end) = (0, 0);
    loop {
        let nonce = nonce + 2 * opened as u64;
        let frames = aead.open_run(nonce, &mut run[end..], payload_bytes);
        if frames == 0 {
            return (opened, end);
        }
        for bytes in &lengths[opened..opened + frames] {
            end += frame_bytes(*bytes);
        }
        opened += frames;
    }
}

/// Text by text, by the other library.
fn sealed_by_other(key: &[u8; 32], nonce: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
    let other = ChaCha20Poly1305::new(key.into());
    let mut run = lay_out(payloads, 0);
    let mut rest = &mut run[..];
    let lengths = payloads
        .iter()
        .flat_map(|payload| [HEADER_BYTES, payload.len()]);
    for (bytes, nonce) in lengths.zip(nonce..) {
        let (text, behind) = rest.split_at_mut(bytes);
        let (mac, behind) = behind.split_at_mut(MAC_BYTES);
        let mut encoded = [0; 12];
        encoded[4..].copy_from_slice(&nonce.to_le_bytes());
        let made = other.encrypt_in_place_detached(&encoded.into(), &[], text);
        mac.copy_from_slice(&made.unwrap());
        rest = behind;
    }
    run
}

/// Around the ends of blocks of Poly1305, of ChaCha20, and of what a run takes.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        8 => 1..300_usize,
        1 => prop::sample::select(vec![1, 15, 16, 17, 47, 48, 49, 63, 64, 65, 127, 128, 129]),
        1 => (RUN_PAYLOAD_BYTES_MAX - 65)..=RUN_PAYLOAD_BYTES_MAX,
    ];
    // Bytes of all ones make the largest numbers of Poly1305.
    (bytes, any::<u8>(), any::<bool>()).prop_map(|(bytes, first, is_all_ones)| match is_all_ones {
        true => vec![0xff; bytes],
        false => (0..bytes).map(|i| (i % 251) as u8 ^ first).collect(),
    })
}

/// With the counter's lower half about to overflow, too, and the last from which two runs are possible.
fn nonce() -> impl Strategy<Value = u64> {
    let last = u64::MAX - 2 * NONCES_MAX;
    prop_oneof![
        any::<u64>(),
        Just(u64::from(u32::MAX) - 5),
        Just(0),
        Just(last)
    ]
    .prop_map(move |nonce| nonce.min(last))
}

/// Payloads of one length, for who cannot read it in a header.
fn equal_payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), EQUAL_BYTES), 2..=RUN_FRAMES_MAX)
}

fn equal_bytes(_: &[u8; HEADER_BYTES]) -> usize {
    EQUAL_BYTES
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_run_is_what_another_library_makes_text_by_text_and_opens_again(
        key in any::<[u8; 32]>(),
        nonce in nonce(),
        payloads in vec(payload(), 1..=RUN_FRAMES_MAX),
        fill in any::<u8>(),
        behind in vec(any::<u8>(), 0..100),
    ) {
        let expected = sealed_by_other(&key, nonce, &payloads);
        for aead in [Aead::new(&key), Aead::one_by_one(&key)] {
            let mut run = lay_out(&payloads, fill);
            prop_assert_eq!(aead.seal_run(nonce, &mut run, &lengths(&payloads)), Ok(()));
            prop_assert!(run == expected);
        }

        // The start of a frame that has not come whole is no frame.
        let mut come = [&expected[..], &behind].concat();
        let aead = Aead::new(&key);
        let (opened, _) = open_runs(&aead, nonce, &mut come, &lengths(&payloads));
        // One that is left over is no run.
        let opened_min = if aead.has_lanes() { payloads.len() - 1 } else { 0 };
        prop_assert!((opened_min..=payloads.len()).contains(&opened));
        prop_assert_eq!(&come[expected.len()..], &behind);
        let plaintext = lay_out(&payloads, 0);
        let (mut at, come) = (0, &mut come[..expected.len()]);
        for payload in payloads.iter().take(opened) {
            let (header, text) = (at..at + HEADER_BYTES, at + HEADER_BYTES + MAC_BYTES);
            prop_assert_eq!(&come[header.clone()], &plaintext[header]);
            prop_assert_eq!(&come[text..text + payload.len()], &payload[..]);
            at += frame_bytes(payload.len());
        }
        prop_assert_eq!(&come[at..], &expected[at..]);
    }

    /// Wherever a bit is altered: what is before it opens, and from its frame on nothing was touched.
    #[test]
    fn an_altered_run_opens_up_to_what_was_altered(
        key in any::<[u8; 32]>(),
        nonce in nonce(),
        payloads in vec(payload(), 2..=RUN_FRAMES_MAX),
        altered in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let aead = Aead::new(&key);
        let mut run = sealed_by_other(&key, nonce, &payloads);
        let altered = altered.index(run.len());
        run[altered] ^= 1_u8 << bit;

        let (mut good, mut good_end) = (0_usize, 0);
        for payload in &payloads {
            let end = good_end + frame_bytes(payload.len());
            if end > altered {
                break;
            }
            (good, good_end) = (good + 1, end);
        }
        let before = run.clone();
        let (opened, end) = open_runs(&aead, nonce, &mut run, &lengths(&payloads));
        // Where no second frame is to be seen there is no run.
        let opened_min = if aead.has_lanes() { good.saturating_sub(1) } else { 0 };
        prop_assert!((opened_min..=good).contains(&opened), "{opened} of {good}");
        prop_assert!(run[end..] == before[end..]);
        prop_assert!(run[..end] != before[..end] || end == 0);
    }

    /// Their frames are found, and nothing in them is authentic.
    #[test]
    fn a_run_under_other_nonces_or_another_key_does_not_open(
        key in any::<[u8; 32]>(),
        nonce in 0..1_000_u64,
        off in 0..50_u64,
        payloads in equal_payloads(),
    ) {
        let sealed = sealed_by_other(&key, nonce, &payloads);
        let mut other_key = key;
        other_key[0] ^= u8::from(off == 0);
        let mut run = sealed.clone();
        prop_assert_eq!(Aead::new(&other_key).open_run(nonce + off, &mut run, equal_bytes), 0);
        prop_assert!(run == sealed);
    }

    #[test]
    fn what_is_no_run_is_not_touched(
        bytes in vec(any::<u8>(), 0..600),
        nonce in any::<u64>(),
        payload_bytes in prop::sample::select(vec![
            equal_bytes as fn(&_) -> _, payload_bytes, |_| 0, |_| usize::MAX,
        ]),
    ) {
        let aead = Aead::new(&[7; 32]);
        let mut run = bytes.clone();
        prop_assert_eq!(aead.open_run(nonce, &mut run, payload_bytes), 0);
        prop_assert!(run == bytes);
    }
}

#[test]
fn the_reserved_nonce_is_never_used() {
    let payloads = [vec![1; 5], vec![2; 5]];
    for aead in [Aead::new(&[7; 32]), Aead::one_by_one(&[7; 32])] {
        for (first, sealed) in [(u64::MAX - 4, Ok(())), (u64::MAX - 3, Err(Refused))] {
            let mut run = lay_out(&payloads, 0);
            assert_eq!(aead.seal_run(first, &mut run, &lengths(&payloads)), sealed);
            assert_eq!(run == lay_out(&payloads, 0), sealed.is_err());
            // As many as a run can have are not left: these are opened one by one.
            assert_eq!(aead.open_run(first, &mut run, payload_bytes), 0);
        }
    }
}

#[test]
fn a_run_that_is_not_what_was_said_of_it_is_refused_as_it_was() {
    let too_many = [1; RUN_FRAMES_MAX + 1];
    let refused: [(&[usize], usize); 6] = [
        (&[5, 5], 2 * frame_bytes(5) - 1),
        (&[5, 5], 2 * frame_bytes(5) + 1),
        (&[5, 0], frame_bytes(5) + frame_bytes(0)),
        (
            &[RUN_PAYLOAD_BYTES_MAX + 1],
            frame_bytes(RUN_PAYLOAD_BYTES_MAX + 1),
        ),
        (&[usize::MAX, 5], 100),
        (&too_many, too_many.len() * frame_bytes(1)),
    ];
    for (payloads_bytes, run_bytes) in refused {
        let mut run = vec![0x5a; run_bytes];
        for aead in [Aead::new(&[7; 32]), Aead::one_by_one(&[7; 32])] {
            assert_eq!(aead.seal_run(0, &mut run, payloads_bytes), Err(Refused));
            assert!(run.iter().all(|byte| *byte == 0x5a));
        }
    }
}
