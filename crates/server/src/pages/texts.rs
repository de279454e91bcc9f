//! Every sentence of the pages, in English and German side by side, so that none can be missing in one of them.

/// A language of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lang {
    /// English.
    En,
    /// German.
    De,
}

impl Lang {
    /// The language tag (RFC 5646).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// What the pages say in this language.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::En => &EN,
            Self::De => &DE,
        }
    }
}

macro_rules! texts {
    ($($name:ident: $en:literal, $de:literal;)+) => {
        /// The texts of one language; `{...}` is filled by [`fill`].
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)+
        }

        static EN: Texts = Texts { $($name: $en,)+ };
        static DE: Texts = Texts { $($name: $de,)+ };

        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $de),)+];
    };
}

texts! {
    // Said on several pages.
    username: "Username", "Benutzername";
    password: "Password", "Passwort";
    signed_in_as: "Signed in as", "Angemeldet als";
    other_account: "Use another account", "Anderes Konto verwenden";
    go_on: "Continue", "Weiter";
    allow: "Allow", "Erlauben";
    deny: "Deny", "Ablehnen";
    sign_out: "Sign out", "Abmelden";
    may_close: "You can close this page.", "Sie können diese Seite schließen.";
    privacy_policy: "Privacy policy", "Datenschutzerklärung";
    terms: "Terms of service", "Nutzungsbedingungen";
    too_many: "Too many attempts. Wait a few minutes, then try again.",
        "Zu viele Versuche. Bitte warten Sie einige Minuten und versuchen Sie es dann noch einmal.";
    busy: "Too many people are signing in at this moment. Please try again shortly.",
        "Im Moment melden sich zu viele Menschen an. Bitte versuchen Sie es gleich noch einmal.";
    expired: "This page was open for too long. Please try again.",
        "Diese Seite war zu lange offen. Bitte versuchen Sie es noch einmal.";

    // Signing in.
    sign_in_title: "Sign in", "Anmelden";
    sign_in_wrong: "The username or the password is wrong.", "Benutzername oder Passwort ist falsch.";
    sign_in_created: "Now sign in with the name and the password that you chose. If that fails, the name is taken: \
        create an account with another one.",
        "Melden Sie sich jetzt mit dem gewählten Namen und Passwort an. Gelingt das nicht, ist der Name schon \
        vergeben; legen Sie dann ein Konto mit einem anderen an.";
    no_account: "No account yet?", "Noch kein Konto?";

    // Choosing an account.
    select_title: "Choose an account", "Konto wählen";
    continue_as: "Continue as", "Weiter als";

    // Consent.
    consent_title: "Allow {client} to use your account?", "Darf {client} Ihr Konto verwenden?";
    consent_scopes: "The app will be able to:", "Die App kann dann:";
    consent_nothing: "The app asks for no particular permission.", "Die App verlangt keine besonderen Rechte.";
    consent_unvetted: "{client} registered itself, from {host}. Nobody here has checked it: allow it only if you \
        trust it.",
        "{client} hat sich selbst registriert, von {host}. Niemand hat die App hier geprüft: Erlauben Sie es nur, \
        wenn Sie ihr vertrauen.";
    consent_unvetted_nowhere: "{client} registered itself under a name of its own choice. Nobody here has checked it: \
        allow it only if you trust it.",
        "{client} hat sich selbst registriert, unter einem selbst gewählten Namen. Niemand hat die App hier geprüft: \
        Erlauben Sie es nur, wenn Sie ihr vertrauen.";
    consent_goes: "Either way you continue to {host}.", "In beiden Fällen geht es danach weiter zu {host}.";
    consent_goes_here: "Either way you continue in an app on this device.",
        "In beiden Fällen geht es danach in einer App auf diesem Gerät weiter.";
    unknown_browser: "A browser", "Ein Browser";
    scope_at: "at {place}", "bei {place}";
    scope_openid: "Recognise you when you come back", "Sie wiedererkennen";
    scope_profile: "See your name and your profile", "Ihren Namen und Ihr Profil sehen";
    scope_email: "See your email address", "Ihre E-Mail-Adresse sehen";
    scope_address: "See your postal address", "Ihre Postanschrift sehen";
    scope_phone: "See your phone number", "Ihre Telefonnummer sehen";
    scope_offline_access: "Keep its access while you are away", "Auch in Ihrer Abwesenheit zugreifen";

    // Devices.
    device_title: "Connect a device", "Gerät verbinden";
    device_lead: "Enter the code that your device shows.", "Geben Sie den Code ein, den Ihr Gerät anzeigt.";
    device_code: "Code", "Code";
    device_wrong: "This code is wrong or has expired. Check it, or start again on your device.",
        "Dieser Code ist falsch oder abgelaufen. Prüfen Sie ihn, oder beginnen Sie auf dem Gerät noch einmal.";
    device_confirm_title: "Connect this device to your account?", "Dieses Gerät mit Ihrem Konto verbinden?";
    device_asks: "On another device, {client} asks to use your account.",
        "Auf einem anderen Gerät möchte {client} Ihr Konto verwenden.";
    device_compare: "That device must show this code:", "Jenes Gerät muss diesen Code anzeigen:";
    device_source: "The request came from {source}.", "Die Anfrage kam von {source}.";
    device_beware: "Did somebody send you this code? Then deny: otherwise they get access to your account.",
        "Hat Ihnen jemand diesen Code geschickt? Dann lehnen Sie ab, sonst bekommt diese Person Zugriff auf Ihr Konto.";
    device_allowed_title: "Your device is connected", "Ihr Gerät ist verbunden";
    device_allowed: "Go on there.", "Machen Sie dort weiter.";
    device_denied_title: "The device was turned away", "Das Gerät wurde abgewiesen";
    device_denied: "It got no access to your account.", "Es hat keinen Zugriff auf Ihr Konto bekommen.";

    // Signing up.
    sign_up_title: "Create an account", "Konto anlegen";
    sign_up_name: "Letters, digits and . _ - + @", "Buchstaben, Ziffern und . _ - + @";
    sign_up_password: "At least 8 characters", "Mindestens 8 Zeichen";
    email: "Email (optional)", "E-Mail (freiwillig)";
    have_account: "Already have an account?", "Schon ein Konto?";
    sign_up_bad_name: "This username does not work: 64 characters at most, beginning with a letter or a digit.",
        "Dieser Benutzername geht nicht: höchstens 64 Zeichen, am Anfang ein Buchstabe oder eine Ziffer.";
    sign_up_bad_password: "This password is too short or too long: it needs at least 8 characters.",
        "Dieses Passwort ist zu kurz oder zu lang: Es braucht mindestens 8 Zeichen.";
    sign_up_bad_email: "This is not an email address.", "Das ist keine E-Mail-Adresse.";

    // The account.
    account_title: "Your account", "Ihr Konto";
    sessions_title: "Where you are signed in", "Wo Sie angemeldet sind";
    sessions_here: "This browser", "Dieser Browser";
    apps_title: "Apps that have access", "Apps mit Zugriff";
    apps_none: "No app has access at present.", "Zurzeit hat keine App Zugriff.";
    apps_offline: "Keeps its access while you are away", "Behält den Zugriff in Ihrer Abwesenheit";
    end_access: "End access", "Zugriff beenden";
    consents_title: "What you have allowed", "Was Sie erlaubt haben";
    consents_none: "You have allowed nothing yet.", "Sie haben noch nichts erlaubt.";
    withdraw: "Withdraw", "Widerrufen";
    since: "Since: {time}", "Seit: {time}";
    last_seen: "Last active: {time}", "Zuletzt aktiv: {time}";
    last_used: "Last used: {time}", "Zuletzt benutzt: {time}";
    allowed_at: "Allowed: {time}", "Erlaubt: {time}";
    notice_session: "That browser is signed out.", "Jener Browser ist abgemeldet.";
    notice_app: "That app no longer has access.", "Jene App hat keinen Zugriff mehr.";
    notice_consent: "Your permission is withdrawn, and the access has ended.",
        "Ihre Erlaubnis ist widerrufen, und der Zugriff ist beendet.";

    // The password.
    password_title: "Change your password", "Passwort ändern";
    password_current: "Current password", "Bisheriges Passwort";
    password_new: "New password", "Neues Passwort";
    password_change: "Change password", "Passwort ändern";
    password_wrong: "The current password is wrong.", "Das bisherige Passwort ist falsch.";
    password_too_short: "The new password is too short or too long: it needs at least 8 characters.",
        "Das neue Passwort ist zu kurz oder zu lang: Es braucht mindestens 8 Zeichen.";
    password_changed: "Your password is changed.", "Ihr Passwort ist geändert.";
    back_to_account: "Back to your account", "Zurück zu Ihrem Konto";

    // Signing out.
    logout_title: "Sign out?", "Abmelden?";
    logout_asked: "{client} asks to sign you out of this browser.", "{client} möchte Sie in diesem Browser abmelden.";
    logout_asked_here: "This signs you out of this browser.", "Damit melden Sie sich in diesem Browser ab.";
    logout_stay: "Stay signed in", "Angemeldet bleiben";
    signed_out_title: "You are signed out", "Sie sind abgemeldet";
    back_to_app: "Back to {client}", "Zurück zu {client}";
    back_to_unnamed: "Back to the app", "Zurück zur App";

    // What went wrong.
    unknown_client_title: "We do not know this app", "Diese App kennen wir nicht";
    unknown_client: "The link that led you here names an app that is not registered. Go back to the app and try again, \
        or tell whoever runs it.",
        "Der Link, der Sie hierher geführt hat, nennt eine App, die nicht registriert ist. Gehen Sie zur App zurück \
        und versuchen Sie es noch einmal, oder sagen Sie es ihren Betreibern.";
    bad_redirect_title: "Something is wrong with this link", "Mit diesem Link stimmt etwas nicht";
    bad_redirect: "It would send you to an address that the app has not registered, so we stopped here. Open the app \
        anew, or tell whoever runs it.",
        "Er würde Sie zu einer Adresse schicken, die die App nicht registriert hat; darum endet er hier. Öffnen Sie \
        die App neu, oder sagen Sie es ihren Betreibern.";
    bad_request_title: "We do not understand this request", "Diese Anfrage verstehen wir nicht";
    bad_request: "Something is missing in it, or says two things at once. Go back and try again.",
        "Etwas darin fehlt oder widerspricht sich. Gehen Sie zurück und versuchen Sie es noch einmal.";
    forbidden_title: "This is not allowed", "Das ist nicht erlaubt";
    forbidden: "The form did not come from a page that we showed to this browser. Go back, load the page anew and try \
        again; the browser must accept cookies.",
        "Das Formular kam nicht von einer Seite, die wir diesem Browser gezeigt haben. Gehen Sie zurück, laden Sie \
        die Seite neu und versuchen Sie es noch einmal; der Browser muss Cookies annehmen.";
    not_found_title: "There is nothing here", "Hier ist nichts";
    not_found: "The address may be mistyped, or what it led to is gone.",
        "Vielleicht ist die Adresse falsch geschrieben, oder es gibt nicht mehr, wohin sie führte.";
    expired_title: "This took too long", "Das hat zu lange gedauert";
    expired_page: "What was begun here has expired, and nothing was changed. Go back to the app and begin again.",
        "Was hier begonnen wurde, ist abgelaufen, und nichts wurde geändert. Gehen Sie zur App zurück und beginnen \
        Sie noch einmal.";
    decided_title: "This was decided before", "Das wurde schon entschieden";
    decided: "A page decides once, and this one has. If the app did not take you further, go back to it and begin again.",
        "Eine Seite entscheidet einmal, und diese hat es getan. Wenn die App Sie nicht weitergebracht hat, gehen Sie zu \
        ihr zurück und beginnen Sie noch einmal.";
    unavailable_title: "Not at this moment", "Im Moment nicht";
    unavailable: "We cannot answer right now. Wait a little, then try again.",
        "Wir können gerade nicht antworten. Warten Sie ein wenig, und versuchen Sie es dann noch einmal.";
    failed_title: "Something went wrong here", "Hier ist etwas schiefgegangen";
    failed: "It is not your fault, and we have noted it. Try again later.",
        "Es liegt nicht an Ihnen, und wir haben es vermerkt. Versuchen Sie es später noch einmal.";
    for_support: "For support:", "Für den Support:";

    // The page that posts itself.
    form_post_title: "One moment", "Einen Moment";
    form_post_lead: "You continue to the app.", "Es geht weiter zur App.";
}

/// What a scope of OpenID Connect Core 5.4 and 11 lets an app do; other scopes have no words but their name.
pub(crate) fn scope_words(lang: Lang, scope: &str) -> Option<&'static str> {
    let texts = lang.texts();
    match scope {
        "openid" => Some(texts.scope_openid),
        "profile" => Some(texts.scope_profile),
        "email" => Some(texts.scope_email),
        "address" => Some(texts.scope_address),
        "phone" => Some(texts.scope_phone),
        "offline_access" => Some(texts.scope_offline_access),
        _ => None,
    }
}

/// Puts values in the place of `{name}`; what is put in is not read again. Characters that could turn the direction
/// of the sentence around them are left out.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            filled.extend(value.chars().filter(|c| !turns_text(*c)));
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

/// Controls, and the marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX 9 2).
fn turns_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{Lang, TABLE, fill, scope_words};
    use std::collections::BTreeSet;

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
            .collect()
    }

    #[test]
    fn every_text_is_there_in_both_languages() {
        for (name, en, de) in TABLE {
            for text in [en, de] {
                assert!(!text.trim().is_empty(), "{name}");
                assert!(!text.contains("  "), "{name}: {text}");
                assert_eq!(text.matches('{').count(), text.matches('}').count(), "{name}");
            }
            assert_eq!(placeholders(en), placeholders(de), "{name}");
        }
    }

    #[test]
    fn a_value_is_put_in_once_and_as_it_is() {
        assert_eq!(
            fill("Back to {client}", &[("client", "Photos")]),
            "Back to Photos"
        );
        let both = [("client", "{host}"), ("host", "h.example")];
        assert_eq!(fill("{client} at {host}.", &both), "{host} at h.example.");
        assert_eq!(fill("{nobody}!", &both), "!");
        assert_eq!(fill("open { brace", &both), "open { brace");
        assert_eq!(fill("", &both), "");
    }

    #[test]
    fn a_name_cannot_turn_the_sentence_around() {
        let name = "Ph\u{202e}otos\n\u{2066}";
        assert_eq!(fill("Allow {client}?", &[("client", name)]), "Allow Photos?");
    }

    #[test]
    fn known_scopes_have_words() {
        for scope in ["openid", "profile", "email", "address", "phone", "offline_access"] {
            let (en, de) = (scope_words(Lang::En, scope), scope_words(Lang::De, scope));
            assert!(en.is_some() && de.is_some() && en != de, "{scope}");
        }
        assert_eq!(scope_words(Lang::En, "items:read"), None);
        assert_eq!(Lang::De.as_str(), "de");
    }
}
