//! placeholder
use crate::store::Schema;

/// The responder's tables.
pub static ANSWERS_SCHEMA: Schema = Schema {
    name: "answers",
    migrations: &[],
};
