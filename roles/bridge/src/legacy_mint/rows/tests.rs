use tempfile::TempDir;
use winze_client::{ANSWERS_SCHEMA, Store};

use super::*;

fn request(share: u8) -> MintQuoteRequest {
    MintQuoteRequest {
        amount: share.into(),
        unit: "hash".to_owned(),
        header_hash: [share; 32],
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    }
}

fn new(share: u8) -> NewRow {
    NewRow {
        request: request(share),
        json: Some(format!("{{\"amount\":{share}}}")),
    }
}

const NEW: Known = Known::Open { is_new: true };

#[tokio::test]
async fn a_row_that_the_disk_has_changed_is_neither_pushed_nor_told() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bridge.sqlite");
    let store = Store::open(&file, &[ANSWERS_SCHEMA, PUSHED_SCHEMA]).unwrap();
    let outcome = store.write(|c| {
        let rows: Vec<NewRow> = (1..=4).map(new).collect();
        assert_eq!(take(c, "pool/main", &rows, 10)?, [NEW, NEW, NEW, NEW]);
        note_quote_ids(
            c,
            &[([3; 32], "three".to_owned()), ([4; 32], "four".to_owned())],
        )?;
        for damage in [
            "UPDATE bridge_pushed SET amount = 3 WHERE amount = 1",
            "UPDATE bridge_pushed SET json = replace(json, '2', '6') WHERE amount = 2",
            "UPDATE bridge_pushed SET quote_id = 'free' WHERE quote_id = 'four'",
        ] {
            assert_eq!(c.execute(damage, []).unwrap(), 1);
        }
        let hashes = [[1; 32], [2; 32], [3; 32]];
        let entries = entries(c, &hashes)?;
        assert_eq!(entries, [None, None, Some("{\"amount\":3}".to_owned())]);
        // Whoever asks brings the first two again, and the fourth is looked for again.
        assert_eq!(find(c, &request(1))?, Known::Nothing);
        let known = take(c, "pool/main", &rows, 10)?;
        let open = Known::Open { is_new: false };
        assert_eq!(known, [NEW, NEW, Known::Id("three".to_owned()), open]);
        assert_eq!(
            take(c, "pool/main", &[new(5), new(6)], 1)?,
            [NEW, Known::Nothing]
        );
        Ok(())
    });
    outcome.await.unwrap();
}
