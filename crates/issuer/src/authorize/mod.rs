//! The authorization endpoint's decision (RFC 6749 4.1, OpenID Connect Core 3.1.2): where an answer may go, what is asked
//! for, what the person has to be asked, and at last a code.

mod answer;
mod decide;
mod issue;
mod push;
mod request;

pub use answer::{Answer, AuthorizeError};
pub use decide::{ConsentQuestion, Proofs, Step};
pub use push::Pushed;
pub use request::Judged;
