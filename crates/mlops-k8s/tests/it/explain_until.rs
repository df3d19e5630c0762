//! Explanations on an API server alone: refusals of writes, fakes of statuses, hostile texts, speed.
