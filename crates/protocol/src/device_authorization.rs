//! A request at the device authorization endpoint (RFC 8628 section 3.1), read from a form into types.

use crate::authorization_request::{take_resources, take_scope};
use crate::error::Refusal;
use crate::form::Form;
use crate::id::ResourceUri;
use crate::scope::ScopeSet;

/// What a device asks for, without the client's credentials. Unknown parameters are ignored.
#[derive(Clone, Debug)]
pub struct DeviceAuthorizationRequest {
    /// The asked scopes; none means the default.
    pub scope: Option<ScopeSet>,
    /// The asked resources (RFC 8707 section 2).
    pub resources: Vec<ResourceUri>,
}

impl DeviceAuthorizationRequest {
    /// Takes what is asked for out of `form`, where `resource` may repeat.
    ///
    /// # Errors
    /// `invalid_scope` for a malformed scope, `invalid_target` for a malformed resource or too many.
    pub fn parse(form: &mut Form) -> Result<Self, Refusal> {
        Ok(Self {
            scope: take_scope(form)?,
            resources: take_resources(form)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, Reason};

    fn parse(body: &str) -> Result<DeviceAuthorizationRequest, Refusal> {
        let mut form = Form::parse_with_resources(body.as_bytes()).unwrap();
        DeviceAuthorizationRequest::parse(&mut form)
    }

    #[test]
    fn a_device_may_ask_for_several_resources() {
        let asked = parse("scope=b+a&resource=https://a.example&resource=https://b.example&other=1").unwrap();
        assert_eq!(asked.scope, Some(ScopeSet::parse("a b").unwrap()));
        let resources: Vec<&str> = asked.resources.iter().map(ResourceUri::as_str).collect();
        assert_eq!(resources, ["https://a.example", "https://b.example"]);
        let nothing = parse("scope=&resource=").unwrap();
        assert!(nothing.scope.is_none() && nothing.resources.is_empty());
    }

    #[test]
    fn t62_refusals_name_what_is_wrong() {
        let many: Vec<String> = (0..11)
            .map(|n| format!("resource=https://r{n}.example"))
            .collect();
        for (body, code, reason) in [
            ("scope=%22", ErrorCode::InvalidScope, Reason::InvalidParameter),
            ("resource=mcp", ErrorCode::InvalidTarget, Reason::UnknownResource),
            (
                many.join("&").as_str(),
                ErrorCode::InvalidTarget,
                Reason::UnknownResource,
            ),
        ] {
            assert_eq!(parse(body).err(), Some(Refusal::new(code, reason)), "{body}");
        }
    }
}
