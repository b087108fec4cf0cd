//! How entries are written for the old mint.

use winze_legacy::QuoteRequest;

use crate::config::ListShape;

/// Writes entries. On disk they are flat whatever the shape, so that one which was wrong can be put right while requests
/// are open.
#[derive(Clone)]
pub(super) struct Writing {
    pub(super) shape: ListShape,
    /// The unit as the list has it.
    pub(super) unit: String,
}

impl Writing {
    /// As it is kept on disk.
    pub(super) fn to_keep(&self, request: &QuoteRequest) -> String {
        request.to_json(&self.unit)
    }

    /// As it is pushed.
    pub(super) fn to_push(&self, kept: String) -> String {
        match (self.shape, QuoteRequest::parse(kept.as_bytes())) {
            (ListShape::Nested, Ok((request, _))) => request.to_nested_json(&self.unit),
            // What was kept was written here.
            _ => kept,
        }
    }
}
