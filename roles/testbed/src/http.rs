//! HTTP as an operator or a script would use it.

use serde::de::DeserializeOwned;

use crate::error::TestbedError;
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_TIMEOUT_S};

/// An answer: its status and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The URL that was asked.
    pub url: String,
    /// HTTP status.
    pub status: u16,
    /// The body, where it is text.
    pub body: String,
}

/// `GET url`.
///
/// # Errors
/// [`TestbedError::Http`] where there is no answer within [`HTTP_TIMEOUT_S`], or none that is text. Any status is an answer.
pub async fn get(url: &str) -> Result<Answer, TestbedError> {
    send(url, bitreq::get(url)).await
}

/// `POST url` with a JSON body.
///
/// # Errors
/// Those of [`get`].
pub async fn post_json(url: &str, body: &serde_json::Value) -> Result<Answer, TestbedError> {
    let request = bitreq::post(url)
        .with_header("Content-Type", "application/json")
        .with_body(body.to_string());
    send(url, request).await
}

pub(crate) async fn send(url: &str, request: bitreq::Request) -> Result<Answer, TestbedError> {
    let failed = |problem: String| TestbedError::Http {
        url: url.to_owned(),
        problem,
    };
    let response = request
        .with_timeout(HTTP_TIMEOUT_S)
        .with_max_body_size(HTTP_BODY_BYTES_MAX)
        .send_async()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let status = u16::try_from(response.status_code)
        .map_err(|_| failed(format!("status {}", response.status_code)))?;
    let body = response
        .as_str()
        .map_err(|error| failed(error.to_string()))?
        .to_owned();
    Ok(Answer {
        url: url.to_owned(),
        status,
        body,
    })
}

impl Answer {
    /// The body as JSON, of an answer with status 200.
    ///
    /// # Errors
    /// [`TestbedError::Http`] for another status or a body that does not parse.
    pub fn ok<T: DeserializeOwned>(&self) -> Result<T, TestbedError> {
        if self.status != 200 {
            return Err(self.problem(format!("status {}: {}", self.status, self.body)));
        }
        self.json()
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Errors
    /// [`TestbedError::Http`] for a body that does not parse.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TestbedError> {
        serde_json::from_str(&self.body)
            .map_err(|error| self.problem(format!("{error} in {}", self.body)))
    }

    fn problem(&self, problem: String) -> TestbedError {
        TestbedError::Http {
            url: self.url.clone(),
            problem,
        }
    }
}
