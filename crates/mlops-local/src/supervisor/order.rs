//! The order in which processes are stopped.

use std::collections::BTreeMap;

use mlops_core::process::ProcessSpec;

/// Groups of processes to stop one group after another: whoever uses a service goes before whoever offers it.
pub(super) fn waves<'a>(specs: &BTreeMap<&'a str, &ProcessSpec>) -> Vec<Vec<&'a str>> {
    let mut left: BTreeMap<&str, &ProcessSpec> = specs.clone();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let is_used = |name: &str, spec: &ProcessSpec| {
            left.iter().any(|(other, user)| {
                *other != name
                    && spec
                        .listens
                        .iter()
                        .any(|service| user.services.contains(service))
            })
        };
        let mut wave: Vec<&'a str> = specs
            .keys()
            .copied()
            .filter(|name| left.get(name).is_some_and(|spec| !is_used(name, spec)))
            .collect();
        if wave.is_empty() {
            // They use each other in a circle, so no order is better than another.
            wave = specs
                .keys()
                .copied()
                .filter(|name| left.contains_key(name))
                .collect();
        }
        for name in &wave {
            left.remove(name);
        }
        waves.push(wave);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(listens: &[&str], uses: &[&str]) -> ProcessSpec {
        serde_json::from_value(serde_json::json!({
            "program": "python",
            "listens": listens,
            "services": listens.iter().chain(uses).collect::<Vec<_>>(),
            "ready": {"tcp": {"service": listens[0]}},
        }))
        .unwrap()
    }

    #[test]
    fn users_stop_before_what_they_use() {
        let (postgres, s3) = (spec(&["postgres"], &[]), spec(&["s3"], &[]));
        let (mlflow, models) = (
            spec(&["mlflow"], &["postgres", "s3"]),
            spec(&["model-server", "model-server-grpc"], &["mlflow"]),
        );
        let specs = BTreeMap::from([
            ("postgres", &postgres),
            ("s3", &s3),
            ("mlflow", &mlflow),
            ("model-server", &models),
        ]);
        assert_eq!(
            waves(&specs),
            [vec!["model-server"], vec!["mlflow"], vec!["postgres", "s3"]]
        );
        let (a, b) = (spec(&["a"], &["b"]), spec(&["b"], &["a"]));
        assert_eq!(
            waves(&BTreeMap::from([("a", &a), ("b", &b)])),
            [vec!["a", "b"]]
        );
    }
}
