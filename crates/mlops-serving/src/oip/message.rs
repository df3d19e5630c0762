//! Requests and answers, whatever wire they go over.

use mlops_core::{Error, ErrorKind, Result};

use super::datatype::Datatype;
use super::tensor::{Parameter, Parameters, Tensor};

/// A request for an inference.
///
/// ```
/// use mlops_serving::oip::{InferRequest, Tensor, TensorData};
///
/// let input = Tensor::new("x", [1, 2], TensorData::from_vec(vec![0.5_f64, 1.0]))?;
/// let request = InferRequest::new([input]).with_id("42");
/// assert_eq!(request.inputs().len(), 1);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InferRequest {
    pub(super) id: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<String>,
}

impl InferRequest {
    /// A request with these inputs, for all outputs.
    pub fn new(inputs: impl Into<Vec<Tensor>>) -> Self {
        Self {
            inputs: inputs.into(),
            ..Self::default()
        }
    }

    /// Sets the id that comes back with the answer.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a parameter of the whole request.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: Parameter) -> Self {
        self.parameters.insert(name.into(), value);
        self
    }

    /// Asks for this output; without any, the server answers all.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>) -> Self {
        self.outputs.push(name.into());
        self
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }
}

/// The answer to an inference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version, if the server says so.
    pub model_version: Option<String>,
    /// The id of the request, or one that the server made.
    pub id: Option<String>,
    /// Parameters of the answer.
    pub parameters: Parameters,
    /// The outputs.
    pub outputs: Vec<Tensor>,
}

impl InferResponse {
    /// The output of that name.
    ///
    /// # Errors
    ///
    /// When the answer does not hold it.
    pub fn output(&self, name: &str) -> Result<&Tensor> {
        self.outputs
            .iter()
            .find(|tensor| tensor.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = self.outputs.iter().map(Tensor::name).collect();
                Error::new(
                    ErrorKind::NotFound,
                    format!("find output `{name}` of `{}`", self.model_name),
                )
                .with_source(format!("the answer holds {names:?}"))
            })
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerMetadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The extensions of the protocol that it claims.
    pub extensions: Vec<String>,
}

/// What a server says of a tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// Its shape; -1 where any length goes.
    pub shape: Vec<i64>,
}

/// What a server says of a model. Everything but the name may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelMetadata {
    /// Its name.
    pub name: String,
    /// Its versions.
    pub versions: Vec<String>,
    /// What runs it.
    pub platform: String,
    /// Its inputs.
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    pub outputs: Vec<TensorMetadata>,
}

/// A model of a server's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its name.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// `READY`, `UNAVAILABLE`, `LOADING` … without the `State.` that some servers write before it.
    pub state: String,
    /// Why it is not ready.
    pub reason: String,
}
