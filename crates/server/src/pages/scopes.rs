//! Scopes as a person reads them: first what concerns the person, in words, then what a resource server knows by its names.

use vouchsafe_protocol::{OIDC_SCOPES, redirect_uri};

use super::texts::{Lang, fill, scope_words};
use super::view::ScopeLine;

/// Scopes, each with the resource that knows it.
pub(super) fn lines(lang: Lang, scopes: &[(String, Option<String>)]) -> Vec<ScopeLine> {
    let rank = |scope: &str| OIDC_SCOPES.iter().position(|known| *known == scope);
    let mut ordered: Vec<&(String, Option<String>)> = scopes.iter().collect();
    ordered.sort_by_key(|(scope, _)| rank(scope).unwrap_or(OIDC_SCOPES.len()));
    let line = |(scope, at): &(String, Option<String>)| match scope_words(lang, scope) {
        Some(words) => ScopeLine {
            words: words.to_owned(),
            at: None,
        },
        None => ScopeLine {
            words: scope.clone(),
            at: at.as_deref().map(host_or_whole),
        },
    };
    ordered.into_iter().map(line).collect()
}

fn host_or_whole(resource: &str) -> String {
    redirect_uri::host_of(resource).unwrap_or_else(|| resource.to_owned())
}

/// The same, each in one sentence.
pub(super) fn sentences(lang: Lang, scopes: &[(String, Option<String>)]) -> Vec<String> {
    let sentence = |line: ScopeLine| match line.at {
        Some(place) => format!(
            "{} {}",
            line.words,
            fill(lang.texts().scope_at, &[("place", &place)])
        ),
        None => line.words,
    };
    lines(lang, scopes).into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_the_person_comes_first() {
        let at = |scope: &str| (scope.to_owned(), Some("https://api.example/v1".to_owned()));
        let scopes = [
            at("a:read"),
            ("email".to_owned(), None),
            at("offline_access"),
            at("b:read"),
            ("openid".to_owned(), None),
            ("plain".to_owned(), None),
        ];
        let t = Lang::En.texts();
        assert_eq!(
            sentences(Lang::En, &scopes),
            [
                t.scope_openid,
                t.scope_email,
                t.scope_offline_access,
                "a:read at api.example",
                "b:read at api.example",
                "plain",
            ]
        );
    }
}
