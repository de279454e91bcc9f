//! The strict parser of `application/x-www-form-urlencoded` bodies, where everything hostile about
//! names and values ends.

use std::{fmt, mem};

use zeroize::Zeroizing;

use crate::error::{ErrorCode, Reason, Refusal};

/// Which parameter came twice; the name itself is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DuplicateName {
    /// `resource`, which RFC 8707 lets repeat elsewhere.
    Resource,
    /// Any other.
    Other,
}

/// Why a body is no form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormError {
    /// More than [`Form::MAX_BYTES`].
    #[error("form too large")]
    TooLarge,
    /// More than [`Form::MAX_PARAMETERS`].
    #[error("too many parameters")]
    TooManyParameters,
    /// A `%` without two hexadecimal digits.
    #[error("invalid percent escape")]
    InvalidEscape,
    /// Not UTF-8 after decoding.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A control character after decoding.
    #[error("control character")]
    ControlCharacter,
    /// A parameter without a name.
    #[error("empty parameter name")]
    EmptyName,
    /// A parameter came twice (RFC 6749 section 3.2).
    #[error("duplicate parameter")]
    Duplicate(DuplicateName),
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        let (code, reason) = match error {
            FormError::TooLarge => (ErrorCode::InvalidRequest, Reason::BodyTooLarge),
            FormError::Duplicate(DuplicateName::Resource) => {
                (ErrorCode::InvalidTarget, Reason::DuplicateParameter)
            }
            FormError::Duplicate(DuplicateName::Other) => {
                (ErrorCode::InvalidRequest, Reason::DuplicateParameter)
            }
            FormError::TooManyParameters
            | FormError::InvalidEscape
            | FormError::InvalidUtf8
            | FormError::ControlCharacter
            | FormError::EmptyName => (ErrorCode::InvalidRequest, Reason::MalformedBody),
        };
        Self::new(code, reason)
    }
}

struct Parameter {
    name: Zeroizing<String>,
    value: Zeroizing<String>,
}

/// The decoded parameters of a body, no name twice; wiped when dropped.
#[derive(Default)]
pub struct Form {
    parameters: Vec<Parameter>,
    resources_repeat: bool,
}

impl Form {
    /// The most bytes in a body.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The most parameters in a body.
    pub const MAX_PARAMETERS: usize = 64;

    /// Decodes a body. An empty value counts as omitted (RFC 6749 section 3.2) but its name as
    /// seen; nothing between two `&` is nothing.
    ///
    /// # Errors
    /// At the first byte outside the format, the limits, UTF-8 or printable text, and at the first
    /// name that comes twice.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        Self::default().filled(body)
    }

    /// The same where `resource` may repeat (RFC 8707 section 2); [`Form::take_all`] gives each of them.
    ///
    /// # Errors
    /// As [`Form::parse`].
    pub fn parse_with_resources(text: &[u8]) -> Result<Self, FormError> {
        let form = Self {
            resources_repeat: true,
            ..Self::default()
        };
        form.filled(text)
    }

    fn filled(mut self, text: &[u8]) -> Result<Self, FormError> {
        if text.len() > Self::MAX_BYTES {
            return Err(FormError::TooLarge);
        }
        for pair in text.split(|byte| *byte == b'&') {
            if !pair.is_empty() {
                self.add(pair)?;
            }
        }
        Ok(self)
    }

    /// The same for members that came another way, such as a JSON object of strings.
    ///
    /// # Errors
    /// As [`Form::parse`], but for escapes, which there are none of.
    pub fn from_members(members: impl IntoIterator<Item = (String, String)>) -> Result<Self, FormError> {
        let mut form = Self::default();
        for (name, value) in members {
            form.put(Zeroizing::new(name), Zeroizing::new(value))?;
        }
        Ok(form)
    }

    /// The value of `name` unless it is omitted, empty or taken.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|known| known.name.as_str() == name)
            .map(|known| known.value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Moves the value of `name` out, without leaving a copy behind.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters
            .iter_mut()
            .find(|known| known.name.as_str() == name)
            .map(|known| mem::take(&mut *known.value))
            .filter(|value| !value.is_empty())
    }

    /// Moves every value of `name` out, in the order in which they came.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        self.parameters
            .iter_mut()
            .filter(|known| known.name.as_str() == name)
            .map(|known| mem::take(&mut *known.value))
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// What is left, form-encoded, in the order in which it came.
    pub fn encoded(&self) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for known in self.parameters.iter().filter(|known| !known.value.is_empty()) {
            text.append_pair(&known.name, &known.value);
        }
        text.finish()
    }

    /// Whether no parameter has a value any more.
    pub fn is_empty(&self) -> bool {
        self.parameters.iter().all(|known| known.value.is_empty())
    }

    fn add(&mut self, pair: &[u8]) -> Result<(), FormError> {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = Zeroizing::new(decode_component(halves.next().unwrap_or_default())?);
        let value = Zeroizing::new(decode_component(halves.next().unwrap_or_default())?);
        self.put(name, value)
    }

    fn put(&mut self, name: Zeroizing<String>, value: Zeroizing<String>) -> Result<(), FormError> {
        if self.parameters.len() >= Self::MAX_PARAMETERS {
            return Err(FormError::TooManyParameters);
        }
        if name.is_empty() {
            return Err(FormError::EmptyName);
        }
        if [&name, &value]
            .iter()
            .any(|text| text.bytes().any(|byte| byte.is_ascii_control()))
        {
            return Err(FormError::ControlCharacter);
        }
        let may_repeat = self.resources_repeat && name.as_str() == "resource";
        if !may_repeat && self.parameters.iter().any(|known| known.name == name) {
            return Err(FormError::Duplicate(match name.as_str() {
                "resource" => DuplicateName::Resource,
                _ => DuplicateName::Other,
            }));
        }
        self.parameters.push(Parameter { name, value });
        Ok(())
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} parameters)", self.parameters.len())
    }
}

/// Decodes one name or value: `+` is a space, `%` takes two digits, the outcome is UTF-8 without
/// control characters.
pub(crate) fn decode_component(raw: &[u8]) -> Result<String, FormError> {
    let mut decoded = Zeroizing::new(Vec::<u8>::with_capacity(raw.len()));
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (hex_digit(bytes.next())? << 4) | hex_digit(bytes.next())?,
            other => other,
        });
    }
    let text = str::from_utf8(decoded.as_slice()).map_err(|_| FormError::InvalidUtf8)?;
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(FormError::ControlCharacter);
    }
    Ok(text.to_owned())
}

fn hex_digit(byte: Option<u8>) -> Result<u8, FormError> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(FormError::InvalidEscape),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn error(body: &[u8]) -> Option<FormError> {
        Form::parse(body).err()
    }

    #[test]
    fn cl22_a_form_gives_what_was_sent() {
        for (body, value) in [
            ("a=b", Some("b")),
            ("a=b+c%2B", Some("b c+")),
            ("a=b=c", Some("b=c")),
            ("a=%C3%A4%e2%82%ac", Some("\u{e4}\u{20ac}")),
            ("a=\u{e4}", Some("\u{e4}")),
            ("%61=b", Some("b")),
            ("x=1&a=b&y=2", Some("b")),
            ("&a=b&&", Some("b")),
            ("A=b", None),
            ("", None),
        ] {
            let mut form = Form::parse(body.as_bytes()).unwrap();
            assert_eq!(form.get("a"), value, "{body}");
            assert_eq!(form.take("a").as_deref(), value, "{body}");
            assert_eq!(form.get("a"), None, "{body}");
            assert_eq!(form.take("a"), None, "{body}");
        }
    }

    #[test]
    fn h10_a_name_comes_once() {
        use DuplicateName::{Other, Resource};
        for (body, which) in [
            ("grant_type=a&grant_type=b", Other),
            ("grant_type=a&x=1&grant_type=a", Other),
            ("grant_type=&grant_type=b", Other),
            ("grant_type=a&grant_type", Other),
            ("gr%61nt_type=a&grant_type=b", Other),
            ("unknown=a&unknown=b", Other),
            ("resource=a&resource=b", Resource),
            ("resource=&resource=b", Resource),
            ("resource=a&%72esource=a", Resource),
        ] {
            assert_eq!(
                error(body.as_bytes()),
                Some(FormError::Duplicate(which)),
                "{body}"
            );
        }
        assert!(Form::parse(b"scope=a&Scope=b").is_ok());
    }

    #[test]
    fn h15_an_empty_value_counts_as_omitted() {
        for body in ["scope=", "scope", "scope=&code=", "code=&scope"] {
            let mut form = Form::parse(body.as_bytes()).unwrap();
            assert!(form.is_empty(), "{body}");
            assert_eq!(form.get("scope"), None, "{body}");
            assert_eq!(form.take("scope"), None, "{body}");
        }
        let mut form = Form::parse(b"a=1&scope=").unwrap();
        assert!(!form.is_empty());
        form.take("a").unwrap();
        assert!(form.is_empty());
    }

    #[test]
    fn h16_controls_and_broken_utf8_are_refused_in_names_and_values() {
        use FormError::{ControlCharacter, InvalidEscape, InvalidUtf8};
        let cases: [(&[u8], FormError); 22] = [
            (b"%00", ControlCharacter),
            (b"\x00", ControlCharacter),
            (b"%0d%0a", ControlCharacter),
            (b"%0D", ControlCharacter),
            (b"\n", ControlCharacter),
            (b"%09", ControlCharacter),
            (b"%1f", ControlCharacter),
            (b"%7F", ControlCharacter),
            (b"\xff", InvalidUtf8),
            (b"%ff", InvalidUtf8),
            (b"%c0%80", InvalidUtf8),
            (b"%c1%81", InvalidUtf8),
            (b"%e0%80%af", InvalidUtf8),
            (b"%f0%80%80%af", InvalidUtf8),
            (b"%ed%a0%80", InvalidUtf8),
            (b"%ed%bf%bf", InvalidUtf8),
            (b"%f4%90%80%80", InvalidUtf8),
            (b"%e2%82", InvalidUtf8),
            (b"%", InvalidEscape),
            (b"%1", InvalidEscape),
            (b"%zz", InvalidEscape),
            (b"%+1", InvalidEscape),
        ];
        for (hostile, expected) in cases {
            let value = [b"a=b&c=x".as_slice(), hostile].concat();
            let name = [b"a=b&x".as_slice(), hostile, b"=c".as_slice()].concat();
            assert_eq!(error(&value), Some(expected), "value {hostile:?}");
            assert_eq!(error(&name), Some(expected), "name {hostile:?}");
        }
        assert_eq!(error(b"=b"), Some(FormError::EmptyName));
    }

    #[test]
    fn h01_bodies_and_counts_have_limits() {
        let body = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
        assert!(Form::parse(body(Form::MAX_BYTES).as_bytes()).is_ok());
        assert_eq!(
            error(body(Form::MAX_BYTES + 1).as_bytes()),
            Some(FormError::TooLarge)
        );
        let many = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|number| format!("p{number}=1")).collect();
            pairs.join("&")
        };
        assert!(Form::parse(many(Form::MAX_PARAMETERS).as_bytes()).is_ok());
        assert_eq!(
            error(many(Form::MAX_PARAMETERS + 1).as_bytes()),
            Some(FormError::TooManyParameters)
        );
    }

    #[test]
    fn h10_two_resources_are_an_invalid_target() {
        for (error, code, reason) in [
            (
                FormError::Duplicate(DuplicateName::Resource),
                ErrorCode::InvalidTarget,
                Reason::DuplicateParameter,
            ),
            (
                FormError::Duplicate(DuplicateName::Other),
                ErrorCode::InvalidRequest,
                Reason::DuplicateParameter,
            ),
            (
                FormError::TooLarge,
                ErrorCode::InvalidRequest,
                Reason::BodyTooLarge,
            ),
            (
                FormError::InvalidUtf8,
                ErrorCode::InvalidRequest,
                Reason::MalformedBody,
            ),
        ] {
            assert_eq!(Refusal::from(error), Refusal::new(code, reason));
        }
    }

    #[test]
    fn o01_debug_shows_neither_names_nor_values() {
        let form = Form::parse(b"password=hunter2&username=ann").unwrap();
        assert_eq!(format!("{form:?}"), "Form(2 parameters)");
    }
}
