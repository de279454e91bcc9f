//! In which language a page speaks: what the app asked for, then what the browser asks for, else English.

use super::texts::Lang;

/// How many tags of each list are looked at.
const MOST_TAGS: usize = 32;

/// The language for a request with these `ui_locales` (OpenID Connect Core 3.1.2.1) and this `Accept-Language`
/// (RFC 9110 12.5.4).
pub(crate) fn choose(ui_locales: Option<&str>, accept_language: Option<&str>) -> Lang {
    ui_locales
        .and_then(preferred)
        .or_else(|| accept_language.and_then(accepted))
        .unwrap_or(Lang::En)
}

/// The first known one of tags in order of preference.
fn preferred(tags: &str) -> Option<Lang> {
    tags.split(' ').take(MOST_TAGS).find_map(known)
}

/// The known one with the greatest weight, the earlier one of equals.
fn accepted(header: &str) -> Option<Lang> {
    let mut best: Option<(Lang, f32)> = None;
    for range in header.split(',').take(MOST_TAGS) {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let Some((lang, weight)) = known(tag.trim()).zip(weight(parameters)) else {
            continue;
        };
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((lang, weight));
        }
    }
    best.map(|(lang, _)| lang)
}

/// The weight among the parameters of a range, 1 without one; `None` for one that is no weight.
fn weight(parameters: &str) -> Option<f32> {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some(1.0);
    }
    let (name, value) = parameters.split_once('=')?;
    let weight: f32 = value.trim().parse().ok()?;
    (name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&weight)).then_some(weight)
}

/// The language of a tag, by its first subtag (RFC 5646 2.2.1).
fn known(tag: &str) -> Option<Lang> {
    let language = tag.split('-').next().unwrap_or_default();
    [Lang::En, Lang::De]
        .into_iter()
        .find(|lang| language.eq_ignore_ascii_case(lang.as_str()))
}

#[cfg(test)]
mod tests {
    use super::{Lang, choose};

    #[test]
    fn the_app_comes_first_then_the_browser_then_english() {
        assert_eq!(choose(Some("fr-CA de en"), Some("en")), Lang::De);
        assert_eq!(choose(Some("en-GB de"), Some("de")), Lang::En);
        assert_eq!(choose(Some("fr it"), Some("de-CH, en;q=0.5")), Lang::De);
        assert_eq!(choose(Some(""), Some("DE-at")), Lang::De);
        assert_eq!(choose(Some("fr"), Some("fr")), Lang::En);
        assert_eq!(choose(None, None), Lang::En);
    }

    #[test]
    fn weights_count_and_the_earlier_of_equals() {
        for (header, lang) in [
            ("de;q=0.4, en;q=0.8", Lang::En),
            ("fr, en;q=0.3 , de ; q=0.9", Lang::De),
            ("de, en", Lang::De),
            ("en;q=0.5,de;Q=0.5", Lang::En),
            ("en;q=0, de;q=0.001", Lang::De),
            ("de;q=0", Lang::En),
            ("*", Lang::En),
        ] {
            assert_eq!(choose(None, Some(header)), lang, "{header}");
        }
    }

    #[test]
    fn h18_what_is_no_list_of_tags_says_nothing() {
        for header in [
            "de;q=2",
            "de;q=nan",
            "de;q=inf",
            "de;q=-1",
            "de;level=1",
            "den",
            "d",
            ";;;",
            ",,,",
            "-",
            "de_DE",
        ] {
            assert_eq!(choose(None, Some(header)), Lang::En, "{header}");
            assert_eq!(choose(Some(header), None), Lang::En, "{header}");
        }
        let late = format!("{}de", "fr,".repeat(10_000));
        assert_eq!(choose(None, Some(&late)), Lang::En);
        let late = format!("{}de", "fr ".repeat(10_000));
        assert_eq!(choose(Some(&late), None), Lang::En);
    }
}
