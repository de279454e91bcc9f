//! `vouchsafe client`: create, list, show, update, rotate a secret, delete.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use vouchsafe_issuer::{ApplicationType, ClientDraft, CreatedClient, Rotation};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, ScopeSet, SecretString, SigningAlgorithm,
};

use super::client_view::{ClientView, show_all, show_one};
use super::failure::Failure;
use super::flags::{Care, Seconds, said, signing_algorithm, union, words};
use super::input;
use super::registration_token::{self, TokenArgs};
use super::secret_file::SecretFile;
use super::work::{EVERYTHING, Work};

const EXAMPLES: &str = "Examples:
  vouchsafe client create --id reports --grant client_credentials \\
      --scope reports:read --resource https://api.example/ --secret-file reports.secret
  vouchsafe client create --id web --auth client_secret_basic --grant authorization_code --grant refresh_token \\
      --redirect-uri https://app.example/cb --scope \"openid profile items:read\" --resource https://api.example/
  vouchsafe client create --id native --auth none --application-type native --grant authorization_code \\
      --grant refresh_token --redirect-uri http://127.0.0.1/callback --scope \"openid offline_access\"";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a client; its secret is shown this once
    #[command(after_help = EXAMPLES)]
    Create(Box<CreateArgs>),
    /// List every client
    List,
    /// Show a client
    Show {
        /// Its id
        id: ClientId,
    },
    /// Change what is said and leave the rest; a list replaces the list that was there
    Update(Box<UpdateArgs>),
    /// Give a client a new secret, shown this once; the one before stays live beside it
    RotateSecret(RotateSecretArgs),
    /// Make a token that lets one client register itself, where registration.mode is token
    RegistrationToken(TokenArgs),
    /// Delete a client and end its sessions and tokens
    Delete {
        /// Its id
        id: ClientId,
        #[command(flatten)]
        care: Care,
    },
}

/// What can be said of a client, in the names of RFC 7591 2 and OpenID Connect Registration 2.
#[derive(Debug, Args)]
pub(super) struct Properties {
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// How it authenticates; at first client_secret_basic
    #[arg(long, value_name = "METHOD", value_parser = auth_method())]
    auth: Option<ClientAuthMethod>,
    /// What kind of application it is; at first web
    #[arg(long, value_name = "TYPE", value_parser = words::<ApplicationType>(["web", "native"]))]
    application_type: Option<ApplicationType>,
    /// A grant it may use; repeat it; at first authorization_code
    #[arg(long, value_parser = grant())]
    grant: Vec<GrantType>,
    /// Scopes it may be granted; repeat it, or separate them by spaces
    #[arg(long)]
    scope: Vec<ScopeSet>,
    /// An audience it may ask for; repeat it
    #[arg(long, value_name = "URI")]
    resource: Vec<ResourceUri>,
    /// Where a browser may be sent back to; repeat it
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where a browser may be sent after signing out; repeat it
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Where it hears of a sign-out
    #[arg(long, value_name = "URI")]
    backchannel_logout_uri: Option<String>,
    /// Signs its access tokens
    #[arg(long, value_name = "ALG", value_parser = signing_algorithm())]
    access_token_signing_alg: Option<SigningAlgorithm>,
    /// Signs its ID tokens; at first RS256
    #[arg(long, value_name = "ALG", value_parser = signing_algorithm())]
    id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Whether it knows people by the names that all know, or by its own; at first public
    #[arg(long, value_name = "TYPE", value_parser = ["public", "pairwise"])]
    subject_type: Option<String>,
    /// Let it leave PKCE out, if it authenticates and sends a nonce
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pkce_optional: Option<bool>,
    /// Ask nobody for consent: it is yours
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    skip_consent: Option<bool>,
    /// Its home page
    #[arg(long, value_name = "URI")]
    client_uri: Option<String>,
    /// Its logo, https, shown on pages that speak for it
    #[arg(long, value_name = "URI")]
    logo_uri: Option<String>,
    /// What it does with data, https
    #[arg(long, value_name = "URI")]
    policy_uri: Option<String>,
    /// Its terms, https
    #[arg(long, value_name = "URI")]
    tos_uri: Option<String>,
    /// Its colour on pages, such as #1f5f51
    #[arg(long, value_name = "COLOR")]
    brand_color: Option<String>,
    /// Lifetime of its access tokens, such as 5m
    #[arg(long, value_name = "TIME")]
    access_ttl: Option<Seconds>,
    /// A session of it that is not refreshed for so long ends
    #[arg(long, value_name = "TIME")]
    refresh_idle_ttl: Option<Seconds>,
    /// A session of it ends so long after it began
    #[arg(long, value_name = "TIME")]
    refresh_absolute_ttl: Option<Seconds>,
    /// Whether a refresh replaces its refresh token; at first always
    #[arg(long, value_name = "WHEN", value_parser = words::<Rotation>(["always", "never"]))]
    refresh_rotation: Option<Rotation>,
}

/// A client to be made.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its id; one is made up if it is left out
    #[arg(long)]
    id: Option<ClientId>,
    #[command(flatten)]
    properties: Properties,
    #[command(flatten)]
    secret: SecretArgs,
}

/// A client to be changed.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "name", "auth", "application_type", "grant", "scope", "resource", "redirect_uri", "post_logout_redirect_uri",
    "backchannel_logout_uri", "access_token_signing_alg", "id_token_signed_response_alg", "subject_type",
    "pkce_optional", "skip_consent", "client_uri", "logo_uri", "policy_uri", "tos_uri", "brand_color", "access_ttl", "refresh_idle_ttl", "refresh_absolute_ttl",
    "refresh_rotation", "disabled", "enabled",
]))]
pub(super) struct UpdateArgs {
    /// Its id
    id: ClientId,
    #[command(flatten)]
    properties: Properties,
    /// Let it do nothing any more, and end its sessions and tokens
    #[arg(long, conflicts_with = "enabled")]
    disabled: bool,
    /// Let it work again
    #[arg(long)]
    enabled: bool,
}

/// A client that gets a new secret.
#[derive(Debug, Args)]
pub(super) struct RotateSecretArgs {
    /// Its id
    id: ClientId,
    /// End every other secret at once
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Where a secret comes from, or goes to.
#[derive(Debug, Args)]
pub(super) struct SecretArgs {
    /// Take this secret of 32 characters or more instead of making one; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    import_secret_file: Option<PathBuf>,
    /// Write the secret into this new file of mode 0600 instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

fn auth_method() -> impl TypedValueParser<Value = ClientAuthMethod> {
    words(ClientAuthMethod::ALL.map(ClientAuthMethod::as_str))
}

fn grant() -> impl TypedValueParser<Value = GrantType> {
    words(GrantType::ALL.map(GrantType::as_str))
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => create(*args, work).await,
        Verb::List => {
            let clients = work.issuer.list_clients("", EVERYTHING).await?;
            show_all(&clients, work.out)
        }
        Verb::Show { id } => {
            let client = work.issuer.show_client(&id).await?;
            show_one(&ClientView::new(&client), work.out)
        }
        Verb::Update(args) => update(*args, work).await,
        Verb::RotateSecret(args) => rotate_secret(args, work).await,
        Verb::RegistrationToken(args) => registration_token::create(args, work).await,
        Verb::Delete { id, care } => delete(&id, care, work).await,
    }
}

async fn create(args: CreateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    if args.properties.auth == Some(ClientAuthMethod::None) && args.secret.secret_file.is_some() {
        return Err(Failure::usage(
            "a public client has no secret to write into --secret-file",
        ));
    }
    let secret = Secret::prepare(&args.secret)?;
    let draft = args.properties.draft();
    let created = work
        .issuer
        .create_client(args.id, &draft, secret.imported.clone(), &work.actor)
        .await?;
    secret.hand_over(&created, work)
}

async fn update(args: UpdateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let mut draft = args.properties.draft();
    draft.disabled = (args.disabled || args.enabled).then_some(args.disabled);
    let client = work.issuer.update_client(&args.id, &draft, &work.actor).await?;
    show_one(&ClientView::new(&client), work.out)
}

async fn rotate_secret(args: RotateSecretArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let secret = Secret::prepare(&args.secret)?;
    let imported = secret.imported.clone();
    let created = work
        .issuer
        .rotate_client_secret(&args.id, imported, args.only, &work.actor)
        .await?;
    secret.hand_over(&created, work)
}

async fn delete(id: &ClientId, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    work.issuer.show_client(id).await?;
    if !work.may(
        care,
        &format!("delete client {id} and end its sessions and tokens"),
    )? {
        return Ok(());
    }
    work.issuer.delete_client(id, &work.actor).await?;
    work.out.show(&json!({ "deleted": true, "client_id": id }), |_| {
        format!("client {id} is deleted\n")
    })
}

impl Properties {
    fn draft(self) -> ClientDraft {
        let seconds = |ttl: Option<Seconds>| ttl.map(|Seconds(seconds)| seconds);
        ClientDraft {
            name: self.name,
            auth_method: self.auth,
            application_type: self.application_type,
            grants: said(self.grant),
            scope: union(self.scope),
            resources: said(self.resource),
            redirect_uris: said(self.redirect_uri),
            post_logout_redirect_uris: said(self.post_logout_redirect_uri),
            backchannel_logout_uri: self.backchannel_logout_uri,
            signing_algorithm: self.access_token_signing_alg,
            id_token_algorithm: self.id_token_signed_response_alg,
            pairwise: self.subject_type.map(|subject_type| subject_type == "pairwise"),
            pkce_optional: self.pkce_optional,
            skip_consent: self.skip_consent,
            client_uri: self.client_uri,
            logo_uri: self.logo_uri,
            policy_uri: self.policy_uri,
            tos_uri: self.tos_uri,
            brand_color: self.brand_color,
            access_ttl: seconds(self.access_ttl),
            refresh_idle_ttl: seconds(self.refresh_idle_ttl),
            refresh_absolute_ttl: seconds(self.refresh_absolute_ttl),
            rotation: self.refresh_rotation,
            disabled: None,
        }
    }
}

/// The secret of one command: one that was brought along, or a place for the one to be made.
struct Secret {
    imported: Option<SecretString>,
    file: Option<SecretFile>,
}

impl Secret {
    /// Reads or makes the file, before anything is changed.
    fn prepare(args: &SecretArgs) -> Result<Self, Failure> {
        Ok(Self {
            imported: args
                .import_secret_file
                .as_deref()
                .map(input::secret)
                .transpose()?,
            file: args.secret_file.as_deref().map(SecretFile::create).transpose()?,
        })
    }

    /// Shows a secret that was made here, or keeps it in its file. One that was brought along is known already.
    fn hand_over(self, created: &CreatedClient, work: &mut Work<'_, '_>) -> Result<(), Failure> {
        let mut view = ClientView::new(&created.client);
        let mut kept = Ok(());
        match (&created.secret, self.file) {
            (Some(secret), Some(file)) => kept = file.keep(secret),
            (Some(secret), None) if self.imported.is_none() => view = view.with_secret(secret),
            _ => {}
        }
        show_one(&view, work.out)?;
        if view.shows_a_secret() {
            work.out.note("the secret is not shown again");
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    fn parse(line: &str) -> Verb {
        Line::try_parse_from(line.split_whitespace()).unwrap().verb
    }

    #[test]
    fn flags_become_a_draft_and_what_is_not_said_stays_unsaid() {
        let line = "client create --grant refresh_token --grant password --scope b --scope a --access-ttl 5m \
                    --auth client_secret_post --refresh-rotation never --redirect-uri https://a.example/";
        let Verb::Create(args) = parse(line) else {
            panic!("not a create")
        };
        let draft = args.properties.draft();
        assert_eq!(
            draft.grants,
            Some(vec![GrantType::RefreshToken, GrantType::Password])
        );
        assert_eq!(draft.scope.unwrap().to_string(), "a b");
        assert_eq!(draft.access_ttl, Some(300));
        assert_eq!(draft.auth_method, Some(ClientAuthMethod::ClientSecretPost));
        assert_eq!(draft.rotation, Some(Rotation::Never));
        assert_eq!(draft.redirect_uris, Some(vec!["https://a.example/".to_owned()]));
        assert!(draft.name.is_none() && draft.resources.is_none() && draft.disabled.is_none());
    }

    #[test]
    fn the_words_of_the_help_are_those_of_the_store() {
        for word in ["web", "native"] {
            assert_eq!(word.parse::<ApplicationType>().unwrap().as_str(), word);
        }
        for word in ["always", "never"] {
            assert_eq!(word.parse::<Rotation>().unwrap().as_str(), word);
        }
    }
}
