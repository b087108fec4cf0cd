//! The oldest shape, as it is written for a mint that reads no other.

use crate::request::QuoteRequest;

impl QuoteRequest {
    /// The oldest shape, without blinded messages: mints of its time made the quote all the same, and whoever holds the locking
    /// key brings them when it redeems. The shape has no field for a keyset.
    pub fn to_nested_json(&self, unit: &str) -> String {
        let fields = self.to_json(unit);
        // Its last field, and without quotes in it.
        let fields = match fields.rfind(",\"keyset_id\":") {
            Some(end) => fields.get(..end).unwrap_or(&fields),
            None => &fields,
        };
        format!("{{\"quote_request\":{fields}}},\"blinded_messages\":[]}}")
    }
}

#[cfg(test)]
mod tests {
    use crate::{QuoteRequest, Shape};

    #[test]
    fn a_request_in_the_oldest_shape_asks_for_the_same_but_for_its_keyset() {
        let request = QuoteRequest {
            unit: "hash".to_owned(),
            amount: 8,
            header_hash: [7; 32],
            description: Some(r#"a "share","keyset_id":"#.to_owned()),
            locking_key: Some([2; 33]),
            keyset_id: Some(vec![1; 8]),
        };
        let nested = request.to_nested_json("HASH");
        assert!(nested.starts_with(r#"{"quote_request":{"unit":"HASH","amount":8,"#));
        assert!(nested.ends_with(r#""},"blinded_messages":[]}"#), "{nested}");
        let without_keyset = QuoteRequest {
            keyset_id: None,
            ..request
        };
        let read = QuoteRequest::parse(nested.as_bytes()).unwrap();
        assert_eq!(read, (without_keyset, Shape::Nested));
    }
}
