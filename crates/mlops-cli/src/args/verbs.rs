//! The verbs and what each takes.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::Global;

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Write a `platform.yaml` with comments, to start from.
    #[command(
        after_help = "Example:\n  mlops init                 # writes ./platform.yaml and its schema\n  mlops init -f demo.yaml"
    )]
    Init(InitArgs),
    /// Make the platform as described: start what is missing, correct what differs, prove that it works.
    ///
    /// Safe to repeat: what is as described is left alone. After Ctrl-C or a crash the next `up` goes on.
    #[command(
        after_help = "Example:\n  mlops up\n  mlops plan --save plan.json && mlops up --plan plan.json"
    )]
    Up(UpArgs),
    /// Show what `up` would do; changes nothing.
    #[command(
        after_help = "Example:\n  mlops plan\n  mlops plan --offline       # from nothing, asks nobody\n  mlops plan --exit-code     # 3 when there is something to do"
    )]
    Plan(PlanArgs),
    /// Show only what differs, field by field; changes nothing.
    #[command(after_help = "Example:\n  mlops diff --exit-code")]
    Diff(DiffArgs),
    /// Show what runs, where, and whether it is ready.
    #[command(after_help = "Example:\n  mlops status\n  mlops status --output json")]
    Status(StatusArgs),
    /// Prove every binding with the credentials of its consumer; changes nothing that stays.
    ///
    /// Ends with 4 when a check failed.
    #[command(
        after_help = "Example:\n  mlops check\n  mlops check --save report.json --save report.txt\n  mlops check --in-cluster   # from a pod of the cluster"
    )]
    Check(CheckArgs),
    /// Stop everything and keep all data; `up` goes on with it.
    #[command(after_help = "Example:\n  mlops down")]
    Down(DownArgs),
    /// Take the platform away; data goes only by naming it.
    ///
    /// Shows what the platform holds and asks first.
    #[command(
        after_help = "Example:\n  mlops remove                    # keeps the data\n  mlops remove --data postgres    # and the data of `postgres`\n  mlops remove --all-data --yes   # everything, unasked"
    )]
    Remove(RemoveArgs),
    /// Print what a component wrote to its log, or all of them.
    #[command(after_help = "Example:\n  mlops logs mlflow -n 50\n  mlops logs -f")]
    Logs(LogsArgs),
    /// Print what happened: runs, restarts, failures.
    #[command(after_help = "Example:\n  mlops events -f\n  mlops events --output json")]
    Events(EventsArgs),
    /// Show who uses which credentials; a secret itself only when asked by name.
    #[command(
        after_help = "Example:\n  mlops credentials\n  mlops credentials mlflow/admin-password --show"
    )]
    Credentials(CredentialsArgs),
    /// Print the environment that a stock MLflow client needs.
    #[command(
        after_help = "Example:\n  eval \"$(mlops env)\"                                     # sh, bash, zsh\n  mlops env --shell fish | source\n  mlops env --shell powershell | Out-String | Invoke-Expression\n  mlops env --shell dotenv > .env"
    )]
    Env(EnvArgs),
    /// Open the web page of a component.
    #[command(after_help = "Example:\n  mlops open mlflow\n  mlops open mlflow --print")]
    Open(OpenArgs),
    /// Ask a served model.
    #[command(
        after_help = "Example:\n  mlops predict iris --row 5.1,3.5,1.4,0.2\n  mlops predict iris --input request.json --grpc\n  echo '[[5.1,3.5,1.4,0.2]]' | mlops predict iris --input -"
    )]
    Predict(PredictArgs),
    /// Serve what the aliases of the models name now.
    #[command(
        after_help = "Example:\n  mlops serve iris\n  mlops serve --follow       # until Ctrl-C: a moved alias is served at once"
    )]
    Serve(ServeArgs),
    /// List the container images that the platform runs in its cluster, with their digests where they are known.
    #[command(after_help = "Example:\n  mlops images\n  mlops images --offline --output json")]
    Images(ImagesArgs),
    /// Fill the caches, so that `up` works without a network.
    #[command(after_help = "Example:\n  mlops prefetch && mlops up --offline")]
    Prefetch(PrefetchArgs),
    /// Tell what is missing on this machine and how to get it.
    ///
    /// Ends with 4 when something that is needed is missing.
    #[command(after_help = "Example:\n  mlops doctor")]
    Doctor(DoctorArgs),
    /// Print the least rights on a cluster that this platform takes, as objects for its administrator.
    ///
    /// They are derived from the platform alone: no cluster is asked.
    #[command(after_help = "Example:\n  mlops rights --account ci/deployer | kubectl apply -f -")]
    Rights(RightsArgs),
    /// Print the JSON Schema of the platform file.
    #[command(after_help = "Example:\n  mlops schema > platform.schema.json")]
    Schema(SchemaArgs),
    /// Print the completions of a shell.
    #[command(
        after_help = "Example:\n  mlops completions bash > ~/.local/share/bash-completion/completions/mlops\n  mlops completions fish > ~/.config/fish/completions/mlops.fish"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one page for each verb into a folder.
    #[command(after_help = "Example:\n  mlops man | man -l -\n  mlops man ~/.local/share/man/man1")]
    Man(ManArgs),
}

impl Verb {
    /// The platform file that was named, after the verb or before it.
    pub fn file<'a>(&'a self, global: &'a Global) -> Option<&'a Path> {
        let own = match self {
            Self::Init(args) => &args.platform.file,
            Self::Up(args) => &args.platform.file,
            Self::Plan(args) => &args.platform.file,
            Self::Diff(args) => &args.platform.file,
            Self::Status(args) => &args.platform.file,
            Self::Check(args) => &args.platform.file,
            Self::Down(args) => &args.platform.file,
            Self::Remove(args) => &args.platform.file,
            Self::Logs(args) => &args.file,
            Self::Events(args) => &args.file,
            Self::Credentials(args) => &args.platform.file,
            Self::Env(args) => &args.platform.file,
            Self::Open(args) => &args.platform.file,
            Self::Predict(args) => &args.platform.file,
            Self::Serve(args) => &args.platform.file,
            Self::Images(args) => &args.platform.file,
            Self::Prefetch(args) => &args.platform.file,
            Self::Doctor(args) => &args.platform.file,
            Self::Rights(args) => &args.platform.file,
            Self::Schema(_) | Self::Completions(_) | Self::Man(_) => &None,
        };
        own.as_deref().or(global.file.as_deref())
    }
}

/// The platform file, after the verb.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct FileArg {
    /// The platform file [default: `./platform.yaml`, else the profile `local`].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `mlops init`.
#[derive(Debug, Clone, ClapArgs)]
pub struct InitArgs {
    /// Where to write it.
    #[command(flatten)]
    pub platform: FileArg,
    /// Overwrite a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `mlops up`.
#[derive(Debug, Clone, ClapArgs)]
pub struct UpArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// Apply this saved plan, and nothing when the world has changed since it was made.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Do not prove the bindings afterwards.
    #[arg(long)]
    pub no_check: bool,
    /// Use the caches only, never the network.
    #[arg(long)]
    pub offline: bool,
}

/// Arguments of `mlops plan`.
#[derive(Debug, Clone, ClapArgs)]
pub struct PlanArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// Save the plan as JSON, to be applied with `mlops up --plan FILE`.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// End with 3 when there is something to do.
    #[arg(long)]
    pub exit_code: bool,
    /// Plan from nothing and ask nobody.
    #[arg(long, conflicts_with = "save")]
    pub offline: bool,
}

/// Arguments of `mlops diff`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DiffArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// End with 3 when something differs.
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `mlops status`.
#[derive(Debug, Clone, ClapArgs)]
pub struct StatusArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
}

/// Arguments of `mlops check`.
#[derive(Debug, Clone, ClapArgs)]
pub struct CheckArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// Save the report, as text when the name ends in `.txt`, else as JSON; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub save: Vec<PathBuf>,
    /// Make the probes in a pod of the cluster, on the target `cluster`: services are reached by their names and not
    /// through ports that lead to their pods. What that takes is removed again.
    #[arg(long)]
    pub in_cluster: bool,
    /// This is that pod, and the secrets that it was handed are in this folder.
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "in_cluster")]
    pub inside: Option<PathBuf>,
}

/// Arguments of `mlops down`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DownArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
}

/// Arguments of `mlops remove`.
#[derive(Debug, Clone, ClapArgs)]
pub struct RemoveArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// Remove the data of these components or resources, such as `postgres` or `s3-bucket/mlflow`.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub data: Vec<String>,
    /// Remove all data.
    #[arg(long, conflicts_with = "data")]
    pub all_data: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `mlops logs`.
#[derive(Debug, Clone, ClapArgs)]
pub struct LogsArgs {
    /// The component [default: all].
    pub component: Option<String>,
    /// Go on with what is written from now on, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// The last lines of each log only.
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// The platform file [default: `./platform.yaml`, else the profile `local`]; `-f` works before the verb.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `mlops events`.
#[derive(Debug, Clone, ClapArgs)]
pub struct EventsArgs {
    /// Go on with what happens from now on, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// The platform file [default: `./platform.yaml`, else the profile `local`]; `-f` works before the verb.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `mlops credentials`.
#[derive(Debug, Clone, ClapArgs)]
pub struct CredentialsArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// A consumer, such as `mlflow`, or a secret, such as `mlflow/admin-password`.
    #[arg(value_name = "NAME")]
    pub whose: Option<String>,
    /// Print the text of the secret NAME and nothing else.
    #[arg(long, requires = "whose")]
    pub show: bool,
}

/// Arguments of `mlops env`.
#[derive(Debug, Clone, ClapArgs)]
pub struct EnvArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// The syntax to print.
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    pub shell: ShellSyntax,
}

/// A syntax for environment variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ShellSyntax {
    /// `export NAME='value'`, for sh, bash, zsh and the like.
    #[default]
    Sh,
    /// `set -gx NAME 'value'`.
    Fish,
    /// `$env:NAME = 'value'`.
    Powershell,
    /// `NAME=value`, for a `.env` file.
    Dotenv,
}

/// Arguments of `mlops open`.
#[derive(Debug, Clone, ClapArgs)]
pub struct OpenArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// The component.
    #[arg(default_value = "mlflow")]
    pub component: String,
    /// Print the address only, start no browser.
    #[arg(long)]
    pub print: bool,
}

/// Arguments of `mlops predict`.
#[derive(Debug, Clone, ClapArgs)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["input", "row"]))]
pub struct PredictArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// The model, such as `iris`.
    pub model: String,
    /// A request in JSON: of the Open Inference Protocol, or a list of rows; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// A row of numbers; may be given several times.
    #[arg(long, value_name = "N,N,…", allow_hyphen_values = true)]
    pub row: Vec<String>,
    /// Ask over gRPC instead of REST.
    #[arg(long)]
    pub grpc: bool,
}

/// Arguments of `mlops serve`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ServeArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// The model [default: all of the platform].
    pub model: Option<String>,
    /// Go on until Ctrl-C, and serve a new version as soon as an alias moves.
    #[arg(long)]
    pub follow: bool,
}

/// Arguments of `mlops images`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ImagesArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
    /// Ask no cluster; digests are those that names pin.
    #[arg(long)]
    pub offline: bool,
}

/// Arguments of `mlops prefetch`.
#[derive(Debug, Clone, ClapArgs)]
pub struct PrefetchArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
}

/// Arguments of `mlops doctor`.
#[derive(Debug, Clone, ClapArgs)]
pub struct DoctorArgs {
    /// The platform file.
    #[command(flatten)]
    pub platform: FileArg,
}

/// Arguments of `mlops rights`.
#[derive(Debug, Clone, ClapArgs)]
pub struct RightsArgs {
    /// Whose platform.
    #[command(flatten)]
    pub platform: FileArg,
    /// The `ServiceAccount` that gets the rights.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub account: String,
}

/// Arguments of `mlops schema`.
#[derive(Debug, Clone, ClapArgs)]
pub struct SchemaArgs {}

/// Arguments of `mlops completions`.
#[derive(Debug, Clone, ClapArgs)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Arguments of `mlops man`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ManArgs {
    /// The folder to write to [default: the page of `mlops` to standard output].
    pub dir: Option<PathBuf>,
}
