//! What `GET /health` says.

use serde_json::json;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::ops_http::Health;

use super::shared::Shared;

/// Ready while clients would accept the certificate and the hub takes connections.
pub(super) fn health(shared: &Shared) -> Health {
    let identity = shared.identity();
    let certificate = identity.certificate();
    let validity = certificate.verify(&certificate.authority_key, now_unix_s_u32());
    let load = shared.load();
    let present: Vec<String> = load.present.iter().map(ToString::to_string).collect();
    let shutting_down = shared.is_shutting_down();
    Health {
        ready: validity.is_ok() && !shutting_down,
        detail: json!({
            "certificate": match validity {
                Ok(()) => "valid".to_owned(),
                Err(error) => error.to_string(),
            },
            "certificate_not_valid_after_unix_s": certificate.not_valid_after_unix_s,
            "shutting_down": shutting_down,
            "configuration": shared.configuration.detail(),
            "connections": load.connections_authenticated,
            "channels": load.channels,
            "peers": present,
        }),
    }
}
