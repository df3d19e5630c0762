//! The sample models, embedded: MLflow model folders made by `python/sample/train.py`.

/// One model of the program's own: what `up` registers first, and what tests move on to.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// `iris`, `iris-v2` (another model, right on its probe) or `iris-broken` (loads, and answers wrong).
    pub name: &'static str,
    /// The files of the MLflow model: name and content.
    pub files: &'static [(&'static str, &'static [u8])],
    /// JSON: `inputs`, as of an Open Inference Protocol request, and `expected`, the class of each row.
    pub probe: &'static str,
}

/// JSON: `inputs` of one row, and under `iris` and `iris-v2` what each of the two answers to it. They differ, so an
/// answer tells which of the two gave it.
pub const SWITCH: &str = include_str!("../../python/sample/switch.json");

macro_rules! sample {
    ($name:literal) => {
        Sample {
            name: $name,
            files: sample!(@files $name, "MLmodel", "conda.yaml", "input_example.json", "model.skops",
                "python_env.yaml", "requirements.txt", "serving_input_example.json"),
            probe: include_str!(concat!("../../python/sample/", $name, ".probe.json")),
        }
    };
    (@files $name:literal, $($file:literal),+) => {
        &[$(($file, include_bytes!(concat!("../../python/sample/", $name, "/", $file)).as_slice())),+]
    };
}

const SAMPLES: &[Sample] = &[sample!("iris"), sample!("iris-v2"), sample!("iris-broken")];

/// The sample of that name.
///
/// ```
/// let iris = mlops_local::python::sample("iris").unwrap();
/// assert!(iris.files.iter().any(|(name, _)| *name == "MLmodel"));
/// assert!(mlops_local::python::sample("rose").is_none());
/// ```
pub fn sample(name: &str) -> Option<Sample> {
    SAMPLES.iter().copied().find(|sample| sample.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_has_an_answer_for_each_row() {
        for sample in SAMPLES {
            let probe: serde_json::Value = serde_json::from_str(sample.probe).unwrap();
            let rows = probe["expected"].as_array().unwrap().len();
            assert!(rows > 0);
            for input in probe["inputs"].as_array().unwrap() {
                assert_eq!(
                    input["data"].as_array().unwrap().len(),
                    rows,
                    "{}",
                    sample.name
                );
            }
        }
        let switch: serde_json::Value = serde_json::from_str(SWITCH).unwrap();
        assert_ne!(switch["iris"], switch["iris-v2"]);
    }
}
