//! `mlops predict`: ask a served model.

use std::path::Path;

use mlops::session::{Network, Protocol, Question};
use mlops_core::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::args::PredictArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file;
use crate::text::plain_line;

/// The largest request that is read, in bytes.
const MAX_REQUEST: u64 = 256 << 20;

/// Sends the request and prints the answer.
pub(crate) async fn predict(cx: &Cx, args: &PredictArgs) -> Result<Exit> {
    let question = match &args.input {
        Some(path) => parse(path, &read(cx, path)?)?,
        None => Question::Rows(rows(&args.row)?),
    };
    let protocol = if args.grpc {
        Protocol::Grpc
    } else {
        Protocol::Rest
    };
    let session = cx.session(Network::Avoid)?;
    let answer = session.predict(&args.model, &question, protocol).await?;
    cx.printer.show(&answer, |_| describe(&answer))?;
    Ok(Exit::Done)
}

fn read(cx: &Cx, path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        cx.input.all(MAX_REQUEST)
    } else {
        file::read_input(path, MAX_REQUEST)
    }
}

/// A JSON object is a request, a list is one of rows.
fn parse(path: &Path, text: &str) -> Result<Question> {
    let wrong = |error: serde_json::Error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("understand the request in `{}`", path.display()),
        )
        .with_source(error)
        .with_hint("a request is a JSON object of the Open Inference Protocol, or a list of rows")
    };
    match serde_json::from_str(text).map_err(wrong)? {
        request @ Value::Object(_) => Ok(Question::Request(request)),
        rows => serde_json::from_value(rows)
            .map(Question::Rows)
            .map_err(wrong),
    }
}

/// `--row` values as rows of numbers, all of one length.
fn rows(texts: &[String]) -> Result<Vec<Vec<f64>>> {
    let wrong = |text: &str, cause: String| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("understand the row `{}`", plain_line(text)),
        )
        .with_source(cause)
        .with_hint("a row is numbers with commas between them: `--row 5.1,3.5,1.4,0.2`")
    };
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(texts.len());
    for text in texts {
        let row = text
            .split(',')
            .map(|number| {
                let number = number.trim();
                number
                    .parse::<f64>()
                    .ok()
                    .filter(|value| value.is_finite())
                    .ok_or_else(|| wrong(text, format!("`{}` is not a number", plain_line(number))))
            })
            .collect::<Result<Vec<f64>>>()?;
        let expected = rows.first().map_or(row.len(), Vec::len);
        if row.len() != expected {
            let cause = format!("it has {} numbers, the first row has {expected}", row.len());
            return Err(wrong(text, cause));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The outputs of an answer, one line each; an answer of another form as JSON.
fn describe(answer: &Value) -> String {
    let outputs = answer.get("outputs").and_then(Value::as_array);
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        return format!("{answer:#}");
    };
    let lines: Vec<String> = outputs
        .iter()
        .map(|output| {
            let name = output.get("name").and_then(Value::as_str).unwrap_or("?");
            let data = output.get("data").unwrap_or(&Value::Null);
            plain_line(&format!("{name}: {data}"))
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_numbers_of_one_length() {
        let rows = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            rows(&texts)
        };
        assert_eq!(
            rows(&["5.1, 3.5", "-1,2e3"]).unwrap(),
            [[5.1, 3.5], [-1.0, 2000.0]]
        );
        for wrong in [&["1,a"][..], &["1,"], &["inf"], &["NaN"], &["1,2", "1"]] {
            let error = rows(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
    }

    #[test]
    fn input_is_a_request_or_rows() {
        let parse = |text: &str| parse(Path::new("-"), text);
        assert_eq!(
            parse("[[1, 2.5]]").unwrap(),
            Question::Rows(vec![vec![1.0, 2.5]])
        );
        let request = json!({"inputs": []});
        assert_eq!(
            parse(&request.to_string()).unwrap(),
            Question::Request(request)
        );
        for wrong in ["", "[1]", "\"x\"", "[[1], [\"a\"]]", "null"] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn outputs_are_shown_one_by_one() {
        let answer = json!({"outputs": [{"name": "class", "data": [0, 1]}]});
        assert_eq!(describe(&answer), "class: [0,1]");
        assert_eq!(describe(&json!([1])), "[\n  1\n]");
    }
}
