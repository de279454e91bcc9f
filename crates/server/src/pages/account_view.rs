//! What the pages of an account show: signing up, the account itself, its password.

use super::view::Page;

/// `GET /sign-up`.
#[derive(askama::Template)]
#[template(path = "sign-up.html")]
pub(crate) struct SignUp {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) continue_to: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) error: Option<SignUpError>,
}

/// Why no account was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignUpError {
    BadName,
    BadPassword,
    BadEmail,
    TooMany,
    Busy,
    Expired,
}

impl SignUp {
    fn alert(&self) -> Option<&'static str> {
        let t = self.page.t();
        self.error.map(|error| match error {
            SignUpError::BadName => t.sign_up_bad_name,
            SignUpError::BadPassword => t.sign_up_bad_password,
            SignUpError::BadEmail => t.sign_up_bad_email,
            SignUpError::TooMany => t.too_many,
            SignUpError::Busy => t.busy,
            SignUpError::Expired => t.expired,
        })
    }

    fn bad_name(&self) -> bool {
        self.error == Some(SignUpError::BadName)
    }

    fn bad_password(&self) -> bool {
        self.error == Some(SignUpError::BadPassword)
    }

    fn bad_email(&self) -> bool {
        self.error == Some(SignUpError::BadEmail)
    }

    fn focus_field(&self) -> bool {
        self.error.is_none()
    }
}

/// `GET /account`.
#[derive(askama::Template)]
#[template(path = "account.html")]
pub(crate) struct Account {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) username: String,
    pub(crate) sessions: Vec<SessionLine>,
    pub(crate) apps: Vec<AppLine>,
    pub(crate) consents: Vec<ConsentLine>,
    pub(crate) notice: Option<AccountNotice>,
}

/// A browser in which the person is signed in.
#[derive(Clone, Debug)]
pub(crate) struct SessionLine {
    pub(crate) id: String,
    /// The browser in words.
    pub(crate) agent: String,
    pub(crate) since: String,
    pub(crate) last_seen: String,
    /// It is the one that asks.
    pub(crate) current: bool,
}

/// A family of refresh tokens.
#[derive(Clone, Debug)]
pub(crate) struct AppLine {
    pub(crate) sid: String,
    pub(crate) client: String,
    /// In words.
    pub(crate) scopes: Vec<String>,
    pub(crate) since: String,
    pub(crate) last_used: String,
    /// It outlives the session of the browser; its scopes do not say so.
    pub(crate) offline: bool,
}

/// What the person allowed once and is not asked again.
#[derive(Clone, Debug)]
pub(crate) struct ConsentLine {
    pub(crate) client_id: String,
    pub(crate) client: String,
    /// In words.
    pub(crate) scopes: Vec<String>,
    pub(crate) since: String,
}

/// What was just done on the page of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountNotice {
    SessionEnded,
    AppEnded,
    ConsentWithdrawn,
    PasswordChanged,
}

impl Account {
    fn noticed(&self) -> Option<&'static str> {
        let t = self.page.t();
        self.notice.map(|notice| match notice {
            AccountNotice::SessionEnded => t.notice_session,
            AccountNotice::AppEnded => t.notice_app,
            AccountNotice::ConsentWithdrawn => t.notice_consent,
            AccountNotice::PasswordChanged => t.password_changed,
        })
    }

    fn has_apps(&self) -> bool {
        !self.apps.is_empty()
    }

    fn has_consents(&self) -> bool {
        !self.consents.is_empty()
    }
}

/// `GET /account/password`.
#[derive(askama::Template)]
#[template(path = "password.html")]
pub(crate) struct Password {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    /// For the password manager.
    pub(crate) username: String,
    pub(crate) error: Option<PasswordError>,
}

/// Why the password stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordError {
    Wrong,
    TooShort,
    TooMany,
    Busy,
    Expired,
}

impl Password {
    fn alert(&self) -> Option<&'static str> {
        let t = self.page.t();
        self.error.map(|error| match error {
            PasswordError::Wrong => t.password_wrong,
            PasswordError::TooShort => t.password_too_short,
            PasswordError::TooMany => t.too_many,
            PasswordError::Busy => t.busy,
            PasswordError::Expired => t.expired,
        })
    }

    fn wrong(&self) -> bool {
        self.error == Some(PasswordError::Wrong)
    }

    fn too_short(&self) -> bool {
        self.error == Some(PasswordError::TooShort)
    }

    fn focus_field(&self) -> bool {
        self.error.is_none()
    }
}
