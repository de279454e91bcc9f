//! What a client may change of the look of the pages that speak for it: a name, a picture, and one colour, on which
//! every text stays readable.

use vouchsafe_issuer::Client;

/// How a client presents itself at the head of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brand {
    /// The name that people know.
    pub(crate) name: String,
    /// The address of a picture; the caller has checked its scheme and names its origin in the policy of the page.
    pub(crate) logo: Option<String>,
    /// The colour of the main button.
    pub(crate) color: Option<Color>,
}

impl Brand {
    /// How a client presents itself; not one that nobody vouches for, since a picture or a colour would lend it a face.
    pub(crate) fn of(client: &Client) -> Option<Self> {
        if client.is_stranger() {
            return None;
        }
        Some(Self {
            name: client.name.clone()?,
            logo: client.logo_uri.clone(),
            color: client.brand_color.as_deref().and_then(Color::parse),
        })
    }
}

/// A colour of sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

const BLACK: Color = Color::new(0, 0, 0);
const WHITE: Color = Color::new(255, 255, 255);
/// The card of `vouchsafe.css` in light and in dark.
const LIGHT_CARD: Color = Color::new(0xff, 0xfe, 0xfc);
const DARK_CARD: Color = Color::new(0x1e, 0x1d, 0x1a);
/// The contrast of a control with what is beside it (WCAG 2.2, 1.4.11).
const CONTROL_CONTRAST: f64 = 3.0;
/// In how many steps a colour is moved towards black or white.
const STEPS: u16 = 32;

impl Color {
    const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// Reads `#rrggbb`; anything else is `None`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let channel = |from: usize| u8::from_str_radix(digits.get(from..from + 2)?, 16).ok();
        Some(Self::new(channel(0)?, channel(2)?, channel(4)?))
    }

    /// `rrggbb`, in lower case.
    pub(crate) fn hex(self) -> String {
        format!("{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }

    /// The style sheet of this colour, for light and dark: the colour, black or white upon it, and an edge where it
    /// would melt into the card.
    pub(crate) fn css(self) -> String {
        let edge = self.away_from(LIGHT_CARD, BLACK);
        let lifted = self.away_from(DARK_CARD, WHITE);
        format!(
            ":root{{{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
            self.properties(edge),
            lifted.properties(lifted)
        )
    }

    fn properties(self, edge: Self) -> String {
        format!(
            "--brand:#{};--on-brand:#{};--brand-edge:#{}",
            self.hex(),
            self.text_upon().hex(),
            edge.hex()
        )
    }

    /// Black or white, whichever reads better; the better one always has a contrast of 4.5 or more.
    fn text_upon(self) -> Self {
        if self.contrast(BLACK) >= self.contrast(WHITE) {
            BLACK
        } else {
            WHITE
        }
    }

    /// The nearest mixture with `end` that stands out from `ground`.
    fn away_from(self, ground: Self, end: Self) -> Self {
        (0..=STEPS)
            .map(|step| self.mixed(end, step))
            .find(|color| color.contrast(ground) >= CONTROL_CONTRAST)
            .unwrap_or(end)
    }

    fn mixed(self, end: Self, step: u16) -> Self {
        let mix = |from: u8, to: u8| {
            let sum = u16::from(from) * STEPS.saturating_sub(step) + u16::from(to) * step;
            u8::try_from(sum / STEPS).unwrap_or(u8::MAX)
        };
        Self::new(
            mix(self.red, end.red),
            mix(self.green, end.green),
            mix(self.blue, end.blue),
        )
    }

    /// The contrast ratio of WCAG 2.2, 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// The relative luminance of WCAG 2.2, 0 to 1.
    fn luminance(self) -> f64 {
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

fn linear(channel: u8) -> f64 {
    let value = f64::from(channel) / 255.0;
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

#[cfg(test)]
mod tests {
    use super::{BLACK, CONTROL_CONTRAST, Color, DARK_CARD, LIGHT_CARD, WHITE};

    fn many_colors() -> impl Iterator<Item = Color> {
        let channel = || (0..=255_u8).step_by(15);
        channel().flat_map(move |red| {
            channel().flat_map(move |green| channel().map(move |blue| Color::new(red, green, blue)))
        })
    }

    #[test]
    fn six_digits_behind_a_hash_and_nothing_else() {
        assert_eq!(Color::parse("#1F5f51"), Some(Color::new(0x1f, 0x5f, 0x51)));
        assert_eq!(Color::parse("#1F5f51").unwrap().hex(), "1f5f51");
        for bad in [
            "", "#", "1f5f51", "#1f5", "#1f5f5", "#1f5f510", "#1f5f5g", "#+f5f51", "#ééé", "red", "#12 456",
        ] {
            assert_eq!(Color::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn text_upon_any_colour_is_readable() {
        for color in many_colors() {
            let upon = color.text_upon();
            assert!(color.contrast(upon) >= 4.5, "{color:?}");
            let lifted = color.away_from(DARK_CARD, WHITE);
            assert!(lifted.contrast(lifted.text_upon()) >= 4.5, "{color:?}");
        }
    }

    #[test]
    fn a_button_stands_out_from_its_card() {
        for color in many_colors() {
            assert!(
                color.away_from(LIGHT_CARD, BLACK).contrast(LIGHT_CARD) >= CONTROL_CONTRAST,
                "{color:?}"
            );
            assert!(
                color.away_from(DARK_CARD, WHITE).contrast(DARK_CARD) >= CONTROL_CONTRAST,
                "{color:?}"
            );
        }
    }

    #[test]
    fn the_cards_are_those_of_the_style_sheet() {
        let sheet = include_str!("../../assets/vouchsafe.css");
        for card in [LIGHT_CARD, DARK_CARD] {
            assert!(sheet.contains(&format!("--card: #{};", card.hex())), "{card:?}");
        }
    }

    #[test]
    fn the_style_sheet_of_a_colour() {
        let expected = ":root{--brand:#ffdd00;--on-brand:#000000;--brand-edge:#a79100}\n\
            @media (prefers-color-scheme:dark){:root{--brand:#ffdd00;--on-brand:#000000;--brand-edge:#ffdd00}}\n";
        assert_eq!(Color::parse("#ffdd00").unwrap().css(), expected);
        assert!(
            Color::parse("#000000")
                .unwrap()
                .css()
                .contains(":root{--brand:#000000;--on-brand:#ffffff;")
        );
    }
}
