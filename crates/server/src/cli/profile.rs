//! `vouchsafe user set-profile`: what is told of a person, in the names of OpenID Connect Core 5.1.

use clap::Args;
use vouchsafe_issuer::{ProfileDraft, User};

use super::failure::Failure;
use super::work::Work;

/// What is said of a person; what is not said stays, and an empty text takes away.
#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// Their name, or their subject
    user: String,
    /// Where mail reaches them
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Whether somebody made sure of that
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    email_verified: Option<bool>,
    /// Their whole name, as they want it shown
    #[arg(long)]
    name: Option<String>,
    /// Their given name
    #[arg(long)]
    given_name: Option<String>,
    /// Their family name
    #[arg(long)]
    family_name: Option<String>,
    /// The names between the two
    #[arg(long)]
    middle_name: Option<String>,
    /// What friends call them
    #[arg(long)]
    nickname: Option<String>,
    /// A page about them, https
    #[arg(long, value_name = "URI")]
    profile: Option<String>,
    /// A picture, https
    #[arg(long, value_name = "URI")]
    picture: Option<String>,
    /// Their page, https
    #[arg(long, value_name = "URI")]
    website: Option<String>,
    /// Their gender, as female, male or another word
    #[arg(long)]
    gender: Option<String>,
    /// Their birthday as YYYY-MM-DD; 0000 for a year that is not said, or the year alone
    #[arg(long, value_name = "DATE")]
    birthdate: Option<String>,
    /// Their language, such as de or en-GB
    #[arg(long)]
    locale: Option<String>,
    /// Their time zone, such as Europe/Berlin
    #[arg(long)]
    zoneinfo: Option<String>,
    /// Their telephone, such as +49 30 1234567
    #[arg(long, value_name = "NUMBER")]
    phone_number: Option<String>,
    /// Whether somebody made sure of that
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    phone_number_verified: Option<bool>,
    /// Where they live, in one line
    #[arg(long)]
    address: Option<String>,
}

pub(super) async fn set(args: ProfileArgs, work: &mut Work<'_, '_>) -> Result<User, Failure> {
    let texts = [
        ("name", args.name),
        ("given_name", args.given_name),
        ("family_name", args.family_name),
        ("middle_name", args.middle_name),
        ("nickname", args.nickname),
        ("profile", args.profile),
        ("picture", args.picture),
        ("website", args.website),
        ("gender", args.gender),
        ("birthdate", args.birthdate),
        ("locale", args.locale),
        ("zoneinfo", args.zoneinfo),
        ("phone_number", args.phone_number),
        ("address", args.address),
    ];
    let draft = ProfileDraft {
        email: args.email,
        email_verified: args.email_verified,
        texts: texts
            .into_iter()
            .filter_map(|(claim, text)| Some((claim, text?)))
            .collect(),
        phone_number_verified: args.phone_number_verified,
    };
    Ok(work
        .issuer
        .set_user_profile(&args.user, &draft, &work.actor)
        .await?)
}
