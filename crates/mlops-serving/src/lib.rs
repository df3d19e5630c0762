//! MLflow registry client, Open Inference Protocol client, and the way from a registered model to a served one.
