//! What is written down, and how. Secrets are in none of it.

use std::error::Error;

/// Writes down what lies behind an answer that tells nothing: the error with everything that caused it.
pub(crate) fn log_failure(error: &dyn Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    tracing::warn!(error = %text, "a request could not be answered");
}
