//! What became of every request and share, by the stores of both mints: each has exactly one quote among them.

use std::collections::{BTreeMap, BTreeSet};

/// Quote ids by header hash, as text with leading zeros in front.
pub(super) type Quotes = BTreeMap<String, Vec<String>>;

/// The whole of a run. Header hashes are text, as in the entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// What the old pool pushed.
    pub pushed: BTreeSet<String>,
    /// What the miners have quotes for.
    pub mined: BTreeSet<String>,
    /// In the old mint's store.
    pub old_quotes: Quotes,
    /// In the new mint's store.
    pub new_quotes: Quotes,
}

/// How many are named where many are alike.
const EXAMPLES: usize = 3;

impl Tally {
    /// Requests and shares that nobody made a quote for.
    pub(super) fn lost(&self) -> Vec<&str> {
        let asked = self.pushed.union(&self.mined);
        asked
            .filter(|hash| self.count(hash) == 0)
            .map(String::as_str)
            .collect()
    }

    /// Header hashes with more than one quote, wherever.
    pub(super) fn doubled(&self) -> Vec<&str> {
        let hashes: BTreeSet<&String> = self
            .old_quotes
            .keys()
            .chain(self.new_quotes.keys())
            .collect();
        hashes
            .into_iter()
            .filter(|hash| self.count(hash) > 1)
            .map(String::as_str)
            .collect()
    }

    /// Header hashes with a quote that nobody asked for.
    pub(super) fn invented(&self) -> Vec<&str> {
        let quoted = self.old_quotes.keys().chain(self.new_quotes.keys());
        quoted
            .filter(|hash| !self.pushed.contains(*hash) && !self.mined.contains(*hash))
            .map(String::as_str)
            .collect()
    }

    /// Quotes of the old mint.
    pub(super) fn made_by_old(&self) -> u64 {
        self.old_quotes.values().map(|ids| ids.len() as u64).sum()
    }

    /// Quotes of the new mint, for the old pool's requests.
    pub(super) fn made_by_new_for_pushed(&self) -> u64 {
        let pushed = |hash: &String| self.pushed.contains(hash);
        let quotes = self.new_quotes.iter().filter(|(hash, _)| pushed(hash));
        quotes.map(|(_, ids)| ids.len() as u64).sum()
    }

    /// Everything that is not as it must be, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let kinds = [
            (self.lost(), "have no quote at either mint"),
            (self.doubled(), "have more than one quote"),
            (
                self.invented(),
                "have a quote, and nobody pushed or mined them",
            ),
        ];
        kinds
            .into_iter()
            .filter(|(hashes, _)| !hashes.is_empty())
            .map(|(hashes, what)| {
                let examples = hashes.get(..EXAMPLES).unwrap_or(&hashes).join(", ");
                format!("{} header hashes {what}: {examples}", hashes.len())
            })
            .collect()
    }

    fn count(&self, hash: &str) -> usize {
        [&self.old_quotes, &self.new_quotes]
            .into_iter()
            .filter_map(|quotes| quotes.get(hash))
            .map(Vec::len)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn quotes(rows: &[(&str, &str)]) -> Quotes {
        let mut quotes = Quotes::new();
        for (hash, id) in rows {
            let ids: &mut Vec<String> = quotes.entry((*hash).to_owned()).or_default();
            ids.push((*id).to_owned());
        }
        quotes
    }

    fn good() -> Tally {
        Tally {
            pushed: hashes(&["a", "b"]),
            mined: hashes(&["m"]),
            old_quotes: quotes(&[("a", "1")]),
            new_quotes: quotes(&[("b", "2"), ("m", "3")]),
        }
    }

    #[test]
    fn a_request_may_have_its_quote_at_either_mint_and_at_one_alone() {
        assert_eq!(good().problems(), [""; 0]);
        assert_eq!(
            (good().made_by_old(), good().made_by_new_for_pushed()),
            (1, 1)
        );
        let mut both = good();
        both.new_quotes.insert("a".to_owned(), vec!["4".to_owned()]);
        assert_eq!(
            both.doubled(),
            ["a"],
            "moved over before the old mint had ended"
        );
        let mut lost = good();
        lost.new_quotes.remove("b");
        assert_eq!(lost.lost(), ["b"], "popped by an old mint that died");
        let mut invented = good();
        invented.pushed.remove("b");
        assert_eq!(invented.invented(), ["b"]);
        for tally in [both, lost, invented] {
            assert_eq!(tally.problems().len(), 1, "{tally:?}");
        }
    }
}
