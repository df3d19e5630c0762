//! The proof that a database binding works, and that it allows no more than it should.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Context, Endpoint, Finding, Probe, Prober, Result, SecretText};

use super::model::{Connect, Login, PostgresSession};
use super::spec::BindingProbeSpec;
use crate::support::{random_text, wrong_secret};

/// The kind of probe that [`PostgresProber`] carries out.
pub const PROBE: &str = "postgres-binding";

/// Carries out `postgres-binding` with the consumer's own login. Leaves nothing behind, even when killed: the table
/// lives in a transaction that is never seen from outside.
#[derive(Clone)]
pub struct PostgresProber {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for PostgresProber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresProber")
    }
}

impl PostgresProber {
    /// A prober that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    async fn enter(
        &self,
        endpoint: &Endpoint,
        spec: &BindingProbeSpec,
        password: SecretText,
        database: &str,
    ) -> Result<Arc<dyn PostgresSession>> {
        let login = Login::new(spec.role.as_str(), password, database);
        self.connect.session(endpoint, &login).await
    }
}

#[async_trait]
impl Prober for PostgresProber {
    fn kinds(&self) -> Vec<String> {
        vec![PROBE.to_owned()]
    }

    async fn probe(&self, probe: &Probe, cx: &Context) -> Result<Vec<Finding>> {
        let spec: BindingProbeSpec = probe.typed()?;
        let endpoint = cx.endpoint(&spec.server).await?;
        let password = cx.secret(&spec.password).await?;
        let (role, database) = (&spec.role, spec.database.as_str());
        let name = format!("mlops_probe_{}", random_text(16));

        let own = async {
            let claim =
                format!("role `{role}` can create and drop a table in database `{database}`");
            let session = match self
                .enter(&endpoint, &spec, password.clone(), database)
                .await
            {
                Ok(session) => session,
                Err(error) => return vec![Finding::fails(claim, &error)],
            };
            vec![
                Finding::expect_done(claim, &session.try_table(&name).await),
                Finding::expect_refused(
                    format!("role `{role}` cannot create roles"),
                    &session.try_create_role(&name).await,
                ),
                Finding::expect_refused(
                    format!("role `{role}` cannot create databases"),
                    &session.try_create_database(&name).await,
                ),
            ]
        };
        let other = async {
            let other = spec.other_database.as_ref()?;
            let result = self
                .enter(&endpoint, &spec, password.clone(), other.as_str())
                .await;
            let claim = format!("role `{role}` cannot connect to database `{other}`");
            Some(Finding::expect_refused(claim, &result))
        };
        let wrong = async {
            let result = self.enter(&endpoint, &spec, wrong_secret(), database).await;
            let claim = format!("a wrong password for role `{role}` is refused");
            Finding::expect_refused(claim, &result)
        };
        let (mut findings, other, wrong) = futures::join!(own, other, wrong);
        findings.extend(other);
        findings.push(wrong);
        Ok(findings)
    }
}
