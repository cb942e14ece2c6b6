//! What an answer's status means, where a hub says it with a code: huggingface_hub (`utils/_http.py`, `hf_raise_for_status`).

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// What a hub calls its refusals.
pub const CODE: &str = "x-error-code";

/// The status that an answer would have if it had no code: to who tells no token, a hub says 401 of all that it does not have.
pub fn meant(status: StatusCode, headers: &HeaderMap) -> StatusCode {
    match headers.get(CODE).and_then(|code| code.to_str().ok()) {
        Some("GatedRepo") => StatusCode::FORBIDDEN,
        Some("RepoNotFound" | "RevisionNotFound" | "EntryNotFound") => StatusCode::NOT_FOUND,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_more_than_the_status() {
        for (code, want) in [
            (Some("GatedRepo"), 403),
            (Some("RepoNotFound"), 404),
            (Some("RevisionNotFound"), 404),
            (Some("EntryNotFound"), 404),
            (Some("another"), 401),
            (None, 401),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(code) = code {
                headers.insert(CODE, code.parse().unwrap());
            }
            assert_eq!(meant(StatusCode::UNAUTHORIZED, &headers).as_u16(), want, "{code:?}");
        }
    }
}
