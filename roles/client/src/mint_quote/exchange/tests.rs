use rand::SeedableRng;
use rand::rngs::StdRng;
use winze_messages::Side;
use winze_transport::SecretKey;

use super::*;
use crate::session::Credit;

/// One end of a channel on which the test carries the messages.
struct End {
    exchange: StoreExchange,
    keys: Vec<PairKeys>,
    numbers: StoreNumbers,
    sent: Vec<(u8, Vec<u8>)>,
    rng: StdRng,
}

#[derive(Default)]
struct Wire(Vec<(u8, Vec<u8>)>);

impl SendChannel for Wire {
    fn send_credit(&self) -> Credit {
        Credit {
            messages: 1,
            bytes: 1_000,
        }
    }

    fn try_send(&mut self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        self.0.push((msg_type, bytes.to_vec()));
        Ok(self.0.len() as u64)
    }
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

fn pair(own: u8, peer: u8, side: Side) -> PairKeys {
    let peer = secret(peer).public_key();
    PairKeys::derive(&secret(own), &peer, EXT_MINT_QUOTE, side, "pool", "mint")
}

impl End {
    fn new(keys: Vec<PairKeys>, requests: u64, answers: u64) -> End {
        End {
            exchange: StoreExchange::new(),
            keys,
            numbers: StoreNumbers { requests, answers },
            sent: Vec::new(),
            rng: StdRng::seed_from_u64(requests),
        }
    }

    fn present(&mut self, instance: u64) {
        self.exchange.present(instance, &mut self.rng);
    }

    fn read(&mut self, now_ms: u64) {
        if self.exchange.numbers_wanted(now_ms) {
            let numbers = Some(self.numbers);
            self.exchange.numbers_read(numbers, now_ms, &mut self.rng);
        }
    }

    fn send(&mut self, now_ms: u64) -> Vec<(u8, Vec<u8>)> {
        self.read(now_ms);
        let mut wire = Wire::default();
        self.exchange
            .send(&self.keys, &mut wire, now_ms, &mut self.rng)
            .unwrap();
        self.sent.extend(wire.0.clone());
        wire.0
    }

    fn take(&mut self, messages: &[(u8, Vec<u8>)]) -> Vec<Exchanged> {
        messages
            .iter()
            .map(|(msg_type, bytes)| self.exchange.take(&self.keys, *msg_type, bytes))
            .collect()
    }
}

fn pool_and_mint() -> (End, End) {
    let pool = End::new(vec![pair(1, 2, Side::Requester)], 9, 4);
    // The mint knows the pool by two keys, the second of which it uses.
    let keys = vec![pair(2, 3, Side::Responder), pair(2, 1, Side::Responder)];
    (pool, End::new(keys, 7, 5))
}

#[test]
fn both_ends_learn_what_the_other_has_whichever_of_its_keys_it_goes_by() {
    let (mut pool, mut mint) = pool_and_mint();
    pool.present(1);
    mint.present(1);
    let (from_pool, from_mint) = (pool.send(0), mint.send(0));
    assert_eq!(mint.take(&from_pool), [Exchanged::Query]);
    assert_eq!(
        pool.take(&from_mint),
        [Exchanged::Unauthentic, Exchanged::Query]
    );
    // It has come further meanwhile: the answer says so, what it asked with does not.
    pool.numbers.answers = 5;
    let (from_pool, from_mint) = (pool.send(1), mint.send(1));
    assert_eq!(mint.take(&from_pool), [Exchanged::State]);
    assert_eq!(pool.take(&from_mint), [Exchanged::State]);
    let told = pool.exchange.far().unwrap();
    assert_eq!((told.far.requests, told.far.answers), (7, 5));
    assert_eq!(told.own_before.answers, 4);
    assert_eq!(mint.exchange.far().unwrap().far, pool.numbers);
    assert_eq!(pool.exchange.next_timeout_ms(), None);
    assert_eq!(pool.send(1_000_000), []);
}

#[test]
fn a_query_that_is_lost_is_repeated_and_its_answer_is_taken_once() {
    let (mut pool, mut mint) = pool_and_mint();
    pool.present(1);
    let first = pool.send(0);
    let mut asked = 1;
    let mut now_ms = 0;
    while now_ms < 300_000 {
        let at_ms = pool.exchange.next_timeout_ms().unwrap();
        assert!(at_ms >= now_ms + STORE_QUERY_DELAY_MS_MIN);
        assert!(at_ms <= now_ms + STORE_QUERY_DELAY_MS_MAX);
        assert_eq!(pool.send(at_ms - 1), []);
        assert_eq!(pool.send(at_ms), first);
        (asked, now_ms) = (asked + 1, at_ms);
    }
    assert!(asked < 20, "{asked} times in five minutes");
    mint.present(1);
    mint.take(&first);
    let answer = mint.send(0);
    assert_eq!(pool.take(&answer)[0], Exchanged::State);
    assert_eq!(pool.take(&answer)[0], Exchanged::Unauthentic);
}

#[test]
fn what_a_hub_replays_alters_or_reflects_says_nothing() {
    let (mut pool, mut mint) = pool_and_mint();
    pool.present(1);
    mint.present(1);
    mint.take(&pool.send(0));
    let old: Vec<_> = mint
        .send(0)
        .into_iter()
        .filter(|(msg_type, _)| *msg_type == StoreState::MSG_TYPE)
        .collect();
    // The pool's connection was renewed: it asks anew, and what was said before is no answer.
    pool.exchange.away();
    pool.present(2);
    let query = pool.send(10);
    assert_eq!(pool.take(&old), [Exchanged::Unauthentic]);
    assert_eq!(pool.take(&query), [Exchanged::Unauthentic]);
    mint.take(&query);
    let answer = mint.send(10).remove(0);
    for at in 0..answer.1.len() {
        let mut altered = answer.clone();
        altered.1[at] ^= 1;
        assert_eq!(pool.take(&[altered]), [Exchanged::Unauthentic], "byte {at}");
    }
    assert_eq!(pool.exchange.far(), None);
    assert_eq!(pool.take(&[answer]), [Exchanged::State]);
    // Nor does it hold for the next instance.
    pool.present(3);
    assert_eq!(pool.exchange.far(), None);
}

#[test]
fn a_flood_of_queries_costs_one_read_at_a_time_and_gets_the_last_one_answered() {
    let (mut pool, mut mint) = pool_and_mint();
    mint.present(1);
    mint.send(0);
    let mut last = Vec::new();
    for instance in 0..1_000 {
        pool.present(instance);
        last = pool.send(0);
        mint.take(&last);
        assert_eq!(mint.exchange.numbers_wanted(0), instance == 0);
    }
    // The read that was under way began before the last query came: it does not answer it.
    let mint_numbers = Some(mint.numbers);
    mint.exchange.numbers_read(mint_numbers, 0, &mut mint.rng);
    let mut wire = Wire::default();
    mint.exchange
        .send(&mint.keys, &mut wire, 0, &mut mint.rng)
        .unwrap();
    assert!(wire.0.is_empty());
    mint.read(0);
    let answers = mint.send(0);
    assert_eq!(answers.len(), 1);
    assert_eq!(pool.take(&answers), [Exchanged::State]);
    assert_eq!(last.len(), 1);
}

#[test]
fn a_store_that_cannot_be_read_is_read_again_and_nothing_is_said_before() {
    let (mut pool, _) = pool_and_mint();
    pool.present(1);
    assert!(pool.exchange.numbers_wanted(0));
    pool.exchange.numbers_read(None, 0, &mut pool.rng);
    assert!(!pool.exchange.numbers_wanted(0));
    let mut wire = Wire::default();
    pool.exchange
        .send(&pool.keys, &mut wire, 0, &mut pool.rng)
        .unwrap();
    assert!(wire.0.is_empty());
    let at_ms = pool.exchange.next_timeout_ms().unwrap();
    assert_eq!(pool.send(at_ms).len(), 1);
}

/// A channel with credit for so many messages.
struct Narrow {
    credit: usize,
    sent: Vec<Vec<u8>>,
}

impl SendChannel for Narrow {
    fn send_credit(&self) -> Credit {
        Credit {
            messages: self.credit as u64,
            bytes: 1_000,
        }
    }

    fn try_send(&mut self, _: u8, bytes: &[u8]) -> Result<u64, SendError> {
        self.credit = self.credit.checked_sub(1).ok_or(SendError::NoCredit)?;
        self.sent.push(bytes.to_vec());
        Ok(self.sent.len() as u64)
    }
}

#[test]
fn a_query_that_the_channel_has_no_room_for_waits_for_the_channel_and_reaches_every_key() {
    let (mut pool, mut mint) = pool_and_mint();
    mint.present(1);
    mint.read(0);
    let mut narrow = Narrow {
        credit: 0,
        sent: Vec::new(),
    };
    let mut send = |mint: &mut End, credit: usize, now_ms: u64| {
        narrow.credit = credit;
        let sent = mint
            .exchange
            .send(&mint.keys, &mut narrow, now_ms, &mut mint.rng);
        (sent, std::mem::take(&mut narrow.sent))
    };
    // There is never room for more than one message; the pool goes by the second key.
    let (sent, first) = send(&mut mint, 1, 0);
    assert_eq!((sent, first.len()), (Err(SendError::NoCredit), 1));
    let (sent, second) = send(&mut mint, 1, 1);
    assert_eq!((sent, second.len()), (Ok(()), 1));
    pool.present(1);
    let query = (StoreQuery::MSG_TYPE, second[0].clone());
    assert_eq!(pool.take(&[query]), [Exchanged::Query]);

    // It is due again, and cannot be sent: no hour on the clock changes that.
    let at_ms = mint.exchange.next_timeout_ms().unwrap();
    assert_eq!(
        send(&mut mint, 0, at_ms),
        (Err(SendError::NoCredit), vec![])
    );
    assert_eq!(mint.exchange.next_timeout_ms(), None);
    assert_eq!(
        send(&mut mint, 2, at_ms),
        (Ok(()), [first, second].concat())
    );
    assert!(mint.exchange.next_timeout_ms().unwrap() > at_ms);
}
