//! The command line: reads what is wanted, opens what that needs, and leaves the work to the issuer's own functions.

mod apply;
mod client;
mod client_view;
mod config;
mod db;
mod doctor;
mod failure;
mod finding;
mod flags;
mod globals;
mod input;
mod keys;
mod output;
mod outside;
mod profile;
mod registration_token;
mod resource;
mod role;
mod secret_file;
mod session;
pub(crate) mod time;
mod token;
mod user;
mod work;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::dev::DevOptions;
use crate::serve::Server;
use crate::state::OnRollback;
use failure::Failure;
use globals::{Globals, database_exists};
use output::{Format, Output};
use work::Work;

const DEV_DIR: &str = "vouchsafe-dev";

const STATUSES: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 unreachable";

/// Issues OAuth 2 and OpenID Connect tokens
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, after_help = STATUSES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Make an instance in a folder, with a demo client and user, and serve it
    Dev(DevArgs),
    /// Serve the configured instance
    Serve(ServeArgs),
    /// Look for mistakes in configuration, files and database
    Doctor,
    /// Check, show or begin a configuration
    #[command(subcommand)]
    Config(config::Verb),
    /// Bring the database schema up to date, or see how it stands
    #[command(subcommand)]
    Db(db::Verb),
    #[command(flatten)]
    Managed(Managed),
    /// Print a completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
    /// Print the OpenAPI description
    #[command(hide = true)]
    Openapi,
}

/// What works on an opened issuer.
#[derive(Debug, Subcommand)]
enum Managed {
    /// Keys: list, rotate, revoke, rewrap
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Clients: who may ask for tokens
    #[command(subcommand)]
    Client(client::Verb),
    /// Resources: whom tokens are for, and the scopes each knows
    #[command(subcommand)]
    Resource(resource::Verb),
    /// Roles: permissions of people at resources that go by role
    #[command(subcommand)]
    Role(role::Verb),
    /// Users: the accounts of people
    #[command(subcommand)]
    User(user::Verb),
    /// Sessions: refresh-token families, by user or client
    #[command(subcommand)]
    Session(session::Verb),
    /// Tokens: what one says, and its end
    #[command(subcommand)]
    Token(token::Verb),
    /// Make clients, resources and roles be what a file says
    #[command(after_help = apply::EXAMPLE)]
    Apply(apply::ApplyArgs),
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Address of the public listener
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of the management listener
    #[arg(long, value_name = "ADDR")]
    management_listen: Option<SocketAddr>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Take a restored or rolled back database as it is: end every session and token that it may have brought back
    #[arg(long)]
    accept_rollback: bool,
}

impl ServeArgs {
    fn on_rollback(&self) -> OnRollback {
        if self.accept_rollback {
            OnRollback::Accept(work::operator())
        } else {
            OnRollback::Refuse
        }
    }
}

/// Carries out one command line. What it prints goes to standard output, errors to standard error; the status is one
/// of those that the help lists.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = Cli::try_parse_from(&arguments);
    let asked = parsed
        .as_ref()
        .map_or_else(|_| asked_format(&arguments), |cli| cli.globals.output);
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let terminal = stdout.is_terminal();
    let mut out = Output::new(&mut stdout, &mut stderr, asked, terminal);
    let done = match parsed {
        Ok(cli) => Box::pin(carry_out(cli, &mut out)).await,
        Err(error) => return not_understood(&error, &mut out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.status())
        }
    }
}

async fn carry_out(cli: Cli, out: &mut Output<'_>) -> Result<(), Failure> {
    let globals = cli.globals;
    match cli.noun {
        Noun::Dev(args) => dev(args, globals).await,
        Noun::Serve(args) => serve(&args, &globals, out).await,
        Noun::Doctor => doctor::run(&globals, out).await,
        Noun::Config(verb) => config::run(&verb, &globals, out),
        Noun::Db(verb) => db::run(&verb, &globals, out).await,
        Noun::Managed(noun) => manage(noun, &globals, out).await,
        Noun::Completions { shell } => completions(shell, out),
        Noun::Openapi => out.text(&crate::api::description()),
    }
}

async fn dev(args: DevArgs, globals: Globals) -> Result<(), Failure> {
    if globals.config.is_some() {
        return Err(Failure::usage(
            "dev configures itself and takes no --config; use serve",
        ));
    }
    let options = DevOptions {
        data_dir: globals.data_dir.unwrap_or_else(|| PathBuf::from(DEV_DIR)),
        listen: args.listen,
        management_listen: args.management_listen,
        json: globals.output == Some(Format::Json),
        environment: crate::config::process_environment(),
        on_rollback: args.serve.on_rollback(),
    };
    Ok(Box::pin(crate::dev::run(options)).await?)
}

async fn serve(args: &ServeArgs, globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = globals.config()?;
    database_exists(&config.database.url)?;
    crate::telemetry::start(&config.log);
    let (server, accepted) = Box::pin(Server::open(config, &args.on_rollback())).await?;
    if args.accept_rollback {
        outside::tell_rollback(accepted, out)?;
    }
    Ok(Box::pin(server.run()).await?)
}

async fn manage(noun: Managed, globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = globals.config()?;
    database_exists(&config.database.url)?;
    let (issuer, remembered) = Box::pin(outside::open(&config, out)).await?;
    let mut work = Work {
        issuer: &issuer,
        actor: work::operator(),
        out,
    };
    let done = match noun {
        Managed::Keys(verb) => keys::run(verb, &mut work).await,
        Managed::Client(verb) => client::run(verb, &mut work).await,
        Managed::Resource(verb) => resource::run(verb, &mut work).await,
        Managed::Role(verb) => role::run(verb, &mut work).await,
        Managed::User(verb) => user::run(verb, &mut work).await,
        Managed::Session(verb) => session::run(verb, &mut work).await,
        Managed::Token(verb) => token::run(verb, &mut work).await,
        Managed::Apply(args) => apply::run(&args, &mut work).await,
    };
    remembered.keep(&issuer, out).await;
    issuer.store().close().await;
    done
}

fn completions(shell: Shell, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vouchsafe", &mut script);
    out.text(&String::from_utf8_lossy(&script))
}

/// Help and version are answers; everything else is an error of status 2.
fn not_understood(error: &clap::Error, out: &mut Output<'_>) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        out.usage_error(&text);
        return ExitCode::from(Failure::usage(text).status());
    }
    match out.text(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.status()),
    }
}

/// The format that a command line asks for although the rest of it was not understood.
fn asked_format(arguments: &[OsString]) -> Option<Format> {
    let words: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .collect();
    let joined = words
        .iter()
        .any(|word| ["-ojson", "-o=json", "--output=json"].contains(word));
    let apart = words
        .windows(2)
        .any(|pair| matches!(pair, ["-o" | "--output", "json"]));
    (joined || apart).then_some(Format::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: [&str; 53] = [
        "dev --data-dir d --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 -o json",
        "dev --accept-rollback",
        "serve --config vouchsafe.toml",
        "serve --accept-rollback --config vouchsafe.toml",
        "doctor",
        "completions bash",
        "config check",
        "config show -o json",
        "config init",
        "db migrate",
        "db status",
        "openapi",
        "keys list",
        "keys rotate",
        "keys rotate --now --force --yes --algorithm ES256",
        "keys rotate --purpose refresh_mac --dry-run",
        "keys revoke -abc_DEF --yes",
        "keys revoke --yes --kid-like",
        "keys rewrap --new-master-key-file new.key",
        "client create",
        "client create --id web --auth client_secret_basic --grant authorization_code --grant refresh_token \
         --redirect-uri https://app.example/cb --scope openid --scope items:read --resource https://api.example/",
        "client create --id native --auth none --application-type native --grant \
         urn:ietf:params:oauth:grant-type:device_code --redirect-uri http://127.0.0.1/callback",
        "client create --name N --post-logout-redirect-uri https://a.example/ --backchannel-logout-uri \
         https://a.example/out --access-token-signing-alg EdDSA --access-ttl 5m --refresh-idle-ttl 14d \
         --refresh-absolute-ttl 90d --refresh-rotation never --import-secret-file -",
        "client list",
        "client show web",
        "client update web --disabled",
        "client update web --enabled --scope openid",
        "client rotate-secret web --only --secret-file web.secret",
        "client delete web --dry-run",
        "resource create https://api.example/ --scope items:read --scope items:write --by-role --closed \
         --server api --access-token-signing-alg RS256 --access-ttl 60s",
        "resource list",
        "resource delete https://api.example/ --yes",
        "role create editor --permission items:read --permission items:write --include viewer",
        "role list",
        "role delete editor --yes",
        "user create alice --email alice@example.org --role editor --password-file -",
        "user list",
        "user show alice",
        "user lock alice",
        "user unlock alice",
        "user set-password alice --password-file -",
        "user set-roles alice --role editor --role viewer",
        "user set-roles alice",
        "user delete alice --yes",
        "session list --user alice --client web --all",
        "session revoke -AAAAAAAAAAAAAAAAAAAAA --yes",
        "session revoke --user alice --dry-run",
        "session revoke --client web --yes",
        "token inspect",
        "token inspect token.txt",
        "token revoke - --yes",
        "apply -f state.toml --prune --dry-run",
        "apply --file state.toml --prune --yes --data-dir d -o table",
    ];

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_reference_is_understood() {
        for line in COMMANDS {
            assert!(parse(&format!("vouchsafe {line}")).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_is_opened() {
        let lines = [
            "",
            "client",
            "client make",
            "client create --secret s",
            "client create --grant implicit",
            "client create --auth basic",
            "client create --refresh-rotation sometimes",
            "client create --access-ttl 300",
            "client create --id usr_x",
            "client create --import-secret-file a --secret-file b",
            "client update web",
            "client update web --enabled --disabled",
            "client show",
            "user create alice --password sesame",
            "user set-password alice",
            "keys rotate --force",
            "keys rotate --purpose sign",
            "keys revoke",
            "keys rewrap",
            "session revoke",
            "session revoke --user alice --client web",
            "apply",
            "db migrate --output yaml",
        ];
        for line in lines {
            let error = parse(&format!("vouchsafe {line}")).unwrap_err();
            assert!(error.use_stderr(), "{line}");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [
            "vouchsafe --data-dir d -o json keys list",
            "vouchsafe keys list --data-dir d -o json",
        ] {
            let globals = parse(line).unwrap().globals;
            assert_eq!(globals.data_dir, Some(PathBuf::from("d")));
            assert_eq!(globals.output, Some(Format::Json));
        }
    }

    #[test]
    fn the_format_is_found_in_a_line_that_is_not_understood() {
        let found = |line: &str| asked_format(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(found("vouchsafe nonsense -o json"), Some(Format::Json));
        assert_eq!(found("vouchsafe --output=json nonsense"), Some(Format::Json));
        assert_eq!(found("vouchsafe nonsense json -o table"), None);
    }
}
