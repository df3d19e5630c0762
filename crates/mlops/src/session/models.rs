//! Asking served models, and following the alias that says which version is served.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _, select_all};
use mlops_core::report::{Entry, Outcome};
use mlops_core::{Context, Error, ErrorKind, Event, EventSink, Failure, Report, Resource, Result};
use mlops_serving::oip::{
    Datatype, GrpcClient, InferRequest, InferResponse, ModelMetadata, Parameters, RestClient,
    Tensor, TensorMetadata,
};
use mlops_serving::provider::{ServedModelProvider, ServedModelSpec};
use mlops_serving::registry::ConnectMlflow;
use mlops_serving::serve::{
    ConnectMlServer, FollowEvent, InferenceProbe, ProbeInput, follow_in_turn,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Session;
use super::follow::{Turn, follow_there};

/// How often an alias is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The way a request goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP with JSON.
    #[default]
    Rest,
    /// gRPC.
    Grpc,
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// An inference request of the Open Inference Protocol, as JSON.
    Request(Value),
    /// Rows of numbers; the model's own description says what the columns are called.
    Rows(Vec<Vec<f64>>),
}

impl Session {
    /// Asks a served model and returns its answer in the form of the Open Inference Protocol.
    ///
    /// # Errors
    ///
    /// When the platform serves no such model, the question does not fit it, or it cannot be asked.
    pub async fn predict(&self, model: &str, question: &Question, via: Protocol) -> Result<Value> {
        let spec: ServedModelSpec = self.served(model)?.typed()?;
        let rest = RestClient::new(&self.endpoints().get(&spec.server).await?)?;
        let request = match question {
            Question::Request(value) => parse_request(model, value)?,
            Question::Rows(rows) => rows_request(&rest.model_metadata(model).await?, rows)?,
        };
        let response = match (via, &spec.grpc) {
            (Protocol::Rest, _) => rest.infer(model, &request).await?,
            (Protocol::Grpc, Some(grpc)) => {
                let client = GrpcClient::new(&self.endpoints().get(grpc).await?)?;
                client.infer(model, &request).await?
            }
            (Protocol::Grpc, None) => {
                return Err(
                    Error::new(ErrorKind::Unsupported, format!("ask `{model}` over gRPC"))
                        .with_source("its server has no gRPC address"),
                );
            }
        };
        to_json(&response)
    }

    /// Serves the versions that the models' addresses name now; with `follow` it goes on until it is cancelled, and
    /// serves each new one at once. Each switch waits for other runs on the platform, and others for it; between two
    /// switches nothing is held.
    ///
    /// # Errors
    ///
    /// When the platform serves no such model or is not running. A version that fails its probe is an outcome of
    /// the report.
    pub async fn serve(
        &self,
        model: Option<&str>,
        following: bool,
        events: EventSink,
        cancel: CancellationToken,
    ) -> Result<Report> {
        self.require_running("serve models").await?;
        let events = self.target.record(events);
        let cx = self.context(events.clone());
        let resources: Vec<&Resource> = match model {
            Some(name) => vec![self.served(name)?],
            None => self.all_served().collect(),
        };
        let turn = Turn::new(self, &events);
        let mut streams = Vec::new();
        for resource in &resources {
            let id = resource.id.clone();
            let stream = self.follow(resource, &cx, &turn).await?;
            streams.push(stream.map(move |event| (id.clone(), event)));
        }
        let mut open = streams.len();
        let mut news = select_all(streams);
        let mut report = Report::new(self.graph.platform.clone());
        while open > 0 || following {
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                next = news.next() => next,
            };
            let Some((id, event)) = next else { break };
            let outcome = tell(&events, &id, &event);
            open = open.saturating_sub(1);
            report.entries.retain(|entry| entry.id != id);
            report.entries.push(Entry {
                id,
                outcome,
                start_ms: 0,
                took_ms: took_ms(&event),
                waited_for: None,
            });
        }
        drop(news);
        turn.end().await;
        Ok(report)
    }

    /// What happens to one model while its address is followed.
    async fn follow<'a>(
        &'a self,
        resource: &'a Resource,
        cx: &'a Context,
        turn: &'a Turn<'a>,
    ) -> Result<BoxStream<'a, FollowEvent>> {
        if let Some(cluster) = &self.cluster {
            return Ok(follow_there(cluster, resource, cx, LOOK_EVERY, turn)?.boxed());
        }
        let provider = ServedModelProvider::new(
            Arc::new(ConnectMlflow),
            Arc::new(ConnectMlServer::new(self.target.folders().models())),
        );
        let spec: ServedModelSpec = resource.typed()?;
        let switcher = Arc::new(provider.switcher(&spec, cx).await?);
        // A switch takes away what it finds of others that did not come to their end: so there may be only one.
        Ok(follow_in_turn(switcher, spec.uri, LOOK_EVERY, || turn.hold()).boxed())
    }

    fn all_served(&self) -> impl Iterator<Item = &Resource> {
        self.graph
            .ordered()
            .filter(|resource| resource.id.kind().as_str() == "served-model")
    }

    fn served(&self, name: &str) -> Result<&Resource> {
        if let Some(resource) = self
            .all_served()
            .find(|resource| resource.id.name() == name)
        {
            return Ok(resource);
        }
        let names: Vec<&str> = self
            .all_served()
            .map(|resource| resource.id.name())
            .collect();
        let near = mlops_core::nearest(name, names.iter().copied())
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        Err(
            Error::new(ErrorKind::InvalidInput, format!("find model `{name}`"))
                .with_source("the platform serves no model of that name")
                .with_hint(format!("{near}it serves `{}`", names.join("`, `"))),
        )
    }
}

/// A request from its JSON; `id` and `outputs` are left out, the answer holds all outputs anyway.
fn parse_request(model: &str, value: &Value) -> Result<InferRequest> {
    let wrong = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidInput, format!("ask `{model}`"))
            .with_source(error)
            .with_hint(
                "a request is `{\"inputs\": [{\"name\", \"shape\", \"datatype\", \"data\"}]}`",
            )
    };
    let mut fields = value.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("id");
        fields.remove("outputs");
    }
    let probe: InferenceProbe = serde_json::from_value(fields).map_err(wrong)?;
    probe.to_request()
}

/// Hands an event on in the engine's words.
fn tell(events: &EventSink, id: &mlops_core::ResourceId, event: &FollowEvent) -> Outcome {
    match event {
        FollowEvent::Serving { version } => {
            events.progress(id, format!("version {version} is served"));
            Outcome::Unchanged
        }
        FollowEvent::Switched(switched) => {
            let verb = match &switched.from {
                Some(from) => format!("switch from version {from} to {}", switched.to),
                None => format!("serve version {}", switched.to),
            };
            events.emit(Event::Finished {
                id: id.clone(),
                verb: verb.clone(),
                took_ms: switched.took_ms,
            });
            Outcome::Done { verb }
        }
        FollowEvent::Refused { failure, .. } | FollowEvent::Unreachable { failure } => {
            let failure: Failure = failure.clone();
            events.emit(Event::Failed {
                id: id.clone(),
                failure: failure.clone(),
            });
            Outcome::Failed { failure }
        }
    }
}

fn took_ms(event: &FollowEvent) -> u64 {
    match event {
        FollowEvent::Switched(switched) => switched.took_ms,
        _ => 0,
    }
}

/// One request for rows of numbers: a column each where the model names columns, one matrix where it has one input.
fn rows_request(model: &ModelMetadata, rows: &[Vec<f64>]) -> Result<InferRequest> {
    let wrong = |cause: String| {
        Error::new(ErrorKind::InvalidInput, format!("ask `{}`", model.name)).with_source(cause)
    };
    let width = rows.first().map_or(0, Vec::len);
    if width == 0 || rows.iter().any(|row| row.len() != width) {
        return Err(wrong(
            "every row needs the same number of values".to_owned(),
        ));
    }
    let column = |index: usize| -> Vec<f64> {
        rows.iter()
            .filter_map(|row| row.get(index).copied())
            .collect()
    };
    let input = |input: &TensorMetadata, shape: Vec<usize>, data: Value| ProbeInput {
        name: input.name.clone(),
        shape,
        datatype: input.datatype.to_string(),
        data,
        parameters: Parameters::new(),
    };
    let inputs = match model.inputs.as_slice() {
        [] => {
            return Err(
                wrong("the model does not say what its inputs are".to_owned())
                    .with_hint("give a whole request with `--input`"),
            );
        }
        [whole] if width > 1 => vec![input(whole, vec![rows.len(), width], json!(rows))],
        inputs if inputs.len() == width => inputs
            .iter()
            .enumerate()
            .map(|(index, one)| input(one, vec![rows.len(), 1], json!(column(index))))
            .collect(),
        inputs => {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(wrong(format!(
                "a row has {width} values, the model takes {}: `{}`",
                names.len(),
                names.join("`, `")
            )));
        }
    };
    InferenceProbe {
        inputs,
        ..InferenceProbe::default()
    }
    .to_request()
}

/// An answer as JSON.
fn to_json(response: &InferResponse) -> Result<Value> {
    let outputs = response
        .outputs
        .iter()
        .map(|output| {
            Ok(json!({
                "name": output.name(),
                "datatype": output.datatype().to_string(),
                "shape": output.shape(),
                "data": elements(output)?,
            }))
        })
        .collect::<Result<Vec<Value>>>()?;
    Ok(json!({
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": outputs,
    }))
}

fn elements(tensor: &Tensor) -> Result<Vec<Value>> {
    let data = tensor.data();
    Ok(match tensor.datatype() {
        Datatype::Bytes => data
            .byte_strings()
            .map(|bytes| Value::from(String::from_utf8_lossy(bytes)))
            .collect(),
        Datatype::Bool => values(&data.as_slice::<u8>()?, |byte| byte != 0),
        Datatype::Int8 => values::<i8, i64>(&data.as_slice()?, i64::from),
        Datatype::Int16 => values::<i16, i64>(&data.as_slice()?, i64::from),
        Datatype::Int32 => values::<i32, i64>(&data.as_slice()?, i64::from),
        Datatype::Int64 => values::<i64, i64>(&data.as_slice()?, i64::from),
        Datatype::Uint8 => values::<u8, u64>(&data.as_slice()?, u64::from),
        Datatype::Uint16 => values::<u16, u64>(&data.as_slice()?, u64::from),
        Datatype::Uint32 => values::<u32, u64>(&data.as_slice()?, u64::from),
        Datatype::Uint64 => values::<u64, u64>(&data.as_slice()?, u64::from),
        _ => data.to_f64()?.into_iter().map(Value::from).collect(),
    })
}

fn values<T: Copy, V: Into<Value>>(elements: &[T], widen: impl Fn(T) -> V) -> Vec<Value> {
    elements
        .iter()
        .map(|element| widen(*element).into())
        .collect()
}
