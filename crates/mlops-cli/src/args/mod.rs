//! The command line as types.

mod verbs;

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, ValueEnum};
use mlops_core::PlatformName;

pub use verbs::{
    CheckArgs, CompletionsArgs, CredentialsArgs, DiffArgs, DoctorArgs, DownArgs, EnvArgs,
    EventsArgs, FileArg, ImagesArgs, InitArgs, LogsArgs, ManArgs, OpenArgs, PlanArgs, PredictArgs,
    PrefetchArgs, RemoveArgs, RightsArgs, SchemaArgs, ServeArgs, ShellSyntax, StatusArgs, UpArgs,
    Verb,
};

/// The arguments of the `mlops` command.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mlops",
    version,
    about = "Describe an MLOps platform in one file, make it so, prove that it works",
    long_about = "Describe an MLOps platform in one file, make it so, prove that it works.\n\n\
        Without a `platform.yaml` in the current folder the profile `local` is used: PostgreSQL, S3, MLflow and a \
        model server as processes of this machine.",
    after_help = "Examples:\n  \
        mlops up                     from nothing to a model that answers\n  \
        mlops plan                   what `up` would do\n  \
        mlops status                 what runs where\n  \
        mlops remove                 take the platform away, keep its data\n\n\
        Exit codes:\n  \
        0 done, 1 failed, 2 wrong input, 3 `--exit-code` found changes, 4 a check failed, 130 interrupted",
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false
)]
pub struct Args {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Global {
    /// The platform file [default: `./platform.yaml`, else the profile `local`].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Call the platform so, whatever its file says.
    #[arg(long, global = true, value_name = "NAME", value_parser = platform_name, help_heading = GLOBAL)]
    pub name: Option<PlatformName>,

    /// Keep platforms below this folder.
    ///
    /// By default `$XDG_DATA_HOME/mlops`, else `~/.local/share/mlops`, for root `/var/lib/mlops`.
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub data_dir: Option<PathBuf>,

    /// Keep what can be made again below this folder.
    ///
    /// By default `$XDG_CACHE_HOME/mlops`, else `~/.cache/mlops`, for root `/var/cache/mlops`.
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub cache_dir: Option<PathBuf>,

    /// Add the components of this folder to the catalogue; may be given several times.
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub catalog: Vec<PathBuf>,

    /// The kubeconfig, for `target: cluster` [default: that of the platform file, else `$KUBECONFIG`, else
    /// `~/.kube/config`, else the credentials of the pod].
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: that of the platform file, else its current one].
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub context: Option<String>,

    /// Print text for people, or JSON for programs: one document, or one object a line for streams.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text", help_heading = GLOBAL)]
    pub output: Output,

    /// Print results and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub quiet: bool,

    /// Tell more: `-v` what is done, `-vv` how; `RUST_LOG` chooses exactly.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,

    /// Colour the output.
    ///
    /// With `auto` on terminals only; `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE` are heeded.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = GLOBAL)]
    pub color: Color,
}

/// The name, or the rule that it breaks.
fn platform_name(text: &str) -> Result<PlatformName, String> {
    text.parse()
        .map_err(|error: mlops_core::Error| error.causes().join(": "))
}

const GLOBAL: &str = "Global options";

/// For whom to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On terminals, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The command with all its verbs, as help, completions, manual pages and documentation are made from it.
pub fn command() -> clap::Command {
    Args::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_has_a_description_and_an_example() {
        for verb in command().get_subcommands() {
            let name = verb.get_name();
            assert!(verb.get_about().is_some(), "{name}");
            let example = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                example.contains(&format!("mlops {name}")) || example.contains("mlops -"),
                "`{name}` has no example: {example}"
            );
        }
    }

    #[test]
    fn no_argument_of_a_verb_takes_the_place_of_a_global_one() {
        let whole = command();
        let globals: Vec<&str> = whole
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().as_str())
            .collect();
        assert!(globals.contains(&"name"));
        for verb in whole.get_subcommands() {
            for argument in verb.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(!globals.contains(&id), "`{}` takes `{id}`", verb.get_name());
            }
        }
    }

    #[test]
    fn the_file_can_stand_before_and_after_the_verb() {
        let before = Args::try_parse_from(["mlops", "-f", "a.yaml", "plan"]).unwrap();
        assert_eq!(before.verb.file(&before.global), Some("a.yaml".as_ref()));
        let after = Args::try_parse_from(["mlops", "plan", "-f", "b.yaml"]).unwrap();
        assert_eq!(after.verb.file(&after.global), Some("b.yaml".as_ref()));
        let follow = Args::try_parse_from(["mlops", "-f", "a.yaml", "logs", "-f"]).unwrap();
        assert_eq!(follow.verb.file(&follow.global), Some("a.yaml".as_ref()));
    }
}
