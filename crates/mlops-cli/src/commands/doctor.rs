//! `mlops doctor`: what is missing on this machine, and how to get it.

use mlops::session::Network;
use mlops_core::Result;
use mlops_local::{Check, Hint};

use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::{Paint, indent, plain, plain_line};

/// Looks at the machine.
pub(crate) async fn doctor(cx: &Cx) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let checks = mlops_local::doctor(session.target().options()).await;
    let system = System::of_this_machine();
    cx.printer
        .show(&checks, |paint| describe(paint, &checks, system))?;
    Ok(if checks.iter().all(|check| check.ok) {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

/// The systems for which there is a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Debian,
    Fedora,
    MacOs,
    Other,
}

impl System {
    fn of_this_machine() -> Self {
        if cfg!(target_os = "macos") {
            return Self::MacOs;
        }
        // A machine without the file is another system.
        Self::from_os_release(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    /// By <https://www.freedesktop.org/software/systemd/man/latest/os-release.html>.
    fn from_os_release(text: &str) -> Self {
        let words: Vec<&str> = text
            .lines()
            .filter_map(|line| {
                let (name, value) = line.split_once('=')?;
                matches!(name.trim(), "ID" | "ID_LIKE").then_some(value)
            })
            .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
            .collect();
        if words.contains(&"debian") || words.contains(&"ubuntu") {
            Self::Debian
        } else if ["fedora", "rhel", "centos"]
            .iter()
            .any(|name| words.contains(name))
        {
            Self::Fedora
        } else {
            Self::Other
        }
    }
}

fn describe(paint: Paint, checks: &[Check], system: System) -> String {
    let width = checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or_default();
    let mut lines = Vec::new();
    for check in checks {
        let word = if check.ok {
            paint.green("good   ")
        } else {
            paint.red("missing")
        };
        lines.push(format!(
            "{word}  {:<width$}  {}",
            check.name,
            plain_line(&check.detail)
        ));
        if let Some(hint) = &check.hint {
            for text in advice(hint, system) {
                lines.push(indent(&plain(&text), "           "));
            }
        }
    }
    let missing = checks.iter().filter(|check| !check.ok).count();
    lines.push(match missing {
        0 => paint.bold("This machine has everything that a platform needs."),
        1 => paint.bold("1 thing is to be done before `mlops up` can work."),
        _ => paint.bold(&format!(
            "{missing} things are to be done before `mlops up` can work."
        )),
    });
    lines.join("\n")
}

/// What to do on this system, or on each when this is none that we know.
fn advice(hint: &Hint, system: System) -> Vec<String> {
    let texts = match system {
        System::Debian => vec![hint.debian.clone()],
        System::Fedora => vec![hint.fedora.clone()],
        System::MacOs => vec![hint.macos.clone()],
        System::Other if hint.debian == hint.fedora && hint.debian == hint.macos => {
            vec![hint.debian.clone()]
        }
        System::Other => vec![
            format!("Debian: {}", hint.debian),
            format!("Fedora: {}", hint.fedora),
            format!("macOS: {}", hint.macos),
        ],
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_told_by_their_release_file() {
        let system = System::from_os_release;
        assert_eq!(system("NAME=x\nID=debian\n"), System::Debian);
        assert_eq!(
            system("ID=linuxmint\nID_LIKE=\"ubuntu debian\""),
            System::Debian
        );
        assert_eq!(
            system("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\""),
            System::Fedora
        );
        assert_eq!(system("ID=arch"), System::Other);
        assert_eq!(system(""), System::Other);
    }

    #[test]
    fn what_is_missing_comes_with_advice() {
        let hint = |debian: &str, fedora: &str, macos: &str| Hint {
            debian: debian.to_owned(),
            fedora: fedora.to_owned(),
            macos: macos.to_owned(),
        };
        let checks = [
            Check {
                name: "clock",
                ok: true,
                detail: "right".to_owned(),
                hint: None,
            },
            Check {
                name: "python",
                ok: false,
                detail: "none\u{1b}[2J".to_owned(),
                hint: Some(hint("apt", "dnf", "brew")),
            },
        ];
        assert_eq!(
            describe(Paint::new(false), &checks, System::Fedora),
            "good     clock   right\nmissing  python  none\\u{1b}[2J\n           dnf\n\
             1 thing is to be done before `mlops up` can work."
        );
        let texts = advice(&hint("apt", "dnf", "brew"), System::Other);
        assert_eq!(texts, ["Debian: apt", "Fedora: dnf", "macOS: brew"]);
        assert_eq!(
            advice(&hint("same", "same", "same"), System::Other),
            ["same"]
        );
    }
}
