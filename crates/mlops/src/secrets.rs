//! Generated secrets as resources of a graph.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, Failure, Found, Graph, Kind, Observed, Provider, Resource,
    ResourceId, Result, SecretName, SecretText,
};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// The kind of generated secrets.
pub const SECRET: &str = "secret";

/// What a generated secret looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// How many characters.
    pub length: usize,
    /// Which characters.
    pub alphabet: Alphabet,
}

/// The characters of a generated secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// Letters of both cases and digits.
    Alphanumeric,
    /// Lower-case hexadecimal digits.
    Hex,
}

impl SecretSpec {
    /// A new random text.
    pub fn generate(&self) -> SecretText {
        const ALPHANUMERIC: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let alphabet = match self.alphabet {
            Alphabet::Alphanumeric => ALPHANUMERIC,
            Alphabet::Hex => b"0123456789abcdef",
        };
        let mut random = rand::rng();
        SecretText::new(
            (0..self.length)
                .filter_map(|_| alphabet.get(random.random_range(0..alphabet.len())))
                .map(|byte| char::from(*byte))
                .collect::<String>(),
        )
    }
}

/// Makes secrets once, in the store of the context; an existing one is adopted whatever it looks like.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretProvider;

fn name_of(resource: &Resource) -> Result<SecretName> {
    resource.id.name().parse()
}

#[async_trait]
impl Provider for SecretProvider {
    fn rules(&self) -> Rules {
        Rules::from([(Kind::new(SECRET), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let kept: BTreeSet<SecretName> = match cx.secrets.list().await {
            Ok(names) => names.into_iter().collect(),
            Err(error) => {
                let failure = Failure::from(&error);
                return wanted
                    .iter()
                    .map(|resource| (resource.id.clone(), Observed::Unknown(failure.clone())))
                    .collect();
            }
        };
        wanted
            .iter()
            .map(|resource| {
                let observed = match name_of(resource) {
                    Ok(name) if kept.contains(&name) => {
                        Observed::Found(Found::ours(resource.spec.clone()))
                    }
                    Ok(_) => Observed::Absent,
                    Err(error) => Observed::Unknown(Failure::from(&error)),
                };
                (resource.id.clone(), observed)
            })
            .collect()
    }

    /// Secrets that nobody wants are kept: they may open data that is kept as well.
    async fn find_strays(&self, _graph: &Graph, _cx: &Context) -> Result<Vec<Resource>> {
        Ok(Vec::new())
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let name = name_of(resource)?;
        if *action == Action::Remove {
            return cx.secrets.remove(&name).await;
        }
        let spec: SecretSpec = resource.typed()?;
        if spec.length < 16 {
            return Err(
                Error::new(ErrorKind::InvalidInput, format!("generate secret `{name}`"))
                    .with_source("a generated secret has at least 16 characters"),
            );
        }
        cx.secrets.create(&name, spec.generate()).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length_and_alphabet_and_differ() {
        let spec = SecretSpec {
            length: 32,
            alphabet: Alphabet::Hex,
        };
        let (one, two) = (spec.generate(), spec.generate());
        assert_eq!(one.expose().len(), 32);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!one.is_same(&two));
    }
}
