//! What the pages of a device show: entering a code, the question, what became of it.

use super::texts::fill;
use super::view::{Page, ScopeLine};

/// `GET /device`.
#[derive(askama::Template)]
#[template(path = "device-code.html")]
pub(crate) struct DeviceCode {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) user_code: String,
    /// No request waits for this code.
    pub(crate) error: bool,
}

impl DeviceCode {
    fn alert(&self) -> Option<&'static str> {
        self.error.then_some(self.page.t().device_wrong)
    }
}

/// `GET /device/confirm` (RFC 8628 3.3).
#[derive(askama::Template)]
#[template(path = "device-confirm.html")]
pub(crate) struct DeviceConfirm {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) user_code: String,
    pub(crate) username: String,
    pub(crate) client: String,
    /// Where a client that nobody vouches for is known to be; none for one of an operator.
    pub(crate) client_host: Option<Option<String>>,
    pub(crate) scopes: Vec<ScopeLine>,
    /// The address from which the device asked.
    pub(crate) source: Option<String>,
}

impl DeviceConfirm {
    fn asks(&self) -> String {
        fill(self.page.t().device_asks, &[("client", self.client.as_str())])
    }

    fn came_from(&self) -> Option<String> {
        let said = self.page.t().device_source;
        self.source
            .as_deref()
            .map(|source| fill(said, &[("source", source)]))
    }
}

/// `GET /device/done`.
#[derive(askama::Template)]
#[template(path = "device-done.html")]
pub(crate) struct DeviceDone {
    pub(crate) page: Page,
    pub(crate) allowed: bool,
}

impl DeviceDone {
    fn title(&self) -> &'static str {
        let t = self.page.t();
        if self.allowed {
            t.device_allowed_title
        } else {
            t.device_denied_title
        }
    }
}
