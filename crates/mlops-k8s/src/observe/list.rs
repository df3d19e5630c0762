//! Lists, page by page.

use std::collections::BTreeSet;
use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use mlops_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::AT_ONCE;
use crate::discovery::{Kind, Scope};
use crate::http::{Call, METADATA_OF_LIST, ask};

/// Objects in one page.
const PAGE: usize = 500;

/// One LIST to make.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    /// The namespaces that are meant, when all of the cluster are asked for at once because they are many.
    pub(super) namespaces: BTreeSet<String>,
    pub(super) selector: Option<String>,
    pub(super) is_metadata: bool,
}

/// The members of a kind. Who may not list the whole cluster lists each namespace.
pub(super) async fn list_members(client: &kube::Client, query: &Query) -> Result<Vec<Value>> {
    let refused = match list(client, query).await {
        Err(error)
            if error.kind() == ErrorKind::PermissionDenied
                && query.kind.scope == Scope::Namespaced =>
        {
            error
        }
        answer => return answer,
    };
    if query.namespaces.is_empty() {
        return Err(refused);
    }
    let narrower: Vec<Query> = query
        .namespaces
        .iter()
        .map(|namespace| Query {
            namespace: Some(namespace.clone()),
            namespaces: BTreeSet::new(),
            ..query.clone()
        })
        .collect();
    let asked: Vec<BoxFuture<'_, _>> = narrower
        .iter()
        .map(|query| list(client, query).boxed())
        .collect();
    let answers: Vec<Result<Vec<Value>>> = stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let pages: Result<Vec<Vec<Value>>> = answers.into_iter().collect();
    Ok(pages?.into_iter().flatten().collect())
}

/// All pages of a LIST. When a page's place in the list has expired, the list is begun again, once.
pub(super) async fn list(client: &kube::Client, query: &Query) -> Result<Vec<Value>> {
    match list_pages(client, query).await {
        Err(error) if error.kind() == ErrorKind::Changed => list_pages(client, query).await,
        answer => answer,
    }
}

async fn list_pages(client: &kube::Client, query: &Query) -> Result<Vec<Value>> {
    let doing = || {
        let place = query
            .namespace
            .as_deref()
            .map_or(String::new(), |name| format!(" in {name}"));
        format!("list `{}`{place}", query.kind.group_kind())
    };
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let mut path = format!(
            "{}?limit={PAGE}",
            query.kind.path(query.namespace.as_deref(), None)
        );
        if let Some(selector) = &query.selector {
            path = format!("{path}&labelSelector={}", escape(selector));
        }
        if !token.is_empty() {
            path = format!("{path}&continue={}", escape(&token));
        }
        let mut call = Call::get(path);
        if query.is_metadata {
            call = call.accepting(METADATA_OF_LIST);
        }
        let mut answer = ask(client, &call, &doing).await?;
        match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(page)) => items.extend(page),
            Some(Value::Null) => {}
            _ => {
                return Err(
                    Error::new(ErrorKind::Protocol, doing()).with_source("the answer is no list")
                );
            }
        }
        let next = answer.pointer("/metadata/continue").and_then(Value::as_str);
        match next.filter(|next| !next.is_empty()) {
            Some(next) => next.clone_into(&mut token),
            None => return Ok(items),
        }
    }
}

/// A value in a query. Tokens and selectors are of few characters.
pub(crate) fn escape(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
