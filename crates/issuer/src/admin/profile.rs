//! What is told of a person (OpenID Connect Core 5.1), said by an operator.

use serde_json::{Value, json};
use vouchsafe_store::User;

use super::user::is_address;
use super::{AdminError, or_not_found};
use crate::audit::{Event, Remark};
use crate::{Actor, Issuer};

const LONGEST: usize = 500;
/// The claims that are texts and not the account's own.
const TEXTS: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    ADDRESS,
];
/// The claim that is an object; its text is the whole address (OpenID Connect Core 5.1.1).
const ADDRESS: &str = "address";
const PHONE_VERIFIED: &str = "phone_number_verified";

/// What is said of a person; what is not said stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileDraft {
    /// Where mail reaches them; an empty text takes it away.
    pub email: Option<String>,
    /// Whether somebody made sure of that.
    pub email_verified: Option<bool>,
    /// Claims that are texts, by name; an empty text takes one away.
    pub texts: Vec<(&'static str, String)>,
    /// Whether somebody made sure of the telephone number.
    pub phone_number_verified: Option<bool>,
}

impl Issuer {
    /// Changes what is told of a person; the next answer of userinfo knows it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn set_user_profile(
        &self,
        name: &str,
        draft: &ProfileDraft,
        actor: &Actor,
    ) -> Result<User, AdminError> {
        let user = self.show_user(name).await?;
        let (subject, mut profile) = (user.subject, user.profile);
        for (claim, text) in &draft.texts {
            check(claim, text)?;
            match (*claim, text.as_str()) {
                (claim, "") => profile.remove(claim),
                (ADDRESS, text) => profile.insert(ADDRESS.to_owned(), json!({ "formatted": text })),
                (claim, text) => profile.insert(claim.to_owned(), Value::from(text)),
            };
        }
        // A new number is one that nobody made sure of.
        if draft.texts.iter().any(|(claim, _)| *claim == "phone_number") {
            profile.remove(PHONE_VERIFIED);
        }
        if let Some(verified) = draft.phone_number_verified {
            profile.insert(PHONE_VERIFIED.to_owned(), Value::from(verified));
        }
        let email = draft
            .email
            .clone()
            .or(user.email)
            .filter(|email| !email.is_empty());
        if email.as_deref().is_some_and(|email| !is_address(email)) {
            return Err(AdminError::invalid("this is not a mail address"));
        }
        // A new address is one that nobody made sure of.
        let verified = draft
            .email_verified
            .unwrap_or(user.email_verified && draft.email.is_none());
        let audit = Remark::new(Event::UserProfileSet, actor, self.now())
            .subject(&subject)
            .entry();
        let stored = self
            .store
            .set_profile(&subject, (email.as_deref(), verified), &profile, &audit)
            .await;
        or_not_found(stored, "user", name)?;
        self.concluded(&audit).await?;
        self.show_user(subject.as_str()).await
    }
}

fn check(claim: &str, text: &str) -> Result<(), AdminError> {
    let known = TEXTS.contains(&claim);
    let bad = text.len() > LONGEST || text.chars().any(char::is_control);
    let fits = match claim {
        _ if text.is_empty() => true,
        "profile" | "picture" | "website" => text.starts_with("https://"),
        "birthdate" => is_birthdate(text),
        _ => true,
    };
    if !known || bad || !fits {
        return Err(AdminError::invalid(format!("{claim} cannot be this")));
    }
    Ok(())
}

/// `YYYY-MM-DD`, or a year alone (OpenID Connect Core 5.1).
fn is_birthdate(text: &str) -> bool {
    let is = |part: &str, digits: usize, most: u8| {
        let number = part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() == digits;
        number && (most == 0 || part.parse().is_ok_and(|number: u8| (1..=most).contains(&number)))
    };
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year] => is(year, 4, 0),
        [year, month, day] => is(year, 4, 0) && is(month, 2, 12) && is(day, 2, 31),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birthdate_is_a_day_or_a_year() {
        for (text, is) in [
            ("1984-02-29", true),
            ("0000-12-31", true),
            ("1984", true),
            ("84", false),
            ("+984", false),
            ("1984-xx", false),
            ("1984-abc-def", false),
            ("1984-2-29", false),
            ("1984-13-01", false),
            ("1984-02", false),
            ("1984-02-29-1", false),
            ("29.2.1984", false),
        ] {
            assert_eq!(is_birthdate(text), is, "{text}");
        }
    }
}
