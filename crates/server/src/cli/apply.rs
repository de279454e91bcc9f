//! `vouchsafe apply`: clients, resources and roles as a file says.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use vouchsafe_issuer::apply::{Applied, Desired, Mode};

use super::failure::Failure;
use super::flags::Care;
use super::input;
use super::output::table;
use super::work::Work;

pub(super) const EXAMPLE: &str = "Example of a file:
  [[resource]]
  uri = \"https://api.example/\"
  scope = \"items:read items:write\"

  [[role]]
  name = \"editor\"
  permissions = \"items:read items:write\"

  [[client]]
  client_id = \"reports\"
  grant_types = [\"client_credentials\"]
  scope = \"items:read\"
  resources = [\"https://api.example/\"]";

/// What is applied, and how.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// TOML with `[[client]]`, `[[resource]]` and `[[role]]`; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Delete every client, resource and role that the file does not name
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    care: Care,
}

/// What was, or would be, done about one thing.
#[derive(Serialize)]
struct AppliedView<'a> {
    action: &'static str,
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

pub(super) async fn run(args: &ApplyArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let desired = parse(&args.file, &input::text(&args.file)?)?;
    let mode = Mode {
        prune: args.prune,
        dry_run: args.care.dry_run,
    };
    if mode.prune && !mode.dry_run {
        let mut plan = Vec::new();
        let dry_run = Mode {
            dry_run: true,
            ..mode
        };
        Box::pin(work.issuer.apply(&desired, dry_run, &work.actor, &mut plan)).await?;
        let doomed: Vec<String> = plan
            .iter()
            .filter(|step| step.action == "deleted")
            .map(named)
            .collect();
        if !doomed.is_empty() && !work.may(args.care, &format!("delete {}", doomed.join(", ")))? {
            return Ok(());
        }
    }
    let mut done = Vec::new();
    let outcome = Box::pin(work.issuer.apply(&desired, mode, &work.actor, &mut done)).await;
    // What was done is shown first, so that no secret is lost to a later failure.
    show(&done, work)?;
    outcome?;
    if mode.dry_run {
        work.out.note("nothing was done: this was a dry run");
    } else if done.iter().any(|step| step.secret.is_some()) {
        work.out.note("the secrets are not shown again");
    }
    Ok(())
}

fn show(done: &[Applied], work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let views: Vec<AppliedView<'_>> = done
        .iter()
        .map(|step| AppliedView {
            action: step.action,
            kind: step.kind,
            name: &step.name,
            client_secret: step.secret.as_ref().map(|secret| secret.expose()),
        })
        .collect();
    work.out.show(&views, |views| {
        table(
            ["ACTION", "KIND", "NAME", "SECRET"],
            views.iter().map(|step| {
                let secret = step.client_secret.unwrap_or_default();
                [step.action, step.kind, step.name, secret].map(str::to_owned)
            }),
        )
    })
}

fn named(step: &Applied) -> String {
    format!("{} {}", step.kind, step.name)
}

fn parse(file: &Path, text: &str) -> Result<Desired, Failure> {
    toml::from_str(text).map_err(|error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::usage(format!("{}:{line}: {}", input::shown(file), error.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_help_can_be_applied() {
        let (_, text) = EXAMPLE.split_once('\n').unwrap();
        let desired = parse(Path::new("example.toml"), text).unwrap();
        assert_eq!(
            (desired.client.len(), desired.resource.len(), desired.role.len()),
            (1, 1, 1)
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_with_its_line() {
        for text in [
            "[[client]]\nclient_id = \"web\"\nsecret = \"s\"\n",
            "[[role]]\nname = \"a\"\nx = 1\n",
            "\n\nx =",
        ] {
            let failure = parse(Path::new("state.toml"), text).unwrap_err();
            assert_eq!(failure.status(), 2);
            let problem = failure.problems().first().unwrap();
            assert!(problem.starts_with("state.toml:"), "{problem}");
        }
    }
}
