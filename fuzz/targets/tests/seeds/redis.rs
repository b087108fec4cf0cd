//! What lies in the lists and keys of old deployments, and descriptions that want to be more than that.

/// Name and bytes of each.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let (key, hash) = ("02".repeat(33), format!("{}ab", "0".repeat(62)));
    let fields = format!(
        r#""unit":"HASH","amount":8,"header_hash":"{hash}","description":null,"pubkey":"{key}""#
    );
    let id = "00ad268c4d1f5826";
    let messages = format!(r#""blinded_messages":[{{"amount":8,"id":"{id}","B_":"{key}"}}]"#);
    let nameless = format!(r#"{{"unit":"hash","amount":9007199254740993,"header_hash":"{hash}"}}"#);
    let strange = fields.replace("null", r#""a \"share\" \ud83d\ude00\u00e9\n""#);
    let entries = [
        ("flat", format!(r#"{{{fields},"keyset_id":"{id}"}}"#)),
        ("flat-with-messages", format!("{{{fields},{messages}}}")),
        (
            "nested",
            format!(r#"{{"quote_request":{{{fields}}},{messages}}}"#),
        ),
        (
            "nested-without-messages",
            format!(r#"{{"quote_request":{nameless},"blinded_messages":[]}}"#),
        ),
        ("nameless", nameless),
        (
            "escaped",
            format!("{{ {strange} , \"version\" : -1.5e+3 }}\n"),
        ),
        (
            "keyset",
            format!(r#"{{"id":"{id}","unit":"HASH","keys":{{"1":"{key}","2":"{key}"}}}}"#),
        ),
        ("description-field", r#"x","version":2,"z":""#.to_owned()),
        (
            "description-key",
            format!(r#"x","\u0070ubkey":"{key}","z":""#),
        ),
        (
            "description-object",
            format!(r#"x","quote_request":{{{fields}}},"z":""#),
        ),
        (
            "description-end",
            format!(r#"x","pubkey":"{key}"}},"z":{{"q":""#),
        ),
        ("description-messages", format!(r#"x",{messages},"z":""#)),
    ];
    entries.map(|(name, text)| (name, text.into_bytes())).into()
}
