//! What went wrong, as a C caller hears it: a status, a text, the chain of causes, a number, whether to try again.

use std::ffi::CString;

use crate::handles::Object;

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) retryable: bool,
    pub(crate) number: i64,
}

impl Failure {
    pub(crate) fn new(code: i32, message: &str) -> Self {
        Self { code, message: message.to_owned(), causes: Vec::new(), retryable: false, number: 0 }
    }

    /// Of an error of Rust: its text, and those of its causes.
    pub(crate) fn of(code: i32, error: &dyn std::error::Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self { causes, ..Self::new(code, &error.to_string()) }
    }

    pub(crate) fn number(self, number: i64) -> Self {
        Self { number, ..self }
    }

    /// The same call may succeed later, without anything else done.
    pub(crate) fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }
}

/// A failure with its texts as C wants them.
pub(crate) struct ErrorObject {
    pub(crate) code: i32,
    pub(crate) message: CString,
    pub(crate) causes: Vec<CString>,
    pub(crate) retryable: bool,
    pub(crate) number: i64,
}

impl Object for ErrorObject {
    const KIND: u8 = 1;
}

impl From<Failure> for ErrorObject {
    fn from(failure: Failure) -> Self {
        let text = |text: String| CString::new(text.replace('\0', "?")).unwrap_or_default();
        Self {
            code: failure.code,
            message: text(failure.message),
            causes: failure.causes.into_iter().map(text).collect(),
            retryable: failure.retryable,
            number: failure.number,
        }
    }
}
