//! The environment of `uv`: the user's own settings for it, and those for `pip` where it has none.
//!
//! `uv` reads no configuration of `pip` (<https://docs.astral.sh/uv/pip/compatibility/>), yet `pip`'s is what a person or a
//! company has set up. What is meant for `uv` always wins.

use std::collections::BTreeMap;
use std::path::Path;

/// Settings of `pip` by their names without section, such as `index-url`.
pub(super) type PipSettings = BTreeMap<String, String>;

/// Settings of `uv` that would change what is installed, which the lock file alone decides, or where.
const NOT_PASSED: &[&str] = &[
    "UV_BUILD_CONSTRAINT",
    "UV_COMPILE_BYTECODE",
    "UV_CONSTRAINT",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_MANAGED_PYTHON",
    "UV_NO_BINARY",
    "UV_NO_MANAGED_PYTHON",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_REQUIRE_HASHES",
    "UV_RESOLUTION",
    "UV_SYSTEM_PYTHON",
    "UV_TORCH_BACKEND",
    "UV_VENV_CLEAR",
    "UV_VENV_SEED",
    "UV_WORKING_DIR",
    "UV_WORKING_DIRECTORY",
];

/// What programs need to find folders, names and the network.
const PASSED: &[&str] = &[
    "ALL_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NETRC",
    "NO_PROXY",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SSL_CLIENT_CERT",
    "TMPDIR",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What any child is given. Python's own variables are not among it: `PYTHONDONTWRITEBYTECODE`, for one, would let
/// every start compile thousands of files again.
pub(super) fn common(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    keep(env, |name| PASSED.contains(&name))
}

/// What `pip` is given.
pub(super) fn for_pip(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    // A target of the user's would send the packages elsewhere, and a user-wide install has its own place.
    keep(env, |name| {
        PASSED.contains(&name)
            || (name.starts_with("PIP_")
                && ![
                    "PIP_TARGET",
                    "PIP_PREFIX",
                    "PIP_ROOT",
                    "PIP_USER",
                    "PIP_REQUIRE_VIRTUALENV",
                ]
                .contains(&name))
    })
}

/// What `uv` is given.
pub(super) fn for_uv(
    env: &BTreeMap<String, String>,
    pip: &PipSettings,
) -> BTreeMap<String, String> {
    let mut out = keep(env, |name| {
        PASSED.contains(&name) || (name.starts_with("UV_") && !NOT_PASSED.contains(&name))
    });
    for (name, value) in translate(pip, env) {
        out.entry(name).or_insert(value);
    }
    out
}

/// The settings of `pip` that its environment variables make, for when there is no `pip` to ask.
pub(super) fn from_environment(env: &BTreeMap<String, String>) -> PipSettings {
    env.iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("PIP_")?;
            Some((name.to_lowercase().replace('_', "-"), value.clone()))
        })
        .collect()
}

/// Reads the answer of `pip config list`: one `section.name='value'` a line, the value as Python writes it. Variables
/// win over the section `install`, which wins over `global`, as in `pip` itself.
pub(super) fn parse_config_list(answer: &str) -> PipSettings {
    let mut ranked: BTreeMap<String, (u8, String)> = BTreeMap::new();
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let Some((section, name)) = key.trim().rsplit_once('.') else {
            continue;
        };
        let rank = match section {
            ":env:" => 3,
            "install" => 2,
            "global" => 1,
            _ => continue,
        };
        let name = name.to_lowercase().replace('_', "-");
        let value = unquote(value.trim());
        let old = ranked.get(&name).map_or(0, |(rank, _)| *rank);
        if rank > old {
            ranked.insert(name, (rank, value));
        }
    }
    ranked
        .into_iter()
        .map(|(name, (_, value))| (name, value))
        .collect()
}

/// A text as Python's `repr` writes it.
fn unquote(text: &str) -> String {
    let inner = text
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.strip_suffix(['\'', '"']))
        .unwrap_or(text);
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

fn translate(pip: &PipSettings, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut out = Translation {
        pip,
        env,
        out: BTreeMap::new(),
    };
    if !has_uv_configuration(env) {
        out.sources();
    }
    out.network();
    out.out
}

struct Translation<'a> {
    pip: &'a PipSettings,
    env: &'a BTreeMap<String, String>,
    out: BTreeMap<String, String>,
}

impl Translation<'_> {
    fn given(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.env.contains_key(*name))
    }

    fn words(&self, name: &str) -> Vec<&str> {
        let value = self.pip.get(name);
        value
            .map(|value| value.split_whitespace().collect())
            .unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.out.insert(name.to_owned(), value);
        }
    }

    /// Where packages come from.
    fn sources(&mut self) {
        if !self.given(&["UV_DEFAULT_INDEX", "UV_INDEX_URL"]) {
            self.set("UV_DEFAULT_INDEX", self.words("index-url").concat());
        }
        let extra = self.words("extra-index-url").join(" ");
        if !self.given(&["UV_INDEX", "UV_EXTRA_INDEX_URL"]) && !extra.is_empty() {
            self.set("UV_INDEX", extra);
            // `pip` takes the best file of all indexes. The hashes of the lock file make that as safe as the first.
            self.set("UV_INDEX_STRATEGY", "unsafe-best-match");
        }
        if !self.given(&["UV_FIND_LINKS"]) {
            let mut links = self.words("find-links");
            links.retain(|link| is_usable(link));
            self.set("UV_FIND_LINKS", links.join(","));
        }
        let no_index = self.pip.get("no-index").is_some_and(|value| is_true(value));
        if !self.given(&["UV_NO_INDEX"]) && no_index {
            self.set("UV_NO_INDEX", "1");
        }
    }

    /// How they are reached.
    fn network(&mut self) {
        let of_pip = |name: &str| self.pip.get(name).cloned().unwrap_or_default();
        let (client, proxy) = (of_pip("client-cert"), of_pip("proxy"));
        // The second is the name of the same setting in variables.
        let seconds = Some(of_pip("timeout")).filter(|text| !text.is_empty());
        let seconds = seconds.unwrap_or_else(|| of_pip("default-timeout"));
        if !self.given(&["UV_INSECURE_HOST"]) {
            self.set("UV_INSECURE_HOST", self.words("trusted-host").join(" "));
        }
        if !self.given(&[
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "UV_NATIVE_TLS",
            "UV_SYSTEM_CERTS",
        ]) {
            let named = self
                .pip
                .get("cert")
                .or_else(|| self.env.get("REQUESTS_CA_BUNDLE"));
            self.set("SSL_CERT_FILE", named.cloned().unwrap_or_default());
        }
        if !self.given(&["SSL_CLIENT_CERT"]) {
            self.set("SSL_CLIENT_CERT", client);
        }
        let proxies = [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ];
        if !self.given(&proxies) {
            self.set("ALL_PROXY", proxy);
        }
        if !self.given(&["UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "HTTP_TIMEOUT"]) {
            let whole = seconds
                .split('.')
                .next()
                .and_then(|text| text.parse::<u32>().ok());
            // `uv` waits 30 s by itself; a shorter wait of `pip` is meant for small files.
            if let Some(seconds) = whole.filter(|seconds| *seconds > 30) {
                self.set("UV_HTTP_TIMEOUT", seconds.to_string());
            }
        }
    }
}

/// Whether the user wrote a configuration of `uv`: then that tells where packages come from.
fn has_uv_configuration(env: &BTreeMap<String, String>) -> bool {
    let own = env
        .get("XDG_CONFIG_HOME")
        .map(|folder| Path::new(folder).join("uv/uv.toml"));
    let home = env
        .get("HOME")
        .map(|folder| Path::new(folder).join(".config/uv/uv.toml"));
    env.contains_key("UV_CONFIG_FILE")
        || own.or(home).is_some_and(|file| file.is_file())
        || Path::new("/etc/uv/uv.toml").is_file()
}

/// `pip` skips folders that are not there, `uv` fails.
fn is_usable(link: &str) -> bool {
    link.contains("://") || Path::new(link).exists()
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_lowercase().as_str(),
        "1" | "true" | "yes" | "on" | "y" | "t"
    )
}

fn keep(env: &BTreeMap<String, String>, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    env.iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn variables_win_over_install_over_global() {
        let settings = parse_config_list(
            ":env:.cert='/env.pem'\n\
             :env:.find_links='/w1 /w2'\n\
             global.cert='/global.pem'\n\
             global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'\n\
             global.index-url='https://x:it\\'s@c.example/simple'\n\
             install.index-url=\"https://d.example/simple\"\n\
             list.format='json'\n\
             not a setting\n",
        );
        assert_eq!(
            settings,
            env(&[
                ("cert", "/env.pem"),
                (
                    "extra-index-url",
                    "\nhttps://a.example/simple\nhttps://b.example/simple"
                ),
                ("find-links", "/w1 /w2"),
                ("index-url", "https://d.example/simple"),
            ])
        );
        assert_eq!(unquote("'it\\'s \\\\ so'"), "it's \\ so");
    }

    #[test]
    fn pip_settings_become_settings_of_uv() {
        let wheels = tempfile::tempdir().unwrap();
        let there = wheels.path().to_str().unwrap();
        let pip = env(&[
            ("index-url", "https://c.example/simple"),
            (
                "extra-index-url",
                "\nhttps://a.example/simple\nhttps://b.example/simple",
            ),
            (
                "find-links",
                &format!("/not/there {there} https://w.example/"),
            ),
            ("cert", "/c.pem"),
            ("client-cert", "/me.pem"),
            ("proxy", "http://p.example:3128"),
            ("trusted-host", "a.example b.example"),
            ("timeout", "180"),
            ("no-index", "true"),
        ]);
        let uv = for_uv(&BTreeMap::new(), &pip);
        assert_eq!(
            uv,
            env(&[
                ("ALL_PROXY", "http://p.example:3128"),
                ("SSL_CERT_FILE", "/c.pem"),
                ("SSL_CLIENT_CERT", "/me.pem"),
                ("UV_DEFAULT_INDEX", "https://c.example/simple"),
                ("UV_FIND_LINKS", &format!("{there},https://w.example/")),
                ("UV_HTTP_TIMEOUT", "180"),
                (
                    "UV_INDEX",
                    "https://a.example/simple https://b.example/simple"
                ),
                ("UV_INDEX_STRATEGY", "unsafe-best-match"),
                ("UV_INSECURE_HOST", "a.example b.example"),
                ("UV_NO_INDEX", "1"),
            ])
        );
    }

    #[test]
    fn what_is_meant_for_uv_wins() {
        let pip = env(&[
            ("index-url", "https://pip.example/simple"),
            ("extra-index-url", "https://pip.example/extra"),
            ("cert", "/pip.pem"),
            ("proxy", "http://pip.example"),
            ("timeout", "15"),
        ]);
        let own = env(&[
            ("UV_INDEX_URL", "https://uv.example/simple"),
            ("UV_INDEX", "https://uv.example/extra"),
            ("SSL_CERT_FILE", "/uv.pem"),
            ("https_proxy", "http://uv.example"),
        ]);
        assert_eq!(for_uv(&own, &pip), own);
    }

    #[test]
    fn a_configuration_file_of_uv_names_the_indexes() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/uv")).unwrap();
        std::fs::write(home.path().join(".config/uv/uv.toml"), "").unwrap();
        let own = env(&[("HOME", home.path().to_str().unwrap())]);
        let pip = env(&[
            ("index-url", "https://pip.example/simple"),
            ("cert", "/pip.pem"),
        ]);
        let uv = for_uv(&own, &pip);
        assert!(!uv.contains_key("UV_DEFAULT_INDEX"), "{uv:?}");
        assert_eq!(uv.get("SSL_CERT_FILE").unwrap(), "/pip.pem");
    }

    #[test]
    fn children_do_not_see_what_would_change_the_outcome() {
        let ours = env(&[
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONPATH", "/x"),
            ("UV_PYTHON", "3.8"),
            ("UV_CONSTRAINT", "/c"),
            ("UV_CACHE_DIR", "/cache"),
            ("PIP_INDEX_URL", "https://pip.example/simple"),
            ("PIP_TARGET", "/elsewhere"),
            ("AWS_SECRET_ACCESS_KEY", "no business of theirs"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(common(&ours), env(&[("PATH", "/bin")]));
        assert_eq!(
            for_uv(&ours, &from_environment(&ours)),
            env(&[
                ("PATH", "/bin"),
                ("UV_CACHE_DIR", "/cache"),
                ("UV_DEFAULT_INDEX", "https://pip.example/simple"),
            ])
        );
        assert_eq!(
            for_pip(&ours),
            env(&[
                ("PATH", "/bin"),
                ("PIP_INDEX_URL", "https://pip.example/simple")
            ])
        );
    }
}
